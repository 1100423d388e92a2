/*
 * upsert.c
 *		Create or update under a key lock.
 *
 * A call goes one way: payload, rows, locks, and for each row: find, decide,
 * write, result. What it needs lives in one memory context, deleted at its end.
 *
 * The rules that make it safe, and where they are kept:
 *
 * 1. Lock first, snapshot second: UpsertPayload(), UpsertRow().
 * 2. The lock is of the transaction, on the table's root and the key: LockKeys().
 * 3. Keys are hashed and compared as typed values: HashKey(), the store's find.
 * 4. At REPEATABLE READ and SERIALIZABLE a stale snapshot is an error: Find().
 * 5. Writers that do not take the lock make us look again: UpsertRow(), Create(),
 *    Update().
 * 6. A batch locks its keys in one order and writes in the order given: LockKeys(),
 *    UpsertRows().
 * 7. The locks of a transaction are bounded: LockTargetTable(), LockKeys().
 * 8. So is the queue for a key: LockKeys().
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "access.h"
#include "keylock.h"
#include "payload.h"
#include "result.h"
#include "store.h"
#include "upsert.h"

/* "Precondition failed", as HTTP has it. Class 40 would be retried blindly. */
#define ERRCODE_PRECONDITION_FAILED		MAKE_SQLSTATE('P', 'T', '4', '1', '2')

/* Rows that this backend set out to create; tells whether a call had others inside it. */
static uint64 rows_created = 0;

/* What a call works with. */
typedef struct Call
{
	MemoryContext context;
	MemoryContext caller;
	ErrorContextCallback describe;
	Position	position;
	Payload		payload;
	Oid			root;			/* of the table's partition tree: whose key locks count */
	Relation	rel;
	Target	   *target;
} Call;

/* -- find --------------------------------------------------------------------- */

static void
ReportDuplicate(const Store *store)
{
	ereport(ERROR,
			(errcode(ERRCODE_CARDINALITY_VIOLATION),
			 errmsg("more than one row of table \"%s\" has this key", store->target->name),
			 errhint("Merge the duplicates, as product_upsert_merge() does."),
			 errtable(store->rel)));
}

/*
 * Is what is committed by now what the transaction's snapshot shows: the row that
 * was found, or none?
 */
static bool
IsUpToDate(Store *store, const Row *row, StoredRow *found)
{
	Snapshot	latest = RegisterSnapshot(GetLatestSnapshot());
	StoredRow	current;
	int			ncurrent = store->methods->find(store, row, latest, &current);

	UnregisterSnapshot(latest);
	if (found == NULL || ncurrent != 1)
		return found == NULL && ncurrent == 0;
	return current.tableoid == found->tableoid && ItemPointerEquals(&current.tid, &found->tid);
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
Find(Store *store, const Row *row, StoredRow *found)
{
	int			nfound = store->methods->find(store, row, GetActiveSnapshot(), found);

	if (nfound > 1)
		ReportDuplicate(store);
	if (IsolationUsesXactSnapshot() && !IsUpToDate(store, row, nfound > 0 ? found : NULL))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 errdetail("The row with this key is not as the transaction's snapshot shows it."),
				 errhint("The transaction might succeed if retried.")));
	return nfound > 0;
}

/* -- decide ------------------------------------------------------------------- */

/* if_match is tested under the lock, so what it has seen is what will be written to. */
static void
CheckIfMatch(const Store *store, const Row *if_match, const StoredRow *found)
{
	const char *detail = NULL;
	int			attnum = -1;

	if (found == NULL)
		detail = "There is no row with this key.";
	while (found && !detail && (attnum = bms_next_member(if_match->given, attnum)) >= 0)
	{
		if (!SameImage(store->target, attnum, if_match->values, if_match->isnull,
					   found->values, found->isnull))
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
			 errtablecol(store->rel, attnum)));
}

/*
 * Returns the columns to set: none if every given value is stored already, else
 * those given, without the key, whose stored spelling stays. A row that was read
 * before may come back with its generated columns as long as they are unaltered.
 */
static Bitmapset *
ColumnsToSet(const Store *store, const Row *row, const StoredRow *found)
{
	const Target *target = store->target;
	Bitmapset  *columns = bms_difference(row->given, target->key_columns);
	bool		changes = false;
	int			attnum = -1;

	while ((attnum = bms_next_member(columns, attnum)) >= 0)
	{
		if (SameImage(target, attnum, row->values, row->isnull, found->values, found->isnull))
			continue;
		if (bms_is_member(attnum, target->read_only_columns))
			RejectReadOnlyColumn(store, attnum);
		changes = true;
	}
	return changes ? bms_del_members(columns, target->read_only_columns) : NULL;
}

/* -- write -------------------------------------------------------------------- */

/*
 * A trigger that gives the row another key takes it out of the lock's protection:
 * two calls would find nothing, and both would create it.
 */
static void
CheckKeyKept(const Store *store, const Row *row, const StoredRow *stored)
{
	if (SameKey(store->target, row, stored->values, stored->isnull))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("a trigger of table \"%s\" changed the key of the row", store->target->name),
			 errdetail("The key is what the row is found and locked by, and must be stored as it was given."),
			 errtable(store->rel)));
}

/* May triggers alter the row once it has been written? Those of its partition may too. */
static bool
AfterTriggersFire(const Store *store, const StoredRow *stored)
{
	Relation	rel;
	bool		fire;

	if (store->target->has_after_triggers || stored->tableoid == store->target->relid)
		return store->target->has_after_triggers;
	rel = table_open(stored->tableoid, AccessShareLock);
	fire = HasAfterTriggers(rel);
	table_close(rel, NoLock);
	return fire;
}

/*
 * What triggers did once the row was written is not in what the write returned: an
 * AFTER trigger may have altered the row, and a call that a trigger made, which the
 * lock does not keep out, may have created the key as well. Looks again where that
 * can be.
 */
static void
SeeTriggersWork(Store *store, const Row *row, uint64 created_before, StoredRow *stored)
{
	StoredRow	current;
	int			ncurrent;

	CheckKeyKept(store, row, stored);
	if (rows_created == created_before && !AfterTriggersFire(store, stored))
		return;

	ncurrent = store->methods->find(store, row, GetActiveSnapshot(), &current);
	if (ncurrent != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 ncurrent > 1
				 ? errmsg("a trigger of table \"%s\" created a row with the key of the row being written",
						  store->target->name)
				 : errmsg("a trigger of table \"%s\" deleted the row being written, or changed its key",
						  store->target->name),
				 errtable(store->rel)));
	*stored = current;
}

/*
 * Inserts the row, and survives a unique index's refusal: then it returns false,
 * with the error in *refusal. Costs a subtransaction.
 */
static bool
InsertUnlessRefused(Store *store, const Row *row, StoredRow *stored, ErrorData **refusal)
{
	const bool	yield_to_unique_index = false;
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	volatile bool inserted = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		inserted = store->methods->insert(store, row, yield_to_unique_index, stored);
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
	return inserted;
}

/*
 * Creates the row. Returns false if the key may be there by now, from a writer
 * that does not take the lock, and a look must tell.
 *
 * Where a unique index has the key, the row yields to it. When nothing was
 * inserted then, a trigger may have refused the row instead; if the look finds
 * nothing, the caller is in doubt, and only an insert that does not yield can
 * tell. If the index refuses that, *refusal is the error for a look in vain.
 */
static bool
Create(Store *store, const Row *row, bool in_doubt, ErrorData **refusal, Outcome *outcome)
{
	bool		yields = store->target->key_is_unique && !in_doubt;
	bool		inserted;
	uint64		created_before = ++rows_created;

	if (in_doubt)
		inserted = InsertUnlessRefused(store, row, &outcome->product, refusal);
	else
		inserted = store->methods->insert(store, row, yields, &outcome->product);

	outcome->action = ACTION_SKIPPED;
	if (inserted)
	{
		SeeTriggersWork(store, row, created_before, &outcome->product);
		outcome->action = ACTION_CREATED;
	}
	return inserted || !(yields || *refusal);
}

/* Updates the row that was found. Returns false if it is no longer what was found. */
static bool
Update(Store *store, const Row *row, const StoredRow *found, Outcome *outcome)
{
	Bitmapset  *columns = ColumnsToSet(store, row, found);
	uint64		created_before = rows_created;

	outcome->product = *found;
	outcome->action = ACTION_UNCHANGED;
	if (columns == NULL)
		return true;

	switch (store->methods->update(store, row, columns, found, &outcome->product))
	{
		case UPDATE_DONE:
			SeeTriggersWork(store, row, created_before, &outcome->product);
			outcome->action = ACTION_UPDATED;
			outcome->previous = *found;
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
 * Upserts one row, whose key is locked. At READ COMMITTED every turn takes a
 * snapshot that is newer than the lock, so it sees all that earlier holders
 * committed, and all that this call has written.
 *
 * Writers that do not take the lock may still come in between: what was found may
 * be updated, moved to another key or deleted, what was not found may be
 * inserted. Then look again: each further turn takes such a writer's commit, or a
 * row that was not inserted for another reason, which ends after two attempts.
 */
static void
UpsertRow(Store *store, const Row *row, const Row *if_match, Outcome *outcome)
{
	bool		in_doubt = false;
	ErrorData  *refusal = NULL;
	bool		done = false;

	while (!done)
	{
		StoredRow	row_found;
		StoredRow  *found;

		CHECK_FOR_INTERRUPTS();
		*outcome = (Outcome) {0};
		PushActiveSnapshot(GetTransactionSnapshot());
		found = Find(store, row, &row_found) ? &row_found : NULL;
		if (if_match)
			CheckIfMatch(store, if_match, found);
		if (found)
		{
			done = Update(store, row, found, outcome);
			refusal = NULL;
		}
		else if (refusal)
			ReThrowError(refusal);
		else
			done = Create(store, row, in_doubt, &refusal, outcome);
		in_doubt = !found;
		PopActiveSnapshot();
	}
}

/* -- the call ----------------------------------------------------------------- */

static Jsonb *
CopyJsonb(const Jsonb *jsonb)
{
	return memcpy(palloc(VARSIZE(jsonb)), jsonb, VARSIZE(jsonb));
}

/* Upserts the rows in the order given, so that a key that comes again sees what was written before. */
static Jsonb **
UpsertRows(Call *call, const Row *if_match)
{
	Jsonb	  **results = palloc(call->payload.nrows * sizeof(Jsonb *));
	MemoryContext row_context = AllocSetContextCreate(call->context, "product_upsert row",
													  ALLOCSET_DEFAULT_SIZES);
	Store	   *store = OpenSpiStore(call->target, call->rel);

	for (int i = 0; i < call->payload.nrows; i++)
	{
		Outcome		outcome;
		Jsonb	   *result;

		if (call->payload.is_array)
			call->position.element = i;
		MemoryContextSwitchTo(row_context);
		UpsertRow(store, call->payload.rows[i], if_match, &outcome);
		result = OutcomeToJsonb(call->target, &outcome);
		MemoryContextSwitchTo(call->context);
		results[i] = CopyJsonb(result);
		MemoryContextReset(row_context);
	}
	call->position.element = -1;
	store->methods->close(store);
	return results;
}

/* Temporary tables can be written to in a read-only transaction, as by any other command. */
static void
PreventIfReadOnly(Oid relid, const char *function)
{
	if (get_rel_persistence(relid) != RELPERSISTENCE_TEMP)
		PreventCommandIfReadOnly(function);
}

/*
 * Locks the table and opens it. While we wait, a table that was found by name may
 * be renamed and another take its name: then start over with that.
 */
static void
OpenTable(Call *call, Oid relid, const char *function)
{
	bool		by_name = relid == DEFAULT_TABLE;

	do
	{
		if (by_name)
			relid = FindDefaultTable();
		RequireTable(relid);
		CheckMayLock(relid);
		PreventIfReadOnly(relid, function);
		call->root = LockTargetTable(relid, call->payload.nrows);
	} while (by_name && relid != FindDefaultTable());
	call->rel = table_open(relid, NoLock);
}

/* Locks the table and makes rows of the payload; the caller goes on in call->context. */
static void
BeginCall(Call *call, Oid relid, Jsonb *payload, const char *function)
{
	call->caller = CurrentMemoryContext;
	call->context = AllocSetContextCreate(CurrentMemoryContext, "product_upsert call",
										  ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(call->context);

	call->position = (Position) {.element = -1};
	call->describe = (ErrorContextCallback)
	{
		.callback = DescribePosition,
		.arg = &call->position,
		.previous = error_context_stack,
	};
	error_context_stack = &call->describe;

	ReadPayload(&call->payload, payload, &call->position);
	OpenTable(call, relid, function);
	call->target = AcquireTarget(call->rel);
	ReadRows(&call->payload, call->target, &call->position);
}

/* The lock on the table stays until the transaction ends. */
static void
EndCall(Call *call)
{
	error_context_stack = call->describe.previous;
	table_close(call->rel, NoLock);
	MemoryContextSwitchTo(call->caller);
	MemoryContextDelete(call->context);
}

/*
 * Upserts the payload, an object or an array of objects, into the table (or
 * DEFAULT_TABLE) and returns the result object, or an array of them in the same
 * order. if_match may be NULL. All or nothing: an error leaves no row behind.
 */
Jsonb *
UpsertPayload(Oid relid, Jsonb *payload, Jsonb *if_match)
{
	Call		call = {0};
	Row		   *condition;
	Jsonb	  **results;
	Jsonb	   *result;

	BeginCall(&call, relid, payload, "product_upsert()");
	condition = ReadIfMatch(&call.payload, if_match, call.target, &call.position);
	CheckMayUpsert(call.target, GivenColumns(&call.payload));
	LockKeys(call.root, call.payload.hashes, call.payload.nrows);
	results = UpsertRows(&call, condition);

	MemoryContextSwitchTo(call.caller);
	result = call.payload.is_array
		? ArrayOfResults(results, call.payload.nrows)
		: CopyJsonb(results[0]);
	EndCall(&call);
	return result;
}

/* Takes the locks under which UpsertPayload() would write the payload, and writes nothing. */
void
LockPayload(Oid relid, Jsonb *payload)
{
	Call		call = {0};

	BeginCall(&call, relid, payload, "product_upsert_lock()");
	LockKeys(call.root, call.payload.hashes, call.payload.nrows);
	EndCall(&call);
}
