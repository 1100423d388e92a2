/*
 * keyinfo.c
 *		What functions in SQL ask about a table's key.
 */
#include "postgres.h"

#include "access/table.h"

#include "condition.h"
#include "keyinfo.h"
#include "table.h"
#include "targetcache.h"

/* The names of the key's columns, as the table's guard declares them or by default. */
ArrayType *
KeyColumns(Oid relid)
{
	Relation	rel = OpenToLook(relid);
	Target	   *target = AcquireTarget(rel);

	table_close(rel, AccessShareLock);
	return KeyColumnArray(target);
}

/* The condition under which rows count, as the table's guard declares it, or NULL. */
char *
KeyConditionText(Oid relid)
{
	Relation	rel = OpenToLook(relid);
	const Target *target = AcquireTarget(rel);
	char	   *condition = target->condition.source ? ConditionText(relid, target->condition.source) : NULL;

	table_close(rel, AccessShareLock);
	return condition;
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
