/*
 * upsert.h
 *		Create or update under a key lock.
 */
#ifndef PRODUCT_UPSERT_UPSERT_H
#define PRODUCT_UPSERT_UPSERT_H

#include "postgres.h"

#include "utils/jsonb.h"

/* As a relation's OID: the table that product_upsert.table names. */
#define DEFAULT_TABLE	InvalidOid

extern Jsonb *UpsertPayload(Oid relid, Jsonb *payload, Jsonb *if_match);
extern void LockPayload(Oid relid, Jsonb *payload);

#endif							/* PRODUCT_UPSERT_UPSERT_H */
