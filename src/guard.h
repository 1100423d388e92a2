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
#define GUARD_SYMBOL	"product_upsert_guard"

extern void InitGuard(void);
extern bool IsGuard(const Trigger *trigger);
extern const Trigger *FindGuard(Relation rel);
extern CommandId ExpectRowOfUpsert(CommandId command);
extern void Guard(const TriggerData *event);

#endif							/* PRODUCT_UPSERT_GUARD_H */
