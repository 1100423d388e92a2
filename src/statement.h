/*
 * statement.h
 *		The SQL statements by which the SPI store reads and writes one table.
 */
#ifndef PRODUCT_UPSERT_STATEMENT_H
#define PRODUCT_UPSERT_STATEMENT_H

#include "lib/ilist.h"

#include "checkedsql.h"
#include "target.h"

typedef enum StatementKind
{
	FIND,						/* columns: those of the key that are NULL */
	SEE,						/* can the caller see the row at a place? columns: as for FIND */
	SEE_TO_UPDATE,				/* could the caller update it? columns: as for FIND */
	INSERT,						/* columns: those given */
	INSERT_OR_YIELD,			/* the same, unless a unique index has the key */
	UPDATE,						/* columns: those to set, and as for FIND: none is both */
} StatementKind;

typedef struct Statement
{
	dlist_node	node;
	StatementKind kind;
	Bitmapset  *columns;
	CheckedSql	sql;
	SPIPlanPtr	plan;
	MemoryContext context;		/* holds all of it but the plan */
} Statement;

extern void OpenStatements(Target *target, Relation rel);
extern Statement *GetStatement(Target *target, StatementKind kind, const Bitmapset *columns,
							   int nparameters, Oid *parameter_types);

#endif							/* PRODUCT_UPSERT_STATEMENT_H */
