/*
 * keylock.h
 *		The locks that serialize the writers of a key.
 */
#ifndef PRODUCT_UPSERT_KEYLOCK_H
#define PRODUCT_UPSERT_KEYLOCK_H

#include "postgres.h"

/*
 * The class of our advisory locks, in the fourth field of the lock tag: the
 * letters PU. Core uses 1 and 2, Citus 4 to 16. The view product_upsert_locks
 * knows the number too.
 */
#define KEY_LOCK_CLASS	20565

#define DEFAULT_MAX_KEY_LOCKS	256
#define MIN_MAX_KEY_LOCKS		1
#define NO_WAITER_LIMIT			0

extern int	max_key_locks;		/* setting product_upsert.max_key_locks */
extern int	max_waiters;		/* setting product_upsert.max_waiters */

/* Tells what key has the hash, as "(brand, serial)=(Acme, 1)"; NULL if the caller may not read that. */
typedef struct KeyTeller
{
	char	   *(*describe) (void *arg, uint32 hash);
	void	   *arg;
} KeyTeller;

extern void InitKeyLocks(void);
extern bool IsKnownToExcludeOthers(Oid root);
extern bool IsBeyondBudget(int nkeys);
extern void LockKeys(Oid root, const uint32 *hashes, int nkeys, const KeyTeller *teller);
extern bool LockGuardedKey(Oid root, uint32 hash, const KeyTeller *teller);
extern void UnlockGuardedKey(Oid root, uint32 hash);

#endif							/* PRODUCT_UPSERT_KEYLOCK_H */
