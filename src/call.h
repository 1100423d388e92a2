/*
 * call.h
 *		One call, from its arguments to its result.
 */
#ifndef PRODUCT_UPSERT_CALL_H
#define PRODUCT_UPSERT_CALL_H

#include "postgres.h"

#include "payload.h"

extern Jsonb *UpsertPayload(Oid relid, Jsonb *payload, const GivenOptions *given);
extern void LockPayload(Oid relid, Jsonb *payload);

#endif							/* PRODUCT_UPSERT_CALL_H */
