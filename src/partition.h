/*
 * partition.h
 *		What the partitions of a table are to it: whose keys they have, and how to
 *		find them there.
 */
#ifndef PRODUCT_UPSERT_PARTITION_H
#define PRODUCT_UPSERT_PARTITION_H

#include "access/attmap.h"
#include "partitioning/partdesc.h"
#include "row.h"
#include "target.h"
#include "utils/rel.h"

/*
 * A table of a partition tree, as its root is upserted to: the root, too. Columns are the root's unless
 * told.
 */
typedef struct Partition
{
	Oid			relid;			/* hash key */
	bool		complete;		/* all of this has been worked out */
	bool		valid;			/* and the relation has not changed since */
	AttrMap    *from_root;		/* its columns from the root's; NULL if they are in the same places */
	AttrMap    *to_root;		/* and back */

	bool		alike;			/* its rows are stored as the root's would be */

	/* for one that is partitioned itself */
	AttrNumber *columns;		/* those of its partition key; NULL if there is an expression in it */
	bool		told_by_key;	/* rows that have the same key are in the same partition */

	/* for a leaf */
	const char *unfit;			/* why rows cannot be found or written there directly; NULL if they can */
	KeyIndex   *index;			/* by which they are found */
	List	   *arbiters;		/* its parts of the target's */
} Partition;

extern Partition *DescribePartition(Target *target, Relation rel);
extern bool ForgetPartition(const Target *target, Oid relid);
extern int	ChoosePartition(const Partition *partition, Relation rel, PartitionDesc desc,
							const Datum *values, const bool *isnull);
extern Oid	FindForeignTable(Target *target, Relation rel, const Row *row);

#endif							/* PRODUCT_UPSERT_PARTITION_H */
