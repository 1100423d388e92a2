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
#include "attempt.h"
#include "call.h"
#include "jsonbwriter.h"
#include "keyhash.h"
#include "keylock.h"
#include "payload.h"
#include "result.h"
#include "table.h"
#include "targetcache.h"
#include "upsert.h"

/* What became of the rows that are done. */
typedef struct Results
{
	JsonbNode	array;			/* of the results, if the payload is one */
	int			length;			/* of what is written */
	bool		created;		/* has a row been created? */
} Results;

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
	bool		reports;		/* failures, and goes on with the other rows */
	Failure   **failures;		/* by row; NULL unless it has failed */
	JsonbWriter writer;			/* of the results */
	Results		results;
} Call;

/* -- reading ------------------------------------------------------------------ */

/* The nth row was just read. */
static void
CheckRowOfShard(Call *call, int n)
{
	Shard	   *shard = call->options.shard;

	if (call->payload.is_array)
		call->position.element = n;
	shard->check_row(shard, call->target, call->payload.row);
	call->position.element = -1;
}

/* RowsWork: makes rows of the payload's objects, in the call's memory context. */
static void
ReadStretch(void *arg, int from, int to, int *at)
{
	Call	   *call = arg;
	MemoryContext caller = MemoryContextSwitchTo(call->context);

	for (*at = from; *at < to; (*at)++)
	{
		if (call->failures[*at])
			continue;
		ReadRow(&call->payload, *at, call->target, &call->options, &call->position);
		if (call->options.shard)
			CheckRowOfShard(call, *at);
	}
	MemoryContextSwitchTo(caller);
}

/* -- writing ------------------------------------------------------------------ */

/* Upserts the nth row, unless it has failed, and writes what became of it. */
static void
UpsertNthRow(Call *call, Upserter *upserter, int n, Results *results)
{
	const Payload *payload = &call->payload;
	JsonbNode  *parent = payload->is_array ? &results->array : NULL;
	Outcome		outcome;

	if (call->failures[n])
	{
		if (call->options.shard)
			call->options.shard->name_table(call->options.shard,
											unconstify(ErrorData *, call->failures[n]->error));
		WriteFailure(&call->writer, parent, call->target, call->failures[n]);
		return;
	}
	UpsertRow(upserter, TakeRow(payload, call->target, n), &outcome);
	WriteOutcome(&call->writer, parent, call->target, &outcome);
	results->created |= outcome.action == ACTION_CREATED;
}

/*
 * RowsWork: upserts rows in the order given, so that a key that comes again sees what was written
 * before, and writes what became of them. What a row needs goes away when the row is done.
 */
static void
UpsertStretch(void *arg, int from, int to, int *at)
{
	Call	   *call = arg;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext row_context = AllocSetContextCreate(caller, "product_upsert row",
													  ALLOCSET_DEFAULT_SIZES);
	Upserter   *upserter = BeginUpserts(call->target, call->rel, &call->options);
	Results		results = call->results;

	/* What was written of a stretch that was undone is written over. */
	call->writer.len = results.length;
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(row_context);
	for (*at = from; *at < to; (*at)++)
	{
		if (call->payload.is_array)
			call->position.element = *at;
		UpsertNthRow(call, upserter, *at, &results);
		MemoryContextReset(row_context);
	}
	call->position.element = -1;
	PopActiveSnapshot();
	MemoryContextSwitchTo(caller);
	EndUpserts(upserter);
	results.length = call->writer.len;
	call->results = results;
}

/* Does the work on all rows, or on all but those that fail. */
static void
DoRows(Call *call, RowsWork work)
{
	Attempts	attempts = MakeAttempts(work, call, &call->position, call->failures);
	int			at;

	if (call->reports)
		AttemptRows(&attempts, call->payload.nrows);
	else
		work(call, 0, call->payload.nrows, &at);
}

/*
 * Upserts the rows, and returns what became of them. The result is written front to back in the
 * caller's memory context, where it is to stay.
 */
static Jsonb *
UpsertRows(Call *call)
{
	const Payload *payload = &call->payload;

	MemoryContextSwitchTo(call->caller);
	BeginJsonb(&call->writer);
	MemoryContextSwitchTo(call->context);
	if (payload->is_array)
		call->results.array = BeginArray(&call->writer, payload->nrows);
	call->results.length = call->writer.len;
	DoRows(call, UpsertStretch);
	if (payload->is_array)
		EndNode(&call->writer, &call->results.array, NULL);
	return EndJsonb(&call->writer);
}

/* -- locking ------------------------------------------------------------------ */

/* For keylock.c: the first of the payload's keys that has the hash. */
static char *
DescribeHashedKey(void *arg, uint32 hash)
{
	const Call *call = arg;

	for (int i = 0; i < call->payload.nrows; i++)
	{
		const Row  *row;

		if (call->payload.rows[i] == NULL)
			continue;
		row = TakeRow(&call->payload, call->target, i);
		if (HashKeyForLock(call->target, row) == hash)
			return DescribeKey(call->target, row);
	}
	return NULL;
}

/* Locks the keys of all rows that could be read, each once. */
static void
LockPayloadsKeys(Call *call)
{
	const KeyTeller teller = {.describe = DescribeHashedKey, .arg = call};

	LockKeys(call->root, call->payload.hashes, CollectHashes(&call->payload), &teller);
}

/* -- the call ----------------------------------------------------------------- */

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

	ReadPayload(&call->payload, payload);
	RejectArrayWithIfMatch(&call->payload, given);
	call->rel = OpenTable(relid, IsBeyondBudget(call->payload.nrows), function, &call->root);
	call->target = AcquireTarget(call->rel);
	/* Nobody is to create an index of a shard alone. */
	if (given->shard == NULL)
	{
		WarnOfMissingIndex(call->target);
		WarnOfExemption(call->target);
	}
	ReadOptions(&call->options, given, call->target, &call->position);
	BeginRows(&call->payload, call->target);
	call->reports = given->reports;
	call->failures = palloc0(call->payload.nrows * sizeof(Failure *));
	DoRows(call, ReadStretch);
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
 * order. All or nothing, an error leaves no row behind, unless failures are reported: then what
 * is a row's own fault is its result. The locks of such a row stay, as they are taken before.
 */
Jsonb *
UpsertPayload(Oid relid, Jsonb *payload, const GivenOptions *given)
{
	Call		call = {0};
	Jsonb	   *result;

	BeginCall(&call, relid, payload, given, "product_upsert()");
	if (given->shard)
		given->shard->check_caller(given->shard, call.target, GivenColumns(&call.payload),
								   call.options.on_create);
	CheckMayUpsert(call.target, GivenColumns(&call.payload), call.options.on_create);
	LockPayloadsKeys(&call);
	result = UpsertRows(&call);
	EndCall(&call);
	if (http_status)
		SetHttpStatus(call.results.created);
	return result;
}

/* Takes the locks under which UpsertPayload() would write the payload, and writes nothing. */
void
LockPayload(Oid relid, Jsonb *payload)
{
	Call		call = {0};
	const GivenOptions none = {0};

	BeginCall(&call, relid, payload, &none, "product_upsert_lock()");
	LockPayloadsKeys(&call);
	EndCall(&call);
}
