/*
 * upsert.c
 *		Create or update a row under its key's lock: find, decide, write.
 *
 * The rules that make it safe, and where they are kept:
 *
 * 1. Lock first, snapshot second: the callers of UpsertRow().
 * 2. The lock is of the transaction, on the table's root and the key: LockKeys().
 * 3. Keys are hashed and compared as typed values: HashKey(), the store's find.
 * 4. At REPEATABLE READ and SERIALIZABLE a stale snapshot is an error: FindRow().
 * 5. Writers that do not take the lock make us look again: UpsertRow(), CreateRow(),
 *    UpdateFoundRow().
 * 6. A batch locks its keys in one order and writes in the order given: LockKeys(),
 *    UpsertPayload().
 * 7. The locks of a transaction are bounded: LockTargetTable(), LockKeys().
 * 8. So is the queue for a key: LockKeys().
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "access.h"
#include "condition.h"
#include "row.h"
#include "store_choice.h"
#include "table.h"
#include "triggerrow.h"
#include "upsert.h"

/* -- find --------------------------------------------------------------------- */

static void
ReportSeveralRows(const Store *store, const Row *row)
{
	const Target *target = store->target;
	char	   *key = DescribeKey(target, row);

	ereport(ERROR,
			(errcode(ERRCODE_CARDINALITY_VIOLATION),
			 errmsg("more than one row of table \"%s\" has this key", target->name),
			 key ? errdetail("Key %s is duplicated.", key) : 0,
			 errhint("product_upsert_duplicates(%s) lists such rows;"
					 " product_upsert_merge_duplicates(%s, dry_run => true) tells what merging them would do.",
					 TableLiteral(target->relid), TableLiteral(target->relid)),
			 errtable(store->rel)));
}

/*
 * Is what is committed by now what the transaction's snapshot shows: the row that
 * was found, none, or several?
 */
static bool
IsUpToDate(Upserter *upserter, const Row *row, int nfound)
{
	Snapshot	latest = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *before = upserter->found;
	TupleTableSlot *now = upserter->again;
	int			nlatest = upserter->store->methods->find(upserter->store, row, latest, now, NULL);

	UnregisterSnapshot(latest);
	if (nfound != 1 || nlatest != 1)
		return nfound == nlatest;
	return now->tts_tableOid == before->tts_tableOid &&
		ItemPointerEquals(&now->tts_tid, &before->tts_tid);
}

/*
 * Finds the row with row's key, with the active snapshot, which the caller has
 * taken under the key lock. Returns false if there is none.
 *
 * At REPEATABLE READ and SERIALIZABLE that snapshot is the transaction's, and may
 * predate the lock: what earlier holders of the lock committed since is invisible
 * to it. We look with it first, so that SERIALIZABLE knows what was read; but only
 * what a look with a new snapshot confirms may be decided upon. Nobody who takes
 * the lock can change it after that.
 */
static bool
FindRow(Upserter *upserter, const Row *row)
{
	Store	   *store = upserter->store;
	int			nfound = store->methods->find(store, row, GetActiveSnapshot(), upserter->found, NULL);

	if (IsolationUsesXactSnapshot() && !IsUpToDate(upserter, row, nfound))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 errdetail("The row with this key is not as the transaction's snapshot shows it."),
				 errhint("The transaction might succeed if retried.")));
	if (nfound > 1)
		ReportSeveralRows(store, row);
	return nfound > 0;
}

/* -- decide ------------------------------------------------------------------- */

/*
 * Is the stored row, or its absence, what if_match asks for? That is tested under the lock, so what it has
 * seen is what will be written to.
 */
static void
CheckIfMatch(const Upserter *upserter, const TupleTableSlot *found)
{
	const Store *store = upserter->store;
	const Row  *if_match = upserter->options->if_match;
	const char *detail = NULL;
	int			attnum = -1;

	if (if_match == NULL)
		return;
	if (found == NULL)
		detail = "There is no row with this key.";
	while (found && !detail && (attnum = bms_next_member(if_match->given, attnum)) >= 0)
	{
		if (!SameImage(store->target, attnum, if_match->values, if_match->isnull,
					   found->tts_values, found->tts_isnull))
			detail = psprintf("Column \"%s\" has another value.",
							  NameStr(TupleDescAttr(store->target->desc, attnum - 1)->attname));
	}
	if (detail)
		ereport(ERROR,
				(errcode(ERRCODE_PRECONDITION_FAILED),
				 errmsg("the stored row of table \"%s\" does not match if_match", store->target->name),
				 errdetail_internal("%s", detail),
				 errtable(store->rel)));
}

static void
RejectReadOnlyColumn(const Store *store, AttrNumber attnum)
{
	ereport(ERROR,
			(errcode(ERRCODE_GENERATED_ALWAYS),
			 errmsg("column \"%s\" can only be updated to DEFAULT",
					NameStr(TupleDescAttr(store->target->desc, attnum - 1)->attname)),
			 errdetail("The field differs from the stored value, which PostgreSQL generates."),
			 errhint("Leave the field out."),
			 errtablecol(store->rel, attnum)));
}

/* Returns the columns, but for the key, whose given values are not stored already. */
static Bitmapset *
ChangedColumns(const Target *target, const Row *row, const TupleTableSlot *found)
{
	Bitmapset  *columns = bms_difference(row->given, target->key_columns);
	int			attnum = -1;

	while ((attnum = bms_next_member(columns, attnum)) >= 0)
	{
		if (SameImage(target, attnum, row->values, row->isnull, found->tts_values, found->tts_isnull))
			columns = bms_del_member(columns, attnum);
	}
	return columns;
}

/* Is the row newer than the stored one, as far as it has to be? A NULL is older than any value. */
static bool
IsNewer(const Upserter *upserter, const Row *row, const TupleTableSlot *found)
{
	NewerBy    *newer_by = upserter->options->newer_by;
	int			index;

	if (newer_by == NULL)
		return true;
	index = newer_by->column->attnum - 1;
	if (found->tts_isnull[index] || row->isnull[index])
		return found->tts_isnull[index];
	return DatumGetInt32(FunctionCall2Coll(&newer_by->compare, newer_by->collation,
										   row->values[index], found->tts_values[index])) > 0;
}

/*
 * Returns the columns to set: those given, without the key, whose stored spelling stays. A row that
 * was read before may come back with its generated columns as long as they are unaltered.
 */
static Bitmapset *
ColumnsToSet(const Store *store, const Row *row, const Bitmapset *changed)
{
	const Target *target = store->target;
	Bitmapset  *columns = bms_difference(row->given, target->key_columns);
	Bitmapset  *rejected = bms_intersect(changed, target->read_only_columns);

	if (!bms_is_empty(rejected))
		RejectReadOnlyColumn(store, bms_next_member(rejected, -1));
	return bms_del_members(columns, target->read_only_columns);
}

/* -- write -------------------------------------------------------------------- */

/*
 * A trigger that gives the row another key takes it out of the lock's protection:
 * two calls would find nothing, and both would create it.
 */
static void
CheckKeyKept(const Store *store, const Row *row, const TupleTableSlot *stored)
{
	if (SameKey(store->target, row, stored->tts_values, stored->tts_isnull))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("a trigger of table \"%s\" changed the key of the row", store->target->name),
			 errdetail("The key is what the row is found and locked by, and must be stored as it was given."),
			 errtable(store->rel)));
}

/*
 * A row is created as none that counts has the key. If it did not count either, the same call, made again,
 * would create another: 44000.
 */
static void
RequireCounted(const Store *store, TupleTableSlot *stored)
{
	if (SatisfiesCondition(store->target, stored))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_WITH_CHECK_OPTION_VIOLATION),
			 errmsg("new row of table \"%s\" does not satisfy the condition of its key", store->target->name),
			 errdetail("No row that does has this key, and each such call would create another that does not."),
			 errhint("A call with if_match '{}' creates no row; INSERT creates one that does not count."),
			 errtable(store->rel)));
}

/*
 * A write of the store's is one command. If there were others meanwhile, triggers wrote something,
 * and that is not in what the write returned: an AFTER trigger may have altered the row, and
 * what any trigger wrote, which the lock does not keep out, may have the same key. Then looks
 * again. Returns the row as it is stored now; or as it was written, if that is such that it does not count.
 */
static TupleTableSlot *
SeeTriggersWork(Upserter *upserter, const Row *row, CommandId before)
{
	Store	   *store = upserter->store;
	int			nfound;

	CheckKeyKept(store, row, upserter->stored);
	if (GetCurrentCommandId(false) - before <= 1 || !SatisfiesCondition(store->target, upserter->stored))
		return upserter->stored;

	nfound = store->methods->find(store, row, GetActiveSnapshot(), upserter->again, NULL);
	if (nfound > 1)
		RejectTriggersRow(store->target->name, store->rel);
	if (nfound == 0)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("a trigger of table \"%s\" deleted the row being written, or changed its key",
						store->target->name),
				 errtable(store->rel)));
	return upserter->again;
}

/*
 * The row has not been inserted. If that is so because a trigger has put one with the key into the table
 * itself, it is not this call that has created it, nor was it there: 27000. (What a trigger puts into
 * inheritance children, as they were partitions, is found there.)
 */
static void
CheckNotCreatedByTrigger(Upserter *upserter, const Row *row, CommandId before)
{
	Store	   *store = upserter->store;
	TupleTableSlot *found = upserter->again;

	if (GetCurrentCommandId(false) - before <= 1 ||
		store->methods->find(store, row, GetActiveSnapshot(), found, NULL) == 0)
		return;
	if ((store->target->partitioned || found->tts_tableOid == RelationGetRelid(store->rel)) &&
		!WasThereBefore(found, GetActiveSnapshot(), before))
		RejectTriggersRow(store->target->name, store->rel);
}

/* As for any INSERT without OVERRIDING SYSTEM VALUE: 428C9. But PostgreSQL does not tell table and column. */
static void
RejectReadOnlyColumns(const Store *store, const Row *row)
{
	Relation	rel = store->rel;
	Bitmapset  *rejected = bms_intersect(row->given, store->target->read_only_columns);
	Form_pg_attribute attribute;

	if (bms_is_empty(rejected))
		return;
	attribute = TupleDescAttr(RelationGetDescr(rel), bms_next_member(rejected, -1) - 1);
	ereport(ERROR,
			(errcode(ERRCODE_GENERATED_ALWAYS),
			 errmsg("cannot insert a non-DEFAULT value into column \"%s\"", NameStr(attribute->attname)),
			 attribute->attgenerated != '\0'
			 ? errdetail("Column \"%s\" is a generated column.", NameStr(attribute->attname))
			 : errdetail("Column \"%s\" is an identity column defined as GENERATED ALWAYS.",
						 NameStr(attribute->attname)),
			 errhint("Leave the field out."),
			 errtablecol(rel, attribute->attnum)));
}

/*
 * Inserts the row, and survives a unique index's refusal: then it returns
 * INSERT_KEY_EXISTS, with the error in *refusal. Costs a subtransaction.
 */
static InsertResult
InsertUnlessRefused(Upserter *upserter, const Row *row, ErrorData **refusal)
{
	Store	   *store = upserter->store;
	const bool	yield_to_unique_index = false;
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	volatile InsertResult result = INSERT_KEY_EXISTS;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		result = store->methods->insert(store, row, yield_to_unique_index, upserter->stored);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;

	if (error && error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
		ReThrowError(error);
	*refusal = error;
	return result;
}

/*
 * Inserts the row, while the guard knows that it is an upsert's. An upsert that waits for us, as its
 * trigger has made the call, is known again after it, also if the trigger survives our error.
 */
static InsertResult
InsertExpected(Upserter *upserter, const Row *row, bool in_doubt, ErrorData **refusal)
{
	Store	   *store = upserter->store;
	CommandId	outer = ExpectRowOfUpsert(GetCurrentCommandId(false));
	volatile InsertResult result = INSERT_SKIPPED;

	PG_TRY();
	{
		if (in_doubt)
			result = InsertUnlessRefused(upserter, row, refusal);
		else
			result = store->methods->insert(store, row, store->target->yields, upserter->stored);
	}
	PG_FINALLY();
	{
		(void) ExpectRowOfUpsert(outer);
	}
	PG_END_TRY();
	return result;
}

/* Lets the active snapshot see what this transaction has written, as others had it before. */
static void
SeeOwnWrites(void)
{
	Snapshot	snapshot = GetActiveSnapshot();

	/* A cursor that a trigger left open has the snapshot too, and must not see more than it did. */
	if (snapshot->active_count == 1 && snapshot->regd_count == 0)
		UpdateActiveSnapshotCommandId();
	else
	{
		PopActiveSnapshot();
		PushActiveSnapshot(GetTransactionSnapshot());
	}
}

/* Returns the row with what it has only if it is created: that goes before what the payload gives. */
static const Row *
RowToCreate(const Upserter *upserter, const Row *row)
{
	const Target *target = upserter->store->target;
	const Row  *on_create = upserter->options->on_create;
	Row		   *created;
	Shard	   *shard = upserter->options->shard;
	int			attnum = -1;

	if (on_create == NULL && shard == NULL)
		return row;
	created = MakeRow(target);
	memcpy(created->values, row->values, target->desc->natts * sizeof(Datum));
	memcpy(created->isnull, row->isnull, target->desc->natts * sizeof(bool));
	created->given = on_create ? bms_union(row->given, on_create->given) : bms_copy(row->given);
	while (on_create && (attnum = bms_next_member(on_create->given, attnum)) >= 0)
	{
		created->values[attnum - 1] = on_create->values[attnum - 1];
		created->isnull[attnum - 1] = on_create->isnull[attnum - 1];
	}
	if (shard)
		shard->complete_row(shard, target, created);
	return created;
}

/*
 * Creates the row. Returns false if the key may be there by now, from a writer
 * that does not take the lock, and a look must tell.
 *
 * Where a unique index has the key, the row yields to it. If the store then cannot
 * tell whether that or a trigger kept the row out, and the look finds nothing, only
 * an insert that does not yield can tell. If the index refuses that, *refusal is the
 * error for a look in vain.
 */
static bool
CreateRow(Upserter *upserter, const Row *row, bool *in_doubt, ErrorData **refusal, Outcome *outcome)
{
	Store	   *store = upserter->store;
	CommandId	before = GetCurrentCommandId(false);
	InsertResult result;

	row = RowToCreate(upserter, row);
	RejectReadOnlyColumns(store, row);
	result = InsertExpected(upserter, row, *in_doubt, refusal);
	SeeOwnWrites();

	*in_doubt = result == INSERT_IN_DOUBT;
	if (result != INSERT_DONE)
		CheckNotCreatedByTrigger(upserter, row, before);
	switch (result)
	{
		case INSERT_DONE:
			RequireCounted(store, upserter->stored);
			outcome->product = SeeTriggersWork(upserter, row, before);
			outcome->action = ACTION_CREATED;
			return true;
		case INSERT_SKIPPED:
			outcome->product = NULL;
			outcome->action = ACTION_SKIPPED;
			return true;
		case INSERT_KEY_EXISTS:
		case INSERT_IN_DOUBT:
			break;
	}
	return false;
}

/* Updates the row that was found. Returns false if it is no longer what was found. */
static bool
UpdateFoundRow(Upserter *upserter, const Row *row, Outcome *outcome)
{
	Store	   *store = upserter->store;
	TupleTableSlot *found = upserter->found;
	Bitmapset  *changed = ChangedColumns(store->target, row, found);
	CommandId	before = GetCurrentCommandId(false);
	UpdateResult result;

	outcome->product = found;
	outcome->action = ACTION_UNCHANGED;
	if (bms_is_empty(changed))
		return true;
	outcome->action = ACTION_STALE;
	if (!IsNewer(upserter, row, found))
		return true;

	/* It does so only if the row is still what was found, and so what was decided upon. */
	result = store->methods->update(store, row, ColumnsToSet(store, row, changed), found, upserter->stored);
	SeeOwnWrites();
	switch (result)
	{
		case UPDATE_DONE:
			outcome->product = SeeTriggersWork(upserter, row, before);
			outcome->previous = found;
			outcome->action = ACTION_UPDATED;
			return true;
		case UPDATE_SKIPPED:
			outcome->action = ACTION_SKIPPED;
			return true;
		case UPDATE_ROW_IS_GONE:
			break;
	}
	return false;
}

/*
 * Gets ready to upsert rows of the table with the options. The upserter lives in the current memory
 * context, until EndUpserts() or an error.
 */
Upserter *
BeginUpserts(Target *target, Relation rel, const Options *options)
{
	Upserter   *upserter = palloc(sizeof(Upserter));

	RejectInsteadRules(rel);
	/* We must see what the statement that calls us has written, and write as a command of our own. */
	CommandCounterIncrement();
	upserter->store = OpenStore(target, rel);
	upserter->options = options;
	upserter->found = table_slot_create(rel, NULL);
	upserter->again = table_slot_create(rel, NULL);
	upserter->stored = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	return upserter;
}

void
EndUpserts(Upserter *upserter)
{
	ExecDropSingleTupleTableSlot(upserter->found);
	ExecDropSingleTupleTableSlot(upserter->again);
	ExecDropSingleTupleTableSlot(upserter->stored);
	upserter->store->methods->close(upserter->store);
}

/*
 * Upserts one row, whose key is locked. The active snapshot is the transaction's, and
 * at READ COMMITTED the caller took it with the lock in hand: so it sees all that
 * earlier holders committed. It is left as it sees this row too, or replaced by a newer
 * one. The outcome is good until the next row is upserted.
 *
 * Writers that do not take the lock may still come in between: what was found may
 * be updated, moved to another key or deleted, what was not found may be inserted.
 * Then look again, with a new snapshot: each further turn takes such a writer's
 * commit, or a row that was not inserted for another reason, which ends after two
 * attempts.
 */
void
UpsertRow(Upserter *upserter, const Row *row, Outcome *outcome)
{
	bool		in_doubt = false;
	ErrorData  *refusal = NULL;

	for (;;)
	{
		bool		found;
		bool		done;

		CHECK_FOR_INTERRUPTS();
		*outcome = (Outcome) {0};
		found = FindRow(upserter, row);
		CheckIfMatch(upserter, found ? upserter->found : NULL);
		if (found)
		{
			done = UpdateFoundRow(upserter, row, outcome);
			in_doubt = false;
			refusal = NULL;
		}
		else if (refusal)
			ReThrowError(refusal);
		else
			done = CreateRow(upserter, row, &in_doubt, &refusal, outcome);
		if (done)
			return;
		PopActiveSnapshot();
		PushActiveSnapshot(GetTransactionSnapshot());
	}
}
