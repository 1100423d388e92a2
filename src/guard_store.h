/*
 * guard_store.h
 *		The store that the guards of a statement's rows share.
 */
#ifndef PRODUCT_UPSERT_GUARDSTORE_H
#define PRODUCT_UPSERT_GUARDSTORE_H

#include "store.h"

extern void InitGuardStore(void);
extern Store *BorrowStore(Target *target, Relation rel, const TupleTableSlot *written);
extern void ReturnStore(Store *store);

#endif							/* PRODUCT_UPSERT_GUARDSTORE_H */
