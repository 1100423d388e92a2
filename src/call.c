/*
 * call.c
 *		One call, from its arguments to its result.
 *
 * A call goes one way: payload, rows, locks, and for each row what upsert.c does
 * with it, then the result. What it needs lives in one memory context, deleted at
 * its end.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "access.h"
#include "call.h"
#include "keylock.h"
#include "payload.h"
#include "result.h"

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
	Upserter   *upserter = BeginUpserts(call->target, call->rel);

	for (int i = 0; i < call->payload.nrows; i++)
	{
		Outcome		outcome;
		Jsonb	   *result;

		if (call->payload.is_array)
			call->position.element = i;
		MemoryContextSwitchTo(row_context);
		UpsertRow(upserter, call->payload.rows[i], if_match, &outcome);
		result = OutcomeToJsonb(call->target, &outcome);
		MemoryContextSwitchTo(call->context);
		results[i] = CopyJsonb(result);
		MemoryContextReset(row_context);
	}
	call->position.element = -1;
	EndUpserts(upserter);
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
