/*
 * rowlock.c
 *		Locking the row that was found, and whether it is still there.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/snapmgr.h"

#include "row.h"
#include "rowlock.h"
#include "table.h"

/* Does a unique index have a generated column? Any column may change that. */
static bool
HasGenerated(Relation rel, const Bitmapset *unique_columns)
{
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), i);

		if (attribute->attgenerated != '\0' &&
			bms_is_member(attribute->attnum - FirstLowInvalidHeapAttributeNumber, unique_columns))
			return true;
	}
	return false;
}

/*
 * How strongly will the UPDATE lock the row? Most so if it changes a unique column, or
 * one that may take the row to another partition; or merely names one, where there are
 * BEFORE triggers that might change it. A weaker lock first would have to be raised, and
 * could deadlock with who has a share of it.
 */
static LockTupleMode
UpdateLockMode(Relation rel, const Target *target, const Row *row, const Bitmapset *columns,
			   const TupleTableSlot *found)
{
	Bitmapset  *decisive = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_KEY);
	bool		to_name_is_enough = rel->trigdesc && rel->trigdesc->trig_update_before_row;
	int			attnum = -1;

	if (HasGenerated(rel, decisive))
		return LockTupleExclusive;
	pull_varattnos((Node *) RelationGetPartitionQual(rel), 1, &decisive);

	while ((attnum = bms_next_member(columns, attnum)) >= 0)
	{
		/* A partition's columns may be in another order. */
		const char *name = NameStr(TupleDescAttr(target->desc, attnum - 1)->attname);
		AttrNumber	own = get_attnum(RelationGetRelid(rel), name);

		if (bms_is_member(own - FirstLowInvalidHeapAttributeNumber, decisive) &&
			(to_name_is_enough ||
			 !SameImage(target, attnum, row->values, row->isnull, found->tts_values, found->tts_isnull)))
			return LockTupleExclusive;
	}
	return LockTupleNoKeyExclusive;
}

/*
 * Is the row that was found still there, going by an attempt to lock or update it? Raises
 * 40001 if it is not, where others' changes must not be seen, and 27000 if this transaction
 * itself has written to it since, as a policy with side effects may.
 */
bool
IsStillThere(TM_Result result)
{
	if (result == TM_Ok)
		return true;
	if (result != TM_Updated && result != TM_Deleted)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("tuple to be updated was already modified by an operation triggered by the current command"),
				 errhint("Consider using an AFTER trigger instead of a BEFORE trigger to propagate changes to other rows.")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 result == TM_Updated
				 ? errmsg("could not serialize access due to concurrent update")
				 : errmsg("could not serialize access due to concurrent delete")));
	return false;
}

/*
 * Locks the row that was found for an update of the columns, waiting for whoever
 * is writing to it. Returns false if it is no longer what was found. An UPDATE by
 * itself would go on to the row's newest version, whatever its key is by then, or
 * raise an error if that went to another partition.
 */
bool
LockFoundRow(const Target *target, const Row *row, const Bitmapset *columns,
			 const TupleTableSlot *found)
{
	Relation	rel;
	TupleTableSlot *slot;
	ItemPointerData tid = found->tts_tid;
	TM_FailureData failure;
	TM_Result	result;

	LockTableUntilEnd(found->tts_tableOid, RowExclusiveLock);
	rel = table_open(found->tts_tableOid, NoLock);
	slot = table_slot_create(rel, NULL);
	result = table_tuple_lock(rel, &tid, GetActiveSnapshot(), slot, GetCurrentCommandId(false),
							  UpdateLockMode(rel, target, row, columns, found),
							  LockWaitBlock, 0, &failure);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);

	return IsStillThere(result);
}
