/*
 * rejects.c
 *		The table that takes the rows of a load that failed.
 *
 * It is written to as by any INSERT of the caller's: with his privileges, its triggers, constraints and
 * policies. An error there is no row's fault, and stops the load.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "access.h"
#include "arguments.h"
#include "compat.h"
#include "rejects.h"
#include "table.h"

typedef struct RejectColumn
{
	const char *name;
	Oid			type;
	bool		required;
} RejectColumn;

static const RejectColumn reject_columns[] = {
	{"record", JSONBOID, true},
	{"sqlstate", TEXTOID, true},
	{"message", TEXTOID, true},
	{"detail", TEXTOID, false},
	{"context", TEXTOID, false},
};

static void
CheckKind(Relation rel)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION && rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation \"%s\" cannot take rejected rows", RelationGetRelationName(rel)),
				 errdetail_relkind_not_supported(rel->rd_rel->relkind)));
}

/* Returns the attnum of the table's column, or InvalidAttrNumber if there need be none: 42703, 42804. */
static AttrNumber
FindRejectColumn(Relation rel, const RejectColumn *column)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(rel), column->name);

	if (attnum == InvalidAttrNumber && column->required)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist", column->name,
						RelationGetRelationName(rel)),
				 errhint("Rejected rows are put into columns record jsonb, sqlstate text, message text and,"
						 " if they are there, detail text, context text."),
				 errtable(rel)));
	if (attnum != InvalidAttrNumber &&
		getBaseType(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid) != column->type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is not of type %s", column->name,
						RelationGetRelationName(rel), format_type_be(column->type)),
				 errtablecol(rel, attnum)));
	return attnum;
}

/* Finds its columns, and raises 42501 unless the caller may insert into them. */
static void
ChooseRejectColumns(Rejects *rejects)
{
	Bitmapset  *attnums = NULL;

	for (int i = 0; i < (int) lengthof(reject_columns); i++)
	{
		AttrNumber	attnum = FindRejectColumn(rejects->rel, &reject_columns[i]);

		if (attnum == InvalidAttrNumber)
			continue;
		attnums = bms_add_member(attnums, attnum);
		rejects->columns = lappend(rejects->columns, unconstify(RejectColumn *, &reject_columns[i]));
	}
	CheckMayInsert(RelationGetRelid(rejects->rel), attnums);
}

/* INSERT INTO table (record, ...) VALUES ($1, ...) */
static char *
WriteInsert(const Rejects *rejects)
{
	Relation	rel = rejects->rel;
	StringInfoData names;
	StringInfoData values;
	ListCell   *cell;

	initStringInfo(&names);
	initStringInfo(&values);
	foreach(cell, rejects->columns)
	{
		const RejectColumn *column = lfirst(cell);
		int			n = foreach_current_index(cell);

		appendStringInfo(&names, "%s%s", n > 0 ? ", " : "", quote_identifier(column->name));
		appendStringInfo(&values, "%s$%d", n > 0 ? ", " : "", n + 1);
	}
	return psprintf("INSERT INTO %s (%s) VALUES (%s)",
					quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
											   RelationGetRelationName(rel)),
					names.data, values.data);
}

/* Locks and opens the table, and makes sure that it can take what Reject() will put into it. */
Rejects *
OpenRejects(Oid relid, const char *function)
{
	const bool	whole_table = false;
	Rejects    *rejects = palloc0(sizeof(Rejects));
	Oid			root;

	rejects->rel = OpenTable(relid, whole_table, function, &root);
	CheckKind(rejects->rel);
	ChooseRejectColumns(rejects);
	rejects->sql.text = WriteInsert(rejects);
	rejects->sql.relations = list_make1_oid(relid);
	return rejects;
}

/* Gets ready for Reject(), until the connection to SPI ends that the caller has. */
void
PrepareRejects(Rejects *rejects)
{
	Oid			types[lengthof(reject_columns)];
	ListCell   *cell;

	foreach(cell, rejects->columns)
		types[foreach_current_index(cell)] = ((RejectColumn *) lfirst(cell))->type;
	rejects->plan = PrepareChecked(&rejects->sql, list_length(rejects->columns), types,
								   CURSOR_OPT_GENERIC_PLAN);
}

static void
AddText(Arguments *arguments, const char *string)
{
	AddArgument(arguments, TEXTOID, string ? CStringGetTextDatum(string) : (Datum) 0, string == NULL);
}

/* Puts a record, which is jsonb, into the table, and why it failed. */
void
Reject(const Rejects *rejects, Datum record, bool isnull, const ErrorData *error)
{
	MemoryContext caller = CurrentMemoryContext;
	Arguments  *arguments = MakeArguments(lengthof(reject_columns));
	ListCell   *cell;

	AddArgument(arguments, JSONBOID, record, isnull);
	AddText(arguments, unpack_sql_state(error->sqlerrcode));
	AddText(arguments, error->message);
	for_each_from(cell, rejects->columns, 3)
	{
		const RejectColumn *column = lfirst(cell);

		AddText(arguments, strcmp(column->name, "detail") == 0 ? error->detail : error->context);
	}
	SPI_connect();
	ExecuteChecked(&rejects->sql, rejects->plan, arguments->values, arguments->nulls, InvalidSnapshot, 0);
	SPI_finish();
	MemoryContextSwitchTo(caller);
}

void
CloseRejects(Rejects *rejects)
{
	table_close(rejects->rel, NoLock);
}
