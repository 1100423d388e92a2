/*
 * keyindex.h
 *		Which indexes serve a table's key: to look it up, and to yield to.
 */
#ifndef PRODUCT_UPSERT_KEYINDEX_H
#define PRODUCT_UPSERT_KEYINDEX_H

#include "target.h"

extern void BuildIndexes(Target *target, Relation rel);
extern KeyIndex *FindKeyIndex(Target *target, Relation rel);
extern Expr *IndexPredicate(Relation index);
extern bool ExemptsRows(Relation index, const Bitmapset *key_columns);
extern bool IsKeyIndexOnHash(const Target *target);
extern bool CanArbitrate(const Target *target, Relation index);
extern bool LooksUnfinished(const Target *target, Relation rel);

#endif							/* PRODUCT_UPSERT_KEYINDEX_H */
