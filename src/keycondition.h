/*
 * keycondition.h
 *		The condition of a statement that a row has a certain key.
 */
#ifndef PRODUCT_UPSERT_KEYCONDITION_H
#define PRODUCT_UPSERT_KEYCONDITION_H

#include "target.h"

extern Expr *ParameterValue(int number, Oid type, Oid collation);
extern Expr *ColumnValue(TupleDesc desc, AttrNumber attnum);
extern Expr *KeyCondition(const Target *target, const Bitmapset *null_columns, int parameter);
extern Expr *LookupCondition(const Target *target, const Bitmapset *null_columns, int parameter);

#endif							/* PRODUCT_UPSERT_KEYCONDITION_H */
