/*
 * store.h
 *		The only way to a table's rows. Opened once a call, so that the rows of a
 *		batch share what it sets up.
 *
 * The caller holds RowExclusiveLock on the table from before the store is opened
 * until the transaction ends. Rows are returned in the current memory context.
 */
#ifndef PRODUCT_UPSERT_STORE_H
#define PRODUCT_UPSERT_STORE_H

#include "row.h"
#include "storage/itemptr.h"
#include "utils/snapshot.h"

/* A row as it is stored. */
typedef struct StoredRow
{
	Oid			tableoid;		/* the partition or child that holds it */
	ItemPointerData tid;
	Datum		composite;		/* the row as a value of the table's row type */
	Datum	   *values;			/* the same by column, in the target's order */
	bool	   *isnull;
} StoredRow;

typedef enum UpdateResult
{
	UPDATE_DONE,
	UPDATE_SKIPPED,				/* a BEFORE trigger returned NULL */
	UPDATE_ROW_IS_GONE,			/* it was updated, moved or deleted since it was found */
} UpdateResult;

typedef struct Store
{
	Target	   *target;
	Relation	rel;
	const struct StoreMethods *methods;
} Store;

typedef struct StoreMethods
{
	/*
	 * Looks for rows that have row's key, as snapshot sees them, and stops at the
	 * second. Returns their number; the first, if any, is in *found. It sees rows
	 * that row-level security hides from the caller: a single such row is error
	 * 42501 unless found is NULL.
	 */
	int			(*find) (Store *store, const Row *row, Snapshot snapshot, StoredRow *found);

	/*
	 * Inserts the given values. Returns false if nothing was inserted because a
	 * BEFORE trigger returned NULL or, with yield_to_unique_index, because the
	 * target's unique index on the key has the key already.
	 */
	bool		(*insert) (Store *store, const Row *row, bool yield_to_unique_index,
						   StoredRow *stored);

	/*
	 * Sets the columns to row's values in the row that was found, unless it is no
	 * longer what was found; waits for a concurrent writer of it to find out.
	 */
	UpdateResult (*update) (Store *store, const Row *row, const Bitmapset *columns,
							const StoredRow *found, StoredRow *stored);

	void		(*close) (Store *store);
} StoreMethods;

extern Store *OpenSpiStore(Target *target, Relation rel);

#endif							/* PRODUCT_UPSERT_STORE_H */
