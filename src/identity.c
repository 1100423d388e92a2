/*
 * identity.c
 *		What tells a row of a table from all others.
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/pg_class.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "identity.h"

/* Is the column never null, and of a type that has an order? */
static bool
CanIdentify(TupleDesc desc, AttrNumber attnum)
{
	Oid			type = TupleDescAttr(desc, attnum - 1)->atttypid;

	return HasNoNulls(desc, attnum) &&
		OidIsValid(lookup_type_cache(type, TYPECACHE_LT_OPR)->lt_opr);
}

/* Do its columns identify a row, at any time and whichever rows there are? */
static bool
IdentifiesRows(Relation rel, Relation index)
{
	if (!index->rd_index->indisunique || !index->rd_index->indimmediate ||
		!index->rd_index->indisvalid || RelationGetIndexPredicate(index) != NIL ||
		RelationGetIndexExpressions(index) != NIL)
		return false;
	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
	{
		if (!CanIdentify(RelationGetDescr(rel), index->rd_index->indkey.values[i]))
			return false;
	}
	return true;
}

/* The primary key comes first, then what has the fewest columns. */
static bool
IsBetter(Form_pg_index index, bool is_primary, int ncolumns)
{
	if (index->indisprimary != is_primary)
		return index->indisprimary;
	return index->indnkeyatts < ncolumns;
}

/*
 * Returns the columns, as attribute numbers in the order of the index, that identify a row: those
 * of the primary key or, failing that, of another unique constraint without nulls. NIL if there
 * are none, or if they do so in only one of several tables: a table's rows are those of its
 * children as well, and its indexes are not.
 */
List *
IdentityColumns(Relation rel)
{
	bool		has_children = rel->rd_rel->relkind == RELKIND_RELATION && rel->rd_rel->relhassubclass;
	List	   *columns = NIL;
	bool		is_primary = false;
	int			ncolumns = INDEX_MAX_KEYS + 1;
	List	   *indexes;
	ListCell   *cell;

	if (has_children)
		return NIL;
	indexes = RelationGetIndexList(rel);
	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (IdentifiesRows(rel, index) && IsBetter(index->rd_index, is_primary, ncolumns))
		{
			is_primary = index->rd_index->indisprimary;
			ncolumns = index->rd_index->indnkeyatts;
			list_free(columns);
			columns = NIL;
			for (int i = 0; i < ncolumns; i++)
				columns = lappend_int(columns, index->rd_index->indkey.values[i]);
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return columns;
}
