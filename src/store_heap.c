/*
 * store_heap.c
 *		The store for plain tables: a btree index finds the row, the table access
 *		method writes it, and what the executor would do around that is done here.
 *
 * Where it does not apply, WhyNotWriteDirectly() says why, and the SPI store serves. The
 * checks of privileges, of a read-only transaction and of the lock are the caller's,
 * who does them for either store.
 *
 * What a store needs to find rows is set up when it is opened; what it needs to write
 * them, with the first write, in the executor state's own memory context. Both last
 * until it is closed.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/sysattr.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "column.h"
#include "compat.h"
#include "condition.h"
#include "declaration.h"
#include "keyhash.h"
#include "keyindex.h"
#include "row.h"
#include "rowlock.h"
#include "store_heap.h"

/* Comparisons of composite values leave something behind in the scan, so it ends after so many searches. */
#define SEARCHES_PER_SCAN	1000

typedef struct HeapStore
{
	Store		store;
	MemoryContext context;		/* what was current when it was opened */

	/* for finding */
	Relation	index;			/* the target's key_index */
	IndexScanDesc scan;			/* begun with the first search, and anew after many */
	MemoryContext scan_context;
	int			nsearches;
	ScanKeyData *scan_keys;		/* its, with the arguments of the last search */
	TupleTableSlot *second;		/* for a second row with the same key */

	/* for writing; NULL until the first write */
	EState	   *estate;
	ResultRelInfo *result_rel;
	EPQState	epq;			/* required by triggers, but never run: see HeapUpdate() */
	NamedColumns *named;
	List	   *arbiters;		/* the indexes that a new row can yield to, as they are opened */
	ExprState **defaults;		/* by attnum - 1; NULL until needed */
	bool		updates;		/* the last write was an update, not an insert */
	Bitmapset  *columns;		/* that it named */
} HeapStore;

/* -- when it applies ---------------------------------------------------------- */

/* Have its triggers something to do per statement? Here, there is none. */
static bool
HasStatementTriggers(const TriggerDesc *triggers)
{
	return triggers &&
		(triggers->trig_insert_before_statement || triggers->trig_insert_after_statement ||
		 triggers->trig_update_before_statement || triggers->trig_update_after_statement ||
		 triggers->trig_insert_new_table || triggers->trig_update_new_table ||
		 triggers->trig_update_old_table);
}

/* Could a snapshot of this transaction be older than the index is good for? */
static bool
IsIndexTooNew(const KeyIndex *index)
{
	return TransactionIdIsValid(index->not_before) &&
		!TransactionIdPrecedes(index->not_before, TransactionXmin);
}

/* Returns NULL if an index probe finds the table's rows by key, else the reason why not. */
const char *
WhyNotFindDirectly(const Target *target, Relation rel)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION)
		return "it is partitioned";
	if (target->hypertable)
		return "it is a hypertable";
	/* By its name or by its functions */
	if (rel->rd_rel->relam != HEAP_TABLE_AM_OID || rel->rd_tableam != GetHeapamTableAmRoutine())
		return "it has another table access method";
	if (rel->rd_rel->relhassubclass)
		return "it may have inheritance children";
	if (target->key_index == NULL)
		return "it has no btree index that begins with the key";
	if (IsIndexTooNew(target->key_index))
		return "the index on the key is newer than the transaction";
	return NULL;
}

/*
 * Returns NULL if this store can serve the table for the current user, else the reason
 * why it cannot.
 */
const char *
WhyNotWriteDirectly(const Target *target, Relation rel)
{
	if (rel->rd_rules != NULL)
		return "it has rules";
	if (HasStatementTriggers(rel->trigdesc))
		return "it has triggers per statement or with transition tables";
	if (HasVirtualGenerated(RelationGetDescr(rel)))
		return "it has virtual generated columns";
	if (ExecutorCheckPerms_hook)
		return "an extension looks at what statements are permitted to do";
	if (check_enable_rls(target->relid, InvalidOid, true) == RLS_ENABLED)
		return "row-level security applies";
	return WhyNotFindDirectly(target, rel);
}

/* -- find --------------------------------------------------------------------- */

/* NULL equals NULL. What a comparison keeps for itself goes away with the current memory context. */
static void
SetScanKeys(HeapStore *heap, const Row *row)
{
	const KeyIndex *index = heap->store.target->key_index;

	if (IsKeyIndexOnHash(heap->store.target))
	{
		heap->scan_keys[0].sk_argument = Int64GetDatum((int64) HashKey(heap->store.target, row));
		return;
	}
	for (int i = 0; i < index->nscan_keys; i++)
	{
		int			column = index->attnums[i] - 1;

		heap->scan_keys[i].sk_flags = row->isnull[column] ? SK_ISNULL | SK_SEARCHNULL : 0;
		heap->scan_keys[i].sk_argument = row->values[column];
		heap->scan_keys[i].sk_func.fn_mcxt = CurrentMemoryContext;
	}
}

/* Lets go of what the scan has allocated. */
static void
RenewScan(HeapStore *heap)
{
	index_endscan(heap->scan);
	heap->scan = NULL;
	if (heap->scan_context == heap->context)
		heap->scan_context = AllocSetContextCreate(heap->context, "product_upsert scan",
												   ALLOCSET_SMALL_SIZES);
	else
		MemoryContextReset(heap->scan_context);
}

/* The scan allocates what it keeps when it comes to need it, so it must run in a context of the store's. */
static void
BeginScan(HeapStore *heap, Snapshot snapshot)
{
	MemoryContext caller;
	int			nkeys = heap->store.target->key_index->nscan_keys;

	if (++heap->nsearches % SEARCHES_PER_SCAN == 0)
		RenewScan(heap);
	caller = MemoryContextSwitchTo(heap->scan_context);
	if (heap->scan == NULL)
		heap->scan = BeginIndexScan(heap->store.rel, heap->index, snapshot, nkeys);
	heap->scan->xs_snapshot = snapshot;
	index_rescan(heap->scan, heap->scan_keys, nkeys, NULL, 0);
	MemoryContextSwitchTo(caller);
}

static bool
NextRow(HeapStore *heap, TupleTableSlot *slot)
{
	MemoryContext caller = MemoryContextSwitchTo(heap->scan_context);
	bool		found = index_getnext_slot(heap->scan, ForwardScanDirection, slot);

	MemoryContextSwitchTo(caller);
	return found;
}

/* Does a row that the index has count? It has no others if it is partial. */
static bool
Counts(const HeapStore *heap, TupleTableSlot *slot)
{
	Target	   *target = heap->store.target;

	return target->key_index->partial || SatisfiesCondition(target, slot);
}

static bool
NextRowWithKey(HeapStore *heap, const Row *row, TupleTableSlot *slot)
{
	const Target *target = heap->store.target;

	while (NextRow(heap, slot))
	{
		slot_getallattrs(slot);
		if ((!IsKeyIndexOnHash(target) ||
			 SameKey(target, row, slot->tts_values, slot->tts_isnull)) && Counts(heap, slot))
			return true;
	}
	return false;
}

static int
HeapFind(Store *store, const Row *row, Snapshot snapshot, TupleTableSlot *found,
		 TupleTableSlot *second)
{
	HeapStore  *heap = (HeapStore *) store;
	int			nfound = 0;

	/* Lets go of the page where the last row was, so that it can be pruned now. */
	ExecClearTuple(found);
	SetScanKeys(heap, row);
	BeginScan(heap, snapshot);
	if (NextRowWithKey(heap, row, found))
		nfound++;
	if (nfound > 0 && NextRowWithKey(heap, row, second ? second : heap->second))
		nfound++;
	ExecClearTuple(heap->second);
	return nfound;
}

/*
 * A row gets its index entries before its transaction ends, or locks its key; so where there is no other
 * entry, there is no other row.
 */
static bool
HeapIsAlone(Store *store, const Row *row, ItemPointer tid)
{
	HeapStore  *heap = (HeapStore *) store;
	MemoryContext caller;
	ItemPointer other;

	SetScanKeys(heap, row);
	BeginScan(heap, GetActiveSnapshot());
	caller = MemoryContextSwitchTo(heap->scan_context);
	do
	{
		other = index_getnext_tid(heap->scan, ForwardScanDirection);
	} while (other && ItemPointerEquals(other, tid));
	MemoryContextSwitchTo(caller);
	return other == NULL;
}

/* -- write -------------------------------------------------------------------- */

/*
 * Disables the table's own guards in this copy of its triggers: the key is locked and was looked
 * for already. (The guard of a partition also looks in the other partitions, so it stays.)
 */
static void
DismissGuards(ResultRelInfo *result_rel)
{
	TriggerDesc *own_copy = result_rel->ri_TrigDesc;
	int			nguards = 0;

	for (int i = 0; i < own_copy->numtriggers; i++)
	{
		if (!IsGuard(&own_copy->triggers[i]))
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

		if (TRIGGER_FOR_ROW(trigger->tgtype) && TRIGGER_FOR_BEFORE(trigger->tgtype) &&
			(TRIGGER_FOR_INSERT(trigger->tgtype) || TRIGGER_FOR_UPDATE(trigger->tgtype)) &&
			trigger->tgenabled != TRIGGER_DISABLED)
			fmgr_info(trigger->tgfoid, &result_rel->ri_TrigFunctions[i]);
	}
}

static void
BeginWrites(HeapStore *heap)
{
	Relation	rel = heap->store.rel;
	MemoryContext caller = MemoryContextSwitchTo(heap->context);

	heap->estate = CreateExecutorState();
	MemoryContextSwitchTo(heap->estate->es_query_cxt);
	heap->named = InitRangeTable(heap->estate, rel);
	heap->result_rel = makeNode(ResultRelInfo);
	InitResultRelInfo(heap->result_rel, rel, 1, NULL, 0);
	if (heap->store.target->guarded == RelationGetRelid(rel))
		DismissGuards(heap->result_rel);
	LookUpBeforeTriggers(heap->result_rel);
	heap->estate->es_opened_result_relations = list_make1(heap->result_rel);
	InitEpq(&heap->epq, heap->estate);
	heap->defaults = palloc0(RelationGetNumberOfAttributes(rel) * sizeof(ExprState *));
	MemoryContextSwitchTo(caller);
}

/*
 * Notes the indexes that a new row can yield to. What is opened is what will refuse it; the target may be
 * older than an index that is built or replaced meanwhile.
 */
static void
FindArbiters(HeapStore *heap)
{
	ResultRelInfo *result_rel = heap->result_rel;

	heap->arbiters = NIL;
	for (int i = 0; heap->store.target->yields && i < result_rel->ri_NumIndices; i++)
	{
		Relation	index = result_rel->ri_IndexRelationDescs[i];
		IndexInfo  *info = result_rel->ri_IndexRelationInfo[i];

		if (!info->ii_Unique || !info->ii_ReadyForInserts ||
			!CanArbitrate(heap->store.target, index))
			continue;
		BuildSpeculativeIndexInfo(index, info);
		heap->arbiters = lappend_oid(heap->arbiters, RelationGetRelid(index));
	}
}

/* The hash in the key's index, of the row that is being put in: an index expression evaluates itself by this. */
static Datum
EvaluateHash(ExprState *state, ExprContext *context, bool *isnull)
{
	HeapStore  *heap = state->evalfunc_private;
	TupleTableSlot *slot = context->ecxt_scantuple;
	Row			row = {.values = slot->tts_values, .isnull = slot->tts_isnull};

	slot_getallattrs(slot);
	*isnull = false;
	return Int64GetDatum((int64) HashKey(heap->store.target, &row));
}

/*
 * Lets us hash the key ourselves: the executor would have to get ready to call product_upsert_hash(),
 * and the function to hash its arguments, for what is a single row most often.
 */
static void
ReplaceHashExpression(HeapStore *heap)
{
	ResultRelInfo *result_rel = heap->result_rel;
	ExprState  *state;

	for (int i = 0; IsKeyIndexOnHash(heap->store.target) && i < result_rel->ri_NumIndices; i++)
	{
		IndexInfo  *info = result_rel->ri_IndexRelationInfo[i];

		if (RelationGetRelid(result_rel->ri_IndexRelationDescs[i]) != RelationGetRelid(heap->index) ||
			list_length(info->ii_Expressions) != 1)
			continue;
		state = makeNode(ExprState);
		state->evalfunc = EvaluateHash;
		state->evalfunc_private = heap;
		info->ii_ExpressionsState = list_make1(state);
	}
}

/* Opens the indexes, once there is something to put in: an update on the same page has nothing. */
static void
OpenIndexes(HeapStore *heap)
{
	const bool	speculative = false;	/* that is for FindArbiters() */
	MemoryContext caller;

	if (heap->result_rel->ri_NumIndices > 0)
		return;
	caller = MemoryContextSwitchTo(heap->estate->es_query_cxt);
	ExecOpenIndices(heap->result_rel, speculative);
	FindArbiters(heap);
	ReplaceHashExpression(heap);
	MemoryContextSwitchTo(caller);
}

static void
EndWrites(HeapStore *heap)
{
	if (heap->estate == NULL)
		return;
	ExecResetTupleTable(heap->estate->es_tupleTable, false);
	ExecCloseResultRelations(heap->estate);
	FreeExecutorState(heap->estate);
	heap->estate = NULL;
	heap->columns = NULL;
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
 */
static void
NameColumns(HeapStore *heap, const Bitmapset *columns, bool is_update)
{
	const TupleConstr *constr = RelationGetDescr(heap->store.rel)->constr;
	Bitmapset  *executor_columns;
	MemoryContext caller;

	if (heap->estate && heap->updates == is_update && bms_equal(heap->columns, columns))
		return;
	if (heap->estate && constr && constr->has_generated_stored)
		EndWrites(heap);
	if (heap->estate == NULL)
		BeginWrites(heap);

	caller = MemoryContextSwitchTo(heap->estate->es_query_cxt);
	bms_free(heap->columns);
	bms_free(is_update ? heap->named->updatedCols : heap->named->insertedCols);
	heap->updates = is_update;
	heap->columns = bms_copy(columns);
	executor_columns = ExecutorColumns(columns);
	if (is_update)
		heap->named->updatedCols = executor_columns;
	else
		heap->named->insertedCols = executor_columns;
	MemoryContextSwitchTo(caller);
}

/* Begins a command that inserts the columns, or updates them. */
static void
BeginWrite(HeapStore *heap, const Bitmapset *columns, bool is_update)
{
	NameColumns(heap, columns, is_update);
	ResetPerTupleExprContext(heap->estate);
	heap->estate->es_snapshot = GetActiveSnapshot();
	heap->estate->es_output_cid = GetCurrentCommandId(true);
	if (heap->result_rel->ri_TrigDesc)
		AfterTriggerBeginQuery();
}

/*
 * Ends the command: fires its AFTER triggers, and lets what comes next see what it has written. What
 * the executor keeps of these triggers, and of those of tables that a foreign key's action wrote
 * to, must last as long as its state.
 */
static void
EndWrite(HeapStore *heap)
{
	if (heap->result_rel->ri_TrigDesc)
	{
		MemoryContext caller = MemoryContextSwitchTo(heap->estate->es_query_cxt);

		AfterTriggerEndQuery(heap->estate);
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
FinishRow(HeapStore *heap, TupleTableSlot *slot, CmdType command)
{
	const bool	emit_error = true;
	Relation	rel = heap->store.rel;
	const TupleConstr *constr = RelationGetDescr(rel)->constr;

	slot->tts_tableOid = RelationGetRelid(rel);
	if (constr && constr->has_generated_stored)
		ExecComputeStoredGenerated(heap->result_rel, heap->estate, slot, command);
	if (rel->rd_rel->relispartition && command == CMD_UPDATE)
		ExecPartitionCheck(heap->result_rel, slot, heap->estate, emit_error);
	if (constr)
		ExecConstraints(heap->result_rel, slot, heap->estate);
	if (rel->rd_rel->relispartition && command == CMD_INSERT)
		ExecPartitionCheck(heap->result_rel, slot, heap->estate, emit_error);
}

/* -- insert ------------------------------------------------------------------- */

static Datum
EvaluateDefault(HeapStore *heap, Column *column, bool *isnull)
{
	ExprState **state = &heap->defaults[column->attnum - 1];
	Expr	   *default_value = PlanExpression(&column->default_value);

	if (IsA(default_value, Const))
	{
		const Const *constant = (const Const *) default_value;

		*isnull = constant->constisnull;
		return constant->constvalue;
	}
	if (*state == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(heap->estate->es_query_cxt);

		*state = ExecInitExpr(default_value, NULL);
		MemoryContextSwitchTo(caller);
	}
	return ExecEvalExprSwitchContext(*state, GetPerTupleExprContext(heap->estate), isnull);
}

/* Stores the row with the given values, and the defaults of the other columns. */
static void
StoreNewRow(HeapStore *heap, const Row *row, TupleTableSlot *slot)
{
	const Target *target = heap->store.target;

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
			slot->tts_values[index] = EvaluateDefault(heap, column, &slot->tts_isnull[index]);
	}
	ExecStoreVirtualTuple(slot);
}

static List *
InsertTuple(HeapStore *heap, TupleTableSlot *slot)
{
	bool		conflict;

	table_tuple_insert(heap->store.rel, slot, heap->estate->es_output_cid, 0, NULL);
	return InsertIndexTuples(heap->result_rel, slot, heap->estate, &conflict, NIL);
}

/* Inserts the tuple unless a unique index has the key by now: then returns false. */
static bool
InsertTupleOrYield(HeapStore *heap, TupleTableSlot *slot, List **recheck)
{
	List	   *arbiters = heap->arbiters;
	uint32		token;
	bool		conflict;

	/* Another may come in between the check and the insert: that is taken back, and checked again. */
	while (CheckArbiters(heap->result_rel, slot, heap->estate, arbiters))
	{
		CHECK_FOR_INTERRUPTS();
		list_free(*recheck);
		token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
		conflict = false;
		table_tuple_insert_speculative(heap->store.rel, slot, heap->estate->es_output_cid, 0, NULL,
									   token);
		*recheck = InsertIndexTuples(heap->result_rel, slot, heap->estate, &conflict, arbiters);
		table_tuple_complete_speculative(heap->store.rel, slot, token, !conflict);
		/* Who waits for us to make up our mind need not wait until the transaction ends. */
		SpeculativeInsertionLockRelease(GetCurrentTransactionId());
		if (!conflict)
			return true;
	}
	return false;
}

static InsertResult
InsertRow(HeapStore *heap, const Row *row, bool yield_to_unique_index, TupleTableSlot *slot)
{
	ResultRelInfo *result_rel = heap->result_rel;
	List	   *recheck = NIL;

	if (result_rel->ri_TrigDesc && result_rel->ri_TrigDesc->trig_insert_before_row &&
		!ExecBRInsertTriggers(heap->estate, result_rel, slot))
		return INSERT_SKIPPED;
	FinishRow(heap, slot, CMD_INSERT);
	OpenIndexes(heap);
	/* A row with the key that a trigger has put in is not what the caller would find instead. */
	if (!yield_to_unique_index || heap->arbiters == NIL ||
		!SameKey(heap->store.target, row, slot->tts_values, slot->tts_isnull))
		recheck = InsertTuple(heap, slot);
	else if (!InsertTupleOrYield(heap, slot, &recheck))
		/* An index of all rows may have the key of one that does not count, and is not found. */
		return heap->store.target->condition.source ? INSERT_IN_DOUBT : INSERT_KEY_EXISTS;
	ExecARInsertTriggers(heap->estate, result_rel, slot, recheck, NULL);
	return INSERT_DONE;
}

static InsertResult
HeapInsert(Store *store, const Row *row, bool yield_to_unique_index, TupleTableSlot *stored)
{
	HeapStore  *heap = (HeapStore *) store;
	const bool	is_update = false;
	InsertResult result;

	BeginWrite(heap, row->given, is_update);
	StoreNewRow(heap, row, stored);
	result = InsertRow(heap, row, yield_to_unique_index, stored);
	EndWrite(heap);
	slot_getallattrs(stored);
	return result;
}

/* -- update ------------------------------------------------------------------- */

/* Stores the found row with the columns set to row's values. */
static void
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
UpdateTuple(HeapStore *heap, ItemPointer tid, TupleTableSlot *slot)
{
	EState	   *estate = heap->estate;
	const bool	wait = true;
	TM_FailureData failure;
	LockTupleMode lock_mode;
	UpdatedIndexes updated_indexes;
	List	   *recheck = NIL;
	TM_Result	result;

	result = table_tuple_update(heap->store.rel, tid, slot, estate->es_output_cid,
								estate->es_snapshot, InvalidSnapshot, wait,
								&failure, &lock_mode, &updated_indexes);
	if (!IsStillThere(result))
		return UPDATE_ROW_IS_GONE;

	if (NeedsIndexTuples(updated_indexes))
	{
		OpenIndexes(heap);
		recheck = UpdateIndexTuples(heap->result_rel, slot, estate, updated_indexes);
	}
	ExecARUpdateTriggers(estate, heap->result_rel, NULL, NULL, tid, NULL, slot, recheck, NULL, false);
	return UPDATE_DONE;
}

static UpdateResult
UpdateRow(HeapStore *heap, ItemPointer tid, TupleTableSlot *slot)
{
	const TriggerDesc *triggers = heap->result_rel->ri_TrigDesc;

	if (triggers && triggers->trig_update_before_row &&
		!BeforeRowUpdateTriggers(heap->estate, &heap->epq, heap->result_rel, tid, slot))
		return UPDATE_SKIPPED;
	FinishRow(heap, slot, CMD_UPDATE);
	return UpdateTuple(heap, tid, slot);
}

static UpdateResult
HeapUpdate(Store *store, const Row *row, const Bitmapset *columns, TupleTableSlot *found,
		   TupleTableSlot *stored)
{
	HeapStore  *heap = (HeapStore *) store;
	const TriggerDesc *triggers = store->rel->trigdesc;
	bool		has_before_triggers = triggers && triggers->trig_update_before_row;
	const bool	is_update = true;
	UpdateResult result;

	CheckCmdReplicaIdentity(store->rel, CMD_UPDATE);
	/* BEFORE triggers would be fired for the row's newest version, whatever its key is by then. */
	if (has_before_triggers && !LockFoundRow(store->target, row, columns, found))
		return UPDATE_ROW_IS_GONE;

	BeginWrite(heap, columns, is_update);
	StoreUpdatedRow(row, columns, found, stored);
	result = UpdateRow(heap, &found->tts_tid, stored);
	EndWrite(heap);
	slot_getallattrs(stored);
	return result;
}

/* -- the store ---------------------------------------------------------------- */

static void
HeapClose(Store *store)
{
	HeapStore  *heap = (HeapStore *) store;

	EndWrites(heap);
	if (heap->scan)
		index_endscan(heap->scan);
	index_close(heap->index, NoLock);
	ExecDropSingleTupleTableSlot(heap->second);
}

static const StoreMethods heap_methods = {
	.find = HeapFind,
	.is_alone = HeapIsAlone,
	.insert = HeapInsert,
	.update = HeapUpdate,
	.close = HeapClose,
};

/* The caller has made sure that WhyNotWriteDirectly() returns NULL. */
Store *
OpenHeapStore(Target *target, Relation rel)
{
	const KeyIndex *index = target->key_index;
	HeapStore  *heap = palloc0(sizeof(HeapStore));

	heap->store.target = target;
	heap->store.rel = rel;
	heap->store.methods = &heap_methods;
	heap->context = CurrentMemoryContext;
	heap->scan_context = CurrentMemoryContext;
	heap->index = index_open(index->oid, AccessShareLock);
	heap->scan_keys = palloc(index->nscan_keys * sizeof(ScanKeyData));
	memcpy(heap->scan_keys, index->scan_keys, index->nscan_keys * sizeof(ScanKeyData));
	heap->second = table_slot_create(rel, NULL);
	return &heap->store;
}
