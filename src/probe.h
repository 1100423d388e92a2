/*
 * probe.h
 *		Finding the rows of one table by a btree index on the key.
 */
#ifndef PRODUCT_UPSERT_PROBE_H
#define PRODUCT_UPSERT_PROBE_H

#include "executor/tuptable.h"
#include "row.h"
#include "utils/snapshot.h"

typedef struct Probe Probe;

extern bool IsIndexTooNew(const KeyIndex *index);
extern Probe *OpenProbe(Relation rel, const KeyIndex *key_index);
extern void BeginSearch(Probe *probe, const Target *target, const Row *row, Snapshot snapshot);
extern bool NextFound(Probe *probe, TupleTableSlot *slot);
extern bool IsMatch(const Probe *probe, Target *target, const Row *row, TupleTableSlot *slot);
extern bool HasOtherEntry(Probe *probe, const Target *target, const Row *row, ItemPointer tid);
extern void EndSearch(Probe *probe);
extern void CloseProbe(Probe *probe);

#endif							/* PRODUCT_UPSERT_PROBE_H */
