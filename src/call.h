/*
 * call.h
 *		One call, from its arguments to its result.
 */
#ifndef PRODUCT_UPSERT_CALL_H
#define PRODUCT_UPSERT_CALL_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/rel.h"

/* As a relation's OID: the table that product_upsert.table names. */
#define DEFAULT_TABLE	InvalidOid

extern Relation OpenTable(Oid relid, bool whole_table, const char *function, Oid *root);
extern Jsonb *UpsertPayload(Oid relid, Jsonb *payload, Jsonb *if_match);
extern void LockPayload(Oid relid, Jsonb *payload);

#endif							/* PRODUCT_UPSERT_CALL_H */
