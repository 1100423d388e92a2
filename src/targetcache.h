/*
 * targetcache.h
 *		What tables are, worked out once and kept.
 */
#ifndef PRODUCT_UPSERT_TARGETCACHE_H
#define PRODUCT_UPSERT_TARGETCACHE_H

#include "target.h"

extern void InitTargetCache(void);
extern Target *AcquireTarget(Relation rel);
extern bool HasUnfinishedArbiter(const Target *target, Relation rel);
extern void WarnOfMissingIndex(const Target *target);
extern void WarnOfExemption(const Target *target);

#endif							/* PRODUCT_UPSERT_TARGETCACHE_H */
