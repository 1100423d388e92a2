/*
 * reference.h
 *		The foreign keys that reference the rows of a table that is merged.
 */
#ifndef PRODUCT_UPSERT_REFERENCE_H
#define PRODUCT_UPSERT_REFERENCE_H

#include "merge_rows.h"
#include "merge_sql.h"

/* A foreign key. */
typedef struct Reference
{
	MergedTable *table;			/* whose rows it may reference */
	Oid			constraint;
	Oid			child;			/* the table that references */
	Oid			referenced;		/* the one that is referenced: ours, one above or one below it */
	List	   *tables;			/* whose rows are referenced by it */
	const char *name;			/* the child's, qualified and quoted */
	int			ncolumns;
	AttrNumber	child_columns[INDEX_MAX_KEYS];
	AttrNumber	columns[INDEX_MAX_KEYS];	/* of our table, that they reference */
	Oid			operators[INDEX_MAX_KEYS];	/* referenced = child's */
	bool		partitioned;	/* the child is */
	bool		read_only;		/* one of the child's columns is always generated */
	bool		in_same_tree;	/* the child is our table, or in a partition tree with it */
	bool		locked;			/* the child is, for writing */
	PreparedSql *find;
	PreparedSql *move;			/* NULL until it is needed */
} Reference;

extern List *FindReferences(MergedTable *table);
extern int64 RepointReferences(List *references, RowGroup *group);
extern Bitmapset *LeaveOutLoops(List *references, const RowGroup *group, Bitmapset *columns);

#endif							/* PRODUCT_UPSERT_REFERENCE_H */
