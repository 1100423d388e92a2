/*
 * keyindex.c
 *		Which indexes serve a table's key: to look it up, and to yield to.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "catalog/pg_opfamily.h"
#include "rewrite/prs2lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "condition.h"
#include "declaration.h"
#include "keyhash.h"
#include "keyindex.h"

/* Returns the key column that the index column is, or NULL. */
static KeyColumn *
KeyColumnOfIndex(const Target *target, Relation index, int position)
{
	AttrNumber	attnum = index->rd_index->indkey.values[position];

	for (int i = 0; i < target->nkey_columns; i++)
	{
		if (target->keys[i].column->attnum == attnum)
			return &target->keys[i];
	}
	return NULL;
}

/* Does the index column know the key column's idea of equality? */
static bool
SharesEquality(const KeyColumn *key, Relation index, int position)
{
	return index->rd_indcollation[position] == key->collation &&
		op_in_opfamily(key->eq_operator, index->rd_opfamily[position]);
}

static bool
IsPartial(Relation index)
{
	return !heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);
}

/*
 * Returns the index's predicate, or NULL, as it is in the catalog: core's function for it would run
 * functions to fold constants.
 */
Expr *
IndexPredicate(Relation index)
{
	bool		isnull;
	Datum		predicate = SysCacheGetAttr(INDEXRELID, index->rd_indextuple,
											Anum_pg_index_indpred, &isnull);

	return isnull ? NULL : (Expr *) stringToNode(TextDatumGetCString(predicate));
}

/* Has it all rows that count? So it is if its predicate is the key's condition. */
static bool
HasAllThatCount(const Target *target, Relation index)
{
	return !IsPartial(index) ||
		(target->condition.source && equal(IndexPredicate(index), target->condition.source));
}

/* Returns the expressions that the index has for columns, as they are in the catalog. */
static List *
IndexExpressions(Relation index)
{
	bool		isnull;
	Datum		expressions = SysCacheGetAttr(INDEXRELID, index->rd_indextuple,
											  Anum_pg_index_indexprs, &isnull);

	return isnull ? NIL : (List *) stringToNode(TextDatumGetCString(expressions));
}

/* Has the index all rows that count, and may it be searched? */
static bool
IsUsable(const Target *target, Relation index)
{
	return index->rd_index->indisvalid && HasAllThatCount(target, index);
}

/* Can a search for the key start from this index? */
static bool
ServesLookup(const Target *target, Relation index)
{
	const KeyColumn *key = KeyColumnOfIndex(target, index, 0);

	return IsUsable(target, index) &&
		(index->rd_rel->relam == BTREE_AM_OID || index->rd_rel->relam == HASH_AM_OID) &&
		key != NULL && SharesEquality(key, index, 0);
}

/* The columns of the key that the index has in front of all others. */
static Bitmapset *
LeadingKeyColumns(const Target *target, Relation index)
{
	Bitmapset  *columns = NULL;

	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
	{
		KeyColumn  *key = KeyColumnOfIndex(target, index, i);

		if (key == NULL || !SharesEquality(key, index, i))
			break;
		columns = bms_add_member(columns, key->column->attnum);
	}
	return columns;
}

/* Is the index ordered by the whole key first? */
static bool
HasKeyInFront(const Target *target, Relation index)
{
	return index->rd_rel->relam == BTREE_AM_OID &&
		bms_equal(LeadingKeyColumns(target, index), target->key_columns);
}

/*
 * Is the index's first column the hash of the key? Returns the function that it calls
 * for that, or InvalidOid.
 */
static Oid
HashFunctionOfIndex(const Target *target, Relation index)
{
	FuncExpr   *call;

	if (!IsUsable(target, index) || index->rd_index->indkey.values[0] != InvalidAttrNumber ||
		index->rd_opfamily[0] != INTEGER_BTREE_FAM_OID)
		return InvalidOid;
	call = linitial(IndexExpressions(index));
	if (!IsA(call, FuncExpr) || list_length(call->args) != target->nkey_columns ||
		!HasSymbol(call->funcid, HASH_SYMBOL))
		return InvalidOid;
	for (int i = 0; i < target->nkey_columns; i++)
	{
		Var		   *argument = list_nth(call->args, i);

		if (!IsA(argument, Var) || argument->varattno != target->keys[i].column->attnum)
			return InvalidOid;
	}
	return call->funcid;
}

/* Is the key looked up by its hash? Then what is found may have another key. */
bool
IsKeyIndexOnHash(const Target *target)
{
	return target->key_index && OidIsValid(target->key_index->hash_function);
}

static KeyIndex *
MakeKeyIndex(Relation index)
{
	KeyIndex   *result = palloc0(sizeof(KeyIndex));

	result->oid = RelationGetRelid(index);
	result->natts = index->rd_index->indnkeyatts;
	result->partial = IsPartial(index);
	/* Built over broken HOT chains, it must not be used by who could see their older members. */
	if (index->rd_index->indcheckxmin)
		result->not_before = HeapTupleHeaderGetXmin(index->rd_indextuple->t_data);
	result->scan_keys = palloc0(index->rd_index->indnkeyatts * sizeof(ScanKeyData));
	return result;
}

/* One scan key, for the hash. */
static KeyIndex *
BuildHashIndex(Relation index, Oid hash_function)
{
	KeyIndex   *result = MakeKeyIndex(index);

	result->hash_function = hash_function;
	result->hash = linitial(IndexExpressions(index));
	ScanKeyInit(&result->scan_keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, (Datum) 0);
	result->nscan_keys = 1;
	return result;
}

/* One scan key for each of the index's columns, from the first, that is in the key. */
static KeyIndex *
BuildKeyIndex(const Target *target, Relation index)
{
	KeyIndex   *result = MakeKeyIndex(index);
	int			natts = index->rd_index->indnkeyatts;

	result->attnums = palloc(natts * sizeof(AttrNumber));
	for (int i = 0; i < natts; i++)
	{
		KeyColumn  *key = KeyColumnOfIndex(target, index, i);
		int			strategy;
		Oid			left;
		Oid			right;

		if (key == NULL || !SharesEquality(key, index, i))
			break;
		get_op_opfamily_properties(key->eq_operator, index->rd_opfamily[i], false,
								   &strategy, &left, &right);
		ScanKeyEntryInitializeWithInfo(&result->scan_keys[i], 0, i + 1, strategy, right,
									   key->collation, &key->eq_function, (Datum) 0);
		result->attnums[i] = key->column->attnum;
		result->nscan_keys++;
	}
	return result;
}

/* Is the index a unique constraint on the columns of the key and no others? */
static bool
IsUniqueOnColumns(const Target *target, Relation index)
{
	Bitmapset  *covered = NULL;

	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
	{
		KeyColumn  *key = KeyColumnOfIndex(target, index, i);

		if (key == NULL)
			return false;
		covered = bms_add_member(covered, key->column->attnum);
	}
	return index->rd_index->indisunique && bms_equal(covered, target->key_columns);
}

/*
 * Does the index keep the key unique among some of the rows, by more than the key itself? Then
 * the others, such as deleted ones, may well have the key of one of them.
 */
bool
ExemptsRows(Relation index, const Bitmapset *key_columns)
{
	Bitmapset  *columns = NULL;

	if (!index->rd_index->indisunique || !IsPartial(index))
		return false;
	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
		columns = bms_add_member(columns, index->rd_index->indkey.values[i]);
	return bms_equal(columns, key_columns) &&
		!bms_is_subset(ColumnsOf((Node *) IndexPredicate(index)), key_columns);
}

/*
 * Can an insert yield to it? That is so if it is unique on exactly the key, with the same idea of equality,
 * for all rows that count, and tells at once.
 */
bool
CanArbitrate(const Target *target, Relation index)
{
	return index->rd_index->indimmediate && IsUniqueOnColumns(target, index) &&
		HasKeyInFront(target, index) && HasAllThatCount(target, index);
}

/*
 * Does it refuse rows, although ON CONFLICT does not take it for an arbiter? So it is while it is built,
 * replaced or dropped CONCURRENTLY.
 */
static bool
IsUnfinished(const Target *target, Relation index)
{
	return index->rd_index->indisready && !index->rd_index->indisvalid && CanArbitrate(target, index);
}

/* ON CONFLICT does not go with rules that rewrite the write. */
static bool
HasWriteRules(Relation rel)
{
	if (rel->rd_rules == NULL)
		return false;
	for (int i = 0; i < rel->rd_rules->numLocks; i++)
	{
		if (rel->rd_rules->rules[i]->event != CMD_SELECT)
			return true;
	}
	return false;
}

/* Best is an index on the hash, then one without rows that do not count, then one with fewer columns. */
static bool
IsBetterToFind(const KeyIndex *candidate, const KeyIndex *best)
{
	if (best == NULL)
		return true;
	if (OidIsValid(candidate->hash_function) != OidIsValid(best->hash_function))
		return OidIsValid(candidate->hash_function);
	if (candidate->partial != best->partial)
		return candidate->partial;
	return candidate->natts < best->natts;
}

/* The index by which the whole key is found. */
static void
ConsiderToFind(Target *target, Relation index)
{
	Oid			hash_function = HashFunctionOfIndex(target, index);
	KeyIndex   *candidate = NULL;

	if (OidIsValid(hash_function))
		candidate = BuildHashIndex(index, hash_function);
	else if (IsUsable(target, index) && HasKeyInFront(target, index))
		candidate = BuildKeyIndex(target, index);
	if (candidate && IsBetterToFind(candidate, target->key_index))
		target->key_index = candidate;
}

/* Returns the index by which the whole key is found in the relation, by what its indexes are now; or NULL. */
KeyIndex *
FindKeyIndex(Target *target, Relation rel)
{
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		ConsiderToFind(target, index);
		index_close(index, AccessShareLock);
	}
	return target->key_index;
}

/* Failing that, the index from which a search can start: best by a hash index, which takes any length. */
static void
ConsiderToStart(Target *target, Relation index)
{
	if (!ServesLookup(target, index) || target->is_lookup_by_hash)
		return;
	target->lookup_index = RelationGetRelid(index);
	target->is_lookup_by_hash = index->rd_rel->relam == HASH_AM_OID;
}

/* What there is of unique indexes on exactly the key. */
static void
ConsiderToYield(Target *target, Relation index, bool has_children)
{
	if (!IsUniqueOnColumns(target, index))
		return;
	target->unfinished |= IsUnfinished(target, index);
	/* ON CONFLICT does not take deferrable constraints, even beside another. */
	target->yields &= index->rd_index->indimmediate;
	if (!index->rd_index->indisvalid || !CanArbitrate(target, index))
		return;
	target->arbiters = lappend_oid(target->arbiters, RelationGetRelid(index));
	/* Inheritance children have rows of the table that are not in its index. */
	target->index_enforces_key = !has_children;
	target->index_enforces_nulls |= !has_children && index->rd_index->indnullsnotdistinct;
}

/* Until a condition is declared, an index that exempts rows is a sign that there ought to be one. */
static void
ConsiderToWarn(Target *target, Relation index)
{
	if (target->condition.source == NULL && ExemptsRows(index, target->key_columns))
		target->exempting_index = RelationGetRelid(index);
}

/* Works out what the table's indexes are good for. */
void
BuildIndexes(Target *target, Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	bool		has_children = rel->rd_rel->relhassubclass && !target->partitioned;
	ListCell   *cell;

	target->yields = !HasWriteRules(rel);
	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		ConsiderToFind(target, index);
		ConsiderToStart(target, index);
		ConsiderToYield(target, index, has_children);
		ConsiderToWarn(target, index);
		index_close(index, AccessShareLock);
	}
	if (!target->yields)
		target->arbiters = NIL;
	if (target->key_index)
		target->lookup_index = target->key_index->oid;
	list_free(indexes);
}

/* The same as target->unfinished, by what the relation's indexes are now. */
bool
LooksUnfinished(const Target *target, Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *cell;
	bool		unfinished = false;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		unfinished |= IsUnfinished(target, index);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return unfinished;
}
