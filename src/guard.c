/*
 * guard.c
 *		The trigger that keeps every writer of a table from duplicating a key.
 *
 * It is an AFTER trigger for each row: BEFORE triggers and generated columns may still
 * change the key, and after them nothing does. So when it fires, the row is in the table
 * already. If two sessions write the same key at the same time, both rows are there and
 * neither session sees the other's. The lock on the key puts them in order: the second
 * session gets it when the first has ended, takes a new snapshot, and sees what the first
 * has committed.
 *
 * It does not judge what was there before: an update that keeps the key passes, even if
 * the key has duplicates. If the key has a condition, that is the trigger's WHEN clause: so it
 * fires for rows that satisfy it. An update by which a row comes to do so is as an insert.
 *
 * Memory that it allocates is freed by the executor after each row. Only the store lasts
 * longer: see guard_store.c.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/snapmgr.h"

#include "access.h"
#include "compat.h"
#include "condition.h"
#include "guard.h"
#include "guard_store.h"
#include "keyhash.h"
#include "keylock.h"
#include "row.h"
#include "table.h"
#include "target.h"
#include "targetcache.h"
#include "triggerrow.h"

/* -- the check ---------------------------------------------------------------- */

/* A table that is guarded as a whole: that of the row, or one that it is a partition of. */
typedef struct GuardedTable
{
	Relation	rel;
	Target	   *target;
	Oid			root;			/* whose key locks count */
	Row			row;			/* the key, in this table's columns */
} GuardedTable;

/* The stored row that is in the slot, whose attributes are all there. */
static Row
RowInSlot(const TupleTableSlot *slot)
{
	return (Row) {.values = slot->tts_values, .isnull = slot->tts_isnull};
}

static bool
KeepsKey(const Target *target, TupleTableSlot *old, TupleTableSlot *new)
{
	const Row	row = RowInSlot(old);

	return SameKey(target, &row, new->tts_values, new->tts_isnull);
}

/* The key of a partition's row as one of the partitioned table, whose columns may be elsewhere. */
static Row
TranslateKey(const Target *target, TupleTableSlot *slot, const Target *whole)
{
	Row		   *row = MakeRow(whole);

	for (int i = 0; i < target->nkey_columns; i++)
	{
		int			from = target->keys[i].column->attnum - 1;
		int			to = whole->keys[i].column->attnum - 1;

		row->values[to] = slot->tts_values[from];
		row->isnull[to] = slot->tts_isnull[from];
	}
	return *row;
}

/*
 * Returns what is guarded, where that is the row's own table. The statement that writes the row has
 * locked it, but perhaps for no longer than a cursor: who excludes all writers must meet us as long
 * as the row may be there.
 */
static GuardedTable
OwnTable(Relation rel, Target *target, TupleTableSlot *slot)
{
	if (!IsKnownToExcludeOthers(RelationGetRelid(rel)))
		LockTableUntilEnd(RelationGetRelid(rel), RowExclusiveLock);
	return (GuardedTable) {
		.rel = rel,
		.target = target,
		.root = RelationGetRelid(rel),
		.row = RowInSlot(slot),
	};
}

/*
 * Locks the partition and the tables above it, which does not have to be done again for each row: as long as
 * they are locked, nobody attaches or detaches one of them. Returns the topmost.
 */
static Oid
LockFromRoot(Target *target)
{
	LocalTransactionId transaction = CurrentLocalTransactionId();
	SubTransactionId subtransaction = GetCurrentSubTransactionId();
	Oid			root;

	if (target->locked_by == transaction && target->locked_in == subtransaction)
		return target->locked_root;
	root = LockTargetTable(target->relid, false);
	target->locked_by = transaction;
	target->locked_in = subtransaction;
	target->locked_root = root;
	return root;
}

/*
 * The same for a partition's row, which may have been written straight into the partition: then
 * nothing holds the tables above it yet. Whoever excludes all writers does so at the root.
 */
static GuardedTable
PartitionedTable(Target *target, TupleTableSlot *slot)
{
	GuardedTable guarded;

	guarded.root = LockFromRoot(target);
	guarded.rel = table_open(target->guarded, NoLock);
	guarded.target = AcquireTarget(guarded.rel);
	guarded.row = TranslateKey(target, slot, guarded.target);
	return guarded;
}

/*
 * Is a row version, or what became of it in this transaction, there with its key, and does it count? Then
 * it is at *tid.
 */
static bool
IsAlive(Relation rel, Target *target, TupleTableSlot *version, Snapshot snapshot,
		ItemPointer tid)
{
	TableScanDesc scan = table_beginscan_tid(rel, snapshot);
	TupleTableSlot *latest = table_slot_create(rel, NULL);
	bool		alive;

	*tid = version->tts_tid;
	table_tuple_get_latest_tid(scan, tid);
	table_endscan(scan);
	alive = table_tuple_fetch_row_version(rel, tid, snapshot, latest);
	if (alive)
	{
		slot_getallattrs(latest);
		alive = KeepsKey(target, version, latest) && SatisfiesCondition(target, latest);
	}
	ExecDropSingleTupleTableSlot(latest);
	return alive;
}

/*
 * Returns the transaction that is about to delete the row, or to give it another key: nobody
 * knows yet whether it will. InvalidTransactionId if there is none, and *gone tells whether the
 * row is.
 */
static TransactionId
FindWriter(const TupleTableSlot *found, bool *gone)
{
	Relation	rel = table_open(found->tts_tableOid, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	ItemPointerData tid = found->tts_tid;
	TransactionId writer = InvalidTransactionId;
	SnapshotData dirty;

	InitDirtySnapshot(dirty);
	*gone = !table_tuple_fetch_row_version(rel, &tid, &dirty, slot);
	if (!*gone)
		writer = dirty.xmax;
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	return writer;
}

static void
ReportTakenKey(const GuardedTable *guarded, Relation rel, const Trigger *trigger)
{
	char	   *key = DescribeKey(guarded->target, &guarded->row);

	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("duplicate key value violates unique constraint \"%s\"", trigger->tgname),
			 key ? errdetail("Key %s already exists.", key) : 0,
			 errhint("\"%s\" is a trigger of product_upsert on table \"%s\", not an index.",
					 trigger->tgname, RelationGetRelationName(rel)),
			 errtableconstraint(rel, trigger->tgname)));
}

/* Finds another row with the key, with a snapshot that is newer than the lock. */
static bool
FindOther(const GuardedTable *guarded, Store *store, const TriggerData *event, Target *target,
		  TupleTableSlot *written, TupleTableSlot *other)
{
	Relation	rel = event->tg_relation;
	const Row  *row = &guarded->row;
	Snapshot	snapshot;
	ItemPointerData self;
	bool		found;

	PushActiveSnapshot(GetLatestSnapshot());
	snapshot = GetActiveSnapshot();
	found = store->methods->find(store, row, snapshot, other, NULL) > 1 &&
		IsAlive(rel, target, written, snapshot, &self);
	if (found && other->tts_tableOid == RelationGetRelid(rel) &&
		ItemPointerEquals(&other->tts_tid, &self))
	{
		/* So the other one is the second. */
		TupleTableSlot *first = table_slot_create(guarded->rel, NULL);

		store->methods->find(store, row, snapshot, first, other);
		ExecDropSingleTupleTableSlot(first);
	}
	PopActiveSnapshot();
	return found;
}

/* Is there no trace of another row with the key? This costs less than to find the row itself and no other. */
static bool
IsAlone(const GuardedTable *guarded, Store *store, TupleTableSlot *written)
{
	return store->methods->is_alone && guarded->root == written->tts_tableOid &&
		store->methods->is_alone(store, &guarded->row, &written->tts_tid);
}

/* For keylock.c: the one key that is locked at a time. */
static char *
DescribeGuardedKey(void *arg, uint32 hash pg_attribute_unused())
{
	const GuardedTable *guarded = arg;

	return DescribeKey(guarded->target, &guarded->row);
}

/*
 * Raises 23505 if another row has the key. If a transaction that is still running is about to
 * delete that row, or to change its key, waits for its end, as a unique index does, and looks
 * again. It gives back the lock on the key while it waits, if it has just acquired it: the other
 * transaction may be going to insert the row anew, and will need the lock for that.
 */
static void
RequireFreeKey(GuardedTable *guarded, Store *store, const TriggerData *event, Target *target,
			   TupleTableSlot *written)
{
	uint32		hash = HashKeyForLock(guarded->target, &guarded->row);
	const KeyTeller teller = {.describe = DescribeGuardedKey, .arg = guarded};
	bool		locked = LockGuardedKey(guarded->root, hash, &teller);
	TupleTableSlot *other;

	if (IsAlone(guarded, store, written))
		return;
	other = table_slot_create(guarded->rel, NULL);
	while (FindOther(guarded, store, event, target, written, other))
	{
		bool		gone;
		TransactionId writer = FindWriter(other, &gone);

		CHECK_FOR_INTERRUPTS();
		if (gone)
			continue;
		if (!TransactionIdIsValid(writer) && IsTriggersRow(written, other))
			RejectTriggersRow(guarded->target->name, event->tg_relation);
		if (!TransactionIdIsValid(writer))
			ReportTakenKey(guarded, event->tg_relation, event->tg_trigger);
		if (locked)
			UnlockGuardedKey(guarded->root, hash);
		XactLockTableWait(writer, guarded->rel, &other->tts_tid, XLTW_RecheckExclusionConstr);
		locked = LockGuardedKey(guarded->root, hash, &teller);
	}
	ExecDropSingleTupleTableSlot(other);
}

/* Has the row a NULL in its key? */
static bool
HasNullKey(const Target *target, const Row *row)
{
	for (int i = 0; i < target->nkey_columns; i++)
	{
		if (row->isnull[target->keys[i].column->attnum - 1])
			return true;
	}
	return false;
}

/*
 * Does a unique index make sure that no other row has the key? Then there is nothing to check,
 * and the key must not be locked: our entry is in the index already, while a call locks the key
 * first and makes its entry afterwards. Each would wait for the other. (A valid index has entries
 * for all rows. One that is being dropped concurrently is still kept up, and refuses duplicates,
 * until all transactions that saw it as valid have ended.)
 */
static bool
IsEnforcedByIndex(const GuardedTable *guarded)
{
	const Target *target = guarded->target;

	return target->index_enforces_nulls ||
		(target->index_enforces_key && !HasNullKey(target, &guarded->row));
}

/*
 * The body of the trigger: raises 23505 if another row has the key of the row that was
 * written.
 */
void
Guard(const TriggerData *event)
{
	bool		is_update = TRIGGER_FIRED_BY_UPDATE(event->tg_event);
	TupleTableSlot *written = is_update ? event->tg_newslot : event->tg_trigslot;
	Relation	rel = event->tg_relation;
	bool		is_partition = rel->rd_rel->relispartition;
	Target	   *target = AcquireTarget(rel);
	GuardedTable guarded;
	Store	   *store;

	slot_getallattrs(written);
	if (is_update)
	{
		slot_getallattrs(event->tg_trigslot);
		if (KeepsKey(target, event->tg_trigslot, written) &&
			SatisfiesCondition(target, event->tg_trigslot))
			return;
	}

	guarded = is_partition ? PartitionedTable(target, written) : OwnTable(rel, target, written);
	WarnOfMissingIndex(guarded.target);
	if (!IsEnforcedByIndex(&guarded))
	{
		/* So that the row can be seen, and what the statement has done besides. */
		CommandCounterIncrement();
		RememberHash(guarded.target, &guarded.row);
		store = BorrowStore(guarded.target, guarded.rel, written);
		RequireFreeKey(&guarded, store, event, target, written);
		ReturnStore(store);
	}
	if (is_partition)
		table_close(guarded.rel, NoLock);
}
