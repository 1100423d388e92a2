/*
 * store_heap.c
 *		The store for plain tables: a btree index finds the row, the table access
 *		method writes it.
 *
 * Where it does not apply, WhyNotWriteDirectly() says why, and the SPI store serves. The
 * checks of privileges, of a read-only transaction and of the lock are the caller's,
 * who does them for either store.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "executor/executor.h"
#include "utils/rel.h"

#include "heapwrite.h"
#include "probe.h"
#include "rowlock.h"
#include "store_heap.h"

typedef struct HeapStore
{
	Store		store;
	Probe	   *probe;
	TupleTableSlot *second;		/* for a second row with the same key */
	Writer		writer;
} HeapStore;

/* -- find --------------------------------------------------------------------- */

static bool
NextRowWithKey(HeapStore *heap, const Row *row, TupleTableSlot *slot)
{
	while (NextFound(heap->probe, slot))
	{
		if (IsMatch(heap->probe, heap->store.target, row, slot))
			return true;
	}
	return false;
}

static int
HeapFind(Store *store, const Row *row, Snapshot snapshot, TupleTableSlot *found,
		 TupleTableSlot *second)
{
	HeapStore  *heap = (HeapStore *) store;
	int			nfound = 0;

	/* Lets go of the page where the last row was, so that it can be pruned now. */
	ExecClearTuple(found);
	BeginSearch(heap->probe, store->target, row, snapshot);
	if (NextRowWithKey(heap, row, found))
		nfound++;
	if (nfound > 0 && NextRowWithKey(heap, row, second ? second : heap->second))
		nfound++;
	ExecClearTuple(heap->second);
	return nfound;
}

static bool
HeapIsAlone(Store *store, const Row *row, ItemPointer tid)
{
	HeapStore  *heap = (HeapStore *) store;

	return !HasOtherEntry(heap->probe, store->target, row, tid);
}

/* -- write -------------------------------------------------------------------- */

static InsertResult
HeapInsert(Store *store, const Row *row, bool yield_to_unique_index, TupleTableSlot *stored)
{
	Writer	   *writer = &((HeapStore *) store)->writer;
	const bool	is_update = false;
	InsertResult result;

	BeginWrite(writer, row->given, is_update);
	EnterCommand(writer, &writer->whole);
	StoreNewRow(writer, row, stored);
	result = WriteNew(writer, &writer->whole, row, yield_to_unique_index, stored);
	slot_getallattrs(stored);
	return result;
}

static UpdateResult
HeapUpdate(Store *store, const Row *row, const Bitmapset *columns, TupleTableSlot *found,
		   TupleTableSlot *stored)
{
	Writer	   *writer = &((HeapStore *) store)->writer;
	const TriggerDesc *triggers = store->rel->trigdesc;
	bool		has_before_triggers = triggers &&
		(triggers->trig_update_before_row || triggers->trig_update_before_statement);
	const bool	is_update = true;
	UpdateResult result;

	CheckCmdReplicaIdentity(store->rel, CMD_UPDATE);
	/* BEFORE triggers would be fired for the newest version, whatever its key is by then, or for none. */
	if (has_before_triggers && !LockFoundRow(store->target, row, columns, found))
		return UPDATE_ROW_IS_GONE;

	BeginWrite(writer, columns, is_update);
	EnterCommand(writer, &writer->whole);
	StoreUpdatedRow(row, columns, found, stored);
	result = WriteUpdated(writer, &writer->whole, &found->tts_tid, stored);
	slot_getallattrs(stored);
	return result;
}

/* -- the store ---------------------------------------------------------------- */

static void
HeapClose(Store *store)
{
	HeapStore  *heap = (HeapStore *) store;

	EndWrites(&heap->writer);
	CloseProbe(heap->probe);
	ExecDropSingleTupleTableSlot(heap->second);
}

static const StoreMethods heap_methods = {
	.find = HeapFind,
	.is_alone = HeapIsAlone,
	.insert = HeapInsert,
	.update = HeapUpdate,
	.close = HeapClose,
};

/* The caller has made sure that WhyNotWriteDirectly(), or WhyNotFindDirectly(), returns NULL. */
Store *
OpenHeapStore(Target *target, Relation rel)
{
	HeapStore  *heap = palloc0(sizeof(HeapStore));

	heap->store.target = target;
	heap->store.rel = rel;
	heap->store.methods = &heap_methods;
	heap->probe = OpenProbe(rel, target->key_index);
	heap->second = table_slot_create(rel, NULL);
	InitWriter(&heap->writer, target, rel);
	return &heap->store;
}
