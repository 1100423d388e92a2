/*
 * guard.h
 *		The trigger that keeps every writer of a table from duplicating a key.
 */
#ifndef PRODUCT_UPSERT_GUARD_H
#define PRODUCT_UPSERT_GUARD_H

#include "postgres.h"

#include "commands/trigger.h"
#include "utils/rel.h"

/* The trigger's function in C. */
extern void Guard(const TriggerData *event);

#endif							/* PRODUCT_UPSERT_GUARD_H */
