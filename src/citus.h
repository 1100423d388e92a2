/*
 * citus.h
 *		Upserting into the shard of a table that Citus distributes.
 */
#ifndef PRODUCT_UPSERT_CITUS_H
#define PRODUCT_UPSERT_CITUS_H

#include "postgres.h"

#include "payload.h"

extern Jsonb *UpsertShard(Oid relid, Datum value, Oid value_type, Jsonb *payload, const GivenOptions *given);

#endif							/* PRODUCT_UPSERT_CITUS_H */
