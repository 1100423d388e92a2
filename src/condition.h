/*
 * condition.h
 *		The condition that a table's rows must satisfy for their keys to count.
 */
#ifndef PRODUCT_UPSERT_CONDITION_H
#define PRODUCT_UPSERT_CONDITION_H

#include "postgres.h"

#include "executor/tuptable.h"

#include "target.h"

extern Expr *ParseCondition(Relation rel, const char *text);
extern void CheckCondition(Relation rel, Node *condition);
extern Node *ConditionToWhen(const Expr *condition);
extern Expr *WhenToCondition(const Node *when);
extern char *ConditionText(Oid relid, const Expr *condition);
extern Bitmapset *ColumnsOf(const Node *expression);
extern bool SatisfiesCondition(Target *target, TupleTableSlot *slot);

#endif							/* PRODUCT_UPSERT_CONDITION_H */
