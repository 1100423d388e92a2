/*
 * merge_sql.c
 *		A statement that a merge prepares once, and executes for key after key.
 *
 * Its plan goes away with the connection to SPI that it is prepared in. PostgreSQL does
 * not tell such plans of changes, and need not: the tables are locked, so that they stay
 * what they were, and what the statement names was looked up for good.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "merge_sql.h"

/* Prepares the statement for arguments of these types. A copy of it is kept in the current memory context. */
PreparedSql *
PrepareSql(const CheckedSql *sql, const Arguments *arguments, int cursor_options)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "product_upsert merge statement",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	PreparedSql *statement = palloc0(sizeof(PreparedSql));

	statement->context = context;
	statement->sql.text = pstrdup(sql->text);
	statement->sql.relations = list_copy(sql->relations);
	statement->sql.condition = copyObject(sql->condition);
	ereport(DEBUG1, (errmsg_internal("product_upsert prepares: %s", sql->text)));
	statement->plan = PrepareChecked(&statement->sql, arguments->n, arguments->types, cursor_options);
	MemoryContextSwitchTo(caller);
	return statement;
}

/*
 * Executes it with a new snapshot, and returns the number of rows, which are in SPI_tuptable;
 * at most max_rows of them (0: all). Comes back in the caller's memory context.
 */
uint64
ExecuteSql(const PreparedSql *statement, const Arguments *arguments, uint64 max_rows)
{
	MemoryContext caller = CurrentMemoryContext;

	ExecuteChecked(&statement->sql, statement->plan, arguments->values, arguments->nulls,
				   InvalidSnapshot, max_rows);
	MemoryContextSwitchTo(caller);
	return SPI_processed;
}

void
FreeSql(PreparedSql *statement)
{
	SPI_freeplan(statement->plan);
	MemoryContextDelete(statement->context);
}
