/*
 * rowlock.h
 *		Locking the row that was found, and whether it is still there.
 */
#ifndef PRODUCT_UPSERT_ROWLOCK_H
#define PRODUCT_UPSERT_ROWLOCK_H

#include "access/tableam.h"
#include "executor/tuptable.h"

#include "row.h"

extern bool LockFoundRow(const Target *target, const Row *row, const Bitmapset *columns,
						 const TupleTableSlot *found);
extern bool IsStillThere(TM_Result result);

#endif							/* PRODUCT_UPSERT_ROWLOCK_H */
