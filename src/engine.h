/*
 * engine.h
 *		Tables whose rows another extension keeps elsewhere.
 */
#ifndef PRODUCT_UPSERT_ENGINE_H
#define PRODUCT_UPSERT_ENGINE_H

#include "utils/rel.h"

extern void RejectDistributed(Relation rel);
extern bool IsHypertable(Relation rel);
extern void RejectHypertable(Relation rel);
extern void RejectChunk(Relation rel, bool guarded);
extern bool IsHypertableSignal(Oid relid);

#endif							/* PRODUCT_UPSERT_ENGINE_H */
