/*
 * merge.h
 *		One merge of duplicates, from its arguments to its result.
 */
#ifndef PRODUCT_UPSERT_MERGE_H
#define PRODUCT_UPSERT_MERGE_H

#include "postgres.h"

#include "nodes/execnodes.h"

#define NO_MAX_KEYS		0

typedef struct MergeOptions
{
	bool		newest;			/* keep the newest row; else the oldest */
	bool		dry_run;		/* undo all of it */
	int			max_keys;		/* NO_MAX_KEYS: all */
} MergeOptions;

extern void MergeDuplicates(Oid relid, const MergeOptions *options, ReturnSetInfo *results);

#endif							/* PRODUCT_UPSERT_MERGE_H */
