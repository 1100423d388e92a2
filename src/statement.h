/*
 * statement.h
 *		The SQL statements by which the SPI store reads and writes one table.
 */
#ifndef PRODUCT_UPSERT_STATEMENT_H
#define PRODUCT_UPSERT_STATEMENT_H

#include "executor/tuptable.h"
#include "lib/ilist.h"

#include "arguments.h"
#include "checkedsql.h"
#include "row.h"

typedef enum StatementKind
{
	STATEMENT_FIND,				/* the rows that have a key */
	STATEMENT_SEE,				/* can the caller see the row at a place? */
	STATEMENT_SEE_TO_UPDATE,	/* could the caller update it? */
	STATEMENT_INSERT,
	STATEMENT_INSERT_OR_YIELD,	/* the same, unless a unique index has the key */
	STATEMENT_UPDATE,			/* the row at a place */
} StatementKind;

/* By this, a statement of a table's is told from its others. */
typedef struct StatementShape
{
	StatementKind kind;
	Bitmapset  *null_columns;	/* of the key that it looks for; the others are parameters */
	Bitmapset  *set_columns;	/* those that it inserts or updates */
} StatementShape;

typedef struct Statement
{
	dlist_node	node;
	StatementShape shape;
	CheckedSql	sql;
	SPIPlanPtr	plan;
	MemoryContext context;		/* holds all of it but the plan */
} Statement;

/* A statement, and its values for one row. */
typedef struct BoundStatement
{
	Statement  *statement;
	Arguments  *arguments;
} BoundStatement;

extern void OpenStatements(Target *target, Relation rel);
extern BoundStatement BindFind(Target *target, const Row *row);
extern BoundStatement BindSee(Target *target, const TupleTableSlot *found, bool to_update);
extern BoundStatement BindInsert(Target *target, const Row *row, bool or_yield);
extern BoundStatement BindUpdate(Target *target, const Row *row, const Bitmapset *columns,
								 const TupleTableSlot *found);

#endif							/* PRODUCT_UPSERT_STATEMENT_H */
