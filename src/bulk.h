/*
 * bulk.h
 *		Upserts of all the rows of another table.
 */
#ifndef PRODUCT_UPSERT_BULK_H
#define PRODUCT_UPSERT_BULK_H

#include "upsert.h"

/* How many rows came to what end. */
typedef int64 ActionCounts[ACTION_SKIPPED + 1];

extern void UpsertFrom(Oid source, Oid target, const GivenOptions *given, ActionCounts counts);

#endif							/* PRODUCT_UPSERT_BULK_H */
