/*
 * store_partitioned.h
 *		The store for partitioned tables.
 */
#ifndef PRODUCT_UPSERT_STOREPARTITIONED_H
#define PRODUCT_UPSERT_STOREPARTITIONED_H

#include "store.h"

extern Store *OpenPartitionedStore(Target *target, Relation rel);

#endif							/* PRODUCT_UPSERT_STOREPARTITIONED_H */
