/*
 * reference.h
 *		The foreign keys that reference the rows of a table that is merged.
 */
#ifndef PRODUCT_UPSERT_REFERENCE_H
#define PRODUCT_UPSERT_REFERENCE_H

#include "merge_rows.h"

extern List *FindReferences(MergedTable *table);
extern int64 RepointReferences(List *references, RowGroup *group);
extern Bitmapset *LeaveOutLoops(List *references, const RowGroup *group, Bitmapset *columns);

#endif							/* PRODUCT_UPSERT_REFERENCE_H */
