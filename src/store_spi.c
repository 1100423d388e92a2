/*
 * store_spi.c
 *		The store for every kind of table: SQL statements through SPI, so that the
 *		executor does all that it does for any statement of the caller's.
 *
 * Looking up the key runs as the table's owner without row-level security, as the
 * checks of a foreign key do, so the owner needs SELECT; everything else runs as
 * the caller.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rls.h"

#include "checkedsql.h"
#include "keyhash.h"
#include "keyindex.h"
#include "rowlock.h"
#include "statement.h"
#include "store_spi.h"
#include "table.h"
#include "targetcache.h"

typedef struct SpiStore
{
	Store		store;
	bool		checks_visibility;	/* row-level security applies to the caller */
} SpiStore;

/* A statement's parameters, as they are collected together with its text. */
typedef struct Parameters
{
	int			n;
	Oid		   *types;
	Datum	   *values;
	char	   *nulls;			/* 'n' or ' ' */
} Parameters;

static Parameters
MakeParameters(int max)
{
	return (Parameters)
	{
		.types = palloc(max * sizeof(Oid)),
		.values = palloc(max * sizeof(Datum)),
		.nulls = palloc(max),
	};
}

static void
AddParameter(Parameters *parameters, Oid type, Datum value, bool isnull)
{
	parameters->types[parameters->n] = type;
	parameters->values[parameters->n] = value;
	parameters->nulls[parameters->n] = isnull ? 'n' : ' ';
	parameters->n++;
}

static void
AddColumnParameter(Parameters *parameters, const Target *target, AttrNumber attnum,
				   const Datum *values, const bool *isnull)
{
	AddParameter(parameters, TupleDescAttr(target->desc, attnum - 1)->atttypid,
				 values[attnum - 1], isnull[attnum - 1]);
}

/* Adds the key's values, but for NULLs, which are part of the statement; returns their columns. */
static Bitmapset *
AddKeyParameters(Parameters *parameters, const Target *target, const Datum *values,
				 const bool *isnull)
{
	Bitmapset  *null_columns = NULL;

	for (int i = 0; i < target->nkey_columns; i++)
	{
		AttrNumber	attnum = target->keys[i].column->attnum;

		if (isnull[attnum - 1])
			null_columns = bms_add_member(null_columns, attnum);
		else
			AddColumnParameter(parameters, target, attnum, values, isnull);
	}
	return null_columns;
}

/*
 * The plan that looks up the key is made when the table may still be small, and kept
 * as it grows: so it is to use an index if one serves. Returns the level at which the
 * planner's settings are changed, or 0 if there is nothing to plan.
 */
static int
PreferIndex(const Statement *statement, const Target *target)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(statement->plan));
	int			level;

	if (statement->kind != STATEMENT_FIND || !OidIsValid(target->lookup_index) ||
		(!target->partitioned && source->is_valid && source->gplan && source->gplan->is_valid))
		return 0;
	level = NewGUCNestLevel();
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	/* Where a sequential scan is the only way all the same, its cost now seems to be worth that. */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/*
 * Runs a statement and leaves its rows in SPI_tuptable, at most max_rows of them
 * (0: all). Without a snapshot it takes a new one. Comes back in the caller's
 * memory context.
 */
static uint64
ExecuteStatement(Store *store, StatementKind kind, const Bitmapset *columns, const Parameters *parameters,
		Snapshot snapshot, int max_rows)
{
	MemoryContext caller = CurrentMemoryContext;
	Statement  *statement = GetStatement(store->target, kind, columns,
										 parameters->n, parameters->types);
	int			planner_settings;

	planner_settings = PreferIndex(statement, store->target);
	ExecuteChecked(&statement->sql, statement->plan, parameters->values, parameters->nulls,
				   snapshot, max_rows);
	if (planner_settings != 0)
		AtEOXact_GUC(false, planner_settings);
	MemoryContextSwitchTo(caller);
	return SPI_processed;
}

/* The same as the table's owner, with row-level security off. */
static uint64
ExecuteAsOwner(Store *store, StatementKind kind, const Bitmapset *columns,
			   const Parameters *parameters, Snapshot snapshot, int max_rows)
{
	Oid			role;
	int			security;
	uint64		processed;

	GetUserIdAndSecContext(&role, &security);
	SetUserIdAndSecContext(store->target->owner,
						   security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	processed = ExecuteStatement(store, kind, columns, parameters, snapshot, max_rows);
	SetUserIdAndSecContext(role, security);
	return processed;
}

/* Returns where the nth row is that a statement returned as (tableoid, ctid, row). */
static Oid
TableOfRow(int n)
{
	bool		isnull;

	return DatumGetObjectId(heap_getattr(SPI_tuptable->vals[n], 1, SPI_tuptable->tupdesc, &isnull));
}

/* Copies the nth row that a statement returned as (tableoid, ctid, row) into the slot. */
static void
ReadRow(TupleTableSlot *slot, int n)
{
	HeapTuple	tuple = SPI_tuptable->vals[n];
	TupleDesc	desc = SPI_tuptable->tupdesc;
	HeapTupleData row;
	bool		isnull;

	row.t_data = DatumGetHeapTupleHeader(heap_getattr(tuple, 3, desc, &isnull));
	row.t_len = HeapTupleHeaderGetDatumLength(row.t_data);
	ItemPointerSetInvalid(&row.t_self);
	row.t_tableOid = InvalidOid;
	ExecForceStoreHeapTuple(&row, slot, false);
	ExecMaterializeSlot(slot);
	slot_getallattrs(slot);
	slot->tts_tableOid = TableOfRow(n);
	slot->tts_tid = *(ItemPointer) DatumGetPointer(heap_getattr(tuple, 2, desc, &isnull));
}

/*
 * Copies the row that a statement wrote into the slot. A partition that it went to was locked by the
 * statement, for no longer than a cursor perhaps: nobody may empty or detach it while the row may be there.
 */
static void
ReadStoredRow(const Store *store, TupleTableSlot *stored)
{
	ReadRow(stored, 0);
	if (store->target->partitioned)
		LockTableUntilEnd(stored->tts_tableOid, RowExclusiveLock);
}

/* Returns the parameters of a place, with room for more, and the key's NULL columns. */
static Parameters
PlaceParameters(const Target *target, const TupleTableSlot *found, Bitmapset **null_columns)
{
	Parameters	parameters = MakeParameters(2 + target->nkey_columns + target->ncolumns);

	AddParameter(&parameters, TIDOID, PointerGetDatum(&found->tts_tid), false);
	AddParameter(&parameters, OIDOID, ObjectIdGetDatum(found->tts_tableOid), false);
	*null_columns = NULL;
	if (target->partitioned)
		*null_columns = AddKeyParameters(&parameters, target, found->tts_values, found->tts_isnull);
	return parameters;
}

/* Is the row at this place there for the caller, as row-level security has it? */
static bool
CallerSees(Store *store, StatementKind kind, const TupleTableSlot *found, Snapshot snapshot)
{
	Bitmapset  *null_columns;
	Parameters	parameters = PlaceParameters(store->target, found, &null_columns);
	bool		sees = ExecuteStatement(store, kind, null_columns, &parameters, snapshot, 1) > 0;

	SPI_freetuptable(SPI_tuptable);
	return sees;
}

static void
ReportHidden(const Store *store, const char *command)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("row-level security of table \"%s\" forbids role \"%s\" to %s the row that has this key",
					store->target->name, GetUserNameFromId(GetUserId(), false), command),
			 errtable(store->rel)));
}

/*
 * Raises 0A000 if the row is in a foreign table, whose server has let the owner read it. The
 * caller's own user mapping might not have shown him as much.
 */
static void
RejectForeignRow(Oid relid)
{
	Relation	rel;

	if (get_rel_relkind(relid) != RELKIND_FOREIGN_TABLE)
		return;
	rel = table_open(relid, AccessShareLock);
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot upsert a row of foreign table \"%s\"", RelationGetRelationName(rel)),
			 errtable(rel)));
}

static int
SpiFind(Store *store, const Row *row, Snapshot snapshot, TupleTableSlot *found,
		TupleTableSlot *second)
{
	SpiStore   *spi = (SpiStore *) store;
	Target	   *target = store->target;
	Parameters	parameters = MakeParameters(target->nkey_columns + 1);
	Bitmapset  *null_columns = AddKeyParameters(&parameters, target, row->values, row->isnull);
	int			nfound;

	if (IsKeyIndexOnHash(target))
		AddParameter(&parameters, INT8OID, Int64GetDatum((int64) HashKey(target, row)), false);
	nfound = ExecuteAsOwner(store, STATEMENT_FIND, null_columns, &parameters, snapshot, 2);
	for (int i = 0; i < nfound; i++)
		RejectForeignRow(TableOfRow(i));
	if (nfound > 0)
		ReadRow(found, 0);
	if (nfound > 1 && second)
		ReadRow(second, 1);
	SPI_freetuptable(SPI_tuptable);

	if (nfound == 1 && spi->checks_visibility && !CallerSees(store, STATEMENT_SEE, found, snapshot))
		ReportHidden(store, "see");
	return nfound;
}

static InsertResult
SpiInsert(Store *store, const Row *row, bool yield_to_unique_index, TupleTableSlot *stored)
{
	Target	   *target = store->target;
	Parameters	parameters = MakeParameters(target->ncolumns);
	bool		or_yield = yield_to_unique_index && target->arbiters != NIL;
	int			attnum = -1;
	bool		inserted;

	if (yield_to_unique_index && HasUnfinishedArbiter(target, store->rel))
		return INSERT_IN_DOUBT;
	while ((attnum = bms_next_member(row->given, attnum)) >= 0)
		AddColumnParameter(&parameters, target, attnum, row->values, row->isnull);

	inserted = ExecuteStatement(store, or_yield ? STATEMENT_INSERT_OR_YIELD : STATEMENT_INSERT, row->given,
					   &parameters, InvalidSnapshot, 0) > 0;
	if (inserted)
		ReadStoredRow(store, stored);
	SPI_freetuptable(SPI_tuptable);
	if (inserted)
		return INSERT_DONE;
	return or_yield ? INSERT_IN_DOUBT : INSERT_SKIPPED;
}

static UpdateResult
SpiUpdate(Store *store, const Row *row, const Bitmapset *columns, TupleTableSlot *found,
		  TupleTableSlot *stored)
{
	SpiStore   *spi = (SpiStore *) store;
	Target	   *target = store->target;
	Bitmapset  *null_columns;
	Parameters	parameters = PlaceParameters(target, found, &null_columns);
	int			attnum = -1;
	bool		updated;

	if (!LockFoundRow(target, row, columns, found))
		return UPDATE_ROW_IS_GONE;

	while ((attnum = bms_next_member(columns, attnum)) >= 0)
		AddColumnParameter(&parameters, target, attnum, row->values, row->isnull);
	updated = ExecuteStatement(store, STATEMENT_UPDATE, bms_union(columns, null_columns), &parameters,
					  InvalidSnapshot, 0) > 0;
	if (updated)
		ReadStoredRow(store, stored);
	SPI_freetuptable(SPI_tuptable);

	/* The row is ours, so only a policy or a trigger can have kept it from being updated. */
	if (!updated && spi->checks_visibility &&
		!CallerSees(store, STATEMENT_SEE_TO_UPDATE, found, InvalidSnapshot))
		ReportHidden(store, "update");
	return updated ? UPDATE_DONE : UPDATE_SKIPPED;
}

static void
SpiClose(Store *store pg_attribute_unused())
{
	MemoryContext caller = CurrentMemoryContext;

	SPI_finish();
	MemoryContextSwitchTo(caller);
}

static const StoreMethods spi_methods = {
	.find = SpiFind,
	.insert = SpiInsert,
	.update = SpiUpdate,
	.close = SpiClose,
};

Store *
OpenSpiStore(Target *target, Relation rel, bool sees_all_rows)
{
	SpiStore   *spi = palloc0(sizeof(SpiStore));
	MemoryContext caller = CurrentMemoryContext;

	OpenStatements(target, rel);
	SPI_connect();
	MemoryContextSwitchTo(caller);
	spi->store.target = target;
	spi->store.rel = rel;
	spi->store.methods = &spi_methods;
	spi->checks_visibility = !sees_all_rows &&
		check_enable_rls(target->relid, InvalidOid, true) == RLS_ENABLED;
	return &spi->store;
}
