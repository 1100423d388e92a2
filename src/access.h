/*
 * access.h
 *		What the caller must be allowed to do.
 */
#ifndef PRODUCT_UPSERT_ACCESS_H
#define PRODUCT_UPSERT_ACCESS_H

#include "row.h"

extern void CheckColumns(Oid relid, const Bitmapset *columns, AclMode mode, const char *privilege);
extern void CheckMayInsert(Oid relid, const Bitmapset *columns);
extern void CheckMayUpsert(const Target *target, const Bitmapset *given, const Row *on_create);
extern char *DescribeKey(const Target *target, const Row *row);

#endif							/* PRODUCT_UPSERT_ACCESS_H */
