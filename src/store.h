/*
 * store.h
 *		The only way to a table's rows. Opened once a call, so that the rows of a
 *		batch share what it sets up.
 *
 * The caller holds RowExclusiveLock on the table from before the store is opened
 * until the transaction ends. A row is returned in a slot of the caller's, made by
 * MakeFoundSlot() or MakeStoredSlot(), with tableoid (the partition or child that
 * holds it), tid and all attributes; it is good until the slot is used again.
 */
#ifndef PRODUCT_UPSERT_STORE_H
#define PRODUCT_UPSERT_STORE_H

#include "access/tableam.h"
#include "executor/tuptable.h"
#include "row.h"
#include "utils/snapshot.h"

typedef enum InsertResult
{
	INSERT_DONE,
	INSERT_SKIPPED,				/* a BEFORE trigger returned NULL */
	INSERT_KEY_EXISTS,			/* a unique index has the key */
	INSERT_IN_DOUBT,			/* it may be one of these two */
} InsertResult;

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
	 * second. Returns their number; they are in *found and *second, which may be NULL.
	 * It sees rows that row-level security hides from the caller: a single such row is
	 * error 42501, unless the store was opened to find. A row in a foreign table is error 0A000.
	 */
	int			(*find) (Store *store, const Row *row, Snapshot snapshot, TupleTableSlot *found,
						 TupleTableSlot *second);

	/*
	 * Is it certain, at a glance, that no row but the one at tid has row's key, or only such rows as
	 * nobody sees any more? No need to ask a store that has NULL here, or one of several tables.
	 */
	bool		(*is_alone) (Store *store, const Row *row, ItemPointer tid);

	/*
	 * Inserts the given values. With yield_to_unique_index, it does not insert, and
	 * raises no error, if a unique index on the target's key has the key already, or if
	 * only an insert that does not yield can tell.
	 */
	InsertResult (*insert) (Store *store, const Row *row, bool yield_to_unique_index,
							TupleTableSlot *stored);

	/*
	 * Sets the columns to row's values in the row that was found, unless it is no
	 * longer what was found; waits for a concurrent writer of it to find out.
	 */
	UpdateResult (*update) (Store *store, const Row *row, const Bitmapset *columns,
							TupleTableSlot *found, TupleTableSlot *stored);

	void		(*close) (Store *store);
} StoreMethods;

#endif							/* PRODUCT_UPSERT_STORE_H */
