/*
 * store_partitioned.c
 *		The store for partitioned tables: what store_heap.c does, in the partition
 *		where a row is or belongs.
 *
 * Where the key tells the partition, a row is looked for there, else in each. A partition is locked and
 * opened when the call first comes to it, and stays open until the store is closed, for the resource owner
 * that opened that: a row may be inserted in a subtransaction. All are locked in the order of their
 * bounds, as PostgreSQL's own commands do.
 *
 * What is not served here goes to the SPI store, row by row: all that concerns a partition that rows
 * cannot be found in directly; an update that moves a row to another partition, or may do so by a BEFORE
 * trigger; a new row that no partition takes, whose error it raises. Once a partition is known to be
 * unfit, the SPI store serves the whole table.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/resowner.h"

#include "heapwrite.h"
#include "partition.h"
#include "probe.h"
#include "store_partitioned.h"
#include "store_spi.h"
#include "table.h"
#include "targetcache.h"

/* One table of the partition tree, open. */
typedef struct Branch
{
	struct Branch *next;			/* the one that was opened before */
	Relation	rel;
	const Partition *partition;

	/* of a partitioned one */
	PartitionDesc desc;
	struct Branch **children;		/* in the order of desc; NULL where not open yet */

	/* of a leaf */
	Probe	   *probe;
	TupleTableSlot *slot;		/* for a row as it is stored there; the store's if that is alike */
	TupleTableSlot *new;		/* for a row to be stored there, if its columns differ */
	WrittenTable *written;
	int			set_up;			/* written is of this set-up of the writer */
	SubTransactionId locked_in; /* for writing, until that ends or is rolled back */
} Branch;

typedef struct PartitionedStore
{
	Store		store;
	MemoryContext context;		/* what was current when it was opened, as was */
	ResourceOwner owner;
	Branch	   *root;
	Branch	   *branches;		/* all that are open */
	int			nbranches;
	bool		renewed;		/* partitions have come or gone: what is to be opened may be open */
	Branch	  **leaves;			/* where a row may be that is being looked for */
	int			nleaves;
	int			max_leaves;
	bool		unfit;			/* one of them cannot be searched */
	TupleTableSlot *slot;		/* for a row as it is stored */
	TupleTableSlot *second;		/* for a second row with the same key */
	Writer		writer;
} PartitionedStore;

/* -- opening ------------------------------------------------------------------ */

static Branch *
FindBranch(const PartitionedStore *store, Oid relid)
{
	for (Branch *branch = store->branches; branch; branch = branch->next)
	{
		if (RelationGetRelid(branch->rel) == relid)
			return branch;
	}
	return NULL;
}

static void
OpenLeaf(const PartitionedStore *store, Branch *branch)
{
	const Partition *partition = branch->partition;

	if (partition->unfit || IsIndexTooNew(partition->index))
		return;
	branch->probe = OpenProbe(branch->rel, partition->index);
	branch->slot = partition->alike ? store->slot : table_slot_create(branch->rel, NULL);
	if (partition->from_root)
		branch->new = MakeSingleTupleTableSlot(RelationGetDescr(branch->rel), &TTSOpsVirtual);
}

/* Takes the open relation into the store. */
static Branch *
AddBranch(PartitionedStore *store, Relation rel)
{
	Branch	   *branch = palloc0(sizeof(Branch));

	branch->rel = rel;
	branch->partition = DescribePartition(store->store.target, rel);
	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		OpenLeaf(store, branch);
	branch->next = store->branches;
	store->branches = branch;
	store->nbranches++;
	return branch;
}

/* Locks and opens a partition. Returns NULL if it is there no more. */
static Branch *
OpenBranch(PartitionedStore *store, Oid relid)
{
	Branch	   *branch = store->renewed ? FindBranch(store, relid) : NULL;
	MemoryContext caller_context;
	ResourceOwner caller_owner;
	Relation	rel;

	if (branch)
		return branch;
	caller_context = MemoryContextSwitchTo(store->context);
	caller_owner = CurrentResourceOwner;
	CurrentResourceOwner = store->owner;
	rel = try_table_open(relid, AccessShareLock);
	if (rel)
		branch = AddBranch(store, rel);
	CurrentResourceOwner = caller_owner;
	MemoryContextSwitchTo(caller_context);
	return branch;
}

/* -- which partitions --------------------------------------------------------- */

static bool
SamePartitions(PartitionKey key, PartitionDesc desc1, PartitionDesc desc2)
{
	return desc1->nparts == desc2->nparts &&
		memcmp(desc1->oids, desc2->oids, desc1->nparts * sizeof(Oid)) == 0 &&
		(desc1->nparts == 0 ||
		 partition_bounds_equal(key->partnatts, key->parttyplen, key->parttypbyval,
								desc1->boundinfo, desc2->boundinfo));
}

/*
 * Sees to it that branch->desc has the partitions that there are now, but for those that are being
 * detached.
 */
static void
RefreshPartitions(PartitionedStore *store, Branch *branch)
{
	const bool	omit_detached = true;
	PartitionDesc desc = RelationGetPartitionDesc(branch->rel, omit_detached);

	if (desc == branch->desc)
		return;
	if (branch->desc == NULL || !SamePartitions(RelationGetPartitionKey(branch->rel), desc, branch->desc))
	{
		store->renewed |= branch->desc != NULL;
		branch->children = MemoryContextAllocZero(store->context, Max(desc->nparts, 1) * sizeof(Branch *));
	}
	branch->desc = desc;
}

/* Returns the nth partition of the branch, or NULL if it is there no more. */
static Branch *
Child(PartitionedStore *store, Branch *branch, int n)
{
	if (branch->children[n] == NULL)
		branch->children[n] = OpenBranch(store, branch->desc->oids[n]);
	return branch->children[n];
}

static void
AddLeaf(PartitionedStore *store, Branch *leaf)
{
	if (store->nleaves == store->max_leaves)
	{
		store->max_leaves *= 2;
		store->leaves = repalloc(store->leaves, store->max_leaves * sizeof(Branch *));
	}
	store->leaves[store->nleaves++] = leaf;
	store->unfit |= leaf->probe == NULL;
}

/* Adds the leaves below the branch where rows with the key of the row may be. */
static void
AddLeaves(PartitionedStore *store, Branch *branch, const Row *row)
{
	int			first = 0;
	int			last;

	if (branch == NULL)
		return;
	if (branch->rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
	{
		AddLeaf(store, branch);
		return;
	}
	RefreshPartitions(store, branch);
	last = branch->desc->nparts - 1;
	if (branch->partition->told_by_key)
	{
		first = ChoosePartition(branch->partition, branch->rel, branch->desc, row->values, row->isnull);
		if (first < 0)
			return;
		last = first;
	}
	for (int i = first; i <= last && !store->unfit; i++)
		AddLeaves(store, Child(store, branch, i), row);
}

/*
 * Finds out where rows with the key of the row may be. While we waited for a lock, partitions may have
 * come and gone.
 */
static void
CollectLeaves(PartitionedStore *store, const Row *row)
{
	int			nbranches;

	do
	{
		nbranches = store->nbranches;
		store->nleaves = 0;
		store->unfit = false;
		AddLeaves(store, store->root, row);
	} while (store->nbranches != nbranches && !store->unfit);
}

/* -- what the SPI store does -------------------------------------------------- */

/* Nobody notices when a store of SPI's is open no longer than for one row, but for the time that it takes. */
static Store *
OpenStatementsStore(const PartitionedStore *store)
{
	const bool	sees_all_rows = true;	/* row-level security does not apply, or is not to */

	return OpenSpiStore(store->store.target, store->store.rel, sees_all_rows);
}

/* Lets the next calls know, at once. */
static void
NoteUnfit(PartitionedStore *store)
{
	for (Branch *branch = store->branches; branch; branch = branch->next)
	{
		if (branch->partition->unfit)
			store->store.target->unfit_partition = branch->partition->unfit;
	}
}

static int
FindByStatement(PartitionedStore *store, const Row *row, Snapshot snapshot, TupleTableSlot *found,
				TupleTableSlot *second)
{
	Store	   *statements;
	int			nfound;

	NoteUnfit(store);
	statements = OpenStatementsStore(store);
	nfound = statements->methods->find(statements, row, snapshot, found, second);
	statements->methods->close(statements);
	return nfound;
}

static InsertResult
InsertByStatement(PartitionedStore *store, const Row *row, bool yield_to_unique_index, TupleTableSlot *stored)
{
	Store	   *statements = OpenStatementsStore(store);
	InsertResult result = statements->methods->insert(statements, row, yield_to_unique_index, stored);

	statements->methods->close(statements);
	return result;
}

static UpdateResult
UpdateByStatement(PartitionedStore *store, const Row *row, const Bitmapset *columns, TupleTableSlot *found,
				  TupleTableSlot *stored)
{
	Store	   *statements = OpenStatementsStore(store);
	UpdateResult result = statements->methods->update(statements, row, columns, found, stored);

	statements->methods->close(statements);
	return result;
}

/* -- columns ------------------------------------------------------------------ */

/* Copies the row that is in the leaf's slot, or in its other one, into one in the root's columns. */
static void
ToRoot(const Branch *leaf, TupleTableSlot *own, TupleTableSlot *slot)
{
	if (leaf->partition->to_root)
		execute_attr_map_slot(leaf->partition->to_root, own, slot);
	else if (own != slot)
		ExecCopySlot(slot, own);
	slot->tts_tableOid = RelationGetRelid(leaf->rel);
	slot->tts_tid = own->tts_tid;
}

/* Returns the row in the leaf's columns. */
static TupleTableSlot *
ToLeaf(const Branch *leaf, TupleTableSlot *slot)
{
	if (leaf->partition->from_root == NULL)
		return slot;
	return execute_attr_map_slot(leaf->partition->from_root, slot, leaf->new);
}

/* -- find --------------------------------------------------------------------- */

static bool
NextRowInLeaf(const PartitionedStore *store, const Branch *leaf, const Row *row, TupleTableSlot *slot)
{
	while (NextFound(leaf->probe, leaf->slot))
	{
		ToRoot(leaf, leaf->slot, slot);
		if (IsMatch(leaf->probe, store->store.target, row, slot))
		{
			/* The leaf's slot will be used again before this one. */
			ExecMaterializeSlot(slot);
			return true;
		}
	}
	return false;
}

/* Looks in the leaf; *nfound rows are found already, and two are enough. */
static void
FindInLeaf(const PartitionedStore *store, const Branch *leaf, const Row *row, Snapshot snapshot,
		   TupleTableSlot *found, TupleTableSlot *second, int *nfound)
{
	BeginSearch(leaf->probe, store->store.target, row, snapshot);
	if (*nfound == 0 && NextRowInLeaf(store, leaf, row, found))
		(*nfound)++;
	if (*nfound == 1 && NextRowInLeaf(store, leaf, row, second))
		(*nfound)++;
	ExecClearTuple(leaf->slot);
	EndSearch(leaf->probe);
}

static int
PartitionedFind(Store *base, const Row *row, Snapshot snapshot, TupleTableSlot *found, TupleTableSlot *second)
{
	PartitionedStore *store = (PartitionedStore *) base;
	int			nfound = 0;

	CollectLeaves(store, row);
	if (store->unfit)
		return FindByStatement(store, row, snapshot, found, second);
	for (int i = 0; i < store->nleaves && nfound < 2; i++)
		FindInLeaf(store, store->leaves[i], row, snapshot, found, second ? second : store->second, &nfound);
	ExecClearTuple(store->second);
	return nfound;
}

/* -- write -------------------------------------------------------------------- */

/*
 * Nobody may empty or detach the partition as long as the row may be there. A lock that was acquired in a
 * subtransaction is gone if that was rolled back.
 */
static WrittenTable *
BeginLeaf(PartitionedStore *store, Branch *leaf)
{
	if (leaf->locked_in != GetCurrentSubTransactionId())
		LockTableUntilEnd(RelationGetRelid(leaf->rel), RowExclusiveLock);
	leaf->locked_in = GetCurrentSubTransactionId();
	if (leaf->written == NULL || leaf->set_up != store->writer.set_up)
	{
		leaf->written = BeginPartition(&store->writer, leaf->rel, leaf->partition);
		leaf->set_up = store->writer.set_up;
	}
	return leaf->written;
}

/*
 * Returns the leaf that takes the row in the slot, or NULL if the SPI store must see to it. *by_default tells
 * whether it is there as no other takes it: that must be checked then, as another may have come meanwhile.
 */
static Branch *
ChooseLeaf(PartitionedStore *store, TupleTableSlot *slot, bool *by_default)
{
	Branch	   *branch = store->root;

	*by_default = false;
	while (branch && branch->rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		int			chosen;

		if (branch->partition->columns == NULL)
			return NULL;
		RefreshPartitions(store, branch);
		chosen = ChoosePartition(branch->partition, branch->rel, branch->desc,
								 slot->tts_values, slot->tts_isnull);
		if (chosen < 0)
			return NULL;
		*by_default |= chosen == branch->desc->boundinfo->default_index;
		branch = Child(store, branch, chosen);
	}
	return branch && branch->probe ? branch : NULL;
}

/* Does the updated row in the slot, which is own in the leaf's columns, stay in the leaf? */
static bool
StaysInLeaf(PartitionedStore *store, const Branch *leaf, TupleTableSlot *slot, TupleTableSlot *own)
{
	const bool	emit_error = false;
	bool		by_default;
	const Branch *chosen = ChooseLeaf(store, slot, &by_default);

	/* To evaluate the partition constraint takes longer, as it must be planned first. */
	return chosen ? chosen == leaf
		: ExecPartitionCheck(leaf->written->result_rel, own, store->writer.estate, emit_error);
}

/* Does the leaf have triggers that might make another partition's row of it? */
static bool
HasBeforeTriggers(const Branch *leaf, bool is_update)
{
	const TriggerDesc *triggers = leaf->rel->trigdesc;

	return triggers && (is_update ? triggers->trig_update_before_row : triggers->trig_insert_before_row);
}

static InsertResult
InsertIntoLeaf(PartitionedStore *store, Branch *leaf, bool by_default, const Row *row,
			   bool yield_to_unique_index, TupleTableSlot *stored)
{
	const bool	is_update = false;
	WrittenTable *written = BeginLeaf(store, leaf);
	TupleTableSlot *own = ToLeaf(leaf, stored);
	InsertResult result;

	written->checks_partition = by_default || HasBeforeTriggers(leaf, is_update);
	EnterCommand(&store->writer, written);
	result = WriteNew(&store->writer, written, row, yield_to_unique_index, own);
	ToRoot(leaf, own, stored);
	slot_getallattrs(stored);
	return result;
}

static InsertResult
PartitionedInsert(Store *base, const Row *row, bool yield_to_unique_index, TupleTableSlot *stored)
{
	PartitionedStore *store = (PartitionedStore *) base;
	const bool	is_update = false;
	bool		by_default;
	Branch	   *leaf;

	if (yield_to_unique_index && HasUnfinishedArbiter(base->target, base->rel))
		return INSERT_IN_DOUBT;
	/* Defaults are evaluated once, here or there. */
	if (store->root->partition->columns == NULL || store->unfit)
		return InsertByStatement(store, row, yield_to_unique_index, stored);
	BeginWrite(&store->writer, row->given, is_update);
	StoreNewRow(&store->writer, row, stored);
	leaf = ChooseLeaf(store, stored, &by_default);
	if (leaf == NULL)
		return InsertByStatement(store, row, yield_to_unique_index, stored);
	return InsertIntoLeaf(store, leaf, by_default, row, yield_to_unique_index, stored);
}

static UpdateResult
PartitionedUpdate(Store *base, const Row *row, const Bitmapset *columns, TupleTableSlot *found,
				  TupleTableSlot *stored)
{
	PartitionedStore *store = (PartitionedStore *) base;
	const bool	is_update = true;
	Branch	   *leaf = FindBranch(store, found->tts_tableOid);
	WrittenTable *written;
	TupleTableSlot *own;
	UpdateResult result;

	if (leaf == NULL || leaf->probe == NULL || HasBeforeTriggers(leaf, is_update))
		return UpdateByStatement(store, row, columns, found, stored);
	CheckCmdReplicaIdentity(leaf->rel, CMD_UPDATE);
	BeginWrite(&store->writer, columns, is_update);
	written = BeginLeaf(store, leaf);
	StoreUpdatedRow(row, columns, found, stored);
	own = ToLeaf(leaf, stored);
	if (!StaysInLeaf(store, leaf, stored, own))
		return UpdateByStatement(store, row, columns, found, stored);

	written->checks_partition = false;
	EnterCommand(&store->writer, written);
	result = WriteUpdated(&store->writer, written, &found->tts_tid, own);
	ToRoot(leaf, own, stored);
	slot_getallattrs(stored);
	return result;
}

/* -- the store ---------------------------------------------------------------- */

static void
CloseBranch(PartitionedStore *store, Branch *branch)
{
	if (branch->probe)
		CloseProbe(branch->probe);
	if (branch->slot && branch->slot != store->slot)
		ExecDropSingleTupleTableSlot(branch->slot);
	if (branch->new)
		ExecDropSingleTupleTableSlot(branch->new);
	if (branch != store->root)
		table_close(branch->rel, NoLock);
}

static void
PartitionedClose(Store *base)
{
	PartitionedStore *store = (PartitionedStore *) base;

	EndWrites(&store->writer);
	for (Branch *branch = store->branches; branch; branch = branch->next)
		CloseBranch(store, branch);
	ExecDropSingleTupleTableSlot(store->slot);
	ExecDropSingleTupleTableSlot(store->second);
}

static const StoreMethods partitioned_methods = {
	.find = PartitionedFind,
	.insert = PartitionedInsert,
	.update = PartitionedUpdate,
	.close = PartitionedClose,
};

/* The caller has made sure that WhyNotWriteDirectly(), or WhyNotFindDirectly(), returns NULL. */
Store *
OpenPartitionedStore(Target *target, Relation rel)
{
	PartitionedStore *store = palloc0(sizeof(PartitionedStore));

	store->store.target = target;
	store->store.rel = rel;
	store->store.methods = &partitioned_methods;
	store->context = CurrentMemoryContext;
	store->owner = CurrentResourceOwner;
	store->max_leaves = 16;
	store->leaves = palloc(store->max_leaves * sizeof(Branch *));
	store->slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsBufferHeapTuple);
	store->second = table_slot_create(rel, NULL);
	store->root = AddBranch(store, rel);
	InitWriter(&store->writer, target, rel);
	return &store->store;
}
