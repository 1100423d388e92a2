/*
 * compat.h
 *		Every difference between the supported PostgreSQL versions, 15 to 18.
 */
#ifndef PRODUCT_UPSERT_COMPAT_H
#define PRODUCT_UPSERT_COMPAT_H

#include "access/genam.h"
#include "access/tableam.h"
#include "access/tupconvert.h"
#include "access/tupmacs.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_namespace.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/datum.h"
#include "utils/guc_tables.h"
#include "utils/regproc.h"

#define NEWEST_SUPPORTED_MAJOR	18

StaticAssertDecl(PG_VERSION_NUM >= 150000 &&
				 PG_VERSION_NUM / 10000 <= NEWEST_SUPPORTED_MAJOR,
				 "product_upsert supports PostgreSQL 15 to 18");

/* PostgreSQL 18 lets a module state its name and version. */
#if PG_VERSION_NUM >= 180000
#define MODULE_MAGIC(name_, version_) \
	PG_MODULE_MAGIC_EXT(.name = name_, .version = version_)
#else
#define MODULE_MAGIC(name_, version_)	PG_MODULE_MAGIC
#endif

/* The current transaction's number, unique within this backend. */
static inline LocalTransactionId
CurrentLocalTransactionId(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProc->vxid.lxid;
#else
	return MyProc->lxid;
#endif
}

static inline bool
HoldsLock(const LOCKTAG *tag, LOCKMODE mode)
{
#if PG_VERSION_NUM >= 170000
	return LockHeldByMe(tag, mode, false);
#else
	return LockHeldByMe(tag, mode);
#endif
}

static inline AclResult
NamespaceAclCheck(Oid namespace_oid, Oid role, AclMode mode)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, namespace_oid, role, mode);
#else
	return pg_namespace_aclcheck(namespace_oid, role, mode);
#endif
}

/* Returns what PostgreSQL knows of a setting. The record stays where it is. */
static inline const struct config_generic *
FindSetting(const char *name)
{
#if PG_VERSION_NUM >= 160000
	const bool	create_placeholder = false;
	const bool	skip_errors = false;

	return find_option(name, create_placeholder, skip_errors, ERROR);
#else
	struct config_generic **settings = get_guc_variables();

	for (int i = 0; i < GetNumConfigOptions(); i++)
	{
		if (strcmp(settings[i]->name, name) == 0)
			return settings[i];
	}
	elog(ERROR, "unrecognized setting \"%s\"", name);
#endif
}

static inline bool
OwnsRelation(Oid relid, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, role);
#else
	return pg_class_ownercheck(relid, role);
#endif
}

/* Creates an index as CREATE INDEX does, with all of its checks, on the table's partitions too. */
static inline ObjectAddress
CreateIndex(Oid relid, IndexStmt *stmt)
{
	const bool	is_alter_table = false;
	const bool	check_rights = true;
	const bool	check_not_in_use = true;
	const bool	skip_build = false;
	const bool	quiet = false;

#if PG_VERSION_NUM >= 160000
	const int	unknown_number_of_partitions = -1;

	return DefineIndex(relid, stmt, InvalidOid, InvalidOid, InvalidOid, unknown_number_of_partitions,
					   is_alter_table, check_rights, check_not_in_use, skip_build, quiet);
#else
	return DefineIndex(relid, stmt, InvalidOid, InvalidOid, InvalidOid,
					   is_alter_table, check_rights, check_not_in_use, skip_build, quiet);
#endif
}

/* Can none of the stored rows have a null there? A NOT NULL constraint may be NOT VALID yet. */
static inline bool
HasNoNulls(TupleDesc desc, AttrNumber attnum)
{
#if PG_VERSION_NUM >= 180000
	return TupleDescCompactAttr(desc, attnum - 1)->attnullability == ATTNULLABLE_VALID;
#else
	return TupleDescAttr(desc, attnum - 1)->attnotnull;
#endif
}

/* Splits a possibly qualified, possibly quoted name; raises 42602 for a malformed one. */
static inline List *
QualifiedNameList(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return stringToQualifiedNameList(name, NULL);
#else
	return stringToQualifiedNameList(name);
#endif
}

/* Virtual generated columns are not stored, so that a tuple alone is not the row. */
static inline bool
HasVirtualGenerated(TupleDesc desc)
{
#if PG_VERSION_NUM >= 180000
	return desc->constr && desc->constr->has_generated_virtual;
#else
	(void) desc;
	return false;
#endif
}

/* Does the foreign key end with a period of time? */
static inline bool
HasPeriod(const FormData_pg_constraint *constraint)
{
#if PG_VERSION_NUM >= 180000
	return constraint->conperiod;
#else
	(void) constraint;
	return false;
#endif
}

/*
 * Are the values stored alike, to the byte? A stored value of four bytes is read with its sign, a computed
 * one of a type without a sign is not; from PostgreSQL 16 on, core takes them for different.
 */
static inline bool
EqualImages(Datum value1, Datum value2, bool by_value, int length)
{
#if PG_VERSION_NUM >= 160000
	if (by_value)
	{
		Datum		stored1 = 0;
		Datum		stored2 = 0;

		store_att_byval(&stored1, value1, length);
		store_att_byval(&stored2, value2, length);
		return stored1 == stored2;
	}
#endif
	return datum_image_eq(value1, value2, by_value, length);
}

static inline IndexScanDesc
BeginIndexScan(Relation rel, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 180000
	return index_beginscan(rel, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(rel, index, snapshot, nkeys, 0);
#endif
}

/* Where the executor looks for the columns that a statement names: insertedCols, updatedCols. */
#if PG_VERSION_NUM >= 160000
typedef RTEPermissionInfo NamedColumns;
#else
typedef RangeTblEntry NamedColumns;
#endif

/* Notes that the query reads these columns of the relation, as attribute numbers that the executor has. */
static inline void
NameReadColumns(Query *query, RangeTblEntry *entry, Bitmapset *columns)
{
#if PG_VERSION_NUM >= 160000
	NamedColumns *named = getRTEPermissionInfo(query->rteperminfos, entry);
#else
	NamedColumns *named = entry;

	(void) query;
#endif
	named->requiredPerms |= ACL_SELECT;
	named->selectedCols = bms_add_members(named->selectedCols, columns);
}

/* Makes the relation the only one in the range table. */
static inline NamedColumns *
InitRangeTable(EState *estate, Relation rel)
{
	RangeTblEntry *entry = makeNode(RangeTblEntry);
	List	   *entries = list_make1(entry);

	entry->rtekind = RTE_RELATION;
	entry->relid = RelationGetRelid(rel);
	entry->relkind = rel->rd_rel->relkind;
	entry->rellockmode = RowExclusiveLock;
#if PG_VERSION_NUM >= 160000
	{
		List	   *permissions = NIL;
		NamedColumns *named = addRTEPermissionInfo(&permissions, entry);

#if PG_VERSION_NUM >= 180000
		ExecInitRangeTable(estate, entries, permissions, bms_make_singleton(1));
#else
		ExecInitRangeTable(estate, entries, permissions);
#endif
		return named;
	}
#else
	ExecInitRangeTable(estate, entries);
	return entry;
#endif
}

/*
 * Lets the executor know where a partition's result relation has the columns of its root's. From
 * PostgreSQL 16 on it finds out when it needs to.
 */
static inline void
SetRootMap(ResultRelInfo *result_rel)
{
#if PG_VERSION_NUM < 160000
	const ResultRelInfo *root = result_rel->ri_RootResultRelInfo;

	result_rel->ri_RootToPartitionMap = convert_tuples_by_name(RelationGetDescr(root->ri_RelationDesc),
															   RelationGetDescr(result_rel->ri_RelationDesc));
#else
	(void) result_rel;
#endif
}

/* Required by triggers, but never to be run: it has no plan. */
static inline void
InitEpq(EPQState *epq, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	EvalPlanQualInit(epq, estate, NULL, NIL, 0, NIL);
#else
	EvalPlanQualInit(epq, estate, NULL, NIL, 0);
#endif
}

/* Fires the triggers; false if one of them returned NULL. */
static inline bool
BeforeRowUpdateTriggers(EState *estate, EPQState *epq, ResultRelInfo *result_rel,
						ItemPointer tid, TupleTableSlot *slot)
{
	TM_FailureData failure;

#if PG_VERSION_NUM >= 180000
	return ExecBRUpdateTriggers(estate, epq, result_rel, tid, NULL, slot, NULL, &failure, false);
#elif PG_VERSION_NUM >= 160000
	return ExecBRUpdateTriggers(estate, epq, result_rel, tid, NULL, slot, NULL, &failure);
#else
	return ExecBRUpdateTriggers(estate, epq, result_rel, tid, NULL, slot, &failure);
#endif
}

/* Which indexes need an entry for a new row version. */
#if PG_VERSION_NUM >= 160000
typedef TU_UpdateIndexes UpdatedIndexes;
#else
typedef bool UpdatedIndexes;
#endif

static inline bool
NeedsIndexTuples(UpdatedIndexes updated)
{
#if PG_VERSION_NUM >= 160000
	return updated != TU_None;
#else
	return updated;
#endif
}

/* Inserts those. Returns the indexes whose constraints are to be checked later. */
static inline List *
UpdateIndexTuples(ResultRelInfo *result_rel, TupleTableSlot *slot, EState *estate,
				  UpdatedIndexes updated)
{
#if PG_VERSION_NUM >= 160000
	return ExecInsertIndexTuples(result_rel, slot, estate, true, false, NULL, NIL,
								 updated == TU_Summarizing);
#else
	(void) updated;
	return ExecInsertIndexTuples(result_rel, slot, estate, true, false, NULL, NIL);
#endif
}

/* Inserts a new row's index entries. With arbiters, *conflict tells whether one of them objects. */
static inline List *
InsertIndexTuples(ResultRelInfo *result_rel, TupleTableSlot *slot, EState *estate,
				  bool *conflict, List *arbiters)
{
	bool		yields = arbiters != NIL;

#if PG_VERSION_NUM >= 160000
	return ExecInsertIndexTuples(result_rel, slot, estate, false, yields, conflict, arbiters, false);
#else
	return ExecInsertIndexTuples(result_rel, slot, estate, false, yields, conflict, arbiters);
#endif
}

/* Waits for other transactions to tell whether an arbiter has the row's key: false if one does. */
static inline bool
CheckArbiters(ResultRelInfo *result_rel, TupleTableSlot *slot, EState *estate, List *arbiters)
{
	ItemPointerData conflict;

#if PG_VERSION_NUM >= 180000
	ItemPointerData self;

	ItemPointerSetInvalid(&self);
	return ExecCheckIndexConstraints(result_rel, slot, estate, &conflict, &self, arbiters);
#else
	return ExecCheckIndexConstraints(result_rel, slot, estate, &conflict, arbiters);
#endif
}

#endif							/* PRODUCT_UPSERT_COMPAT_H */
