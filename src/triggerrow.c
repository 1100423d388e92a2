/*
 * triggerrow.c
 *		A row that a trigger of an upsert has created with the upsert's own key.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "triggerrow.h"

/*
 * Was the row version there when the transaction's command of this number began, going by the snapshot? (A
 * foreign table's was.)
 */
bool
WasThereBefore(const TupleTableSlot *row, Snapshot snapshot, CommandId command)
{
	Relation	rel = table_open(row->tts_tableOid, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	ItemPointerData tid = row->tts_tid;
	bool		was_there = true;

	PushCopiedSnapshot(snapshot);
	GetActiveSnapshot()->curcid = command;
	if (RELKIND_HAS_TABLE_AM(rel->rd_rel->relkind))
		was_there = table_tuple_fetch_row_version(rel, &tid, GetActiveSnapshot(), slot);
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	return was_there;
}

/* The command by which an upsert inserts its row; InvalidCommandId if there is none. */
static struct
{
	LocalTransactionId transaction;
	CommandId	command;
}			upsert;

/*
 * Lets the guard know which command an upsert inserts its row by, until it tells another. Returns what it
 * told before, which it is to tell again when that is done.
 */
CommandId
ExpectRowOfUpsert(CommandId command)
{
	CommandId	before = InvalidCommandId;

	if (upsert.transaction == CurrentLocalTransactionId())
		before = upsert.command;
	upsert.transaction = CurrentLocalTransactionId();
	upsert.command = command;
	return before;
}

/*
 * Has an upsert written the row, which has locked the key and found none, and have its triggers created
 * the other one?
 */
bool
IsTriggersRow(const TupleTableSlot *written, const TupleTableSlot *other)
{
	CommandId	command = upsert.command;
	Snapshot	snapshot;
	bool		is_triggers;

	if (upsert.transaction != CurrentLocalTransactionId() || command == InvalidCommandId)
		return false;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	is_triggers = !WasThereBefore(other, snapshot, command) &&
		!WasThereBefore(written, snapshot, command) &&
		WasThereBefore(written, snapshot, command + 1);
	UnregisterSnapshot(snapshot);
	return is_triggers;
}

/* Who creates a row by its key cannot have triggers that do it, too: 27000. */
void
RejectTriggersRow(const char *table, Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("a trigger of table \"%s\" created a row with the key of the row being written", table),
			 errtable(rel)));
}
