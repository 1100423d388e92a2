/*
 * merge.c
 *		One merge of duplicates, from its arguments to its result.
 *
 * First the duplicate keys are found, and kept in a tuplestore; then table and keys are
 * locked; then the rows of each key, as they are by now, are made one. All that is
 * worked out from the table or from what references it is worked out under the table's
 * lock.
 *
 * What lasts for the call is in one memory context, what a key needs in another.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

#include "access.h"
#include "checkedsql.h"
#include "keyhash.h"
#include "keyindex.h"
#include "keylock.h"
#include "merge.h"
#include "merge_rows.h"
#include "reference.h"
#include "result.h"
#include "table.h"
#include "targetcache.h"

/* How often to tell how far it is. */
#define KEYS_PER_NOTICE		1000

/* What a merge works with. */
typedef struct Merge
{
	MemoryContext context;
	MemoryContext key_context;
	const MergeOptions *options;
	ReturnSetInfo *results;

	Oid			relid;
	MergedTable table;
	List	   *references;

	Tuplestorestate *keys;		/* those that have duplicates; NULL before they are looked for */
	TupleTableSlot *key_slot;
	int64		nmerged;
} Merge;

/* -- the keys that have duplicates -------------------------------------------- */

static void
AppendKeyColumns(StringInfo sql, const Target *target)
{
	for (int i = 0; i < target->nkey_columns; i++)
		appendStringInfo(sql, "%st.%s", i > 0 ? ", " : "", quote_identifier(target->keys[i].column->name));
}

/* In order, so that it is always the same keys that come first; a type may have no order. */
static void
AppendKeyOrder(StringInfo sql, const Target *target)
{
	const char *separator = " ORDER BY ";

	for (int i = 0; i < target->nkey_columns; i++)
	{
		const Column *column = target->keys[i].column;

		if (!OidIsValid(lookup_type_cache(column->type, TYPECACHE_LT_OPR)->lt_opr))
			continue;
		appendStringInfo(sql, "%st.%s", separator, quote_identifier(column->name));
		separator = ", ";
	}
}

/* SELECT t.brand, ... FROM table t GROUP BY ... HAVING count(*) > 1 ORDER BY ... [LIMIT n] */
static char *
WriteSearch(const Target *target, int max_keys)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	AppendKeyColumns(&sql, target);
	appendStringInfo(&sql, " FROM %s t GROUP BY ", QualifiedName(target->relid));
	AppendKeyColumns(&sql, target);
	appendStringInfoString(&sql, " HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 1");
	AppendKeyOrder(&sql, target);
	if (max_keys != NO_MAX_KEYS)
		appendStringInfo(&sql, " LIMIT %d", max_keys);
	return sql.data;
}

static TupleTableSlot *
MakeKeySlot(const Target *target)
{
	TupleDesc	desc = CreateTemplateTupleDesc(target->nkey_columns);

	for (int i = 0; i < target->nkey_columns; i++)
		TupleDescCopyEntry(desc, i + 1, target->desc, target->keys[i].column->attnum);
	return MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
}

/* Finds the keys that more than one row has. Values that are stored elsewhere may go away with their row. */
static void
FindDuplicates(Merge *merge)
{
	const bool	random_access = true;
	const bool	beyond_transaction = false;
	const bool	detoast = true;
	const Target *target = merge->table.target;
	DestReceiver *receiver = CreateTuplestoreDestReceiver();
	CheckedSql	sql = {
		.text = WriteSearch(target, merge->options->max_keys),
		.relations = list_make1_oid(merge->relid),
		.condition = target->condition.source,
	};

	merge->keys = tuplestore_begin_heap(random_access, beyond_transaction, work_mem);
	merge->key_slot = MakeKeySlot(target);
	SetTuplestoreDestReceiverParams(receiver, merge->keys, merge->context, detoast, NULL, NULL);
	ExecuteCheckedInto(&sql, PrepareChecked(&sql, 0, NULL, 0), receiver);
	receiver->rDestroy(receiver);
	MemoryContextSwitchTo(merge->context);
}

static void
ForgetDuplicates(Merge *merge)
{
	ExecDropSingleTupleTableSlot(merge->key_slot);
	tuplestore_end(merge->keys);
}

/* Returns the next of them as a row of the table's, which is good until the one after it; NULL at the end. */
static Row *
NextKey(Merge *merge)
{
	const bool	forward = true;
	const bool	copy = false;
	const Target *target = merge->table.target;
	MemoryContext caller = MemoryContextSwitchTo(merge->context);
	bool		found;
	Row		   *key;

	/* What was written to disk is read into the current context, and freed by the slot. */
	found = tuplestore_gettupleslot(merge->keys, forward, copy, merge->key_slot);
	MemoryContextSwitchTo(caller);
	if (!found)
		return NULL;
	slot_getallattrs(merge->key_slot);
	key = MakeRow(target);
	for (int i = 0; i < target->nkey_columns; i++)
	{
		int			index = target->keys[i].column->attnum - 1;

		key->values[index] = merge->key_slot->tts_values[i];
		key->isnull[index] = merge->key_slot->tts_isnull[i];
	}
	return key;
}

/* -- locks -------------------------------------------------------------------- */

/*
 * Keeps everybody from adding a foreign key or declaring another key, before anything is worked
 * out from them. With more keys than a transaction may lock one by one, nobody else may write to
 * the table either: so it is locked when they have been counted, as two that strengthen a lock
 * deadlock.
 */
static void
LockTables(Merge *merge)
{
	MergedTable *table = &merge->table;
	int64		nkeys = tuplestore_tuple_count(merge->keys);
	bool		whole_table = IsBeyondBudget((int) Min(nkeys, INT_MAX));
	LOCKMODE	mode = whole_table ? ShareRowExclusiveLock : RowExclusiveLock;

	table->rel = OpenTable(merge->relid, whole_table, "product_upsert_merge_duplicates()", &table->root);
	if (whole_table)
	{
		CheckMayLockWholeTable(table->root);
		(void) LockTreeUntilEnd(table->root, mode);
	}
	table->tables = LockTreeUntilEnd(merge->relid, mode);
}

/* For keylock.c: the first of the keys that has the hash. */
static char *
DescribeDuplicate(void *arg, uint32 hash)
{
	Merge	   *merge = arg;
	const Target *target = merge->table.target;
	MemoryContext caller = MemoryContextSwitchTo(merge->key_context);
	Row		   *key;

	do
	{
		MemoryContextReset(merge->key_context);
		key = NextKey(merge);
	} while (HashKeyForLock(target, key) != hash);
	tuplestore_rescan(merge->keys);
	MemoryContextSwitchTo(caller);
	return DescribeKey(target, key);
}

/* Locks the keys as a batch does: all in ascending order, so that no two callers wait for each other. */
static void
LockDuplicates(Merge *merge)
{
	const KeyTeller teller = {.describe = DescribeDuplicate, .arg = merge};
	int64		nkeys = tuplestore_tuple_count(merge->keys);
	uint32	   *hashes;
	int			nhashes = 0;
	Row		   *key;

	if (HoldsWholeTable(merge->table.root))
		return;
	hashes = MemoryContextAllocHuge(merge->context, nkeys * sizeof(uint32));
	MemoryContextSwitchTo(merge->key_context);
	while ((key = NextKey(merge)) != NULL)
	{
		hashes[nhashes++] = HashKeyForLock(merge->table.target, key);
		MemoryContextReset(merge->key_context);
	}
	MemoryContextSwitchTo(merge->context);
	tuplestore_rescan(merge->keys);
	LockKeys(merge->table.root, hashes, nhashes, &teller);
	pfree(hashes);
}

/* -- what cannot be merged ---------------------------------------------------- */

/* The columns of the key, as another table that holds rows has them. */
static Bitmapset *
KeyColumnsIn(const Target *target, Oid relid)
{
	Bitmapset  *columns = NULL;

	for (int i = 0; i < target->nkey_columns; i++)
		columns = bms_add_member(columns, get_attnum(relid, target->keys[i].column->name));
	return columns;
}

/* Until a condition tells which rows count, those that an index exempts would be merged with the others. */
static void
RejectExemptions(const MergedTable *table, Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	Bitmapset  *key_columns = KeyColumnsIn(table->target, relid);
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (ExemptsRows(index, key_columns))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot merge rows of table \"%s\"", table->name),
					 errdetail("Its unique index \"%s\" on the key has a condition, so rows that do not"
							   " satisfy it, such as deleted ones, may have the key of one that does.",
							   RelationGetRelationName(index)),
					 errhint("Let only rows that satisfy it count: SELECT %s; or drop the index, if the"
							 " others are to be merged, too.",
							 ProtectCall(table->target, RelationGetRelid(index))),
					 errtable(table->rel)));
		index_close(index, AccessShareLock);
	}
	table_close(rel, NoLock);
}

/* An older snapshot would not show all the rows of a group. */
static void
RequireReadCommitted(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("product_upsert_merge_duplicates() must run at READ COMMITTED")));
}

/* -- merging ------------------------------------------------------------------ */

static Datum
KeyToJsonb(Target *target, const MergedRow *row)
{
	JsonbWriter writer;

	BeginJsonb(&writer);
	WriteKey(&writer, target, row->values, row->isnull);
	return JsonbPGetDatum(EndJsonb(&writer));
}

static Datum
RowToJsonb(Target *target, const MergedRow *row)
{
	JsonbWriter writer;

	BeginJsonb(&writer);
	WriteRow(&writer, NULL, target, row->values, row->isnull);
	return JsonbPGetDatum(EndJsonb(&writer));
}

static Datum
RowsToJsonb(Target *target, const MergedRow *rows, int nrows)
{
	JsonbWriter writer;
	JsonbNode	array;

	BeginJsonb(&writer);
	array = BeginArray(&writer, nrows);
	for (int i = 0; i < nrows; i++)
		WriteRow(&writer, &array, target, rows[i].values, rows[i].isnull);
	EndNode(&writer, &array, NULL);
	return JsonbPGetDatum(EndJsonb(&writer));
}

static Datum
ColumnNames(const Target *target, const Bitmapset *columns)
{
	Datum	   *names = palloc(target->desc->natts * sizeof(Datum));
	int			nnames = 0;
	int			attnum = -1;

	while ((attnum = bms_next_member(columns, attnum)) >= 0)
		names[nnames++] = NameGetDatum(&TupleDescAttr(target->desc, attnum - 1)->attname);
	return PointerGetDatum(construct_array(names, nnames, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR));
}

/* Fills the kept row's nulls, when the others are gone; returns the columns that were. */
static Bitmapset *
FillGroup(Merge *merge, RowGroup *group)
{
	Bitmapset  *columns = MissingColumns(group);

	if (columns == NULL)
		return NULL;
	/* Triggers may have written to it as the others went. */
	ReadKept(group);
	columns = LeaveOutLoops(merge->references, group, MissingColumns(group));
	if (!bms_is_empty(columns))
		FillKept(group, columns);
	return columns;
}

/* Makes one row of those that have the key, if there are several, and returns that. */
static void
MergeKey(Merge *merge, const Row *key)
{
	Target	   *target = merge->table.target;
	RowGroup	group = {.table = &merge->table, .key = key};
	Datum		values[5];
	bool		isnull[5] = {false};

	FindGroup(&group);
	/* While we waited for the lock, somebody else may have merged or deleted them. */
	if (group.nrows < 2)
		return;
	values[0] = KeyToJsonb(target, &group.rows[0]);
	values[2] = RowsToJsonb(target, &group.rows[1], group.nrows - 1);
	values[3] = Int64GetDatum(RepointReferences(merge->references, &group));
	DeleteOthers(&group);
	values[4] = ColumnNames(target, FillGroup(merge, &group));
	ReadKept(&group);
	values[1] = RowToJsonb(target, &group.rows[0]);
	tuplestore_putvalues(merge->results->setResult, merge->results->setDesc, values, isnull);

	if (++merge->nmerged % KEYS_PER_NOTICE == 0)
		ereport(NOTICE,
				(errmsg("merged the rows of " INT64_FORMAT " keys of table \"%s\"",
						merge->nmerged, merge->table.name)));
}

static void
MergeKeys(Merge *merge)
{
	Row		   *key;

	MemoryContextSwitchTo(merge->key_context);
	while ((key = NextKey(merge)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		MergeKey(merge, key);
		MemoryContextReset(merge->key_context);
	}
	MemoryContextSwitchTo(merge->context);
}

/*
 * Locks all that is needed, and learns what is to be known. While we waited, the table may have been given
 * another key.
 */
static void
BeginMerge(Merge *merge)
{
	MergedTable *table = &merge->table;
	Target	   *before = table->target;
	ListCell   *cell;

	LockTables(merge);
	table->target = AcquireTarget(table->rel);
	if (table->target != before)
	{
		ForgetDuplicates(merge);
		FindDuplicates(merge);
	}
	DescribeRows(table);
	if (table->target->condition.source == NULL)
	{
		foreach(cell, table->tables)
			RejectExemptions(table, lfirst_oid(cell));
	}
	merge->references = FindReferences(table);
	LockDuplicates(merge);
}

/* Looks for duplicates before it takes any lock that others may have to wait for. */
static void
FindAndMerge(Merge *merge)
{
	Relation	rel = OpenToLook(merge->relid);

	merge->table.target = AcquireTarget(rel);
	RequireReadCommitted();
	FindDuplicates(merge);
	if (tuplestore_tuple_count(merge->keys) > 0)
	{
		BeginMerge(merge);
		MergeKeys(merge);
		table_close(merge->table.rel, NoLock);
	}
	ForgetDuplicates(merge);
	table_close(rel, NoLock);
}

static void
RunMerge(Merge *merge)
{
	SPI_connect();
	MemoryContextSwitchTo(merge->context);
	FindAndMerge(merge);
	SPI_finish();
}

/* Undoes all that was done since BeginInternalSubTransaction(), by what was current before it. */
static void
UndoSubtransaction(MemoryContext context, ResourceOwner owner)
{
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

/*
 * Undoes all of it, except that what was returned stays returned. An error goes on, when the
 * subtransaction is gone: nobody else would end it.
 */
static void
RunDry(Merge *merge)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		RunMerge(merge);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		UndoSubtransaction(caller, owner);
		ReThrowError(error);
	}
	PG_END_TRY();
	UndoSubtransaction(caller, owner);
}

/*
 * Makes one row of all that have the same key, for each key, and puts what came of it into
 * results, which is set up to take it. Nobody who takes a key's lock writes its rows meanwhile.
 */
void
MergeDuplicates(Oid relid, const MergeOptions *options, ReturnSetInfo *results)
{
	MemoryContext caller = CurrentMemoryContext;
	Merge		merge = {.relid = relid, .options = options, .results = results};

	merge.context = AllocSetContextCreate(CurrentMemoryContext, "product_upsert merge",
										  ALLOCSET_DEFAULT_SIZES);
	merge.key_context = AllocSetContextCreate(merge.context, "product_upsert merge of a key",
											  ALLOCSET_DEFAULT_SIZES);
	merge.table.context = merge.context;
	merge.table.newest = options->newest;
	if (options->dry_run)
		RunDry(&merge);
	else
		RunMerge(&merge);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(merge.context);
}
