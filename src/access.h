/*
 * access.h
 *		What the caller must be allowed to do.
 */
#ifndef PRODUCT_UPSERT_ACCESS_H
#define PRODUCT_UPSERT_ACCESS_H

#include "target.h"

extern void CheckColumns(Oid relid, const Bitmapset *columns, AclMode mode);
extern void CheckMayUpsert(const Target *target, const Bitmapset *given);

#endif							/* PRODUCT_UPSERT_ACCESS_H */
