/*
 * store_spi.h
 *		The store for every kind of table.
 */
#ifndef PRODUCT_UPSERT_STORESPI_H
#define PRODUCT_UPSERT_STORESPI_H

#include "store.h"

extern Store *OpenSpiStore(Target *target, Relation rel, bool sees_all_rows);

#endif							/* PRODUCT_UPSERT_STORESPI_H */
