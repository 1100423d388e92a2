/*
 * store_heap.h
 *		The store for plain tables.
 */
#ifndef PRODUCT_UPSERT_STOREHEAP_H
#define PRODUCT_UPSERT_STOREHEAP_H

#include "store.h"

extern Store *OpenHeapStore(Target *target, Relation rel);

#endif							/* PRODUCT_UPSERT_STOREHEAP_H */
