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

/* The key of a row, and what is worked out about it once. */
typedef struct Sought
{
	Target	   *target;
	const Row  *row;
	bool		hashed;
	int64		hash;
} Sought;

extern bool IsIndexTooNew(const KeyIndex *index);
extern Probe *OpenProbe(Relation rel, const KeyIndex *key_index);
extern Sought SeekKey(Target *target, const Row *row);
extern void BeginSearch(Probe *probe, Sought *sought, Snapshot snapshot);
extern bool NextFound(Probe *probe, TupleTableSlot *slot);
extern bool IsMatch(const Probe *probe, const Sought *sought, TupleTableSlot *slot);
extern void EndSearch(Probe *probe);
extern void CloseProbe(Probe *probe);

#endif							/* PRODUCT_UPSERT_PROBE_H */
