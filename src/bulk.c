/*
 * bulk.c
 *		Upserts of all the rows of another table.
 *
 * The rows of the source come one by one from the executor, as they come to a client,
 * and each goes through the rules of an upsert before the next is read. So the memory
 * this takes does not depend on their number, and no row is turned into JSON.
 *
 * If rows may fail, they are read some hundreds at a time, so that those can be done again that were undone
 * with one that failed: see attempt.c.
 *
 * What lasts for the call is in one memory context, what a row needs in another, and the rows that
 * wait in a third.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/progress.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "storage/lmgr.h"
#include "tcop/dest.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "access.h"
#include "attempt.h"
#include "bulk.h"
#include "checkedsql.h"
#include "payload.h"
#include "rejects.h"
#include "row.h"
#include "table.h"
#include "target.h"
#include "targetcache.h"
#include "upsert.h"

/* How many rows wait at most until they are upserted. Fewer do if they take more than work_mem. */
#define MAX_WAITING		1024

/* A column of the source, and what becomes of it. */
typedef struct SourceColumn
{
	Column	   *column;			/* of the target */
	Expr	   *coercion;		/* to that column's type; NULL if there is nothing to do */
	ExprState  *coerce;
} SourceColumn;

/* Rows that have been read and are yet to be upserted, where they may fail. */
typedef struct WaitingRows
{
	MemoryContext context;
	int			n;
	Size		size;
	MinimalTuple rows[MAX_WAITING];
	Failure    *failures[MAX_WAITING];
	TupleTableSlot *slot;		/* for one of them */
	Attempts	attempts;
} WaitingRows;

typedef struct BulkLoad
{
	DestReceiver receiver;		/* must be first: the executor knows no more than this */
	MemoryContext context;
	MemoryContext row_context;

	Relation	source;
	List	   *attnums;		/* those of its columns that are read */
	int			ncolumns;		/* their number, unless they hold payloads */
	SourceColumn *columns;		/* and what becomes of each */
	Bitmapset  *given;
	bool		reads_payloads; /* the source is a single column of jsonb */

	Relation	rel;
	Target	   *target;
	Options		options;
	Upserter   *upserter;
	ExprContext *expressions;
	Row		   *row;

	Rejects    *rejects;		/* NULL if a row's failure is that of the load */
	WaitingRows *waiting;

	int64		nrows;			/* read so far */
	int64		row_number;		/* of the one that is being upserted, from 1; 0 if none is */
	Position	position;		/* in it */
	LoadCounts	counts;
	LoadCounts	counts_done;	/* of the stretches that are done, where rows may fail */
} BulkLoad;

/* -- the source --------------------------------------------------------------- */

static void
CheckSourceKind(Relation source)
{
	switch (source->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_VIEW:
		case RELKIND_MATVIEW:
		case RELKIND_FOREIGN_TABLE:
			return;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("cannot read rows from relation \"%s\"", RelationGetRelationName(source)),
					 errdetail_relkind_not_supported(source->rd_rel->relkind)));
	}
}

/* Opens the source, which nobody can drop or alter then until the transaction ends. */
static Relation
OpenSource(Oid relid)
{
	Relation	source;

	LockRelationOid(relid, AccessShareLock);
	RequireTable(relid);
	source = relation_open(relid, NoLock);
	CheckSourceKind(source);
	return source;
}

/* Values of other types are coerced as by INSERT ... SELECT. */
static Expr *
BuildCoercion(const BulkLoad *load, Form_pg_attribute from, int position, const Column *column)
{
	Form_pg_attribute to = TupleDescAttr(load->target->desc, column->attnum - 1);
	Var		   *var = makeVar(1, position, from->atttypid, from->atttypmod, from->attcollation, 0);
	Node	   *coerced = coerce_to_target_type(NULL, (Node *) var, from->atttypid,
												to->atttypid, to->atttypmod,
												COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);

	if (coerced == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" is of type %s but that of the source is of type %s",
						column->name, format_type_be(to->atttypid), format_type_be(from->atttypid)),
				 errhint("Let the source be a view that casts it."),
				 errtablecol(load->rel, column->attnum)));
	assign_expr_collations(NULL, coerced);
	return coerced == (Node *) var ? NULL : expression_planner((Expr *) coerced);
}

/* The columns of the source that are columns of the target, by name: 42703 for others. */
static void
MatchColumns(BulkLoad *load)
{
	TupleDesc	desc = RelationGetDescr(load->source);
	List	   *unknown = NIL;

	load->columns = palloc0(desc->natts * sizeof(SourceColumn));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		const char *name = NameStr(attribute->attname);
		Column	   *column;

		if (attribute->attisdropped)
			continue;
		column = FindColumn(load->target, name, strlen(name));
		if (column)
		{
			SourceColumn *match = &load->columns[load->ncolumns++];

			load->attnums = lappend_int(load->attnums, attribute->attnum);
			match->column = column;
			match->coercion = BuildCoercion(load, attribute, load->ncolumns, column);
			load->given = bms_add_member(load->given, column->attnum);
		}
		else if (unknown_fields == UNKNOWN_FIELDS_ERROR)
			unknown = lappend(unknown, unconstify(char *, name));
	}
	if (unknown)
		ReportUnknownFields(load->target, unknown);
	RequireKeyFields(load->target, load->given);
	RequireNewerBy(&load->options, load->target, load->given);
}

/* Returns the column of jsonb that is all the source has, or InvalidAttrNumber. */
static AttrNumber
PayloadColumn(Relation source)
{
	Form_pg_attribute only = NULL;

	for (int i = 0; i < RelationGetNumberOfAttributes(source); i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(source), i);

		if (attribute->attisdropped)
			continue;
		if (only)
			return InvalidAttrNumber;
		only = attribute;
	}
	if (only == NULL || getBaseType(only->atttypid) != JSONBOID)
		return InvalidAttrNumber;
	return only->attnum;
}

/* Decides which columns of the source are read, and what for. */
static void
ChooseColumns(BulkLoad *load)
{
	AttrNumber	payload = PayloadColumn(load->source);

	load->reads_payloads = payload != InvalidAttrNumber;
	if (load->reads_payloads)
		load->attnums = list_make1_int(payload);
	else
		MatchColumns(load);
}

/* SELECT s.brand, ... FROM source s */
static char *
WriteQuery(const BulkLoad *load)
{
	Relation	source = load->source;
	const char *separator = "";
	StringInfoData sql;
	ListCell   *cell;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	foreach(cell, load->attnums)
	{
		Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(source), lfirst_int(cell) - 1);

		appendStringInfo(&sql, "%ss.%s", separator, quote_identifier(NameStr(attribute->attname)));
		separator = ", ";
	}
	appendStringInfo(&sql, " FROM %s s",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(source)),
												RelationGetRelationName(source)));
	return sql.data;
}

/* -- a row of it -------------------------------------------------------------- */

static void
UpsertAndCount(BulkLoad *load, const Row *row)
{
	Outcome		outcome;

	UpsertRow(load->upserter, row, &outcome);
	load->counts.actions[outcome.action]++;
}

/* Makes a row of the source's; its values are the source's own, or in the row context. */
static Row *
RowFromSlot(BulkLoad *load, TupleTableSlot *slot)
{
	Row		   *row = load->row;

	slot_getallattrs(slot);
	ResetExprContext(load->expressions);
	load->expressions->ecxt_scantuple = slot;
	for (int i = 0; i < load->ncolumns; i++)
	{
		const SourceColumn *source = &load->columns[i];
		int			index = source->column->attnum - 1;

		row->values[index] = slot->tts_values[i];
		row->isnull[index] = slot->tts_isnull[i];
		if (source->coerce == NULL)
			continue;
		load->position.field = source->column->name;
		row->values[index] = ExecEvalExprSwitchContext(source->coerce, load->expressions,
													   &row->isnull[index]);
		load->position.field = NULL;
	}
	row->given = bms_copy(load->given);
	CompleteKey(load->target, row);
	return row;
}

static void
UpsertPayloadFromSlot(BulkLoad *load, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, 1, &isnull);
	Payload		payload;

	if (isnull)
		RejectNull("payload");
	ReadPayload(&payload, DatumGetJsonbP(value));
	BeginRows(&payload, load->target);
	for (int i = 0; i < payload.nrows; i++)
		ReadRow(&payload, i, load->target, &load->options, &load->position);
	CheckMayUpsert(load->target, GivenColumns(&payload), load->options.on_create);
	for (int i = 0; i < payload.nrows; i++)
	{
		if (payload.is_array)
			load->position.element = i;
		UpsertAndCount(load, TakeRow(&payload, load->target, i));
	}
	load->position.element = -1;
}

/* Opens what rows are upserted with, in the current memory context. */
static void
BeginStretch(BulkLoad *load)
{
	load->upserter = BeginUpserts(load->target, load->rel, &load->options);
	load->expressions = CreateStandaloneExprContext();
	load->row = MakeRow(load->target);
	for (int i = 0; i < load->ncolumns; i++)
	{
		if (load->columns[i].coercion)
			load->columns[i].coerce = ExecInitExpr(load->columns[i].coercion, NULL);
	}
}

static void
EndStretch(BulkLoad *load)
{
	FreeExprContext(load->expressions, true);
	EndUpserts(load->upserter);
}

static void
UpsertSourceRow(BulkLoad *load, TupleTableSlot *slot, int64 row_number)
{
	MemoryContext caller = MemoryContextSwitchTo(load->row_context);

	load->row_number = row_number;
	/* Only for as long as the row takes: the source's query has a snapshot of its own. */
	PushActiveSnapshot(GetTransactionSnapshot());
	if (load->reads_payloads)
		UpsertPayloadFromSlot(load, slot);
	else
		UpsertAndCount(load, RowFromSlot(load, slot));
	PopActiveSnapshot();
	load->row_number = 0;
	MemoryContextSwitchTo(caller);
	MemoryContextReset(load->row_context);
}

static void
BeginProgress(Oid relid)
{
	const int	params[] = {PROGRESS_COPY_COMMAND, PROGRESS_COPY_TYPE};
	const int64 values[] = {PROGRESS_COPY_COMMAND_FROM, PROGRESS_COPY_TYPE_CALLBACK};

	pgstat_progress_start_command(PROGRESS_COMMAND_COPY, relid);
	pgstat_progress_update_multi_param(lengthof(params), params, values);
}

/* A subtransaction that aborts, as of a trigger that catches an error, ends whatever is in progress. */
static void
ShowProgress(const BulkLoad *load)
{
	if (MyBEEntry->st_progress_command != PROGRESS_COMMAND_COPY)
		BeginProgress(RelationGetRelid(load->rel));
	pgstat_progress_update_param(PROGRESS_COPY_TUPLES_PROCESSED, load->nrows);
}

/* -- rows that may fail ------------------------------------------------------- */

/* The row's number in the source, from 1. */
static int64
WaitingRowNumber(const BulkLoad *load, int n)
{
	return load->nrows - load->waiting->n + n + 1;
}

static TupleTableSlot *
WaitingRow(const BulkLoad *load, int n)
{
	return ExecStoreMinimalTuple(load->waiting->rows[n], load->waiting->slot, false);
}

/* RowsWork: upserts rows that wait. */
static void
UpsertStretch(void *arg, int from, int to, int *at)
{
	BulkLoad   *load = arg;

	load->counts = load->counts_done;
	BeginStretch(load);
	for (*at = from; *at < to; (*at)++)
	{
		if (load->waiting->failures[*at] == NULL)
			UpsertSourceRow(load, WaitingRow(load, *at), WaitingRowNumber(load, *at));
	}
	EndStretch(load);
	load->counts_done = load->counts;
}

/* Returns the row that is in the slot, as jsonb. */
static Datum
RecordFromSlot(const BulkLoad *load, TupleTableSlot *slot, bool *isnull)
{
	Datum		json;

	if (load->reads_payloads)
		return slot_getattr(slot, 1, isnull);
	*isnull = false;
	json = DirectFunctionCall1(row_to_json, ExecFetchSlotHeapTupleDatum(slot));
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(json)));
}

/* Puts those that have failed into the table of rejected rows. */
static void
RejectFailed(BulkLoad *load)
{
	for (int i = 0; i < load->waiting->n; i++)
	{
		const Failure *failure = load->waiting->failures[i];
		Datum		record;
		bool		isnull;

		if (failure == NULL)
			continue;
		load->row_number = WaitingRowNumber(load, i);
		record = RecordFromSlot(load, WaitingRow(load, i), &isnull);
		Reject(load->rejects, record, isnull, failure->error);
		load->counts_done.rejected++;
	}
	load->row_number = 0;
}

/* Upserts the rows that wait. */
static void
FinishWaiting(BulkLoad *load)
{
	WaitingRows *waiting = load->waiting;
	MemoryContext caller = MemoryContextSwitchTo(waiting->context);

	memset(waiting->failures, 0, sizeof(waiting->failures));
	AttemptRows(&waiting->attempts, waiting->n);
	RejectFailed(load);
	ShowProgress(load);
	ExecClearTuple(waiting->slot);
	waiting->n = 0;
	waiting->size = 0;
	MemoryContextSwitchTo(caller);
	MemoryContextReset(waiting->context);
}

static void
LetRowWait(BulkLoad *load, TupleTableSlot *slot)
{
	WaitingRows *waiting = load->waiting;
	MemoryContext caller = MemoryContextSwitchTo(waiting->context);
	MinimalTuple row = ExecCopySlotMinimalTuple(slot);

	MemoryContextSwitchTo(caller);
	waiting->rows[waiting->n++] = row;
	waiting->size += row->t_len;
	if (waiting->n == MAX_WAITING || waiting->size >= (Size) work_mem * 1024)
		FinishWaiting(load);
}

/* Rows of that kind may wait, from here on. */
static void
BeginWaiting(BulkLoad *load, TupleDesc desc)
{
	WaitingRows *waiting = palloc0(sizeof(WaitingRows));

	waiting->context = AllocSetContextCreate(load->context, "product_upsert waiting rows",
											 ALLOCSET_DEFAULT_SIZES);
	waiting->slot = MakeSingleTupleTableSlot(BlessTupleDesc(CreateTupleDescCopy(desc)),
											 &TTSOpsMinimalTuple);
	waiting->attempts = MakeAttempts(UpsertStretch, load, &load->position, waiting->failures);
	load->waiting = waiting;
}

static void
EndWaiting(BulkLoad *load)
{
	if (load->waiting->n > 0)
		FinishWaiting(load);
	load->counts = load->counts_done;
	ExecDropSingleTupleTableSlot(load->waiting->slot);
}

/* -- the executor's side ------------------------------------------------------ */

static void
StartLoad(DestReceiver *self, int operation pg_attribute_unused(), TupleDesc desc)
{
	BulkLoad   *load = (BulkLoad *) self;
	MemoryContext caller = MemoryContextSwitchTo(load->context);

	/* Not before: a store that uses SPI as well must be inside the statement that feeds it. */
	if (load->rejects)
		BeginWaiting(load, desc);
	else
		BeginStretch(load);
	MemoryContextSwitchTo(caller);
}

static bool
LoadRow(TupleTableSlot *slot, DestReceiver *self)
{
	BulkLoad   *load = (BulkLoad *) self;

	load->nrows++;
	if (load->rejects)
		LetRowWait(load, slot);
	else
	{
		UpsertSourceRow(load, slot, load->nrows);
		ShowProgress(load);
	}
	return true;
}

static void
EndLoad(DestReceiver *self)
{
	BulkLoad   *load = (BulkLoad *) self;

	if (load->rejects)
		EndWaiting(load);
	else
		EndStretch(load);
}

static void
DestroyLoad(DestReceiver *self pg_attribute_unused())
{
}

static void
RunQuery(BulkLoad *load)
{
	CheckedSql	query = {
		.text = WriteQuery(load),
		.relations = list_make1_oid(RelationGetRelid(load->source)),
	};

	SPI_connect();
	if (load->rejects)
		PrepareRejects(load->rejects);
	ExecuteCheckedInto(&query, PrepareChecked(&query, 0, NULL, 0), &load->receiver);
	SPI_finish();
}

/* -- the call ----------------------------------------------------------------- */

/* Which row of the source the error is about. */
static void
DescribeRow(const BulkLoad *load)
{
	/* Else it is the source that failed, on the way to a row that we do not know. */
	if (load->row_number == 0)
		return;
	if (!load->reads_payloads && load->position.field)
		errcontext("column \"%s\" of row " INT64_FORMAT " of \"%s\"", load->position.field,
				   load->row_number, RelationGetRelationName(load->source));
	else
		errcontext("row " INT64_FORMAT " of \"%s\"", load->row_number,
				   RelationGetRelationName(load->source));
}

/* Error context callback: which option the error is about, or which row, and what in it. */
static void
DescribeLoad(void *arg)
{
	const BulkLoad *load = arg;

	if (load->position.argument || load->reads_payloads)
		DescribePosition(&load->position);
	DescribeRow(load);
}

/* No number of keys is too many for the lock of the whole table, and no other lock will do. */
static void
RequireWholeTable(Oid root)
{
	if (HoldsWholeTable(root))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to lock table \"%s\"", get_rel_name(root)),
			 errdetail("A bulk load keeps other writers off the table, as LOCK TABLE does."),
			 errhint("Grant UPDATE on the table as a whole.")));
}

/* What is read or upserted cannot take what is rejected as well. */
static void
RejectSameTable(const BulkLoad *load, Oid rejects)
{
	if (rejects == RelationGetRelid(load->source) || rejects == RelationGetRelid(load->rel))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rejects must be another table than the source and the target")));
}

/* Locks source, rejects and table, reads the options, and decides what becomes of the source's columns. */
static void
OpenTables(BulkLoad *load, Oid source, Oid target, const GivenOptions *given, Oid rejects)
{
	const char *function = "product_upsert_from()";
	const bool	whole_table = true;
	Oid			root;

	/* The target last: while we wait for the others, nobody need wait for us. */
	load->source = OpenSource(source);
	if (OidIsValid(rejects))
		load->rejects = OpenRejects(rejects, function);
	load->rel = OpenTable(target, whole_table, function, &root);
	RejectSameTable(load, rejects);
	RequireWholeTable(root);
	load->target = AcquireTarget(load->rel);
	WarnOfMissingIndex(load->target);
	WarnOfExemption(load->target);
	ReadOptions(&load->options, given, load->target, &load->position);
	ChooseColumns(load);
	CheckMayUpsert(load->target, load->given, load->options.on_create);
}

/* The locks stay until the transaction ends. */
static void
CloseTables(BulkLoad *load)
{
	relation_close(load->source, NoLock);
	table_close(load->rel, NoLock);
	if (load->rejects)
		CloseRejects(load->rejects);
}

/* Reads and upserts all rows. */
static void
LoadRows(BulkLoad *load)
{
	BeginProgress(RelationGetRelid(load->rel));
	RunQuery(load);
	pgstat_progress_end_command();
}

/*
 * Upserts all rows of source, a table or view, into target (or DEFAULT_TABLE), and
 * returns what became of them. All or nothing: an error leaves no row behind, and tells which
 * row it is about, and what in it. But with a table for them, rows that fail are put into that.
 */
LoadCounts
UpsertFrom(Oid source, Oid target, const GivenOptions *given, Oid rejects)
{
	MemoryContext caller = CurrentMemoryContext;
	BulkLoad	load = {
		.receiver = {
			.rStartup = StartLoad,
			.receiveSlot = LoadRow,
			.rShutdown = EndLoad,
			.rDestroy = DestroyLoad,
			.mydest = DestNone,
		},
		.position = {.element = -1},
	};
	ErrorContextCallback describe = {
		.callback = DescribeLoad,
		.arg = &load,
		.previous = error_context_stack,
	};

	error_context_stack = &describe;
	load.context = AllocSetContextCreate(CurrentMemoryContext, "product_upsert bulk load",
										 ALLOCSET_DEFAULT_SIZES);
	load.row_context = AllocSetContextCreate(load.context, "product_upsert row",
											 ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(load.context);
	OpenTables(&load, source, target, given, rejects);
	LoadRows(&load);
	error_context_stack = describe.previous;

	CloseTables(&load);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(load.context);
	return load.counts;
}
