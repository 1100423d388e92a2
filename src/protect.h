/*
 * protect.h
 *		Declaring a table's key, and taking that back.
 */
#ifndef PRODUCT_UPSERT_PROTECT_H
#define PRODUCT_UPSERT_PROTECT_H

#include "postgres.h"

#include "utils/array.h"

extern Oid	ProtectTable(Oid relid, ArrayType *key, const char *condition, Oid caller, int64 *duplicate_keys);
extern void UnprotectTable(Oid relid);

#endif							/* PRODUCT_UPSERT_PROTECT_H */
