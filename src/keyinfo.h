/*
 * keyinfo.h
 *		What functions in SQL ask about a table's key.
 */
#ifndef PRODUCT_UPSERT_KEYINFO_H
#define PRODUCT_UPSERT_KEYINFO_H

#include "postgres.h"

#include "utils/array.h"

extern ArrayType *KeyColumns(Oid relid);
extern char *KeyConditionText(Oid relid);
extern Oid	LookupIndex(Oid relid);

#endif							/* PRODUCT_UPSERT_KEYINFO_H */
