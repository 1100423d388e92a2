/*
 * keyinfo.c
 *		What functions in SQL ask about a table's key.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "call.h"
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

/* Makes a row of a value of the table's row type: 42804 if it is of another. */
static Row *
RowFromComposite(const Target *target, Relation rel, HeapTupleHeader stored)
{
	Row		   *row = MakeRow(target);
	HeapTupleData tuple;

	if (HeapTupleHeaderGetTypeId(stored) != rel->rd_rel->reltype)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("value is not a row of table \"%s\"", target->name)));
	tuple.t_data = stored;
	tuple.t_len = HeapTupleHeaderGetDatumLength(stored);
	heap_deform_tuple(&tuple, target->desc, row->values, row->isnull);
	return row;
}

/* The condition on a row "t" that it has the key of $1, the text of a row like the one stored. */
char *
SameKeyCondition(Oid relid, HeapTupleHeader stored)
{
	Relation	rel = OpenToLook(relid);
	Target	   *target = AcquireTarget(rel);
	Row		   *row = RowFromComposite(target, rel, stored);
	char	   *record = psprintf("$1::%s",
								  quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
															 target->name));

	table_close(rel, NoLock);
	return WriteSameKey(target, "t", record, row);
}

/* Takes the lock under which rows with the key of the stored row are upserted. */
void
LockStoredKey(Oid relid, HeapTupleHeader stored)
{
	Oid			root;
	Relation	rel = OpenTable(relid, false, "product_upsert_merge()", &root);
	Target	   *target = AcquireTarget(rel);
	uint32		hash = HashKeyForLock(target, RowFromComposite(target, rel, stored));

	LockKeys(root, &hash, 1);
	table_close(rel, NoLock);
}
