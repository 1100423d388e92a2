/*
 * merge_rows.c
 *		The rows that have the same key, while they are made one.
 *
 * They are known by their names: what identifies a row or, if nothing does, its place,
 * (tableoid, ctid). They are worked on by their places, which change when a row is
 * written: so they are read again whenever a trigger may have written one. Others with
 * the key may come meanwhile, unless the table is protected: they are left alone, and
 * are for the next merge.
 *
 * A group is in the memory context that is current when it is found; statements last as
 * long as the call.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "identity.h"
#include "keycondition.h"
#include "keyhash.h"
#include "keyindex.h"
#include "merge_rows.h"
#include "merge_sql.h"

/* Statements kept for a call; the least recently used makes room. */
#define MAX_STATEMENTS	64

/* One kind's statements differ by columns: those of the key that are NULL, and those to fill. */
typedef enum RowStatement
{
	LOCK_ROWS,
	READ_ROWS,
	DELETE_ONE,
	DELETE_SEVERAL,
	FILL_ROW,
} RowStatement;

/* -- the table ---------------------------------------------------------------- */

/* The relation's name for SQL, whatever search_path says. */
char *
QualifiedName(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name_or_temp(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/* Not the key, nor what it depends on whether the row counts, nor what these are generated from. */
static void
FindFillable(MergedTable *table)
{
	const Target *target = table->target;

	for (int i = 0; i < target->desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(target->desc, i);

		if (!attribute->attisdropped && !attribute->attnotnull &&
			attribute->attgenerated == '\0' && attribute->attidentity == '\0')
			table->fillable = bms_add_member(table->fillable, attribute->attnum);
	}
	table->fillable = bms_del_members(table->fillable, target->key_columns);
	table->fillable = bms_del_members(table->fillable, target->key_fields);
	table->fillable = bms_del_members(table->fillable, target->condition_columns);
}

/* Works out what is to be known of the table's rows. It is locked, with those below it. */
void
DescribeRows(MergedTable *table)
{
	MemoryContext caller = MemoryContextSwitchTo(table->context);

	table->name = QualifiedName(table->target->relid);
	table->identity = IdentityColumns(table->rel);
	FindFillable(table);
	MemoryContextSwitchTo(caller);
}

/* -- its statements ----------------------------------------------------------- */

/* ORDER BY t.id, ...: the row to be kept, and the one next to it */
static void
WriteOrder(StringInfo sql, const MergedTable *table)
{
	const char *direction = table->newest ? " DESC" : "";
	const char *separator = "";
	ListCell   *cell;

	appendStringInfoString(sql, " ORDER BY ");
	if (table->identity == NIL)
		appendStringInfo(sql, "t.tableoid%s, t.ctid%s", direction, direction);
	foreach(cell, table->identity)
	{
		appendStringInfo(sql, "%st.%s%s", separator,
						 quote_identifier(get_attname(table->target->relid, lfirst_int(cell), false)),
						 direction);
		separator = ", ";
	}
}

/* SELECT t.tableoid, t.ctid, t.* FROM table t [WHERE a known table holds it] ORDER BY ... [FOR UPDATE] */
static void
WriteRead(StringInfo sql, const MergedTable *table, bool lock, int nparameters)
{
	appendStringInfo(sql, "SELECT t.tableoid, t.ctid, t.* FROM %s t", table->name);
	if (lock)
		appendStringInfo(sql, " WHERE t.tableoid OPERATOR(pg_catalog.=) ANY ($%d)", nparameters);
	WriteOrder(sql, table);
	if (lock)
		appendStringInfoString(sql, " FOR UPDATE");
}

static void
WritePlace(StringInfo sql)
{
	appendStringInfoString(sql, " WHERE t.ctid OPERATOR(pg_catalog.=) $1"
						   " AND t.tableoid OPERATOR(pg_catalog.=) $2");
}

/* DELETE FROM table t USING places AS o WHERE they are o's */
static void
WriteDeleteSeveral(StringInfo sql, const MergedTable *table)
{
	appendStringInfo(sql, "DELETE FROM %s t"
					 " USING ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS o (place, holder)"
					 " WHERE t.ctid OPERATOR(pg_catalog.=) o.place"
					 " AND t.tableoid OPERATOR(pg_catalog.=) o.holder", table->name);
}

/* UPDATE table t SET price = $n, ... WHERE place RETURNING ...: the last parameters */
static void
WriteFill(StringInfo sql, const MergedTable *table, const Bitmapset *columns, int nparameters)
{
	Bitmapset  *filled = bms_intersect(columns, table->fillable);
	int			parameter = nparameters - bms_num_members(filled);
	const char *separator = "";
	int			attnum = -1;

	appendStringInfo(sql, "UPDATE %s t SET ", table->name);
	while ((attnum = bms_next_member(filled, attnum)) >= 0)
	{
		appendStringInfo(sql, "%s%s = $%d", separator,
						 quote_identifier(get_attname(table->target->relid, attnum, false)), ++parameter);
		separator = ", ";
	}
	WritePlace(sql);
	appendStringInfoString(sql, " RETURNING t.tableoid, t.ctid, t.*");
}

static char *
WriteRowStatement(const MergedTable *table, RowStatement kind, const Bitmapset *columns, int nparameters)
{
	StringInfoData sql;

	initStringInfo(&sql);
	switch (kind)
	{
		case LOCK_ROWS:
		case READ_ROWS:
			WriteRead(&sql, table, kind == LOCK_ROWS, nparameters);
			break;
		case DELETE_ONE:
			appendStringInfo(&sql, "DELETE FROM %s t", table->name);
			WritePlace(&sql);
			break;
		case DELETE_SEVERAL:
			WriteDeleteSeveral(&sql, table);
			break;
		case FILL_ROW:
			WriteFill(&sql, table, columns, nparameters);
			break;
	}
	return sql.data;
}

/*
 * What the text does not say. Where a place is given, the key lets PostgreSQL leave out partitions, if it
 * says anything about them.
 */
static Expr *
RowCondition(const MergedTable *table, RowStatement kind, const Bitmapset *columns)
{
	const Target *target = table->target;
	Bitmapset  *null_columns = bms_intersect(columns, target->key_columns);

	if (kind == LOCK_ROWS || kind == READ_ROWS)
		return LookupCondition(target, null_columns, 1);
	return target->partitioned ? KeyCondition(target, null_columns, 3) : NULL;
}

static PreparedSql *
PrepareRowStatement(MergedTable *table, RowStatement kind, const Bitmapset *columns,
					const Arguments *arguments)
{
	CheckedSql	sql = {
		.text = WriteRowStatement(table, kind, columns, arguments->n),
		.relations = list_make1_oid(table->target->relid),
		.condition = RowCondition(table, kind, columns),
	};
	MemoryContext caller = MemoryContextSwitchTo(table->context);
	PreparedSql *statement;

	/* The values make no difference to the plan, unless they tell which partitions matter. */
	statement = PrepareSql(&sql, arguments, table->target->partitioned ? 0 : CURSOR_OPT_GENERIC_PLAN);
	MemoryContextSwitchTo(statement->context);
	statement->kind = kind;
	statement->columns = bms_copy(columns);
	MemoryContextSwitchTo(caller);
	return statement;
}

static void
KeepStatement(MergedTable *table, PreparedSql *statement)
{
	MemoryContext caller = MemoryContextSwitchTo(table->context);

	if (list_length(table->statements) >= MAX_STATEMENTS)
	{
		FreeSql(llast(table->statements));
		table->statements = list_delete_last(table->statements);
	}
	table->statements = lcons(statement, table->statements);
	MemoryContextSwitchTo(caller);
}

/* Returns the statement of this kind for these columns, prepared once. */
static PreparedSql *
GetRowStatement(MergedTable *table, RowStatement kind, const Bitmapset *columns,
				const Arguments *arguments)
{
	PreparedSql *statement = NULL;
	ListCell   *cell;

	foreach(cell, table->statements)
	{
		PreparedSql *kept = lfirst(cell);

		if (kept->kind != (int) kind || !bms_equal(kept->columns, columns))
			continue;
		statement = kept;
		table->statements = foreach_delete_current(table->statements, cell);
		break;
	}
	if (statement == NULL)
		statement = PrepareRowStatement(table, kind, columns, arguments);
	KeepStatement(table, statement);
	return statement;
}

/* Executes it, and returns the number of rows. */
static uint64
ExecuteRowStatement(const RowGroup *group, RowStatement kind, const Bitmapset *columns,
					const Arguments *arguments)
{
	return ExecuteSql(GetRowStatement(group->table, kind, columns, arguments), arguments, 0);
}

/* -- their arguments ---------------------------------------------------------- */

static void
AddColumn(Arguments *arguments, const Target *target, AttrNumber attnum, Datum value)
{
	AddArgument(arguments, TupleDescAttr(target->desc, attnum - 1)->atttypid, value, false);
}

/* Adds the key's values, but for NULLs, which are part of the statement; returns their columns. */
static Bitmapset *
AddKey(Arguments *arguments, const RowGroup *group)
{
	const Target *target = group->table->target;
	Bitmapset  *null_columns = NULL;

	for (int i = 0; i < target->nkey_columns; i++)
	{
		AttrNumber	attnum = target->keys[i].column->attnum;

		if (group->key->isnull[attnum - 1])
			null_columns = bms_add_member(null_columns, attnum);
		else
			AddColumn(arguments, target, attnum, group->key->values[attnum - 1]);
	}
	return null_columns;
}

/* The key's values, and its hash if an index has that, and room for one more. */
static Arguments *
KeyArguments(const RowGroup *group, Bitmapset **null_columns)
{
	const Target *target = group->table->target;
	Arguments  *arguments = MakeArguments(target->nkey_columns + 2);

	*null_columns = AddKey(arguments, group);
	if (IsKeyIndexOnHash(target))
		AddArgument(arguments, INT8OID, Int64GetDatum((int64) HashKey(target, group->key)), false);
	return arguments;
}

/* A place, and the key's values where they may tell the partition, and room for all columns. */
static Arguments *
PlaceArguments(const RowGroup *group, const MergedRow *row, Bitmapset **null_columns)
{
	const Target *target = group->table->target;
	Arguments  *arguments = MakeArguments(2 + target->nkey_columns + target->ncolumns);

	AddArgument(arguments, TIDOID, PointerGetDatum(&row->tid), false);
	AddArgument(arguments, OIDOID, ObjectIdGetDatum(row->table), false);
	*null_columns = target->partitioned ? AddKey(arguments, group) : NULL;
	return arguments;
}

static Datum
OidArray(const List *oids)
{
	Datum	   *elements = palloc(list_length(oids) * sizeof(Datum));
	ListCell   *cell;

	foreach(cell, oids)
		elements[foreach_current_index(cell)] = ObjectIdGetDatum(lfirst_oid(cell));
	return PointerGetDatum(construct_array(elements, list_length(oids), OIDOID,
										   sizeof(Oid), true, TYPALIGN_INT));
}

/* The places of all rows but the first, and the key's values as above. */
static Arguments *
OtherPlaces(const RowGroup *group, Bitmapset **null_columns)
{
	const Target *target = group->table->target;
	Arguments  *arguments = MakeArguments(2 + target->nkey_columns);
	int			nothers = group->nrows - 1;
	Datum	   *places = palloc(nothers * sizeof(Datum));
	List	   *holders = NIL;

	for (int i = 0; i < nothers; i++)
	{
		places[i] = PointerGetDatum(&group->rows[i + 1].tid);
		holders = lappend_oid(holders, group->rows[i + 1].table);
	}
	AddArgument(arguments, TIDARRAYOID,
				PointerGetDatum(construct_array(places, nothers, TIDOID, sizeof(ItemPointerData),
												false, TYPALIGN_SHORT)), false);
	AddArgument(arguments, OIDARRAYOID, OidArray(holders), false);
	*null_columns = target->partitioned ? AddKey(arguments, group) : NULL;
	return arguments;
}

/* -- reading ------------------------------------------------------------------ */

/* Copies the nth row that a statement returned as (tableoid, ctid, columns). */
static MergedRow
ReadRow(const Target *target, int n)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;
	HeapTuple	tuple = heap_copytuple(SPI_tuptable->vals[n]);
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *isnull = palloc(desc->natts * sizeof(bool));
	const Row  *row = MakeRow(target);

	if (desc->natts != target->ncolumns + 2)
		elog(ERROR, "table \"%s\" has %d columns, not %d", target->name, desc->natts - 2, target->ncolumns);
	heap_deform_tuple(tuple, desc, values, isnull);
	for (int i = 0; i < target->ncolumns; i++)
	{
		int			index = target->columns_by_attnum[i]->attnum - 1;

		row->values[index] = values[i + 2];
		row->isnull[index] = isnull[i + 2];
	}
	return (MergedRow) {
		.table = DatumGetObjectId(values[0]),
		.tid = *(ItemPointer) DatumGetPointer(values[1]),
		.values = row->values,
		.isnull = row->isnull,
	};
}

/* Reads all that have the key, and locks those in the tables that are known FOR UPDATE if asked to. */
static MergedRow *
ReadRows(const RowGroup *group, RowStatement kind, int *nrows)
{
	Bitmapset  *null_columns;
	Arguments  *arguments = KeyArguments(group, &null_columns);
	MergedRow  *rows;

	if (kind == LOCK_ROWS)
		AddArgument(arguments, OIDARRAYOID, OidArray(group->table->tables), false);
	*nrows = ExecuteRowStatement(group, kind, null_columns, arguments);
	rows = palloc(Max(*nrows, 1) * sizeof(MergedRow));
	for (int i = 0; i < *nrows; i++)
		rows[i] = ReadRow(group->table->target, i);
	SPI_freetuptable(SPI_tuptable);
	return rows;
}

/*
 * Finds the rows of the group's key. They are locked FOR UPDATE, so that nobody else changes,
 * deletes or begins to reference them. A table that was attached since we locked them all may be
 * referenced by others than we know of: its rows are left alone.
 */
void
FindGroup(RowGroup *group)
{
	group->rows = ReadRows(group, LOCK_ROWS, &group->nrows);
}

/* Is it the same row, perhaps as it was written since? */
static bool
HasSameName(const MergedTable *table, const MergedRow *a, const MergedRow *b)
{
	ItemPointerData place = a->tid;
	ItemPointerData other = b->tid;
	ListCell   *cell;

	if (table->identity == NIL)
		return a->table == b->table && ItemPointerEquals(&place, &other);
	foreach(cell, table->identity)
	{
		if (!SameImage(table->target, lfirst_int(cell), a->values, a->isnull, b->values, b->isnull))
			return false;
	}
	return true;
}

/* Finds the row of that name, most likely at the given position. */
static const MergedRow *
FindSameName(const MergedTable *table, const MergedRow *rows, int nrows, int position,
			 const MergedRow *wanted)
{
	for (int i = 0; i < nrows; i++)
	{
		const MergedRow *row = &rows[(position + i) % nrows];

		if (HasSameName(table, row, wanted))
			return row;
	}
	return NULL;
}

/*
 * Reads the rows again, as triggers may have written to them. They are locked, so nobody else
 * can have. Returns false if one of them does not have the key any more.
 */
bool
ReadGroupAgain(RowGroup *group)
{
	int			nfound;
	MergedRow  *found = ReadRows(group, READ_ROWS, &nfound);

	for (int i = 0; i < group->nrows; i++)
	{
		const MergedRow *row = FindSameName(group->table, found, nfound, i, &group->rows[i]);

		if (row == NULL)
			return false;
		group->rows[i] = *row;
	}
	return true;
}

static void
ReportKeptOthers(const MergedTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("cannot merge rows of table \"%s\"", table->name),
			 errdetail("A trigger keeps rows from being deleted, or creates them again."),
			 errtable(table->rel)));
}

static void
ReportLostKept(const MergedTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("cannot merge rows of table \"%s\"", table->name),
			 errdetail("A trigger deletes the kept row, or gives it another key or, with no primary key,"
					   " another place."),
			 errtable(table->rel)));
}

/* Reads the kept row again, and makes sure that no other of the group is left. */
void
ReadKept(RowGroup *group)
{
	const MergedTable *table = group->table;
	int			nfound;
	MergedRow  *found = ReadRows(group, READ_ROWS, &nfound);
	const MergedRow *kept = FindSameName(table, found, nfound, 0, &group->rows[0]);

	if (kept == NULL)
		ReportLostKept(table);
	for (int i = 1; i < group->nrows; i++)
	{
		if (FindSameName(table, found, nfound, 0, &group->rows[i]))
			ReportKeptOthers(table);
	}
	group->rows[0] = *kept;
}

/* -- writing ------------------------------------------------------------------ */

/* Is the row there, also if its table is a partition no more? */
static bool
IsThere(const MergedRow *row)
{
	Relation	rel = table_open(row->table, NoLock);
	ItemPointerData tid = row->tid;
	TupleTableSlot *slot;
	bool		found = true;

	if (RELKIND_HAS_TABLE_AM(rel->rd_rel->relkind))
	{
		slot = table_slot_create(rel, NULL);
		PushActiveSnapshot(GetLatestSnapshot());
		found = table_tuple_fetch_row_version(rel, &tid, GetActiveSnapshot(), slot);
		PopActiveSnapshot();
		ExecDropSingleTupleTableSlot(slot);
	}
	table_close(rel, NoLock);
	return found;
}

/* Deletes all rows but the first, by one statement: a trigger may then write to others of them. */
void
DeleteOthers(const RowGroup *group)
{
	Bitmapset  *null_columns;
	Arguments  *arguments;
	uint64		nothers = group->nrows - 1;
	RowStatement kind = nothers == 1 ? DELETE_ONE : DELETE_SEVERAL;

	if (kind == DELETE_ONE)
		arguments = PlaceArguments(group, &group->rows[1], &null_columns);
	else
		arguments = OtherPlaces(group, &null_columns);
	if (ExecuteRowStatement(group, kind, null_columns, arguments) == nothers)
		return;
	/* A partition that is being detached is found neither by a new statement nor by the next look. */
	for (int i = 1; i < group->nrows; i++)
	{
		if (IsThere(&group->rows[i]))
			ReportKeptOthers(group->table);
	}
}

/* Returns the nearest of the others that has a value for the column, or NULL. */
static const MergedRow *
FindValue(const RowGroup *group, AttrNumber attnum)
{
	for (int i = 1; i < group->nrows; i++)
	{
		if (!group->rows[i].isnull[attnum - 1])
			return &group->rows[i];
	}
	return NULL;
}

/* The columns for which another row has a value, and the kept row has none. */
Bitmapset *
MissingColumns(const RowGroup *group)
{
	Bitmapset  *columns = NULL;
	int			attnum = -1;

	while ((attnum = bms_next_member(group->table->fillable, attnum)) >= 0)
	{
		if (group->rows[0].isnull[attnum - 1] && FindValue(group, attnum))
			columns = bms_add_member(columns, attnum);
	}
	return columns;
}

/* The kept row, as it is when these columns are filled in. */
MergedRow
FilledRow(const RowGroup *group, const Bitmapset *columns)
{
	const MergedRow *kept = &group->rows[0];
	const Row  *row = MakeRow(group->table->target);
	int			natts = group->table->target->desc->natts;
	int			attnum = -1;

	memcpy(row->values, kept->values, natts * sizeof(Datum));
	memcpy(row->isnull, kept->isnull, natts * sizeof(bool));
	while ((attnum = bms_next_member(columns, attnum)) >= 0)
	{
		row->values[attnum - 1] = FindValue(group, attnum)->values[attnum - 1];
		row->isnull[attnum - 1] = false;
	}
	return (MergedRow) {
		.table = kept->table,
		.tid = kept->tid,
		.values = row->values,
		.isnull = row->isnull,
	};
}

/* The others are gone by now: what the kept row takes over may be unique. */
void
FillKept(RowGroup *group, const Bitmapset *columns)
{
	const MergedTable *table = group->table;
	Bitmapset  *null_columns;
	Arguments  *arguments = PlaceArguments(group, &group->rows[0], &null_columns);
	int			attnum = -1;

	while ((attnum = bms_next_member(columns, attnum)) >= 0)
		AddColumn(arguments, table->target, attnum, FindValue(group, attnum)->values[attnum - 1]);
	if (ExecuteRowStatement(group, FILL_ROW, bms_union(columns, null_columns), arguments) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("cannot merge rows of table \"%s\"", table->name),
				 errdetail("A trigger keeps the kept row from being filled in."),
				 errtable(table->rel)));
	/* With no identity, its new place is its name. */
	group->rows[0] = ReadRow(table->target, 0);
	SPI_freetuptable(SPI_tuptable);
}
