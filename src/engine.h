/*
 * engine.h
 *		Tables whose rows another extension keeps elsewhere.
 */
#ifndef PRODUCT_UPSERT_ENGINE_H
#define PRODUCT_UPSERT_ENGINE_H

#include "utils/rel.h"

extern Relation OpenCitusCatalog(const char *name);
extern Datum CitusValue(Relation catalog, HeapTuple tuple, const char *column, Oid type);
extern AttrNumber DistributionColumn(Relation rel);
extern void RejectDistributed(Relation rel);
extern bool IsHypertable(Relation rel);
extern void RejectHypertable(Relation rel);
extern void RejectChunk(Relation rel, bool guarded);
extern bool IsHypertableSignal(Oid relid);

#endif							/* PRODUCT_UPSERT_ENGINE_H */
