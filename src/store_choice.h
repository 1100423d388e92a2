/*
 * store_choice.h
 *		Which store serves a table.
 */
#ifndef PRODUCT_UPSERT_STORECHOICE_H
#define PRODUCT_UPSERT_STORECHOICE_H

#include "store.h"

extern bool direct_store;		/* setting product_upsert.direct_store */

extern void RejectInsteadRules(Relation rel);
extern Store *OpenStore(Target *target, Relation rel);
extern bool FindsDirectly(const Target *target, Relation rel);
extern Store *OpenStoreToFind(Target *target, Relation rel);

#endif							/* PRODUCT_UPSERT_STORECHOICE_H */
