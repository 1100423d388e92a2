/*
 * guard.c
 *		The trigger that keeps every writer of a table from duplicating a key.
 *
 * It is an AFTER trigger for each row, because only then are BEFORE triggers and
 * generated columns done with the key. The row is there already, so whoever comes to
 * write the same key at the same time has his there, too, and cannot see ours. Then
 * the key's lock decides: the second gets it when the first has committed, and sees
 * what he did with a snapshot taken after that.
 *
 * Rows that were there before are none of its business: an update that leaves the key
 * as it is passes, duplicate or not.
 *
 * What it allocates goes away with the executor's memory for one row, but for the store, which
 * it keeps until a statement has fired its triggers.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "guard.h"
#include "keyhash.h"
#include "keylock.h"
#include "store.h"
#include "symbol.h"

bool
IsGuard(const Trigger *trigger)
{
	return TRIGGER_FOR_ROW(trigger->tgtype) && TRIGGER_FOR_AFTER(trigger->tgtype) &&
		HasSymbol(trigger->tgfoid, GUARD_SYMBOL);
}

static bool
SameArguments(const Trigger *a, const Trigger *b)
{
	if (a->tgnargs != b->tgnargs)
		return false;
	for (int i = 0; i < a->tgnargs; i++)
	{
		if (strcmp(a->tgargs[i], b->tgargs[i]) != 0)
			return false;
	}
	return true;
}

/*
 * Returns the table's guard, or NULL. Its arguments declare the table's key, so if there
 * are several, they must agree: 42P17. Works on a copy, in the current memory context: the
 * relation's own is replaced when its cache entry is rebuilt, which any look at a catalog may do.
 */
const Trigger *
FindGuard(Relation rel)
{
	const TriggerDesc *triggers = CopyTriggerDesc(rel->trigdesc);
	const Trigger *guard = NULL;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (!IsGuard(trigger))
			continue;
		if (guard == NULL)
			guard = trigger;
		else if (!SameArguments(guard, trigger))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("triggers \"%s\" and \"%s\" of table \"%s\" declare different keys",
							guard->tgname, trigger->tgname, RelationGetRelationName(rel)),
					 errhint("Drop one of them."),
					 errtable(rel)));
	}
	return guard;
}

/* -- what the rows of a statement share --------------------------------------- */

/*
 * A statement that is firing its AFTER triggers. The guard opens a store for the first row, and
 * leaves it open for the next ones.
 */
typedef struct FiringStatement
{
	struct FiringStatement *outer;	/* whose trigger has run this one */
	MemoryContext context;		/* lasts longer than its triggers */
	ResourceOwner owner;
	Store	   *store;			/* NULL if none is open */
	bool		in_use;
} FiringStatement;

/* The innermost, or NULL. (COPY and replication fire triggers without the executor.) */
static FiringStatement *firing = NULL;

static ExecutorFinish_hook_type next_executor_finish = NULL;

static void
CloseSharedStore(void)
{
	Relation	rel;

	if (firing->store == NULL)
		return;
	rel = firing->store->rel;
	firing->store->methods->close(firing->store);
	firing->store = NULL;
	table_close(rel, NoLock);
}

/* Opens the store for the row and for the statement's next ones. */
static void
ShareStore(Relation rel)
{
	MemoryContext caller = MemoryContextSwitchTo(firing->context);
	Relation	own = table_open(RelationGetRelid(rel), NoLock);

	firing->store = OpenStoreToFind(AcquireTarget(own), own);
	MemoryContextSwitchTo(caller);
}

/*
 * COPY and replication fire triggers without the executor, so the guard may be that of a COPY which
 * another trigger runs in a subtransaction: what is opened there does not last.
 */
static bool
CanShareStore(const Target *target, Relation rel)
{
	return firing && !firing->in_use && firing->owner == CurrentResourceOwner &&
		FindsDirectly(target, rel);
}

static Store *
BorrowStore(Target *target, Relation rel)
{
	if (!CanShareStore(target, rel))
		return OpenStoreToFind(target, rel);
	if (firing->store && firing->store->target != target)
		CloseSharedStore();
	if (firing->store == NULL)
		ShareStore(rel);
	firing->in_use = true;
	return firing->store;
}

static void
ReturnStore(Store *store)
{
	if (firing && firing->store == store)
		firing->in_use = false;
	else
		store->methods->close(store);
}

static void
FireTriggers(QueryDesc *query)
{
	if (next_executor_finish)
		next_executor_finish(query);
	else
		standard_ExecutorFinish(query);
}

/* Hook: fires a statement's AFTER triggers. */
static void
FinishStatement(QueryDesc *query)
{
	FiringStatement current = {
		.outer = firing,
		.context = query->estate->es_query_cxt,
		.owner = CurrentResourceOwner,
	};

	if (query->operation == CMD_SELECT && !query->plannedstmt->hasModifyingCTE)
	{
		FireTriggers(query);
		return;
	}
	PG_TRY();
	{
		firing = &current;
		FireTriggers(query);
		CloseSharedStore();
	}
	PG_FINALLY();
	{
		firing = current.outer;
	}
	PG_END_TRY();
}

/* Called once, when the library is loaded. */
void
InitGuard(void)
{
	next_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = FinishStatement;
}

/* -- the check ---------------------------------------------------------------- */

/* A table that is guarded as a whole: that of the row, or one that it is a partition of. */
typedef struct Guarded
{
	Relation	rel;
	Target	   *target;
	Oid			root;			/* whose key locks count */
	Row			row;			/* the key, in this table's columns */
} Guarded;

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

	for (int i = 0; i < target->nkeys; i++)
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
static Guarded
OwnTable(Relation rel, Target *target, TupleTableSlot *slot)
{
	LockTableUntilEnd(RelationGetRelid(rel), RowExclusiveLock);
	return (Guarded) {
		.rel = rel,
		.target = target,
		.root = RelationGetRelid(rel),
		.row = RowInSlot(slot),
	};
}

/*
 * The same for a partition's row, which may have been written straight into the partition: then
 * nothing holds the tables above it yet. Whoever excludes all writers does so at the root.
 */
static Guarded
PartitionedTable(Relation rel, Target *target, TupleTableSlot *slot)
{
	Guarded		guarded;

	guarded.root = LockTargetTable(RelationGetRelid(rel), false);
	guarded.rel = table_open(target->guarded, NoLock);
	guarded.target = AcquireTarget(guarded.rel);
	guarded.row = TranslateKey(target, slot, guarded.target);
	return guarded;
}

/*
 * Is a row version, or what became of it in this transaction, there with its key? Then it is
 * at *tid.
 */
static bool
IsAlive(Relation rel, const Target *target, TupleTableSlot *version, Snapshot snapshot,
		ItemPointer tid)
{
	TableScanDesc scan = table_beginscan_tid(rel, snapshot);
	TupleTableSlot *latest = MakeFoundSlot(rel);
	bool		alive;

	*tid = version->tts_tid;
	table_tuple_get_latest_tid(scan, tid);
	table_endscan(scan);
	alive = table_tuple_fetch_row_version(rel, tid, snapshot, latest);
	if (alive)
	{
		slot_getallattrs(latest);
		alive = KeepsKey(target, version, latest);
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
	TupleTableSlot *slot = MakeFoundSlot(rel);
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

/* "(brand, serial)=(Acme, 1)", or NULL if the caller may not read that. */
static char *
DescribeKey(const Target *target, const Row *row)
{
	StringInfoData values;

	if (check_enable_rls(target->relid, InvalidOid, true) == RLS_ENABLED)
		return NULL;
	initStringInfo(&values);
	for (int i = 0; i < target->nkeys; i++)
	{
		AttrNumber	attnum = target->keys[i].column->attnum;
		Oid			output;
		bool		is_varlena;

		if (pg_class_aclcheck(target->relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
			pg_attribute_aclcheck(target->relid, attnum, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			return NULL;
		getTypeOutputInfo(target->keys[i].column->type, &output, &is_varlena);
		appendStringInfo(&values, "%s%s", i > 0 ? ", " : "",
						 row->isnull[attnum - 1] ? "null"
						 : OidOutputFunctionCall(output, row->values[attnum - 1]));
	}
	return psprintf("(%s)=(%s)", KeyColumnList(target), values.data);
}

static void
ReportDuplicate(const Guarded *guarded, Relation rel, const Trigger *trigger)
{
	char	   *key = DescribeKey(guarded->target, &guarded->row);

	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("duplicate key value violates unique constraint \"%s\"", trigger->tgname),
			 key ? errdetail("Key %s already exists.", key) : 0,
			 errtableconstraint(rel, trigger->tgname)));
}

/* The command by which an upsert inserts its row; InvalidCommandId if there is none. */
static struct
{
	LocalTransactionId transaction;
	CommandId	command;
}			upsert;

/*
 * Lets the guard know which command an upsert inserts its row by, until it tells another. Returns what it
 * told before. What an error leaves behind is of a command that does not come again.
 */
CommandId
ExpectRowOfUpsert(CommandId command)
{
	CommandId	before = InvalidCommandId;

	if (upsert.transaction == CurrentLocalTransactionId())
		before = upsert.command;
	upsert.transaction = CurrentLocalTransactionId();
	upsert.command = command;
	return before;
}

/*
 * Has an upsert written the row, which has locked the key and found none, and have its triggers created
 * the other one?
 */
static bool
IsTriggersRow(const TupleTableSlot *written, const TupleTableSlot *other)
{
	CommandId	command = upsert.command;
	Snapshot	snapshot;
	bool		is_triggers;

	if (upsert.transaction != CurrentLocalTransactionId() || command == InvalidCommandId)
		return false;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	is_triggers = !WasThereBefore(other, snapshot, command) &&
		!WasThereBefore(written, snapshot, command) &&
		WasThereBefore(written, snapshot, command + 1);
	UnregisterSnapshot(snapshot);
	return is_triggers;
}

/* Finds another row with the key, with a snapshot that is newer than the lock. */
static bool
FindOther(const Guarded *guarded, Store *store, const TriggerData *event, const Target *target,
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
		TupleTableSlot *first = MakeFoundSlot(guarded->rel);

		store->methods->find(store, row, snapshot, first, other);
		ExecDropSingleTupleTableSlot(first);
	}
	PopActiveSnapshot();
	return found;
}

/*
 * Raises 23505 if another row has the key. If another transaction is to decide that, waits for
 * it, as a unique index does, and looks again. Meanwhile the lock is free, unless the transaction
 * had it before: who deletes a row to write it anew comes to want it, too.
 */
static void
Check(const Guarded *guarded, Store *store, const TriggerData *event, const Target *target,
	  TupleTableSlot *written)
{
	uint32		hash = HashKeyForLock(guarded->target, &guarded->row);
	TupleTableSlot *other = MakeFoundSlot(guarded->rel);
	bool		locked = LockGuardedKey(guarded->root, hash);

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
			ReportDuplicate(guarded, event->tg_relation, event->tg_trigger);
		if (locked)
			UnlockGuardedKey(guarded->root, hash);
		XactLockTableWait(writer, guarded->rel, &other->tts_tid, XLTW_RecheckExclusionConstr);
		locked = LockGuardedKey(guarded->root, hash);
	}
	ExecDropSingleTupleTableSlot(other);
}

/* Has the row a NULL in its key? */
static bool
HasNullKey(const Target *target, const Row *row)
{
	for (int i = 0; i < target->nkeys; i++)
	{
		if (row->isnull[target->keys[i].column->attnum - 1])
			return true;
	}
	return false;
}

/*
 * Does a unique index see to it that nobody else has the key? The writer of the row has made its
 * entry there before we are called. Who makes entries while he has the key's lock would have the
 * one and want the other, and we the other way round. (An index that is valid has the entries of
 * all rows; one that is being dropped concurrently has those of all writers for whom it was valid.)
 */
static bool
IsEnforcedByIndex(const Guarded *guarded)
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
	Guarded		guarded;
	Store	   *store;

	slot_getallattrs(written);
	if (is_update)
	{
		slot_getallattrs(event->tg_trigslot);
		if (KeepsKey(target, event->tg_trigslot, written))
			return;
	}

	guarded = is_partition ? PartitionedTable(rel, target, written) : OwnTable(rel, target, written);
	WarnOfMissingIndex(guarded.target);
	if (!IsEnforcedByIndex(&guarded))
	{
		/* So that the row can be seen, and what the statement has done besides. */
		CommandCounterIncrement();
		store = BorrowStore(guarded.target, guarded.rel);
		Check(&guarded, store, event, target, written);
		ReturnStore(store);
	}
	if (is_partition)
		table_close(guarded.rel, NoLock);
}
