/*
 * upsert.h
 *		Create or update under a key lock.
 */
#ifndef PRODUCT_UPSERT_UPSERT_H
#define PRODUCT_UPSERT_UPSERT_H

#include "row.h"

extern int	unknown_fields;		/* setting product_upsert.unknown_fields */

extern Jsonb *UpsertPayload(Oid relid, Jsonb *payload, Jsonb *if_match);
extern void LockPayload(Oid relid, Jsonb *payload);

#endif							/* PRODUCT_UPSERT_UPSERT_H */
