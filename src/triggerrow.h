/*
 * triggerrow.h
 *		A row that a trigger of an upsert has created with the upsert's own key.
 */
#ifndef PRODUCT_UPSERT_TRIGGERROW_H
#define PRODUCT_UPSERT_TRIGGERROW_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

extern bool WasThereBefore(const TupleTableSlot *row, Snapshot snapshot, CommandId command);
extern CommandId ExpectRowOfUpsert(CommandId command);
extern bool IsTriggersRow(const TupleTableSlot *written, const TupleTableSlot *other);
extern void RejectTriggersRow(const char *table, Relation rel);

#endif							/* PRODUCT_UPSERT_TRIGGERROW_H */
