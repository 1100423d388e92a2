/*
 * table.c
 *		Finding a table, checking that the caller may write to it, locking and opening it.
 *
 * Locks on tables, like those on keys, belong to the current transaction or subtransaction,
 * as what is written under them does. CurrentResourceOwner may be that of a cursor, which is
 * released when a later FETCH fails, though the transaction goes on from a savepoint and what
 * earlier ones wrote is there to stay. So the locks are acquired and released under
 * CurTransactionResourceOwner. (After an error in between, whoever handles it sets
 * CurrentResourceOwner, as it must in any case.)
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/sinval.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "table.h"

char	   *default_table = NULL;

/* -- names ------------------------------------------------------------------- */

/* The table's name as SQL finds it: with its schema if that takes it, and quoted. */
char *
TableName(Oid relid)
{
	return DatumGetCString(DirectFunctionCall1(regclassout, ObjectIdGetDatum(relid)));
}

/* The same as a constant in SQL. */
char *
TableLiteral(Oid relid)
{
	return quote_literal_cstr(TableName(relid));
}

/* -- what the caller may do --------------------------------------------------- */

/* As PostgreSQL's own, but with what the caller lacks. */
void
DenyTable(Oid relid, const char *needed)
{
	const ObjectAddress table = {.classId = RelationRelationId, .objectId = relid};
	const char *description = getObjectDescription(&table, true);

	if (description == NULL)
		RequireTable(relid);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for %s", description),
			 errdetail("It takes %s.", needed)));
}

void
CheckSchema(Oid relid)
{
	Oid			schema = get_rel_namespace(relid);
	AclResult	result = NamespaceAclCheck(schema, GetUserId(), ACL_USAGE);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_SCHEMA, get_namespace_name(schema));
}

/*
 * Where code runs as its owner, its caller must not choose the table that is written to with the owner's
 * rights: 42501 unless that is how the server or the database is configured, or the role that is current
 * now has set it. So it is with a function's own SET clause, as by then the role is the owner.
 *
 * PostgreSQL keeps who has set a setting with its value, also when that is stacked, or comes from before
 * the library was loaded. But what is set for a role is kept as if a superuser had set it.
 */
static void
CheckMayChooseTable(void)
{
	static const char *const name = "product_upsert.default_table";
	static const struct config_generic *setting = NULL;

	if (!InLocalUserIdChange() && !InSecurityRestrictedOperation())
		return;
	if (setting == NULL)
		setting = FindSetting(name);
	if (setting->source < PGC_S_USER ||
		(setting->source > PGC_S_DATABASE_USER && setting->srole == GetUserId()))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("setting \"%s\" is not that of role \"%s\"", name,
					GetUserNameFromId(GetUserId(), false)),
			 errdetail("Code that runs as its owner does not write to a table that its caller has chosen."),
			 errhint("Name the table in the call, or ALTER FUNCTION ... SET product_upsert.default_table.")));
}

/*
 * Before any lock is taken: who may not write to the table at all must not be
 * able to hold up those who may.
 */
static void
CheckMayLock(Oid relid)
{
	Oid			role = GetUserId();
	AclMode		writes = ACL_INSERT | ACL_UPDATE | ACL_DELETE;

	CheckSchema(relid);
	if (pg_class_aclcheck(relid, role, writes) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(relid, role, writes, ACLMASK_ANY) != ACLCHECK_OK)
		DenyTable(relid, "INSERT, UPDATE or DELETE");
}

/* The same before a lock that keeps nobody from writing. */
void
CheckMayRead(Oid relid)
{
	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_SELECT, ACLMASK_ANY) != ACLCHECK_OK)
		DenyTable(relid, "SELECT");
}

/* May the caller keep all other writers off the table? LOCK TABLE asks for the same. */
bool
MayLockWholeTable(Oid relid)
{
	return pg_class_aclcheck(relid, GetUserId(),
							 ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE) == ACLCHECK_OK;
}

/* Raises 42501 unless the caller may. */
void
CheckMayLockWholeTable(Oid relid)
{
	if (!MayLockWholeTable(relid))
		DenyTable(relid, "UPDATE, DELETE or TRUNCATE on the table as a whole");
}

/* Temporary tables can be written to in a read-only transaction, as by any other command. */
static void
PreventIfReadOnly(Oid relid, const char *function)
{
	PreventCommandIfParallelMode(function);
	if (get_rel_persistence(relid) != RELPERSISTENCE_TEMP)
		PreventCommandIfReadOnly(function);
}

/* -- locks that last as long as what is written ------------------------------- */

/* Makes the locks that follow the transaction's own; returns what is to be restored after them. */
ResourceOwner
BecomeTransaction(void)
{
	ResourceOwner caller = CurrentResourceOwner;

	CurrentResourceOwner = CurTransactionResourceOwner;
	return caller;
}

/* Locks a table until the transaction ends, or is rolled back to a savepoint before this. */
void
LockTableUntilEnd(Oid relid, LOCKMODE mode)
{
	ResourceOwner caller = BecomeTransaction();

	LockRelationOid(relid, mode);
	CurrentResourceOwner = caller;
}

/* The same for a table and all that are below it; returns their OIDs. */
List *
LockTreeUntilEnd(Oid relid, LOCKMODE mode)
{
	ResourceOwner caller = BecomeTransaction();
	List	   *tables;

	LockRelationOid(relid, mode);
	tables = find_all_inheritors(relid, mode, NULL);
	CurrentResourceOwner = caller;
	return tables;
}

/* The same as LockTableUntilEnd(), unless others have the table: then returns false. */
bool
TryLockTableUntilEnd(Oid relid, LOCKMODE mode)
{
	ResourceOwner caller = BecomeTransaction();
	bool		locked = ConditionalLockRelationOid(relid, mode);

	CurrentResourceOwner = caller;
	return locked;
}

/* Undoes LockTableUntilEnd() at the same nesting level. */
static void
UnlockTable(Oid relid, LOCKMODE mode)
{
	ResourceOwner caller = BecomeTransaction();

	UnlockRelationOid(relid, mode);
	CurrentResourceOwner = caller;
}

/* -- from an OID or a name to a table that is locked and open ----------------- */

/*
 * Raises 42P01 if there is no such relation by now, and 0A000 if it is another session's temporary
 * table: its rows may be in that session's memory alone. Core's own check is passed by on
 * PostgreSQL 17 and later, where a scan of the whole table finds what happens to be on disk.
 */
void
RequireTable(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relpersistence == RELPERSISTENCE_TEMP && isOtherTempNamespace(form->relnamespace))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access temporary tables of other sessions")));
	ReleaseSysCache(tuple);
}

/* Returns the table that product_upsert.default_table names by now, or raises 42P01. */
static Oid
FindDefaultTable(void)
{
	RangeVar   *name = makeRangeVarFromNameList(QualifiedNameList(default_table));
	Oid			relid = RangeVarGetRelid(name, NoLock, true);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s\" does not exist", default_table),
				 errhint("Name the table in the call, or SET product_upsert.default_table.")));
	return relid;
}

/*
 * Returns the table that relid is a partition of, also while it is being detached;
 * InvalidOid if there is none, for which get_partition_parent() raises an error.
 */
static Oid
PartitionParent(Oid relid)
{
	Relation	inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			parent = InvalidOid;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		parent = ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent;
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return parent;
}

/*
 * Returns the tables from the root of the table's partition tree down to itself. A
 * partition's keys are locked as those of the root. A partition that is being
 * detached belongs to the tree until that is done: those who came through the root
 * may not have finished.
 */
static List *
PathFromRoot(Oid relid)
{
	List	   *path = list_make1_oid(relid);

	/* Until we hold the locks, the two catalogs may tell of different moments. */
	while (get_rel_relispartition(relid) && OidIsValid(relid = PartitionParent(relid)))
		path = lcons_oid(relid, path);
	return path;
}

/*
 * Locks the table for a call, before anything else is done, and returns the root of
 * its partition tree. RowExclusiveLock is what any writer takes. A call that is
 * beyond the budget of key locks takes the whole table instead, if the caller may. It
 * does so now, while it holds no key of this call that others may wait for; a
 * transaction that wrote to the table before can still deadlock with another that
 * did. Raises 42P01 if the table is dropped meanwhile.
 *
 * Bulk calls on a partition must exclude writers that come through the root, so
 * the root is where the whole-table lock is taken. The tables between are locked
 * on the way down, in the order of PostgreSQL's own commands.
 */
Oid
LockTargetTable(Oid relid, bool whole_table)
{
	for (;;)
	{
		List	   *path = PathFromRoot(relid);
		Oid			root = linitial_oid(path);
		LOCKMODE	mode = RowExclusiveLock;
		ListCell   *cell;

		if (whole_table && MayLockWholeTable(root))
			mode = WHOLE_TABLE_LOCK;
		foreach(cell, path)
			LockTableUntilEnd(lfirst_oid(cell), lfirst_oid(cell) == root ? mode : RowExclusiveLock);

		/* It may have been dropped, attached or detached while we waited. */
		RequireTable(relid);
		if (equal(path, PathFromRoot(relid)))
			return root;
		foreach(cell, path)
			UnlockTable(lfirst_oid(cell), lfirst_oid(cell) == root ? mode : RowExclusiveLock);
	}
}

/*
 * Does this transaction exclude every other writer of the table already? Then it does so until
 * it ends: the lock may have been a cursor's so far.
 */
bool
HoldsWholeTable(Oid root)
{
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, root);
	for (LOCKMODE mode = WHOLE_TABLE_LOCK; mode <= MaxLockMode; mode++)
	{
		if (!HoldsLock(&tag, mode))
			continue;
		LockTableUntilEnd(root, mode);
		return true;
	}
	return false;
}

/* Is it stored as PostgreSQL stores tables, by the name of its access method and by its functions? */
bool
IsPlainHeap(Relation rel)
{
	return rel->rd_rel->relam == HEAP_TABLE_AM_OID && rel->rd_tableam == GetHeapamTableAmRoutine();
}

/*
 * Locks the table, or the whole of it if the caller may do that, and opens it. *root is
 * that of its partition tree. While we wait, a table that was found by name may be
 * renamed and another take its name: then start over with that.
 */
Relation
OpenTable(Oid relid, bool whole_table, const char *function, Oid *root)
{
	bool		by_name = relid == DEFAULT_TABLE;
	uint64		messages;

	if (by_name)
		CheckMayChooseTable();
	do
	{
		messages = SharedInvalidMessageCounter;
		if (by_name)
			relid = FindDefaultTable();
		RequireTable(relid);
		CheckMayLock(relid);
		PreventIfReadOnly(relid, function);
		*root = LockTargetTable(relid, whole_table);
	} while (by_name && messages != SharedInvalidMessageCounter && relid != FindDefaultTable());
	return table_open(relid, NoLock);
}

/*
 * Opens a table to look at it, or raises what RequireTable() does; it stays locked against
 * changes until the query that asks is done, at least.
 */
Relation
OpenToLook(Oid relid)
{
	Relation	rel = try_table_open(relid, AccessShareLock);

	RequireTable(relid);
	return rel;
}
