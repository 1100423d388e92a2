/*
 * bulk.h
 *		Upserts of all the rows of another table.
 */
#ifndef PRODUCT_UPSERT_BULK_H
#define PRODUCT_UPSERT_BULK_H

#include "upsert.h"

/* How many rows came to what end. */
typedef struct LoadCounts
{
	int64		actions[ACTION_SKIPPED + 1];
	int64		rejected;
} LoadCounts;

extern LoadCounts UpsertFrom(Oid source, Oid target, const GivenOptions *given, Oid rejects);

#endif							/* PRODUCT_UPSERT_BULK_H */
