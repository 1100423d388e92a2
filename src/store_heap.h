/*
 * store_heap.h
 *		The store for plain tables.
 */
#ifndef PRODUCT_UPSERT_STOREHEAP_H
#define PRODUCT_UPSERT_STOREHEAP_H

#include "store.h"

extern const char *WhyNotFindDirectly(const Target *target, Relation rel);
extern const char *WhyNotWriteDirectly(const Target *target, Relation rel);
extern Store *OpenHeapStore(Target *target, Relation rel);

#endif							/* PRODUCT_UPSERT_STOREHEAP_H */
