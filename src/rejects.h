/*
 * rejects.h
 *		The table that takes the rows of a load that failed.
 */
#ifndef PRODUCT_UPSERT_REJECTS_H
#define PRODUCT_UPSERT_REJECTS_H

#include "attempt.h"
#include "checkedsql.h"

typedef struct Rejects
{
	Relation	rel;
	List	   *columns;		/* pointers to RejectColumn: those that it has */
	CheckedSql	sql;
	SPIPlanPtr	plan;
} Rejects;

extern Rejects *OpenRejects(Oid relid, const char *function);
extern void PrepareRejects(Rejects *rejects);
extern void Reject(const Rejects *rejects, Datum record, bool isnull, const ErrorData *error);
extern void CloseRejects(Rejects *rejects);

#endif							/* PRODUCT_UPSERT_REJECTS_H */
