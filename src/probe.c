/*
 * probe.c
 *		Finding the rows of one table by a btree index on the key.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "condition.h"
#include "keyhash.h"
#include "probe.h"

/* Comparisons of composite values leave something behind in the scan, so it ends after so many searches. */
#define SEARCHES_PER_SCAN	1000

struct Probe
{
	Relation	rel;
	Relation	index;
	const KeyIndex *key_index;
	MemoryContext context;		/* what was current when it was opened */
	IndexScanDesc scan;			/* begun with a search, and anew after many */
	MemoryContext scan_context;
	int			nsearches;
	ScanKeyData *scan_keys;		/* the key index's, with the arguments of the last search */
};

/* Could a snapshot of this transaction be older than the index is good for? */
bool
IsIndexTooNew(const KeyIndex *index)
{
	return TransactionIdIsValid(index->not_before) &&
		!TransactionIdPrecedes(index->not_before, TransactionXmin);
}

/* Opens the index of the table, to search it until CloseProbe(), in the current memory context. */
Probe *
OpenProbe(Relation rel, const KeyIndex *key_index)
{
	Probe	   *probe = palloc0(sizeof(Probe));

	probe->rel = rel;
	probe->index = index_open(key_index->oid, AccessShareLock);
	probe->key_index = key_index;
	probe->context = CurrentMemoryContext;
	probe->scan_context = CurrentMemoryContext;
	probe->scan_keys = palloc(key_index->nscan_keys * sizeof(ScanKeyData));
	memcpy(probe->scan_keys, key_index->scan_keys, key_index->nscan_keys * sizeof(ScanKeyData));
	return probe;
}

/* NULL equals NULL. What a comparison keeps for itself goes away with the current memory context. */
static void
SetScanKeys(Probe *probe, const Target *target, const Row *row)
{
	const KeyIndex *index = probe->key_index;

	if (OidIsValid(index->hash_function))
	{
		probe->scan_keys[0].sk_argument = Int64GetDatum((int64) HashKey(target, row));
		return;
	}
	for (int i = 0; i < index->nscan_keys; i++)
	{
		int			column = index->attnums[i] - 1;

		probe->scan_keys[i].sk_flags = row->isnull[column] ? SK_ISNULL | SK_SEARCHNULL : 0;
		probe->scan_keys[i].sk_argument = row->values[column];
		probe->scan_keys[i].sk_func.fn_mcxt = CurrentMemoryContext;
	}
}

/* Lets go of what the scan has allocated. */
static void
RenewScan(Probe *probe)
{
	index_endscan(probe->scan);
	probe->scan = NULL;
	if (probe->scan_context == probe->context)
		probe->scan_context = AllocSetContextCreate(probe->context, "product_upsert scan",
													ALLOCSET_SMALL_SIZES);
	else
		MemoryContextReset(probe->scan_context);
}

/*
 * Begins to look for rows with the key of the target's row, as snapshot sees them. The scan allocates what it
 * keeps when it comes to need it, so it must run in a context of the probe's.
 */
void
BeginSearch(Probe *probe, const Target *target, const Row *row, Snapshot snapshot)
{
	MemoryContext caller;
	int			nkeys = probe->key_index->nscan_keys;

	SetScanKeys(probe, target, row);
	if (++probe->nsearches % SEARCHES_PER_SCAN == 0 && probe->scan)
		RenewScan(probe);
	caller = MemoryContextSwitchTo(probe->scan_context);
	if (probe->scan == NULL)
		probe->scan = BeginIndexScan(probe->rel, probe->index, snapshot, nkeys);
	probe->scan->xs_snapshot = snapshot;
	index_rescan(probe->scan, probe->scan_keys, nkeys, NULL, 0);
	MemoryContextSwitchTo(caller);
}

/* Puts the next row in the slot, with all attributes. An index on the hash may have rows of other keys. */
bool
NextFound(Probe *probe, TupleTableSlot *slot)
{
	MemoryContext caller = MemoryContextSwitchTo(probe->scan_context);
	bool		found = index_getnext_slot(probe->scan, ForwardScanDirection, slot);

	MemoryContextSwitchTo(caller);
	if (found)
		slot_getallattrs(slot);
	return found;
}

/*
 * Has the row in the slot, which the probe has found and which is in the target's columns, the key, and
 * counts?
 */
bool
IsMatch(const Probe *probe, Target *target, const Row *row, TupleTableSlot *slot)
{
	const KeyIndex *index = probe->key_index;

	return (!OidIsValid(index->hash_function) ||
			SameKey(target, row, slot->tts_values, slot->tts_isnull)) &&
		/* An index with the condition for its predicate has no other rows. */
		(index->partial || SatisfiesCondition(target, slot));
}

/*
 * Has the index an entry for the key of the target's row that leads elsewhere than to tid, whether anybody
 * sees what is there or not? A row gets its entries before its transaction ends, or locks its key.
 */
bool
HasOtherEntry(Probe *probe, const Target *target, const Row *row, ItemPointer tid)
{
	MemoryContext caller;
	ItemPointer other;

	BeginSearch(probe, target, row, GetActiveSnapshot());
	caller = MemoryContextSwitchTo(probe->scan_context);
	do
	{
		other = index_getnext_tid(probe->scan, ForwardScanDirection);
	} while (other && ItemPointerEquals(other, tid));
	MemoryContextSwitchTo(caller);
	return other != NULL;
}

/*
 * Ends the search. A scan takes 27 kB, so where there are many, and a single search in each, it is not kept
 * for another.
 */
void
EndSearch(Probe *probe)
{
	if (probe->nsearches > 1)
		return;
	index_endscan(probe->scan);
	probe->scan = NULL;
}

void
CloseProbe(Probe *probe)
{
	if (probe->scan)
		index_endscan(probe->scan);
	index_close(probe->index, NoLock);
}
