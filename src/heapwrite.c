/*
 * heapwrite.c
 *		Writing one row of a heap table as the executor does: what a statement would do
 *		around the table access method is done here.
 *
 * The checks of privileges, of a read-only transaction and of the lock are the caller's. What is needed to
 * write is set up with the first write, in the executor state's own memory context, and lasts until
 * EndWrites().
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "column.h"
#include "declaration.h"
#include "heapwrite.h"
#include "keyhash.h"
#include "keyindex.h"
#include "row.h"
#include "rowlock.h"

/* -- setting up --------------------------------------------------------------- */

static bool
SameText(const char *text1, const char *text2)
{
	return text1 == text2 || (text1 && text2 && strcmp(text1, text2) == 0);
}

/*
 * Does the partition's trigger declare what the root's guard declares? Then it is its copy, or as good as
 * that. Where columns are in other places, conditions are not compared, and it stays.
 */
static bool
IsCopy(const Trigger *trigger, const Trigger *guard, bool same_columns)
{
	if (guard == NULL || !trigger->tgisclone || trigger->tgnargs != guard->tgnargs ||
		!SameText(trigger->tgqual, guard->tgqual) || (guard->tgqual && !same_columns))
		return false;
	for (int i = 0; i < guard->tgnargs; i++)
	{
		if (strcmp(trigger->tgargs[i], guard->tgargs[i]) != 0)
			return false;
	}
	return true;
}

/*
 * Disables the target's own guards in this copy of the triggers, which are its or a partition's: the key
 * is locked and was looked for already. (Where a partition is the target, its guard also looks in the
 * other partitions, so it stays.)
 */
static void
DismissGuards(const Writer *writer, ResultRelInfo *result_rel, const Partition *partition)
{
	TriggerDesc *own_copy = result_rel->ri_TrigDesc;
	const Trigger *guard;
	int			nguards = 0;

	if (own_copy == NULL || writer->target->guarded != RelationGetRelid(writer->rel))
		return;
	guard = FindGuard(writer->rel);
	for (int i = 0; i < own_copy->numtriggers; i++)
	{
		if (!IsGuard(&own_copy->triggers[i]) ||
			(partition && !IsCopy(&own_copy->triggers[i], guard, partition->to_root == NULL)))
			continue;
		own_copy->triggers[i].tgenabled = TRIGGER_DISABLED;
		nguards++;
	}
	if (nguards == own_copy->numtriggers)
		result_rel->ri_TrigDesc = NULL;
}

/*
 * The executor looks up a trigger's function when it first fires it, and keeps that in the memory
 * context which is current then. BEFORE triggers are fired in that of a row, as they leave garbage
 * behind: so their functions are looked up now, in the executor state's.
 */
static void
LookUpBeforeTriggers(ResultRelInfo *result_rel)
{
	const TriggerDesc *triggers = result_rel->ri_TrigDesc;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (TRIGGER_FOR_BEFORE(trigger->tgtype) &&
			(TRIGGER_FOR_INSERT(trigger->tgtype) || TRIGGER_FOR_UPDATE(trigger->tgtype)) &&
			trigger->tgenabled != TRIGGER_DISABLED)
			fmgr_info(trigger->tgfoid, &result_rel->ri_TrigFunctions[i]);
	}
}

static bool
HasStoredGenerated(Relation rel)
{
	const TupleConstr *constr = RelationGetDescr(rel)->constr;

	return constr && constr->has_generated_stored;
}

/*
 * Makes what the executor knows of a table that is written to: the target, or one of its partitions. In
 * the executor state's memory context.
 */
static ResultRelInfo *
MakeResultRel(Writer *writer, Relation rel, const Partition *partition)
{
	EState	   *estate = writer->estate;
	ResultRelInfo *root = partition ? writer->whole.result_rel : NULL;
	ResultRelInfo *result_rel = makeNode(ResultRelInfo);

	InitResultRelInfo(result_rel, rel, root ? 0 : 1, root, 0);
	if (root)
		SetRootMap(result_rel);
	writer->generates |= HasStoredGenerated(rel);
	DismissGuards(writer, result_rel, partition);
	LookUpBeforeTriggers(result_rel);
	estate->es_opened_result_relations = lappend(estate->es_opened_result_relations, result_rel);
	return result_rel;
}

/*
 * Gets a writer ready for BeginWrite(). The current memory context and resource owner must last until
 * EndWrites().
 */
void
InitWriter(Writer *writer, Target *target, Relation rel)
{
	*writer = (Writer) {
		.target = target,
		.rel = rel,
		.context = CurrentMemoryContext,
		.owner = CurrentResourceOwner,
	};
}

static void
BeginWrites(Writer *writer)
{
	MemoryContext caller = MemoryContextSwitchTo(writer->context);

	writer->estate = CreateExecutorState();
	MemoryContextSwitchTo(writer->estate->es_query_cxt);
	writer->named = InitRangeTable(writer->estate, writer->rel);
	writer->whole.result_rel = MakeResultRel(writer, writer->rel, NULL);
	writer->whole.checks_partition = writer->rel->rd_rel->relispartition;
	InitEpq(&writer->epq, writer->estate);
	writer->defaults = palloc0(RelationGetNumberOfAttributes(writer->rel) * sizeof(ExprState *));
	writer->set_up++;
	MemoryContextSwitchTo(caller);
}

/* Returns what is written to when it is the partition. It lasts as long as writer->set_up stays the same. */
WrittenTable *
BeginPartition(Writer *writer, Relation rel, const Partition *partition)
{
	MemoryContext caller = MemoryContextSwitchTo(writer->estate->es_query_cxt);
	WrittenTable *table = palloc0(sizeof(WrittenTable));

	table->result_rel = MakeResultRel(writer, rel, partition);
	table->partition = partition;
	MemoryContextSwitchTo(caller);
	return table;
}

/* Can a new row yield to the index? */
static bool
IsArbiter(const Writer *writer, const WrittenTable *table, Relation index)
{
	if (table->partition)
		return list_member_oid(table->partition->arbiters, RelationGetRelid(index));
	return CanArbitrate(writer->target, index);
}

/*
 * Notes the indexes that a new row can yield to. What is opened is what will refuse it; the target may be
 * older than an index that is built or replaced meanwhile.
 */
static void
FindArbiters(const Writer *writer, WrittenTable *table)
{
	ResultRelInfo *result_rel = table->result_rel;

	for (int i = 0; writer->target->yields && i < result_rel->ri_NumIndices; i++)
	{
		Relation	index = result_rel->ri_IndexRelationDescs[i];
		IndexInfo  *info = result_rel->ri_IndexRelationInfo[i];

		if (!info->ii_Unique || !info->ii_ReadyForInserts || !IsArbiter(writer, table, index))
			continue;
		BuildSpeculativeIndexInfo(index, info);
		table->arbiters = lappend_oid(table->arbiters, RelationGetRelid(index));
	}
}

/*
 * The hash in the key's index, of the row that is being put in: an index expression evaluates itself by
 * this.
 */
static Datum
EvaluateHash(ExprState *state, ExprContext *context, bool *isnull)
{
	const Writer *writer = state->evalfunc_private;
	TupleTableSlot *slot = context->ecxt_scantuple;
	Row			row = {.values = slot->tts_values, .isnull = slot->tts_isnull};

	slot_getallattrs(slot);
	*isnull = false;
	return Int64GetDatum((int64) HashKey(writer->target, &row));
}

/*
 * Lets us hash the key ourselves: the executor would have to get ready to call product_upsert_hash(),
 * and the function to hash its arguments, for what is a single row most often.
 */
static void
ReplaceHashExpression(Writer *writer, const WrittenTable *table)
{
	const Target *target = writer->target;
	ResultRelInfo *result_rel = table->result_rel;
	ExprState  *state;

	for (int i = 0; IsKeyIndexOnHash(target) && i < result_rel->ri_NumIndices; i++)
	{
		IndexInfo  *info = result_rel->ri_IndexRelationInfo[i];

		if (RelationGetRelid(result_rel->ri_IndexRelationDescs[i]) != target->key_index->oid ||
			list_length(info->ii_Expressions) != 1)
			continue;
		state = makeNode(ExprState);
		state->evalfunc = EvaluateHash;
		state->evalfunc_private = writer;
		info->ii_ExpressionsState = list_make1(state);
	}
}

/* Opens the indexes, once there is something to put in: an update on the same page has nothing. */
static void
OpenIndexes(Writer *writer, WrittenTable *table)
{
	const bool	speculative = false;	/* that is for FindArbiters() */
	MemoryContext caller_context;
	ResourceOwner caller_owner = CurrentResourceOwner;

	if (table->result_rel->ri_NumIndices > 0)
		return;
	caller_context = MemoryContextSwitchTo(writer->estate->es_query_cxt);
	/* The row may be inserted in a subtransaction; they are closed when that is over. */
	CurrentResourceOwner = writer->owner;
	ExecOpenIndices(table->result_rel, speculative);
	CurrentResourceOwner = caller_owner;
	FindArbiters(writer, table);
	ReplaceHashExpression(writer, table);
	MemoryContextSwitchTo(caller_context);
}

void
EndWrites(Writer *writer)
{
	ResourceOwner caller_owner = CurrentResourceOwner;

	if (writer->estate == NULL)
		return;
	ExecResetTupleTable(writer->estate->es_tupleTable, false);
	/* A row that is inserted in a subtransaction may need a new set-up. */
	CurrentResourceOwner = writer->owner;
	ExecCloseResultRelations(writer->estate);
	CurrentResourceOwner = caller_owner;
	FreeExecutorState(writer->estate);
	writer->estate = NULL;
	writer->columns = NULL;
	writer->whole = (WrittenTable) {0};
}

/* The bitmap of attribute numbers as the executor has them. */
static Bitmapset *
ExecutorColumns(const Bitmapset *columns)
{
	Bitmapset  *shifted = NULL;
	int			attnum = -1;

	while ((attnum = bms_next_member(columns, attnum)) >= 0)
		shifted = bms_add_member(shifted, attnum - FirstLowInvalidHeapAttributeNumber);
	return shifted;
}

/*
 * Lets the executor know which columns are written. It works out only once which
 * generated columns that concerns, so where there are some, others need a new set-up.
 * (Up to PostgreSQL 15, a partition may generate a column that its root does not.)
 */
static void
NameColumns(Writer *writer, const Bitmapset *columns, bool is_update)
{
	Bitmapset  *executor_columns;
	MemoryContext caller;

	if (writer->estate && writer->updates == is_update && bms_equal(writer->columns, columns))
		return;
	if (writer->estate && writer->generates)
		EndWrites(writer);
	if (writer->estate == NULL)
		BeginWrites(writer);

	caller = MemoryContextSwitchTo(writer->estate->es_query_cxt);
	bms_free(writer->columns);
	bms_free(is_update ? writer->named->updatedCols : writer->named->insertedCols);
	writer->updates = is_update;
	writer->columns = bms_copy(columns);
	executor_columns = ExecutorColumns(columns);
	if (is_update)
		writer->named->updatedCols = executor_columns;
	else
		writer->named->insertedCols = executor_columns;
	MemoryContextSwitchTo(caller);
}

/*
 * Begins a command that inserts the columns of the target, or updates them; WriteNew() or WriteUpdated()
 * ends it.
 */
void
BeginWrite(Writer *writer, const Bitmapset *columns, bool is_update)
{
	NameColumns(writer, columns, is_update);
	ResetPerTupleExprContext(writer->estate);
	writer->estate->es_snapshot = GetActiveSnapshot();
	writer->estate->es_output_cid = GetCurrentCommandId(true);
}

/* -- a command ---------------------------------------------------------------- */

static bool
HasTriggers(const Writer *writer, const WrittenTable *table)
{
	return table->result_rel->ri_TrigDesc || writer->whole.result_rel->ri_TrigDesc;
}

/*
 * Begins the command that writes the row. The triggers for each statement are those of the table that a
 * statement would name; so are the transition tables, in which this row is alone.
 */
void
EnterCommand(Writer *writer, const WrittenTable *table)
{
	ResultRelInfo *named = writer->whole.result_rel;

	if (!HasTriggers(writer, table))
		return;
	AfterTriggerBeginQuery();
	writer->transitions = MakeTransitionCaptureState(named->ri_TrigDesc, RelationGetRelid(writer->rel),
													 writer->updates ? CMD_UPDATE : CMD_INSERT);
	if (writer->updates)
		ExecBSUpdateTriggers(writer->estate, named);
	else
		ExecBSInsertTriggers(writer->estate, named);
}

/*
 * Ends the command: fires its AFTER triggers, and lets what comes next see what it has written. What
 * the executor keeps of these triggers, and of those of tables that a foreign key's action wrote
 * to, must last as long as its state.
 */
static void
LeaveCommand(Writer *writer, const WrittenTable *table)
{
	if (HasTriggers(writer, table))
	{
		MemoryContext caller = MemoryContextSwitchTo(writer->estate->es_query_cxt);

		if (writer->updates)
			ExecASUpdateTriggers(writer->estate, writer->whole.result_rel, writer->transitions);
		else
			ExecASInsertTriggers(writer->estate, writer->whole.result_rel, writer->transitions);
		AfterTriggerEndQuery(writer->estate);
		MemoryContextSwitchTo(caller);
	}
	CommandCounterIncrement();
}

/*
 * What happens to a row between BEFORE triggers and being written: generated columns are
 * computed, constraints are checked. An UPDATE looks first whether the row goes to another
 * partition, so its error about that comes first.
 */
static void
FinishRow(Writer *writer, const WrittenTable *table, TupleTableSlot *slot, CmdType command)
{
	const bool	emit_error = true;
	ResultRelInfo *result_rel = table->result_rel;
	const TupleConstr *constr = RelationGetDescr(result_rel->ri_RelationDesc)->constr;

	slot->tts_tableOid = RelationGetRelid(result_rel->ri_RelationDesc);
	if (HasStoredGenerated(result_rel->ri_RelationDesc))
		ExecComputeStoredGenerated(result_rel, writer->estate, slot, command);
	if (table->checks_partition && command == CMD_UPDATE)
		ExecPartitionCheck(result_rel, slot, writer->estate, emit_error);
	if (constr)
		ExecConstraints(result_rel, slot, writer->estate);
	if (table->checks_partition && command == CMD_INSERT)
		ExecPartitionCheck(result_rel, slot, writer->estate, emit_error);
}

/* -- insert ------------------------------------------------------------------- */

static Datum
EvaluateDefault(Writer *writer, Column *column, bool *isnull)
{
	ExprState **state = &writer->defaults[column->attnum - 1];
	Expr	   *default_value = PlanExpression(&column->default_value);

	if (IsA(default_value, Const))
	{
		const Const *constant = (const Const *) default_value;

		*isnull = constant->constisnull;
		return constant->constvalue;
	}
	if (*state == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(writer->estate->es_query_cxt);

		*state = ExecInitExpr(default_value, NULL);
		MemoryContextSwitchTo(caller);
	}
	return ExecEvalExprSwitchContext(*state, GetPerTupleExprContext(writer->estate), isnull);
}

/* Stores the row with the given values, and the defaults of the other columns. */
void
StoreNewRow(Writer *writer, const Row *row, TupleTableSlot *slot)
{
	const Target *target = writer->target;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, row->values, target->desc->natts * sizeof(Datum));
	memset(slot->tts_isnull, true, target->desc->natts * sizeof(bool));
	for (int i = 0; i < target->ncolumns; i++)
	{
		Column	   *column = target->columns_by_attnum[i];
		int			index = column->attnum - 1;

		if (bms_is_member(column->attnum, row->given))
			slot->tts_isnull[index] = row->isnull[index];
		else if (column->default_value.source)
			slot->tts_values[index] = EvaluateDefault(writer, column, &slot->tts_isnull[index]);
	}
	ExecStoreVirtualTuple(slot);
}

/* Has the row in the slot, in the table's columns, the key that it was given? */
static bool
KeepsKey(const Writer *writer, const WrittenTable *table, const Row *row, const TupleTableSlot *slot)
{
	const Target *target = writer->target;
	Row		   *stored;

	if (table->partition == NULL || table->partition->to_root == NULL)
		return SameKey(target, row, slot->tts_values, slot->tts_isnull);
	stored = MakeRow(target);
	for (int i = 0; i < target->nkey_columns; i++)
	{
		int			to = target->keys[i].column->attnum - 1;
		int			from = table->partition->to_root->attnums[to] - 1;

		stored->values[to] = slot->tts_values[from];
		stored->isnull[to] = slot->tts_isnull[from];
	}
	return SameKey(target, row, stored->values, stored->isnull);
}

static List *
InsertTuple(Writer *writer, const WrittenTable *table, TupleTableSlot *slot)
{
	bool		conflict;

	table_tuple_insert(table->result_rel->ri_RelationDesc, slot, writer->estate->es_output_cid, 0, NULL);
	return InsertIndexTuples(table->result_rel, slot, writer->estate, &conflict, NIL);
}

/* Inserts the tuple unless a unique index has the key by now: then returns false. */
static bool
InsertTupleOrYield(Writer *writer, const WrittenTable *table, TupleTableSlot *slot, List **recheck)
{
	ResultRelInfo *result_rel = table->result_rel;
	Relation	rel = result_rel->ri_RelationDesc;
	List	   *arbiters = table->arbiters;
	uint32		token;
	bool		conflict;

	/* Another may come in between the check and the insert: that is taken back, and checked again. */
	while (CheckArbiters(result_rel, slot, writer->estate, arbiters))
	{
		CHECK_FOR_INTERRUPTS();
		list_free(*recheck);
		token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
		conflict = false;
		table_tuple_insert_speculative(rel, slot, writer->estate->es_output_cid, 0, NULL, token);
		*recheck = InsertIndexTuples(result_rel, slot, writer->estate, &conflict, arbiters);
		table_tuple_complete_speculative(rel, slot, token, !conflict);
		/* Who waits for us to make up our mind need not wait until the transaction ends. */
		SpeculativeInsertionLockRelease(GetCurrentTransactionId());
		if (!conflict)
			return true;
	}
	return false;
}

static InsertResult
InsertRow(Writer *writer, WrittenTable *table, const Row *row, bool yield_to_unique_index,
		  TupleTableSlot *slot)
{
	ResultRelInfo *result_rel = table->result_rel;
	List	   *recheck = NIL;

	if (result_rel->ri_TrigDesc && result_rel->ri_TrigDesc->trig_insert_before_row &&
		!ExecBRInsertTriggers(writer->estate, result_rel, slot))
		return INSERT_SKIPPED;
	FinishRow(writer, table, slot, CMD_INSERT);
	OpenIndexes(writer, table);
	/* A row with the key that a trigger has put in is not what the caller would find instead. */
	if (!yield_to_unique_index || table->arbiters == NIL || !KeepsKey(writer, table, row, slot))
		recheck = InsertTuple(writer, table, slot);
	else if (!InsertTupleOrYield(writer, table, slot, &recheck))
		/* An index of all rows may have the key of one that does not count, and is not found. */
		return writer->target->condition.source ? INSERT_IN_DOUBT : INSERT_KEY_EXISTS;
	ExecARInsertTriggers(writer->estate, result_rel, slot, recheck, writer->transitions);
	return INSERT_DONE;
}

/* Inserts the row in the slot, in the table's columns, as StoreMethods.insert does. */
InsertResult
WriteNew(Writer *writer, WrittenTable *table, const Row *row, bool yield_to_unique_index,
		 TupleTableSlot *slot)
{
	InsertResult result = InsertRow(writer, table, row, yield_to_unique_index, slot);

	LeaveCommand(writer, table);
	return result;
}

/* -- update ------------------------------------------------------------------- */

/* Stores the found row with the columns set to row's values. */
void
StoreUpdatedRow(const Row *row, const Bitmapset *columns, const TupleTableSlot *found,
				TupleTableSlot *slot)
{
	int			natts = slot->tts_tupleDescriptor->natts;
	int			attnum = -1;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, found->tts_values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, found->tts_isnull, natts * sizeof(bool));
	/* Dropped columns are not carried on. */
	for (int i = 0; i < natts; i++)
		slot->tts_isnull[i] |= TupleDescAttr(slot->tts_tupleDescriptor, i)->attisdropped;
	while ((attnum = bms_next_member(columns, attnum)) >= 0)
	{
		slot->tts_values[attnum - 1] = row->values[attnum - 1];
		slot->tts_isnull[attnum - 1] = row->isnull[attnum - 1];
	}
	ExecStoreVirtualTuple(slot);
}

static UpdateResult
UpdateTuple(Writer *writer, WrittenTable *table, ItemPointer tid, TupleTableSlot *slot)
{
	EState	   *estate = writer->estate;
	ResultRelInfo *result_rel = table->result_rel;
	const bool	wait = true;
	TM_FailureData failure;
	LockTupleMode lock_mode;
	UpdatedIndexes updated_indexes;
	List	   *recheck = NIL;
	TM_Result	result;

	result = table_tuple_update(result_rel->ri_RelationDesc, tid, slot, estate->es_output_cid,
								estate->es_snapshot, InvalidSnapshot, wait,
								&failure, &lock_mode, &updated_indexes);
	if (!IsStillThere(result))
		return UPDATE_ROW_IS_GONE;

	if (NeedsIndexTuples(updated_indexes))
	{
		OpenIndexes(writer, table);
		recheck = UpdateIndexTuples(result_rel, slot, estate, updated_indexes);
	}
	ExecARUpdateTriggers(estate, result_rel, NULL, NULL, tid, NULL, slot, recheck, writer->transitions,
						 false);
	return UPDATE_DONE;
}

static UpdateResult
UpdateRow(Writer *writer, WrittenTable *table, ItemPointer tid, TupleTableSlot *slot)
{
	const TriggerDesc *triggers = table->result_rel->ri_TrigDesc;

	if (triggers && triggers->trig_update_before_row &&
		!BeforeRowUpdateTriggers(writer->estate, &writer->epq, table->result_rel, tid, slot))
		return UPDATE_SKIPPED;
	FinishRow(writer, table, slot, CMD_UPDATE);
	return UpdateTuple(writer, table, tid, slot);
}

/*
 * Puts the row in the slot, in the table's columns, in the place of the one at tid, as StoreMethods.update
 * does.
 */
UpdateResult
WriteUpdated(Writer *writer, WrittenTable *table, ItemPointer tid, TupleTableSlot *slot)
{
	UpdateResult result = UpdateRow(writer, table, tid, slot);

	LeaveCommand(writer, table);
	return result;
}
