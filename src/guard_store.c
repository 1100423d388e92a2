/*
 * guard_store.c
 *		The store that the guards of a statement's rows share.
 *
 * A guard is called row after row, when the statement is done with all of them. What it needs to look for
 * a key is opened for the first row, and closed with the statement's executor state. COPY has one too, and
 * no hook tells its end. So the end of the state's memory context, where the slots of triggers' rows are,
 * does.
 *
 * What is opened belongs to the (sub)transaction and resource owner of the first row, and to nobody any
 * more when these have been rolled back.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "compat.h"
#include "guard_store.h"
#include "store_choice.h"
#include "targetcache.h"

/* What guards share in one executor state, in whose memory context it is. */
typedef struct SharedStore
{
	struct SharedStore *next;
	MemoryContext statement;	/* the state's */
	MemoryContextCallback end;	/* of that */
	Store	   *store;			/* NULL if none is open */
	MemoryContext context;		/* the store's */
	ResourceOwner owner;
	LocalTransactionId transaction;
	int			level;
} SharedStore;

/* The last that was begun, and those that were before and are not done. */
static SharedStore *stores = NULL;

/* A store in its own memory context: that of the executor state is about to go, its children first. */
static void
OpenShared(SharedStore *shared, Relation rel)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(CurTransactionContext, "product_upsert guard",
												  ALLOCSET_SMALL_SIZES);
	Relation	own;

	MemoryContextSwitchTo(context);
	own = table_open(RelationGetRelid(rel), NoLock);
	shared->store = OpenStoreToFind(AcquireTarget(own), own);
	MemoryContextSwitchTo(caller);

	shared->context = context;
	shared->owner = CurrentResourceOwner;
	shared->transaction = CurrentLocalTransactionId();
	shared->level = GetCurrentTransactionNestLevel();
}

static void
CloseShared(SharedStore *shared)
{
	ResourceOwner caller = CurrentResourceOwner;
	Relation	rel = shared->store->rel;

	CurrentResourceOwner = shared->owner;
	shared->store->methods->close(shared->store);
	table_close(rel, NoLock);
	CurrentResourceOwner = caller;
	shared->store = NULL;
	MemoryContextDelete(shared->context);
}

/* Memory context callback. When a transaction has been rolled back, nothing is left to be closed. */
static void
EndStatement(void *arg)
{
	SharedStore *shared = arg;
	SharedStore **link = &stores;

	if (shared->store && IsTransactionState() && shared->transaction == CurrentLocalTransactionId())
		CloseShared(shared);
	while (*link != shared)
		link = &(*link)->next;
	*link = shared->next;
}

/* What a subtransaction has opened does not last longer, though the executor state may. */
static void
EndSubTransaction(SubXactEvent event, SubTransactionId mySubid pg_attribute_unused(),
				  SubTransactionId parentSubid pg_attribute_unused(),
				  void *arg pg_attribute_unused())
{
	if (event != SUBXACT_EVENT_PRE_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	for (SharedStore *shared = stores; shared; shared = shared->next)
	{
		if (shared->store == NULL || shared->level != GetCurrentTransactionNestLevel())
			continue;
		if (event == SUBXACT_EVENT_PRE_COMMIT_SUB)
			CloseShared(shared);
		shared->store = NULL;
	}
}

static SharedStore *
BeginStatement(MemoryContext statement)
{
	SharedStore *shared = MemoryContextAllocZero(statement, sizeof(SharedStore));

	shared->statement = statement;
	shared->end.func = EndStatement;
	shared->end.arg = shared;
	MemoryContextRegisterResetCallback(statement, &shared->end);
	shared->next = stores;
	stores = shared;
	return shared;
}

static SharedStore *
FindStatement(MemoryContext statement)
{
	SharedStore *shared = stores;

	while (shared && shared->statement != statement)
		shared = shared->next;
	return shared;
}

/*
 * Returns a store to find rows in, for a row that the statement has written and that is in the slot. The
 * slot is one of the statement's executor state.
 */
Store *
BorrowStore(Target *target, Relation rel, const TupleTableSlot *written)
{
	SharedStore *shared;

	if (!FindsDirectly(target, rel))
		return OpenStoreToFind(target, rel);
	shared = FindStatement(written->tts_mcxt);
	if (shared == NULL)
		shared = BeginStatement(written->tts_mcxt);
	if (shared->store && (shared->store->target != target || shared->owner != CurrentResourceOwner))
		CloseShared(shared);
	if (shared->store == NULL)
		OpenShared(shared, rel);
	return shared->store;
}

void
ReturnStore(Store *store)
{
	for (SharedStore *shared = stores; shared; shared = shared->next)
	{
		if (shared->store == store)
			return;
	}
	store->methods->close(store);
}

/* Called once, when the library is loaded. */
void
InitGuardStore(void)
{
	RegisterSubXactCallback(EndSubTransaction, NULL);
}
