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
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "access.h"
#include "call.h"
#include "jsonbwriter.h"
#include "keylock.h"
#include "payload.h"
#include "result.h"
#include "table.h"
#include "targetcache.h"
#include "upsert.h"

/* What a call works with. */
typedef struct Call
{
	MemoryContext context;
	MemoryContext caller;
	ErrorContextCallback describe;
	Position	position;
	Payload		payload;
	Options		options;
	Oid			root;			/* of the table's partition tree: whose key locks count */
	Relation	rel;
	Target	   *target;
	bool		created;		/* has a row been created? */
} Call;

/*
 * Upserts the rows in the order given, so that a key that comes again sees what was written
 * before, and returns what became of them.
 *
 * The result is written front to back in the caller's memory context, where it is to stay. What a
 * row needs goes away when the row is done.
 */
static Jsonb *
UpsertRows(Call *call)
{
	const Payload *payload = &call->payload;
	MemoryContext row_context = AllocSetContextCreate(call->context, "product_upsert row",
													  ALLOCSET_DEFAULT_SIZES);
	Upserter   *upserter = BeginUpserts(call->target, call->rel, &call->options);
	JsonbWriter writer;
	JsonbNode	array;

	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(call->caller);
	BeginJsonb(&writer);
	MemoryContextSwitchTo(row_context);
	if (payload->is_array)
		array = BeginArray(&writer, payload->nrows);
	for (int i = 0; i < payload->nrows; i++)
	{
		Outcome		outcome;

		if (payload->is_array)
			call->position.element = i;
		UpsertRow(upserter, TakeRow(payload, call->target, i), &outcome);
		WriteOutcome(&writer, payload->is_array ? &array : NULL, call->target, &outcome);
		call->created |= outcome.action == ACTION_CREATED;
		MemoryContextReset(row_context);
	}
	call->position.element = -1;
	if (payload->is_array)
		EndNode(&writer, &array, NULL);
	PopActiveSnapshot();
	MemoryContextSwitchTo(call->context);
	EndUpserts(upserter);
	return EndJsonb(&writer);
}

/* Error context callback. */
static void
DescribeArguments(void *position)
{
	DescribePosition(position);
}

/* Locks the table, and reads options and payload; the caller goes on in call->context. */
static void
BeginCall(Call *call, Oid relid, Jsonb *payload, const GivenOptions *given, const char *function)
{
	call->caller = CurrentMemoryContext;
	call->context = AllocSetContextCreate(CurrentMemoryContext, "product_upsert call",
										  ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(call->context);

	call->position = (Position) {.element = -1};
	call->describe = (ErrorContextCallback)
	{
		.callback = DescribeArguments,
		.arg = &call->position,
		.previous = error_context_stack,
	};
	error_context_stack = &call->describe;

	ReadPayload(&call->payload, payload, &call->position);
	RejectArrayWithIfMatch(&call->payload, given);
	call->rel = OpenTable(relid, IsBeyondBudget(call->payload.nrows), function, &call->root);
	call->target = AcquireTarget(call->rel);
	WarnOfMissingIndex(call->target);
	ReadOptions(&call->options, given, call->target, &call->position);
	ReadRows(&call->payload, call->target, &call->options, &call->position);
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
 * order. All or nothing: an error leaves no row behind.
 */
Jsonb *
UpsertPayload(Oid relid, Jsonb *payload, const GivenOptions *given)
{
	Call		call = {0};
	Jsonb	   *result;

	BeginCall(&call, relid, payload, given, "product_upsert()");
	CheckMayUpsert(call.target, GivenColumns(&call.payload), call.options.on_create);
	LockKeys(call.root, call.payload.hashes, call.payload.nrows);
	result = UpsertRows(&call);
	EndCall(&call);
	if (http_status)
		SetHttpStatus(call.created);
	return result;
}

/* Takes the locks under which UpsertPayload() would write the payload, and writes nothing. */
void
LockPayload(Oid relid, Jsonb *payload)
{
	Call		call = {0};
	const GivenOptions none = {0};

	BeginCall(&call, relid, payload, &none, "product_upsert_lock()");
	LockKeys(call.root, call.payload.hashes, call.payload.nrows);
	EndCall(&call);
}
