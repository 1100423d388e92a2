/*
 * keyhash.h
 *		The hash of a key.
 */
#ifndef PRODUCT_UPSERT_KEYHASH_H
#define PRODUCT_UPSERT_KEYHASH_H

#include "row.h"

/* The function of SQL in C. */
#define HASH_SYMBOL		"product_upsert_hash"

extern uint64 HashKey(const Target *target, const Row *row);
extern void RememberHash(const Target *target, Row *row);
extern uint32 HashKeyForLock(const Target *target, const Row *row);
extern uint64 HashArguments(FunctionCallInfo fcinfo);

#endif							/* PRODUCT_UPSERT_KEYHASH_H */
