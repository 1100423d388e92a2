/*
 * partition.c
 *		What the partitions of a table are to it: whose keys they have, and how to
 *		find them there.
 *
 * It is worked out when a call first comes to a partition, and kept with the target. A partition may
 * change without its root: then the target's next user works it out anew.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/tupconvert.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "partitioning/partbounds.h"
#include "rewrite/rewriteManip.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"

#include "compat.h"
#include "keyindex.h"
#include "partition.h"
#include "table.h"

/* -- columns ------------------------------------------------------------------ */

/* Returns the columns that make those of a row of the other's, in the context; NULL if they are the same. */
static AttrMap *
MapColumns(TupleDesc from, TupleDesc to, MemoryContext context)
{
	TupleConversionMap *conversion = convert_tuples_by_name(from, to);
	MemoryContext caller;
	AttrMap    *map;

	if (conversion == NULL)
		return NULL;
	caller = MemoryContextSwitchTo(context);
	map = make_attrmap(conversion->attrMap->maplen);
	memcpy(map->attnums, conversion->attrMap->attnums, map->maplen * sizeof(AttrNumber));
	MemoryContextSwitchTo(caller);
	return map;
}

static AttrNumber
RootColumn(const Partition *partition, AttrNumber attnum)
{
	return partition->from_root ? partition->from_root->attnums[attnum - 1] : attnum;
}

/* -- which partition ---------------------------------------------------------- */

/*
 * Are keys that are the same in the same partition? So it is if the key has the whole partition key, and both
 * share the idea of equality.
 */
static bool
IsToldByKey(const Target *target, const Partition *partition, PartitionKey key)
{
	for (int i = 0; i < key->partnatts; i++)
	{
		bool		shared = false;

		for (int j = 0; j < target->nkey_columns; j++)
		{
			const KeyColumn *column = &target->keys[j];

			shared |= column->column->attnum == partition->columns[i] &&
				column->collation == key->partcollation[i] &&
				op_in_opfamily(column->eq_operator, key->partopfamily[i]);
		}
		if (!shared)
			return false;
	}
	return true;
}

static void
BuildPartitioned(Partition *partition, const Target *target, Relation rel)
{
	PartitionKey key = RelationGetPartitionKey(rel);
	AttrNumber *columns = MemoryContextAlloc(target->context, key->partnatts * sizeof(AttrNumber));

	for (int i = 0; i < key->partnatts; i++)
	{
		if (key->partattrs[i] == InvalidAttrNumber)
			return;
		columns[i] = RootColumn(partition, key->partattrs[i]);
	}
	partition->columns = columns;
	partition->told_by_key = IsToldByKey(target, partition, key);
}

static int
ChooseFromList(PartitionKey key, PartitionBoundInfo bounds, Datum value, bool isnull)
{
	bool		equal = false;
	int			offset;

	if (isnull)
		return bounds->null_index;
	offset = partition_list_bsearch(key->partsupfunc, key->partcollation, bounds, value, &equal);
	return offset >= 0 && equal ? bounds->indexes[offset] : -1;
}

static int
ChooseFromRanges(PartitionKey key, PartitionBoundInfo bounds, Datum *values, const bool *isnull)
{
	bool		equal;

	/* Only the default partition takes a NULL. */
	for (int i = 0; i < key->partnatts; i++)
	{
		if (isnull[i])
			return -1;
	}
	return bounds->indexes[partition_range_datum_bsearch(key->partsupfunc, key->partcollation, bounds,
														 key->partnatts, values, &equal) + 1];
}

/*
 * Returns which of the partitions in desc takes a row with the values, which are by the root's attnum - 1;
 * or -1 if none does. partition->columns must not be NULL. (What get_partition_for_tuple() of
 * execPartition.c does, which works on a statement's state.)
 */
int
ChoosePartition(const Partition *partition, Relation rel, PartitionDesc desc,
				const Datum *values, const bool *isnull)
{
	PartitionKey key = RelationGetPartitionKey(rel);
	PartitionBoundInfo bounds = desc->boundinfo;
	Datum		key_values[PARTITION_MAX_KEYS];
	bool		key_isnull[PARTITION_MAX_KEYS];
	int			chosen = -1;

	if (desc->nparts == 0)
		return -1;
	for (int i = 0; i < key->partnatts; i++)
	{
		key_values[i] = values[partition->columns[i] - 1];
		key_isnull[i] = isnull[partition->columns[i] - 1];
	}
	switch (key->strategy)
	{
		case PARTITION_STRATEGY_HASH:
			chosen = bounds->indexes[compute_partition_hash_value(key->partnatts, key->partsupfunc,
																  key->partcollation, key_values, key_isnull)
									 % bounds->nindexes];
			break;
		case PARTITION_STRATEGY_LIST:
			chosen = ChooseFromList(key, bounds, key_values[0], key_isnull[0]);
			break;
		case PARTITION_STRATEGY_RANGE:
			chosen = ChooseFromRanges(key, bounds, key_values, key_isnull);
			break;
	}
	return chosen >= 0 ? chosen : bounds->default_index;
}

/* -- a leaf ------------------------------------------------------------------- */

/*
 * Returns the target with its key and condition in the columns of the partition, to judge that one's
 * indexes by.
 */
static Target *
TargetInPartition(const Target *target, const Partition *partition)
{
	Target	   *view = palloc(sizeof(Target));
	bool		whole_row;

	*view = *target;
	view->key_index = NULL;
	if (partition->to_root == NULL)
		return view;
	view->keys = palloc(target->nkey_columns * sizeof(KeyColumn));
	view->key_columns = NULL;
	for (int i = 0; i < target->nkey_columns; i++)
	{
		Column	   *column = palloc(sizeof(Column));

		*column = *target->keys[i].column;
		column->attnum = partition->to_root->attnums[column->attnum - 1];
		view->keys[i] = target->keys[i];
		view->keys[i].column = column;
		view->key_columns = bms_add_member(view->key_columns, column->attnum);
	}
	if (target->condition.source)
		view->condition.source = (Expr *) map_variable_attnos((Node *) target->condition.source, 1, 0,
															  partition->to_root, InvalidOid, &whole_row);
	return view;
}

/*
 * Returns the leaf's index on the key, or NULL, in the target's memory. Its attnums are made the root's,
 * as it is rows of the root's that are looked for.
 */
static KeyIndex *
IndexOfLeaf(const Target *target, const Partition *partition, Relation rel)
{
	const KeyIndex *found = FindKeyIndex(TargetInPartition(target, partition), rel);
	KeyIndex   *index;

	if (found == NULL)
		return NULL;
	index = MemoryContextAlloc(target->context, sizeof(KeyIndex));
	*index = *found;
	index->hash = NULL;
	index->scan_keys = MemoryContextAlloc(target->context, found->nscan_keys * sizeof(ScanKeyData));
	memcpy(index->scan_keys, found->scan_keys, found->nscan_keys * sizeof(ScanKeyData));
	if (found->attnums)
		index->attnums = MemoryContextAlloc(target->context, found->nscan_keys * sizeof(AttrNumber));
	for (int i = 0; found->attnums && i < found->nscan_keys; i++)
		index->attnums[i] = RootColumn(partition, found->attnums[i]);
	return index;
}

/* Is the index part of one of the target's that an insert yields to? */
static bool
BelongsToArbiter(const Target *target, Oid index)
{
	List	   *ancestors = get_rel_relispartition(index) ? get_partition_ancestors(index) : NIL;
	ListCell   *cell;

	foreach(cell, target->arbiters)
	{
		if (list_member_oid(ancestors, lfirst_oid(cell)))
			return true;
	}
	return false;
}

/* The leaf's indexes that belong to those of the root that an insert yields to. */
static List *
ArbitersOfLeaf(const Target *target, Relation rel)
{
	MemoryContext caller;
	List	   *arbiters = NIL;
	ListCell   *cell;

	if (target->arbiters == NIL)
		return NIL;
	foreach(cell, RelationGetIndexList(rel))
	{
		if (BelongsToArbiter(target, lfirst_oid(cell)))
			arbiters = lappend_oid(arbiters, lfirst_oid(cell));
	}
	caller = MemoryContextSwitchTo(target->context);
	arbiters = list_copy(arbiters);
	MemoryContextSwitchTo(caller);
	return arbiters;
}

static void
BuildLeaf(Partition *partition, const Target *target, Relation rel)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION)
		partition->unfit = "it has a foreign partition";
	else if (!IsPlainHeap(rel))
		partition->unfit = "a partition has another table access method";
	else if ((partition->index = IndexOfLeaf(target, partition, rel)) == NULL)
		partition->unfit = "a partition has no btree index that begins with the key";
	else
		partition->arbiters = ArbitersOfLeaf(target, rel);
}

/* -- what is kept ------------------------------------------------------------- */

static HTAB *
MakePartitions(Target *target)
{
	HASHCTL		control = {
		.keysize = sizeof(Oid),
		.entrysize = sizeof(Partition),
		.hcxt = target->context,
	};

	return hash_create("product_upsert partitions", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* What is not kept goes away with the current memory context. */
static void
BuildPartition(Partition *partition, Target *target, Relation rel)
{
	/* Valid from here on, so that an invalidation while we look is not lost. */
	*partition = (Partition) {.relid = RelationGetRelid(rel), .valid = true};
	partition->from_root = MapColumns(target->desc, RelationGetDescr(rel), target->context);
	partition->to_root = MapColumns(RelationGetDescr(rel), target->desc, target->context);
	partition->alike = partition->from_root == NULL && partition->to_root == NULL;
	/* Core asks for one also if a column was added with a default; what is read from a slot has that. */
	if (partition->from_root == NULL)
		partition->to_root = NULL;
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		BuildPartitioned(partition, target, rel);
	else
		BuildLeaf(partition, target, rel);
	partition->complete = true;
}

/*
 * Returns what the relation, which the caller has locked, is to the target, whose partition it is or which
 * it is itself. It lasts as long as the target.
 */
Partition *
DescribePartition(Target *target, Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch;
	Partition  *partition;
	bool		known;

	if (target->partitions == NULL)
		target->partitions = MakePartitions(target);
	partition = hash_search(target->partitions, &relid, HASH_ENTER, &known);
	if (known && partition->complete && partition->valid)
		return partition;
	partition->complete = false;
	scratch = AllocSetContextCreate(caller, "product_upsert partition", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(scratch);
	BuildPartition(partition, target, rel);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
	return partition;
}

/*
 * Notes that the relation has changed, or any if it is InvalidOid. Returns whether the target has it for a
 * partition. Called at any moment, so it only sets flags.
 */
bool
ForgetPartition(const Target *target, Oid relid)
{
	HASH_SEQ_STATUS scan;
	Partition  *partition;

	if (target->partitions == NULL)
		return false;
	if (OidIsValid(relid))
	{
		partition = hash_search(target->partitions, &relid, HASH_FIND, NULL);
		if (partition)
			partition->valid = false;
		return partition != NULL;
	}
	hash_seq_init(&scan, target->partitions);
	while ((partition = hash_seq_search(&scan)) != NULL)
		partition->valid = false;
	return true;
}

/* -- foreign tables ----------------------------------------------------------- */

/* Returns a foreign one among the tables, or InvalidOid. */
static Oid
FindForeign(List *relids)
{
	ListCell   *cell;

	foreach(cell, relids)
	{
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE)
			return lfirst_oid(cell);
	}
	return InvalidOid;
}

/* The partitions of rel that may have a row with the key. */
static List *
PartitionsOfKey(Target *target, Relation rel, const Row *row)
{
	const bool	omit_detached = true;
	PartitionDesc desc = RelationGetPartitionDesc(rel, omit_detached);
	const Partition *partition = DescribePartition(target, rel);
	int			chosen;
	List	   *relids = NIL;

	if (partition->told_by_key)
	{
		chosen = ChoosePartition(partition, rel, desc, row->values, row->isnull);
		return chosen >= 0 ? list_make1_oid(desc->oids[chosen]) : NIL;
	}
	for (int i = 0; i < desc->nparts; i++)
		relids = lappend_oid(relids, desc->oids[i]);
	return relids;
}

/* Returns a foreign table below rel that may have a row with the row's key, or InvalidOid. */
Oid
FindForeignTable(Target *target, Relation rel, const Row *row)
{
	Oid			found = InvalidOid;
	List	   *relids;
	ListCell   *cell;

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return rel->rd_rel->relhassubclass
			? FindForeign(find_all_inheritors(RelationGetRelid(rel), AccessShareLock, NULL)) : InvalidOid;
	relids = PartitionsOfKey(target, rel, row);
	found = FindForeign(relids);
	foreach(cell, relids)
	{
		Relation	partition;

		if (OidIsValid(found) || get_rel_relkind(lfirst_oid(cell)) != RELKIND_PARTITIONED_TABLE)
			continue;
		partition = table_open(lfirst_oid(cell), AccessShareLock);
		found = FindForeignTable(target, partition, row);
		table_close(partition, NoLock);
	}
	return found;
}
