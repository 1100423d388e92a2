/*
 * table.h
 *		Finding a table, checking that the caller may write to it, locking and opening it.
 */
#ifndef PRODUCT_UPSERT_TABLE_H
#define PRODUCT_UPSERT_TABLE_H

#include "postgres.h"

#include "storage/lockdefs.h"
#include "utils/rel.h"
#include "utils/resowner.h"

/* As a relation's OID: the table that product_upsert.default_table names. */
#define DEFAULT_TABLE	InvalidOid

/*
 * Conflicts with every writer and with no reader. Every upsert holds
 * RowExclusiveLock on the table anyway, which conflicts with this, so single
 * calls need nothing more to respect it.
 */
#define WHOLE_TABLE_LOCK	ShareRowExclusiveLock

/* Setting product_upsert.default_table: the target of product_upsert(jsonb), found through search_path. */
extern char *default_table;

extern char *TableName(Oid relid);
extern char *TableLiteral(Oid relid);
extern void DenyTable(Oid relid, const char *needed);
extern void CheckSchema(Oid relid);
extern void RequireTable(Oid relid);
extern void CheckMayRead(Oid relid);
extern bool MayLockWholeTable(Oid relid);
extern void CheckMayLockWholeTable(Oid relid);
extern ResourceOwner BecomeTransaction(void);
extern void LockTableUntilEnd(Oid relid, LOCKMODE mode);
extern List *LockTreeUntilEnd(Oid relid, LOCKMODE mode);
extern bool TryLockTableUntilEnd(Oid relid, LOCKMODE mode);
extern Oid	LockTargetTable(Oid relid, bool whole_table);
extern bool HoldsWholeTable(Oid root);
extern bool IsPlainHeap(Relation rel);
extern Relation OpenTable(Oid relid, bool whole_table, const char *function, Oid *root);
extern Relation OpenToLook(Oid relid);

#endif							/* PRODUCT_UPSERT_TABLE_H */
