/*
 * merge_sql.h
 *		A statement that a merge prepares once, and executes for key after key.
 */
#ifndef PRODUCT_UPSERT_MERGE_SQL_H
#define PRODUCT_UPSERT_MERGE_SQL_H

#include "postgres.h"

#include "nodes/bitmapset.h"

#include "arguments.h"
#include "checkedsql.h"

typedef struct PreparedSql
{
	MemoryContext context;		/* holds all of it but the plan */
	int			kind;			/* for who keeps several: which it is */
	Bitmapset  *columns;
	CheckedSql	sql;
	SPIPlanPtr	plan;
} PreparedSql;

extern PreparedSql *PrepareSql(const CheckedSql *sql, const Arguments *arguments, int cursor_options);
extern uint64 ExecuteSql(const PreparedSql *statement, const Arguments *arguments, uint64 max_rows);
extern void FreeSql(PreparedSql *statement);

#endif							/* PRODUCT_UPSERT_MERGE_SQL_H */
