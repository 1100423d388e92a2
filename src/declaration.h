/*
 * declaration.h
 *		What the guard trigger of a table declares, and which function it calls.
 */
#ifndef PRODUCT_UPSERT_DECLARATION_H
#define PRODUCT_UPSERT_DECLARATION_H

#include "postgres.h"

#include "commands/trigger.h"
#include "nodes/primnodes.h"
#include "utils/rel.h"

/* The function in C that guards call. */
#define GUARD_SYMBOL	"product_upsert_guard"

extern bool HasSymbol(Oid function, const char *symbol);
extern Oid	FindSibling(Oid function, const char *symbol);
extern bool IsGuard(const Trigger *trigger);
extern const Trigger *FindGuard(Relation rel);
extern Expr *GuardCondition(Relation rel, const Trigger *guard);

#endif							/* PRODUCT_UPSERT_DECLARATION_H */
