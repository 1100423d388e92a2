/*
 * guard_store.c
 *		The store that the guards of a statement's rows share.
 *
 * A guard is called row after row, when the statement is done with all of them. What it needs to look for
 * a key is opened for the first row, and closed when the statement has fired its triggers.
 */
#include "postgres.h"

#include "access/table.h"
#include "executor/executor.h"
#include "utils/resowner.h"

#include "guard_store.h"
#include "store_choice.h"
#include "targetcache.h"

/*
 * A statement that is firing its AFTER triggers. The guard opens a store for the first row, and
 * leaves it open for the next ones.
 */
typedef struct FiringStatement
{
	struct FiringStatement *outer;	/* whose trigger has run this one */
	MemoryContext context;		/* lasts longer than its triggers */
	ResourceOwner owner;
	Store	   *store;			/* NULL if none is open */
	bool		in_use;
} FiringStatement;

/* The innermost, or NULL. (COPY and replication fire triggers without the executor.) */
static FiringStatement *firing = NULL;

static ExecutorFinish_hook_type next_executor_finish = NULL;

static void
CloseSharedStore(void)
{
	Relation	rel;

	if (firing->store == NULL)
		return;
	rel = firing->store->rel;
	firing->store->methods->close(firing->store);
	firing->store = NULL;
	table_close(rel, NoLock);
}

/* Opens the store for the row and for the statement's next ones. */
static void
ShareStore(Relation rel)
{
	MemoryContext caller = MemoryContextSwitchTo(firing->context);
	Relation	own = table_open(RelationGetRelid(rel), NoLock);

	firing->store = OpenStoreToFind(AcquireTarget(own), own);
	MemoryContextSwitchTo(caller);
}

/*
 * COPY and replication fire triggers without the executor, so the guard may be that of a COPY which
 * another trigger runs in a subtransaction: what is opened there does not last.
 */
static bool
CanShareStore(const Target *target, Relation rel)
{
	return firing && !firing->in_use && firing->owner == CurrentResourceOwner &&
		FindsDirectly(target, rel);
}

Store *
BorrowStore(Target *target, Relation rel)
{
	if (!CanShareStore(target, rel))
		return OpenStoreToFind(target, rel);
	if (firing->store && firing->store->target != target)
		CloseSharedStore();
	if (firing->store == NULL)
		ShareStore(rel);
	firing->in_use = true;
	return firing->store;
}

void
ReturnStore(Store *store)
{
	if (firing && firing->store == store)
		firing->in_use = false;
	else
		store->methods->close(store);
}

static void
FireTriggers(QueryDesc *query)
{
	if (next_executor_finish)
		next_executor_finish(query);
	else
		standard_ExecutorFinish(query);
}

/* Hook: fires a statement's AFTER triggers. */
static void
FinishStatement(QueryDesc *query)
{
	FiringStatement current = {
		.outer = firing,
		.context = query->estate->es_query_cxt,
		.owner = CurrentResourceOwner,
	};

	if (query->operation == CMD_SELECT && !query->plannedstmt->hasModifyingCTE)
	{
		FireTriggers(query);
		return;
	}
	PG_TRY();
	{
		firing = &current;
		FireTriggers(query);
		CloseSharedStore();
	}
	PG_FINALLY();
	{
		firing = current.outer;
	}
	PG_END_TRY();
}

/* Called once, when the library is loaded. */
void
InitGuardStore(void)
{
	next_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = FinishStatement;
}
