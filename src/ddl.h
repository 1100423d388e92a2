/*
 * ddl.h
 *		Commands of SQL that change a table, given by OIDs.
 */
#ifndef PRODUCT_UPSERT_DDL_H
#define PRODUCT_UPSERT_DDL_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "nodes/primnodes.h"
#include "utils/reltrigger.h"

extern void ReplaceRowTrigger(Oid relid, const char *name, Oid function, const List *arguments,
							  const Expr *condition);
extern void DropTrigger(Oid relid, const Trigger *trigger);
extern void EnableTrigger(Oid relid, const char *name);
extern void LockToCreateIndex(Oid relid);
extern void CreateIndexOn(Oid relid, Expr *expression, const char *column_name, const Expr *condition);

#endif							/* PRODUCT_UPSERT_DDL_H */
