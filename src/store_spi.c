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
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/sinval.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rls.h"

#include "checkedsql.h"
#include "owner.h"
#include "partition.h"
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

/*
 * The plan that looks up the key is made when the table may still be small, and kept as it grows: so it is
 * to use an index if one serves. Is it to be made, with settings of the planner's for that?
 */
static bool
PrefersIndex(const Statement *statement, const Target *target)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(statement->plan));

	return statement->shape.kind == STATEMENT_FIND && OidIsValid(target->lookup_index) &&
		(target->partitioned || !source->is_valid || !source->gplan || !source->gplan->is_valid);
}

static void
SetOff(const char *setting)
{
	(void) set_config_option(setting, "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* Without a snapshot it takes a new one. */
static void
Execute(const BoundStatement *bound, Snapshot snapshot, int max_rows)
{
	ExecuteChecked(&bound->statement->sql, bound->statement->plan,
				   bound->arguments->values, bound->arguments->nulls, snapshot, max_rows);
}

static void
ExecuteByIndex(const BoundStatement *bound, Snapshot snapshot, int max_rows)
{
	int			level = NewGUCNestLevel();

	SetOff("enable_seqscan");
	/* Where a sequential scan is the only way all the same, its cost now seems to be worth that. */
	SetOff("jit");
	Execute(bound, snapshot, max_rows);
	AtEOXact_GUC(true, level);
}

/*
 * Runs a statement and leaves its rows in SPI_tuptable, at most max_rows of them
 * (0: all). Comes back in the caller's memory context.
 */
static uint64
ExecuteStatement(const Store *store, const BoundStatement *bound, Snapshot snapshot, int max_rows)
{
	MemoryContext caller = CurrentMemoryContext;

	if (PrefersIndex(bound->statement, store->target))
		ExecuteByIndex(bound, snapshot, max_rows);
	else
		Execute(bound, snapshot, max_rows);
	MemoryContextSwitchTo(caller);
	return SPI_processed;
}

/*
 * Looks for rows with row's key as the table's owner, with row-level security off; at most two of them
 * are in SPI_tuptable then.
 */
static uint64
FindAsOwner(const Store *store, const Row *row, Snapshot snapshot)
{
	const int	security = 0;
	Caller		caller = BecomeOwner(store->target->owner, security);
	BoundStatement find = BindFind(store->target, row);
	uint64		processed = ExecuteStatement(store, &find, snapshot, 2);

	BecomeCaller(&caller);
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

/* Is the row that was found there for the caller, as row-level security has it? */
static bool
CallerSees(const Store *store, const TupleTableSlot *found, Snapshot snapshot, bool to_update)
{
	BoundStatement see = BindSee(store->target, found, to_update);
	bool		sees = ExecuteStatement(store, &see, snapshot, 1) > 0;

	SPI_freetuptable(SPI_tuptable);
	return sees;
}

static void
ReportHidden(const Store *store, bool to_update)
{
	const char *role = GetUserNameFromId(GetUserId(), false);
	const char *table = store->target->name;

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 to_update
			 ? errmsg("row-level security of table \"%s\" forbids role \"%s\" to update the row that has this key",
					  table, role)
			 : errmsg("row-level security of table \"%s\" forbids role \"%s\" to see the row that has this key",
					  table, role),
			 errtable(store->rel)));
}

static void
RequireSeen(const Store *store, const TupleTableSlot *found, Snapshot snapshot, bool to_update)
{
	const SpiStore *spi = (const SpiStore *) store;

	if (spi->checks_visibility && !CallerSees(store, found, snapshot, to_update))
		ReportHidden(store, to_update);
}

/*
 * Raises 0A000 if the row may be in a foreign table. What its server has committed need not be seen
 * there: postgres_fdw, for one, reads by a snapshot that is as old as the transaction's first look. And
 * what is read as the table's owner, the caller's own user mapping might not have shown him.
 */
static void
RejectForeignTables(const Store *store, const Row *row)
{
	Oid			foreign = FindForeignTable(store->target, store->rel, row);

	if (OidIsValid(foreign))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot look for a row in foreign table \"%s\"", get_rel_name(foreign)),
				 errdetail("What its server commits meanwhile need not be seen there."),
				 errtable(store->rel)));
}

/*
 * The same, in all partitions that there are: a statement's are those of its plan. When it has waited for
 * one of them, another may have come, with a row of the key.
 */
static int
FindInAllPartitions(const Store *store, const Row *row, Snapshot snapshot)
{
	for (;;)
	{
		uint64		messages = SharedInvalidMessageCounter;
		int			nfound;

		RejectForeignTables(store, row);
		nfound = FindAsOwner(store, row, snapshot);
		if (!store->target->partitioned || messages == SharedInvalidMessageCounter)
			return nfound;
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
}

static int
SpiFind(Store *store, const Row *row, Snapshot snapshot, TupleTableSlot *found,
		TupleTableSlot *second)
{
	const bool	to_update = false;
	int			nfound = FindInAllPartitions(store, row, snapshot);

	if (nfound > 0)
		ReadRow(found, 0);
	if (nfound > 1 && second)
		ReadRow(second, 1);
	SPI_freetuptable(SPI_tuptable);

	if (nfound == 1)
		RequireSeen(store, found, snapshot, to_update);
	return nfound;
}

/* Executes a write of one row. Returns whether it was written: then it is in the slot. */
static bool
WriteRow(const Store *store, const BoundStatement *write, TupleTableSlot *stored)
{
	bool		written = ExecuteStatement(store, write, InvalidSnapshot, 0) > 0;

	if (written)
		ReadStoredRow(store, stored);
	SPI_freetuptable(SPI_tuptable);
	return written;
}

static InsertResult
SpiInsert(Store *store, const Row *row, bool yield_to_unique_index, TupleTableSlot *stored)
{
	Target	   *target = store->target;
	bool		or_yield = yield_to_unique_index && target->arbiters != NIL;
	BoundStatement insert;

	if (yield_to_unique_index && HasUnfinishedArbiter(target, store->rel))
		return INSERT_IN_DOUBT;
	insert = BindInsert(target, row, or_yield);
	if (WriteRow(store, &insert, stored))
		return INSERT_DONE;
	return or_yield ? INSERT_IN_DOUBT : INSERT_SKIPPED;
}

static UpdateResult
SpiUpdate(Store *store, const Row *row, const Bitmapset *columns, TupleTableSlot *found,
		  TupleTableSlot *stored)
{
	const bool	to_update = true;
	BoundStatement update;

	if (!LockFoundRow(store->target, row, columns, found))
		return UPDATE_ROW_IS_GONE;
	update = BindUpdate(store->target, row, columns, found);
	if (WriteRow(store, &update, stored))
		return UPDATE_DONE;
	/* The row is ours, so only a policy or a trigger can have kept it from being updated. */
	RequireSeen(store, found, InvalidSnapshot, to_update);
	return UPDATE_SKIPPED;
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
