/*
 * keylock.c
 *		The locks that serialize the writers of a key.
 *
 * A key lock is a transaction-level advisory lock on (database, table, hash of
 * the key). It is released at commit or rollback, so it works behind a pooler in
 * transaction mode, and a prepared transaction keeps it. The lock table is
 * finite and shared by the whole server, so a transaction has a budget of key
 * locks; beyond it, the lock of the table as a whole serves.
 *
 * Like the locks on tables, they are acquired and released under
 * CurTransactionResourceOwner: see table.c.
 *
 * The counters below are of the current transaction and its subtransactions.
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/qunique.h"
#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "compat.h"
#include "keylock.h"
#include "table.h"

/* How often to look for a lock to become free before waiting for it, and how long in between, in µs. */
#define MAX_LOOKS		30
#define LOOK_INTERVAL	20L

/* How many times its budget a guard goes beyond before it waits for the whole table. */
#define MAX_OVERDRAFT	4

/* How many more key locks to take before trying again to get the whole table. */
#define TABLE_TRY_INTERVAL	64

int			max_key_locks = DEFAULT_MAX_KEY_LOCKS;
int			max_waiters = NO_WAITER_LIMIT;

/* Key locks that this transaction took first, in all and by nesting level. */
static struct
{
	LocalTransactionId transaction;
	int			total;
	int		   *by_level;		/* in TopMemoryContext */
	int			nlevels;
	Oid			whole_table;	/* that is locked as a whole until the transaction ends, or InvalidOid */
	int			whole_level;	/* at which that was noted */
	Oid			taken_table;	/* whose lock as a whole was not to be had */
	int			try_table_at;	/* total at which to try again */
} held;

static void
SetLockTagKey(LOCKTAG *tag, Oid root, uint32 hash)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, root, hash, KEY_LOCK_CLASS);
}

/* Starts counting anew in a new transaction. */
static void
NoticeTransaction(void)
{
	if (held.transaction == CurrentLocalTransactionId())
		return;
	held.transaction = CurrentLocalTransactionId();
	held.total = 0;
	held.whole_table = InvalidOid;
	held.taken_table = InvalidOid;
	if (held.nlevels > 0)
		memset(held.by_level, 0, held.nlevels * sizeof(int));
}

static void
CountKeyLock(void)
{
	int			level = GetCurrentTransactionNestLevel();

	if (level >= held.nlevels)
	{
		int			nlevels = level + 8;

		held.by_level = held.by_level
			? repalloc(held.by_level, nlevels * sizeof(int))
			: MemoryContextAlloc(TopMemoryContext, nlevels * sizeof(int));
		memset(held.by_level + held.nlevels, 0, (nlevels - held.nlevels) * sizeof(int));
		held.nlevels = nlevels;
	}
	held.by_level[level]++;
	held.total++;
}

/* Is it known that this transaction excludes every other writer of the table until it ends? */
bool
IsKnownToExcludeOthers(Oid root)
{
	NoticeTransaction();
	return held.whole_table == root;
}

/* Does it do so? That is noted, as a guard asks row after row. */
static bool
ExcludesOthers(Oid root)
{
	if (IsKnownToExcludeOthers(root))
		return true;
	if (!HoldsWholeTable(root))
		return false;
	held.whole_table = root;
	held.whole_level = GetCurrentTransactionNestLevel();
	return true;
}

/* What a subtransaction locked is its parent's when it commits, and free when it aborts. */
static void
EndSubTransaction(SubXactEvent event, SubTransactionId mySubid pg_attribute_unused(),
				  SubTransactionId parentSubid pg_attribute_unused(),
				  void *arg pg_attribute_unused())
{
	int			level = GetCurrentTransactionNestLevel();
	int			count;

	if ((event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB) ||
		held.transaction != CurrentLocalTransactionId())
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB && held.whole_level >= level)
		held.whole_table = InvalidOid;
	if (level >= held.nlevels)
		return;
	count = held.by_level[level];
	held.by_level[level] = 0;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		held.by_level[level - 1] += count;
	else
		held.total -= count;
}

/* Called once, when the library is loaded. */
void
InitKeyLocks(void)
{
	RegisterSubXactCallback(EndSubTransaction, NULL);
}

static bool
WithinBudget(int nkeys, int budget)
{
	NoticeTransaction();
	return nkeys <= budget - held.total;
}

/*
 * Where the table is locked by other rights than those of who has set the limit, a low one must not
 * be a way to get the whole table sooner than by default.
 */
static int
BudgetByOthersRights(void)
{
	return Max(max_key_locks, DEFAULT_MAX_KEY_LOCKS);
}

/* A function may be run as its owner, with settings of its caller's. */
static int
CallBudget(void)
{
	return InLocalUserIdChange() ? BudgetByOthersRights() : max_key_locks;
}

/* Is a call for so many keys by itself beyond what a transaction may hold? */
bool
IsBeyondBudget(int nkeys)
{
	return nkeys > CallBudget();
}

/* A key to be locked, and what can tell its values. */
typedef struct WantedKey
{
	LOCKTAG		tag;
	Oid			root;
	uint32		hash;
	const KeyTeller *teller;
} WantedKey;

/* "key (brand, serial)=(Acme, 1) of table "product"", without the values if the caller may not read them. */
static char *
DescribeWanted(const WantedKey *wanted)
{
	const KeyTeller *teller = wanted->teller;
	const char *values = teller->describe(teller->arg, wanted->hash);

	return values
		? psprintf("key %s of table \"%s\"", values, get_rel_name(wanted->root))
		: psprintf("a key of table \"%s\"", get_rel_name(wanted->root));
}

/* Error context callback. While the lock is waited for, nothing may be looked up; so it has the text. */
static void
DescribeWait(void *description)
{
	errcontext("while waiting for the lock on %s", (const char *) description);
}

static void
RejectWaiter(const WantedKey *wanted, int waiting)
{
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("too many callers wait for the same key of table \"%s\"", get_rel_name(wanted->root)),
			 errdetail("%d are waiting; product_upsert.max_waiters is %d.", waiting, max_waiters),
			 errcontext("while waiting for the lock on %s", DescribeWanted(wanted))));
}

/* With a bounded queue, there must be room in it. LockWaiterCount() counts the one holder too. */
static void
RequireRoomToWait(const WantedKey *wanted)
{
	int			waiting;

	if (max_waiters == NO_WAITER_LIMIT)
		return;
	waiting = LockWaiterCount(&wanted->tag) - 1;
	if (waiting >= max_waiters)
		RejectWaiter(wanted, waiting);
}

/* Joins the queue. An error meanwhile, such as 55P03 or 40P01, tells which key it was. */
static LockAcquireResult
WaitForKey(const WantedKey *wanted)
{
	const bool	sessionLock = false;
	const bool	dont_wait = false;
	char	   *description = DescribeWanted(wanted);
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = DescribeWait,
		.arg = description,
	};
	LockAcquireResult result;

	error_context_stack = &context;
	result = LockAcquire(&wanted->tag, ExclusiveLock, sessionLock, dont_wait);
	error_context_stack = context.previous;
	pfree(description);
	return result;
}

/*
 * A lock that becomes free belongs to the first waiter in its queue, who has to be woken up
 * before anything goes on. Where many want the same key, most of the time would be spent on
 * that. So a caller that finds the lock taken tries again a few times, for about as long as a few
 * short transactions take, before it joins the queue. (Measured with 16 clients on one key,
 * 2 cores: 1.6 times as many calls.) Waiters in the queue still come first, so none waits
 * for ever.
 *
 * The queue's length is not exact: callers that arrive at the same instant may all see its last
 * place free.
 */
static LockAcquireResult
AcquireWithinQueue(const WantedKey *wanted)
{
	const bool	sessionLock = false;
	const bool	dont_wait = true;

	for (int i = 0; i < MAX_LOOKS; i++)
	{
		LockAcquireResult result = LockAcquire(&wanted->tag, ExclusiveLock, sessionLock, dont_wait);

		if (result != LOCKACQUIRE_NOT_AVAIL)
			return result;
		RequireRoomToWait(wanted);
		CHECK_FOR_INTERRUPTS();
		pg_usleep(LOOK_INTERVAL);
	}
	RequireRoomToWait(wanted);
	return WaitForKey(wanted);
}

static void
LockKey(Oid root, uint32 hash, const KeyTeller *teller)
{
	ResourceOwner caller = BecomeTransaction();
	WantedKey	wanted = {.root = root, .hash = hash, .teller = teller};

	SetLockTagKey(&wanted.tag, root, hash);
	if (AcquireWithinQueue(&wanted) != LOCKACQUIRE_ALREADY_HELD)
		CountKeyLock();
	CurrentResourceOwner = caller;
}

/* How many of the keys does this transaction not hold yet? */
static int
CountNewKeys(Oid root, const uint32 *hashes, int nkeys)
{
	int			nnew = 0;

	for (int i = 0; i < nkeys; i++)
	{
		LOCKTAG		tag;

		SetLockTagKey(&tag, root, hashes[i]);
		if (!HoldsLock(&tag, ExclusiveLock))
			nnew++;
	}
	return nnew;
}

static int
CompareHashes(const void *a, const void *b)
{
	uint32		hash1 = *(const uint32 *) a;
	uint32		hash2 = *(const uint32 *) b;

	return (hash1 > hash2) - (hash1 < hash2);
}

/*
 * Tries to get the whole table for a transaction that is past its budget of key locks, but
 * does not wait for it: it may hold keys that the table's other writers wait for.
 */
static bool
TryWholeTable(Oid root)
{
	return MayLockWholeTable(root) && TryLockTableUntilEnd(root, WHOLE_TABLE_LOCK);
}

/*
 * Locks the whole table if nobody else is writing to it. Each attempt looks at all backends, which
 * is expensive, and a guard asks row after row. So after a failure there is no further attempt
 * until some more keys were locked.
 */
static bool
GetFreeTable(Oid root)
{
	if (held.taken_table == root && held.total < held.try_table_at)
		return false;
	if (TryLockTableUntilEnd(root, WHOLE_TABLE_LOCK))
		return true;
	held.taken_table = root;
	held.try_table_at = held.total + TABLE_TRY_INTERVAL;
	return false;
}

/*
 * The same for a guard, which acts for the table's owner: a user who may only insert must not be
 * able to fill the server's lock table. So far beyond the budget it waits for the lock. If two
 * transactions do that, the deadlock detector ends one of them.
 */
static bool
GetWholeTable(Oid root)
{
	if (GetFreeTable(root))
		return true;
	if (held.total / MAX_OVERDRAFT < BudgetByOthersRights())
		return false;
	LockTableUntilEnd(root, WHOLE_TABLE_LOCK);
	return true;
}

/*
 * Locks the keys with these hashes until the transaction ends, each once. All
 * callers take theirs in ascending order, so two of them that want the same keys
 * meet at the first and neither waits for what the other is yet to release. Past the
 * budget, the whole table serves as well.
 */
static void
LockSortedKeys(Oid root, const uint32 *hashes, int nkeys, const KeyTeller *teller, int budget,
			   bool (*get_whole_table) (Oid root))
{
	uint32	   *sorted;
	int			nsorted;

	if (nkeys == 0 || ExcludesOthers(root))
		return;

	sorted = palloc(nkeys * sizeof(uint32));
	memcpy(sorted, hashes, nkeys * sizeof(uint32));
	qsort(sorted, nkeys, sizeof(uint32), CompareHashes);
	nsorted = qunique(sorted, nkeys, sizeof(uint32), CompareHashes);

	if (WithinBudget(nsorted, budget) ||
		WithinBudget(CountNewKeys(root, sorted, nsorted), budget) ||
		!get_whole_table(root))
	{
		for (int i = 0; i < nsorted; i++)
			LockKey(root, sorted[i], teller);
	}
	pfree(sorted);
	/*
	 * A partition may have come meanwhile, with a row of the key: where we hold all locks, nothing else
	 * tells us.
	 */
	AcceptInvalidationMessages();
}

/* Locks the keys for the current user. */
void
LockKeys(Oid root, const uint32 *hashes, int nkeys, const KeyTeller *teller)
{
	LockSortedKeys(root, hashes, nkeys, teller, CallBudget(), TryWholeTable);
}

/*
 * Locks a key for the table's guard. Returns true if it is locked now, and was not before: not if
 * the whole table serves.
 */
bool
LockGuardedKey(Oid root, uint32 hash, const KeyTeller *teller)
{
	int			total;

	NoticeTransaction();
	total = held.total;
	LockSortedKeys(root, &hash, 1, teller, BudgetByOthersRights(), GetWholeTable);
	return held.total > total;
}

/* Undoes what LockGuardedKey() has done when it returned true, at the same nesting level. */
void
UnlockGuardedKey(Oid root, uint32 hash)
{
	const bool	sessionLock = false;
	ResourceOwner caller = BecomeTransaction();
	LOCKTAG		tag;

	SetLockTagKey(&tag, root, hash);
	LockRelease(&tag, ExclusiveLock, sessionLock);
	CurrentResourceOwner = caller;
	held.by_level[GetCurrentTransactionNestLevel()]--;
	held.total--;
}
