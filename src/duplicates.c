/*
 * duplicates.c
 *		Which keys have more than one row.
 *
 * It reads the table as the caller would, by a query, so the caller needs SELECT. row_security
 * is off: a key may have one more row than row-level security shows.
 *
 * A key's types can be hashed, but perhaps not ordered. So nothing here orders by the key, and no
 * aggregate is ordered, since PostgreSQL 15 sorts the groups for one. What is ordered are the rows
 * of a group, when it is complete.
 */
#include "postgres.h"

#include "access/table.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "access.h"
#include "checkedsql.h"
#include "condition.h"
#include "duplicates.h"
#include "identity.h"
#include "owner.h"
#include "table.h"
#include "targetcache.h"

/* t.brand, t.serial, t.manufacturer */
static char *
KeyList(const List *key)
{
	StringInfoData list;
	ListCell   *cell;

	initStringInfo(&list);
	foreach(cell, key)
		appendStringInfo(&list, "%st.%s", list.len > 0 ? ", " : "", quote_identifier(lfirst(cell)));
	return list.data;
}

/* FROM table t GROUP BY key HAVING count(*) > 1 */
static void
AppendGroups(StringInfo sql, Relation rel, const List *key)
{
	appendStringInfo(sql, " FROM %s t GROUP BY %s HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 1",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												RelationGetRelationName(rel)),
					 KeyList(key));
}

/* What the query asks of the caller: the key of all rows that count, row_security being off. */
static void
CheckMayCount(Relation rel, const List *key, const Expr *condition)
{
	const bool	no_error = false;
	Oid			relid = RelationGetRelid(rel);
	Bitmapset  *columns = condition ? ColumnsOf((const Node *) condition) : NULL;
	ListCell   *cell;

	CheckSchema(relid);
	foreach(cell, key)
		columns = bms_add_member(columns, get_attnum(relid, lfirst(cell)));
	CheckColumns(relid, columns, ACL_SELECT, "SELECT");
	(void) check_enable_rls(relid, InvalidOid, no_error);
}

/*
 * How many keys, given by the names of their columns, have more than one row, of those that satisfy the
 * condition, or of all if it is NULL? The query runs as the table's owner, as CREATE INDEX does: who protects
 * a table must not run the owner's functions as himself.
 */
int64
CountDuplicates(Relation rel, const List *key, Expr *condition)
{
	CheckedSql	sql = {.relations = list_make1_oid(RelationGetRelid(rel)), .condition = condition};
	StringInfoData text;
	Caller		caller;
	bool		isnull;
	int64		count;

	CheckMayCount(rel, key, condition);
	initStringInfo(&text);
	appendStringInfoString(&text, "SELECT pg_catalog.count(*) FROM (SELECT");
	AppendGroups(&text, rel, key);
	appendStringInfoString(&text, ") d");
	sql.text = text.data;

	caller = BecomeOwner(rel->rd_rel->relowner, SECURITY_RESTRICTED_OPERATION);
	SPI_connect();
	ExecuteChecked(&sql, PrepareChecked(&sql, 0, NULL, 0), NULL, NULL, InvalidSnapshot, 0);
	count = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	BecomeCaller(&caller);
	return count;
}

/* jsonb_build_object('brand', d.k1, ...), of the keys' columns as AppendKeyColumns() names them */
static void
AppendKeyObject(StringInfo sql, const List *key)
{
	int			n = 0;
	ListCell   *cell;

	appendStringInfoString(sql, "pg_catalog.jsonb_build_object(");
	foreach(cell, key)
	{
		appendStringInfo(sql, "%s%s, d.k%d", n > 0 ? ", " : "", quote_literal_cstr(lfirst(cell)), n + 1);
		n++;
	}
	appendStringInfoChar(sql, ')');
}

/* t.brand AS k1, ... */
static void
AppendKeyColumns(StringInfo sql, const List *key)
{
	int			n = 0;
	ListCell   *cell;

	foreach(cell, key)
		appendStringInfo(sql, "t.%s AS k%d, ", quote_identifier(lfirst(cell)), ++n);
}

/* t.id, or t.tableoid, t.ctid if there is nothing but a row's place to identify it */
static void
AppendIdentity(StringInfo sql, const List *identity)
{
	const char *separator = "";
	ListCell   *cell;

	if (identity == NIL)
		appendStringInfoString(sql, "t.tableoid, t.ctid");
	foreach(cell, identity)
	{
		appendStringInfo(sql, "%st.%s", separator, quote_identifier(lfirst(cell)));
		separator = ", ";
	}
}

/*
 * What identifies a row, of the object r.f that the fields of AppendIdentity() are in: f1, f2 ...
 * One value as it is, several as an object.
 */
static void
AppendIdentityObject(StringInfo sql, const List *identity)
{
	int			n = 0;
	ListCell   *cell;

	if (identity == NIL)
		appendStringInfoString(sql, "pg_catalog.jsonb_build_object('table', "
							   "(r.f OPERATOR(pg_catalog.->>) 'f1')::pg_catalog.oid::pg_catalog.regclass, "
							   "'ctid', r.f OPERATOR(pg_catalog.->) 'f2')");
	else if (list_length(identity) == 1)
		appendStringInfoString(sql, "r.f OPERATOR(pg_catalog.->) 'f1'");
	else
	{
		appendStringInfoString(sql, "pg_catalog.jsonb_build_object(");
		foreach(cell, identity)
		{
			appendStringInfo(sql, "%s%s, r.f OPERATOR(pg_catalog.->) 'f%d'", n > 0 ? ", " : "",
							 quote_literal_cstr(lfirst(cell)), n + 1);
			n++;
		}
		appendStringInfoChar(sql, ')');
	}
}

/*
 * SELECT key, copies, rows
 *	 FROM (SELECT key, count(*) AS copies, array_agg(ROW(identity)) AS rows FROM table t GROUP BY key ...) d
 *
 * Records compare as their fields do, one after the other.
 */
static char *
WriteList(Relation rel, const List *key, const List *identity)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	AppendKeyObject(&sql, key);
	appendStringInfoString(&sql, ", d.copies, (SELECT pg_catalog.jsonb_agg(");
	AppendIdentityObject(&sql, identity);
	appendStringInfoString(&sql, " ORDER BY r.r) FROM (SELECT u.r, pg_catalog.to_jsonb(u.r) AS f"
						   " FROM (SELECT pg_catalog.unnest(d.rows) AS r) u) r) FROM (SELECT ");
	AppendKeyColumns(&sql, key);
	appendStringInfoString(&sql, "pg_catalog.count(*) AS copies, pg_catalog.array_agg(ROW(");
	AppendIdentity(&sql, identity);
	appendStringInfoString(&sql, ")) AS rows");
	AppendGroups(&sql, rel, key);
	appendStringInfoString(&sql, ") d");
	return sql.data;
}

static List *
KeyNames(const Target *target)
{
	List	   *names = NIL;

	for (int i = 0; i < target->nkey_columns; i++)
		names = lappend(names, unconstify(char *, target->keys[i].column->name));
	return names;
}

/* The names of columns that are given as attribute numbers. */
static List *
ColumnNames(Relation rel, const List *columns)
{
	List	   *names = NIL;
	ListCell   *cell;

	foreach(cell, columns)
		names = lappend(names, NameStr(TupleDescAttr(RelationGetDescr(rel), lfirst_int(cell) - 1)->attname));
	return names;
}

/*
 * Puts the keys that have more than one row into the result, which is in the context: the key as
 * an object, the number of its rows, and an array of what identifies them.
 */
void
ListDuplicates(Oid relid, Tuplestorestate *result, MemoryContext context)
{
	Relation	rel = OpenToLook(relid);
	DestReceiver *receiver = CreateDestReceiver(DestTuplestore);
	const Target *target = AcquireTarget(rel);
	CheckedSql	sql = {.relations = list_make1_oid(relid), .condition = target->condition.source};

	sql.text = WriteList(rel, KeyNames(target), ColumnNames(rel, IdentityColumns(rel)));
	table_close(rel, NoLock);

	SetTuplestoreDestReceiverParams(receiver, result, context, false, NULL, NULL);
	SPI_connect();
	ExecuteCheckedInto(&sql, PrepareChecked(&sql, 0, NULL, 0), receiver);
	SPI_finish();
	receiver->rDestroy(receiver);
}
