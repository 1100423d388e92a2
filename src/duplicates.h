/*
 * duplicates.h
 *		Which keys have more than one row.
 */
#ifndef PRODUCT_UPSERT_DUPLICATES_H
#define PRODUCT_UPSERT_DUPLICATES_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

extern int64 CountDuplicates(Relation rel, const List *key, Expr *condition);
extern void ListDuplicates(Oid relid, Tuplestorestate *result, MemoryContext context);

#endif							/* PRODUCT_UPSERT_DUPLICATES_H */
