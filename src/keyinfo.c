/*
 * keyinfo.c
 *		What functions in SQL ask about a table's key.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "call.h"
#include "engine.h"
#include "keyhash.h"
#include "keyinfo.h"
#include "keylock.h"
#include "row.h"
#include "statement.h"

/* Opens a table to look at it; it stays locked against changes until the transaction ends. */
static Relation
OpenToLook(Oid relid)
{
	RequireTable(relid);
	return table_open(relid, AccessShareLock);
}

/* Raises 0A000 if another extension keeps the table's rows where a guard cannot look for a key. */
void
CheckProtectable(Oid relid)
{
	const bool	guarded = false;
	Relation	rel = OpenToLook(relid);

	RejectDistributed(rel);
	RejectHypertable(rel);
	RejectChunk(rel, guarded);
	table_close(rel, NoLock);
}

/* The names of the key's columns, as the table's guard declares them or by default. */
ArrayType *
KeyColumns(Oid relid)
{
	Relation	rel = OpenToLook(relid);
	Target	   *target = AcquireTarget(rel);
	Datum	   *names = palloc(target->nkeys * sizeof(Datum));

	for (int i = 0; i < target->nkeys; i++)
		names[i] = DirectFunctionCall1(namein, CStringGetDatum(target->keys[i].column->name));
	table_close(rel, NoLock);
	return construct_array(names, target->nkeys, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR);
}

/*
 * The index by which keys are looked up, or InvalidOid. A btree has the whole key in front:
 * to begin with a part of it is better than nothing, but no more. What is too long for a btree
 * can be in a hash index, which has but one column.
 */
Oid
LookupIndex(Oid relid)
{
	Relation	rel = OpenToLook(relid);
	Target	   *target = AcquireTarget(rel);

	table_close(rel, NoLock);
	if (target->key_index || target->looks_up_by_hash)
		return target->lookup_index;
	return InvalidOid;
}

/* The texts of a key's values, NULL for a null: 22023 if there are not as many as columns. */
static char **
KeyTexts(const Target *target, ArrayType *key)
{
	Datum	   *values;
	bool	   *isnull;
	int			nvalues;
	char	  **texts;

	deconstruct_array(key, TEXTOID, -1, false, TYPALIGN_INT, &values, &isnull, &nvalues);
	if (nvalues != target->nkeys)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the key of table \"%s\" has %d columns, not %d",
						target->name, target->nkeys, nvalues)));
	texts = palloc0(nvalues * sizeof(char *));
	for (int i = 0; i < nvalues; i++)
	{
		if (!isnull[i])
			texts[i] = TextDatumGetCString(values[i]);
	}
	return texts;
}

/* Makes a row that has the key. A domain's values are taken as those of its base type. */
static Row *
RowFromTexts(const Target *target, char *const *key)
{
	Row		   *row = MakeRow(target);

	for (int i = 0; i < target->nkeys; i++)
	{
		AttrNumber	attnum = target->keys[i].column->attnum;
		Oid			input;
		Oid			parameter;

		row->isnull[attnum - 1] = key[i] == NULL;
		if (key[i] == NULL)
			continue;
		getTypeInputInfo(getBaseType(target->keys[i].column->type), &input, &parameter);
		row->values[attnum - 1] = OidInputFunctionCall(input, key[i], parameter, -1);
	}
	return row;
}

/* The condition on a row "t" that it has the key. */
char *
SameKeyCondition(Oid relid, ArrayType *key)
{
	Relation	rel = OpenToLook(relid);
	Target	   *target = AcquireTarget(rel);
	char	  **texts;

	table_close(rel, NoLock);
	texts = KeyTexts(target, key);
	return WriteSameKey(target, "t", texts, HashKey(target, RowFromTexts(target, texts)));
}

/* Takes the lock under which rows with the key are upserted. */
void
LockStoredKey(Oid relid, ArrayType *key)
{
	Oid			root;
	Relation	rel = OpenTable(relid, false, "product_upsert_merge()", &root);
	Target	   *target = AcquireTarget(rel);
	uint32		hash = HashKeyForLock(target, RowFromTexts(target, KeyTexts(target, key)));

	LockKeys(root, &hash, 1);
	table_close(rel, NoLock);
}
