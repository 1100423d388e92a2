/*
 * merge_rows.h
 *		The rows that have the same key, while they are made one.
 */
#ifndef PRODUCT_UPSERT_MERGE_ROWS_H
#define PRODUCT_UPSERT_MERGE_ROWS_H

#include "postgres.h"

#include "storage/itemptr.h"

#include "row.h"

/* The table whose rows are merged. */
typedef struct MergedTable
{
	MemoryContext context;		/* holds all of it, for as long as the call */
	Relation	rel;
	Target	   *target;
	Oid			root;			/* of its partition tree */
	const char *name;			/* qualified and quoted */
	List	   *tables;			/* OIDs of those that hold its rows, all locked */
	bool		newest;			/* which row to keep; else the oldest */
	List	   *identity;		/* attribute numbers; NIL: nothing but its place identifies a row */
	Bitmapset  *fillable;		/* columns whose nulls are filled from other rows */
	List	   *statements;		/* PreparedSql, most recently used first */
} MergedTable;

typedef struct MergedRow
{
	Oid			table;			/* that holds it */
	ItemPointerData tid;
	Datum	   *values;			/* by attnum - 1 */
	bool	   *isnull;
} MergedRow;

/* The rows of one key, as they are by now: the row to be kept, then the others, the nearest first. */
typedef struct RowGroup
{
	MergedTable *table;
	const Row  *key;
	int			nrows;
	MergedRow  *rows;
} RowGroup;

extern char *QualifiedName(Oid relid);
extern void DescribeRows(MergedTable *table);
extern void FindGroup(RowGroup *group);
extern bool ReadGroupAgain(RowGroup *group);
extern Bitmapset *MissingColumns(const RowGroup *group);
extern MergedRow FilledRow(const RowGroup *group, const Bitmapset *columns);
extern void DeleteOthers(const RowGroup *group);
extern void FillKept(RowGroup *group, const Bitmapset *columns);
extern void ReadKept(RowGroup *group);

#endif							/* PRODUCT_UPSERT_MERGE_ROWS_H */
