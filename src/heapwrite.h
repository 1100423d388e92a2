/*
 * heapwrite.h
 *		Writing one row of a heap table as the executor does.
 */
#ifndef PRODUCT_UPSERT_HEAPWRITE_H
#define PRODUCT_UPSERT_HEAPWRITE_H

#include "compat.h"
#include "partition.h"
#include "store.h"
#include "utils/resowner.h"

/* A table that is written to: the target, or one of its partitions. */
typedef struct WrittenTable
{
	ResultRelInfo *result_rel;
	bool		checks_partition;	/* whether a row belongs there was not decided by its values */
	const Partition *partition; /* NULL for the target itself */
	List	   *arbiters;		/* the indexes that a new row can yield to, as they are opened */
} WrittenTable;

/* What the writes of a call share. */
typedef struct Writer
{
	Target	   *target;
	Relation	rel;			/* the target's */
	MemoryContext context;		/* what was current when it was made, as was */
	ResourceOwner owner;
	EState	   *estate;			/* NULL until the first write */
	int			set_up;			/* how often it was */
	WrittenTable whole;			/* the target */
	EPQState	epq;			/* required by triggers, but never run: see StoreMethods.update */
	NamedColumns *named;
	ExprState **defaults;		/* by attnum - 1; NULL until needed */
	bool		generates;		/* one of the tables has generated columns */
	bool		updates;		/* the last write was an update, not an insert */
	Bitmapset  *columns;		/* that it named */
	TransitionCaptureState *transitions;	/* what transition tables take from it; NULL if there are none */
} Writer;

extern void InitWriter(Writer *writer, Target *target, Relation rel);
extern void BeginWrite(Writer *writer, const Bitmapset *columns, bool is_update);
extern void EnterCommand(Writer *writer, const WrittenTable *table);
extern WrittenTable *BeginPartition(Writer *writer, Relation rel, const Partition *partition);
extern void StoreNewRow(Writer *writer, const Row *row, TupleTableSlot *slot);
extern void StoreUpdatedRow(const Row *row, const Bitmapset *columns, const TupleTableSlot *found,
							TupleTableSlot *slot);
extern InsertResult WriteNew(Writer *writer, WrittenTable *table, const Row *row, bool yield_to_unique_index,
							 TupleTableSlot *slot);
extern UpdateResult WriteUpdated(Writer *writer, WrittenTable *table, ItemPointer tid, TupleTableSlot *slot);
extern void EndWrites(Writer *writer);

#endif							/* PRODUCT_UPSERT_HEAPWRITE_H */
