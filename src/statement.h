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
	STATEMENT_FIND,				/* columns: those of the key that are NULL */
	STATEMENT_SEE,				/* can the caller see the row at a place? columns: the same */
	STATEMENT_SEE_TO_UPDATE,	/* could the caller update it? columns: the same */
	STATEMENT_INSERT,			/* columns: those given */
	STATEMENT_INSERT_OR_YIELD,	/* the same, unless a unique index has the key */
	STATEMENT_UPDATE,			/* columns: those to set, and those of the key that are NULL; none is both */
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
