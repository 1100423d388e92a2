/*
 * keyhash.c
 *		The hash of a key: what its lock is named by, and what an index may have in
 *		the place of the key's columns.
 *
 * As it is stored in indexes, it must stay what it is in all versions to come.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "keyhash.h"

/* Stands for NULL in the hash of a key. */
#define NULL_HASH	UINT64CONST(0x9E3779B97F4A7C15)

/* An argument of product_upsert_hash(): how its type is hashed. */
typedef struct Argument
{
	FmgrInfo	function;
	Oid			collation;
} Argument;

/* Values that are equal under their type and collation hash alike, and each counts at its position. */
static uint64
HashValue(uint64 hash, FmgrInfo *function, Oid collation, Datum value, bool isnull)
{
	uint64		value_hash = NULL_HASH;

	if (!isnull)
		value_hash = DatumGetUInt64(FunctionCall2Coll(function, collation, value, UInt64GetDatum(0)));
	return hash_combine64(hash, value_hash);
}

/* Hashes the typed key of the row. */
uint64
HashKey(const Target *target, const Row *row)
{
	uint64		hash = 0;

	if (row->hashed)
		return row->hash;
	for (int i = 0; i < target->nkey_columns; i++)
	{
		KeyColumn  *key = &target->keys[i];
		int			index = key->column->attnum - 1;

		hash = HashValue(hash, &key->hash_function, key->collation, row->values[index], row->isnull[index]);
	}
	return hash;
}

/* Works out the hash of the row, whose key is whole, so that HashKey() need not do it again. */
void
RememberHash(const Target *target, Row *row)
{
	row->hash = HashKey(target, row);
	row->hashed = true;
}

/* The lower half of it, for which a lock tag has room. Users know it so from product_upsert_locks. */
uint32
HashKeyForLock(const Target *target, const Row *row)
{
	return (uint32) HashKey(target, row);
}

/* A domain is hashed as what it is a domain over. */
static void
FindHashFunction(Argument *argument, const Node *expression, MemoryContext context)
{
	Oid			type = exprType(expression);
	TypeCacheEntry *entry = lookup_type_cache(getBaseType(type), TYPECACHE_HASH_EXTENDED_PROC_FINFO);

	if (!OidIsValid(entry->hash_extended_proc))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("a value of type %s cannot be hashed", format_type_be(type)),
				 errdetail("The type has no default operator class with an extended hash function.")));
	fmgr_info_copy(&argument->function, &entry->hash_extended_proc_finfo, context);
	argument->collation = exprCollation(expression);
}

/* Works out how the arguments are hashed, once for each place where the function is called. */
static Argument *
FindHashFunctions(FunctionCallInfo fcinfo)
{
	FmgrInfo   *function = fcinfo->flinfo;
	const FuncExpr *call = (FuncExpr *) function->fn_expr;
	Argument   *arguments;

	if (call == NULL || !IsA(call, FuncExpr) || list_length(call->args) != PG_NARGS())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("product_upsert_hash() must be called as a function"),
				 errdetail("It cannot tell the types of its arguments otherwise.")));
	if (call->funcvariadic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("product_upsert_hash() takes values, not a VARIADIC array")));

	arguments = MemoryContextAlloc(function->fn_mcxt, PG_NARGS() * sizeof(Argument));
	for (int i = 0; i < PG_NARGS(); i++)
		FindHashFunction(&arguments[i], list_nth(call->args, i), function->fn_mcxt);
	return arguments;
}

/* Hashes a function's arguments as HashKey() hashes a key of such columns. */
uint64
HashArguments(FunctionCallInfo fcinfo)
{
	uint64		hash = 0;
	Argument   *arguments = fcinfo->flinfo->fn_extra;

	if (arguments == NULL)
		fcinfo->flinfo->fn_extra = arguments = FindHashFunctions(fcinfo);
	for (int i = 0; i < PG_NARGS(); i++)
		hash = HashValue(hash, &arguments[i].function, arguments[i].collation,
						 PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i), PG_ARGISNULL(i));
	return hash;
}
