/*
 * keyinfo.c
 *		What functions in SQL ask about a table's key.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "keyinfo.h"
#include "table.h"
#include "targetcache.h"

/* The names of the key's columns, as the table's guard declares them or by default. */
ArrayType *
KeyColumns(Oid relid)
{
	Relation	rel = OpenToLook(relid);
	Target	   *target = AcquireTarget(rel);
	Datum	   *names = palloc(target->nkey_columns * sizeof(Datum));

	for (int i = 0; i < target->nkey_columns; i++)
		names[i] = DirectFunctionCall1(namein, CStringGetDatum(target->keys[i].column->name));
	table_close(rel, AccessShareLock);
	return construct_array(names, target->nkey_columns, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR);
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

	table_close(rel, AccessShareLock);
	if (target->key_index || target->is_lookup_by_hash)
		return target->lookup_index;
	return InvalidOid;
}
