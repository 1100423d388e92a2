/*
 * reference_index.c
 *		Which index serves to find the rows by which a foreign key references others.
 */
#include "postgres.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"

#include "keycondition.h"
#include "reference_index.h"

/* column IS NOT NULL for each of the child's: what a row that references another satisfies */
static List *
NotNullCondition(const Reference *reference, TupleDesc desc)
{
	List	   *tests = NIL;

	for (int i = 0; i < reference->ncolumns; i++)
	{
		NullTest   *test = makeNode(NullTest);

		test->arg = ColumnValue(desc, reference->child_columns[i]);
		test->nulltesttype = IS_NOT_NULL;
		test->location = -1;
		tests = lappend(tests, test);
	}
	return tests;
}

/* Which of the foreign key's columns does the index's column serve to look up? -1: none */
static int
ServedColumn(const Reference *reference, Relation index, int position)
{
	for (int i = 0; i < reference->ncolumns; i++)
	{
		Oid			collation = TupleDescAttr(reference->table->target->desc,
											  reference->columns[i] - 1)->attcollation;

		if (index->rd_index->indkey.values[position] == reference->child_columns[i] &&
			op_in_opfamily(get_commutator(reference->operators[i]), index->rd_opfamily[position]) &&
			(!OidIsValid(index->rd_indcollation[position]) || index->rd_indcollation[position] == collation))
			return i;
	}
	return -1;
}

/* Can the default kind of index on the child's columns serve? Not if they have to be converted first. */
static bool
CanBeServed(const Reference *reference, TupleDesc desc)
{
	for (int i = 0; i < reference->ncolumns; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, reference->child_columns[i] - 1);
		TypeCacheEntry *type = lookup_type_cache(column->atttypid, TYPECACHE_BTREE_OPFAMILY);

		if (!OidIsValid(type->btree_opf) ||
			!op_in_opfamily(get_commutator(reference->operators[i]), type->btree_opf))
			return false;
	}
	return true;
}

/* Does it have the foreign key's columns in front, and all rows that reference another? */
static bool
ServesReference(const Reference *reference, Relation child, Relation index)
{
	Bitmapset  *served = NULL;

	if (!index->rd_index->indisvalid || index->rd_indam->amgettuple == NULL ||
		!predicate_implied_by(RelationGetIndexPredicate(index),
							  NotNullCondition(reference, RelationGetDescr(child)), false))
		return false;
	for (int i = 0; i < Min(reference->ncolumns, index->rd_index->indnkeyatts); i++)
	{
		int			column = ServedColumn(reference, index, i);

		if (column < 0)
			return false;
		served = bms_add_member(served, column);
	}
	return bms_num_members(served) == reference->ncolumns;
}

static bool
HasServingIndex(const Reference *reference, Relation child)
{
	ListCell   *cell;
	bool		found = false;

	foreach(cell, RelationGetIndexList(child))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		found = found || ServesReference(reference, child, index);
		index_close(index, AccessShareLock);
	}
	return found;
}

/* Where all rows are on one page, no index makes a difference. */
static bool
IsSmall(const List *tables)
{
	BlockNumber nblocks = 0;
	ListCell   *cell;

	foreach(cell, tables)
	{
		Relation	rel = table_open(lfirst_oid(cell), NoLock);

		if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
			nblocks += RelationGetNumberOfBlocks(rel);
		table_close(rel, NoLock);
	}
	return nblocks <= 1;
}

/* product, code COLLATE pg_catalog."C", ...: as the foreign key compares them */
static char *
IndexColumns(const Reference *reference, TupleDesc desc)
{
	StringInfoData columns;

	initStringInfo(&columns);
	for (int i = 0; i < reference->ncolumns; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, reference->child_columns[i] - 1);
		Oid			collation = TupleDescAttr(reference->table->target->desc,
											  reference->columns[i] - 1)->attcollation;

		appendStringInfo(&columns, "%s%s", i > 0 ? ", " : "", quote_identifier(NameStr(column->attname)));
		if (OidIsValid(collation) && column->attcollation != collation)
			appendStringInfo(&columns, " COLLATE %s", generate_collation_name(collation));
	}
	return columns.data;
}

/* Tells of a child that is read as a whole for each key. CONCURRENTLY is not for partitioned tables. */
void
TellOfMissingIndex(const Reference *reference, Relation child, const List *tables)
{
	if (HasServingIndex(reference, child) || IsSmall(tables) ||
		!CanBeServed(reference, RelationGetDescr(child)))
		return;
	ereport(NOTICE,
			(errmsg("no index of table \"%s\" serves to find the rows that reference table \"%s\"",
					reference->name, reference->table->name),
			 errdetail("For each row that goes, the whole of it is read."),
			 errhint("Before you merge, create one: CREATE INDEX %sON %s (%s).",
					 reference->partitioned ? "" : "CONCURRENTLY ", reference->name,
					 IndexColumns(reference, RelationGetDescr(child)))));
}
