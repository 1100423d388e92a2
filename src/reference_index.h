/*
 * reference_index.h
 *		Which index serves to find the rows by which a foreign key references others.
 */
#ifndef PRODUCT_UPSERT_REFERENCE_INDEX_H
#define PRODUCT_UPSERT_REFERENCE_INDEX_H

#include "reference.h"

extern void TellOfMissingIndex(const Reference *reference, Relation child, const List *tables);

#endif							/* PRODUCT_UPSERT_REFERENCE_INDEX_H */
