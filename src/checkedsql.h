/*
 * checkedsql.h
 *		SQL text that can mean nothing but what its writer meant.
 */
#ifndef PRODUCT_UPSERT_CHECKEDSQL_H
#define PRODUCT_UPSERT_CHECKEDSQL_H

#include "postgres.h"

#include "executor/spi.h"
#include "nodes/primnodes.h"

/*
 * A statement. Its text names nothing but the relations, their columns, and what is in
 * pg_catalog, by its schema. What else it needs, such as the operators of a key, is in the
 * condition, which has no names in it.
 */
typedef struct CheckedSql
{
	const char *text;
	List	   *relations;		/* OIDs of all that the text names */
	Expr	   *condition;		/* a further one, on the first relation (varno 1), or NULL; of an INSERT that
								 * can yield, it is that of the indexes which it yields to */
} CheckedSql;

extern void InitCheckedSql(void);
extern SPIPlanPtr PrepareChecked(const CheckedSql *sql, int nparameters, Oid *parameter_types,
								 int cursor_options);
extern void ExecuteChecked(const CheckedSql *sql, SPIPlanPtr plan, Datum *values, const char *nulls,
						   Snapshot snapshot, uint64 max_rows);
extern void ExecuteCheckedInto(const CheckedSql *sql, SPIPlanPtr plan, DestReceiver *receiver);

#endif							/* PRODUCT_UPSERT_CHECKEDSQL_H */
