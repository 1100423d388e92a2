/*
 * ddl.c
 *		Commands of SQL that change a table, given by OIDs.
 *
 * A name may be that of another table, or of another function, by the time it is looked up; and
 * what an index calls runs as the table's owner. So the commands are carried out by what carries
 * them out for SQL, with all that PostgreSQL does around that: the same privileges, locks and
 * event triggers, and none in a read-only transaction. Each sees what the one before has done.
 *
 * What differs: they do not pass ProcessUtility_hook, and privileges are asked for before anything
 * is locked, not after.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/event_trigger.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/value.h"
#include "parser/parse_collate.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"

#include "compat.h"
#include "condition.h"
#include "ddl.h"
#include "table.h"

/* Carries a command out: on a table, with whatever else it is about. */
typedef void (*Execute) (Oid relid, Node *command, Oid object);

static void
PreventCommand(Node *command)
{
	const char *name = CreateCommandName(command);

	PreventCommandIfReadOnly(name);
	PreventCommandIfParallelMode(name);
	PreventCommandDuringRecovery(name);
}

/* The command with its event triggers, which keep what they know of it outside of memory contexts. */
static void
FireEventTriggers(Oid relid, Node *command, Execute execute, Oid object)
{
	bool		needs_cleanup = EventTriggerBeginCompleteQuery();

	PG_TRY();
	{
		EventTriggerDDLCommandStart(command);
		execute(relid, command, object);
		EventTriggerSQLDrop(command);
		EventTriggerDDLCommandEnd(command);
	}
	PG_FINALLY();
	{
		if (needs_cleanup)
			EventTriggerEndCompleteQuery();
	}
	PG_END_TRY();
}

/*
 * Runs a command. What it locks belongs to the transaction: a cursor that calls us loses its own
 * locks when a later FETCH fails in a savepoint, and what it has done stays.
 */
static void
RunCommand(Oid relid, Node *command, Execute execute, Oid object)
{
	ResourceOwner caller = CurrentResourceOwner;

	PreventCommand(command);
	CurrentResourceOwner = CurTransactionResourceOwner;
	FireEventTriggers(relid, command, execute, object);
	CommandCounterIncrement();
	CurrentResourceOwner = caller;
}

/* The table's name as event triggers are given it. */
static RangeVar *
TableOfCommand(Oid relid)
{
	return makeRangeVar(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid), -1);
}

static void
CheckOwner(Oid relid, ObjectType changed)
{
	if (!OwnsRelation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, changed, get_rel_name(relid));
}

static ObjectType
TableType(Oid relid)
{
	return get_relkind_objtype(get_rel_relkind(relid));
}

/*
 * Locks the table, and its partitions: all of them now, from the top, as other commands do. Returns
 * them. Raises 42P01 if the table is dropped meanwhile.
 */
static List *
LockTree(Oid relid, LOCKMODE mode)
{
	LockRelationOid(relid, mode);
	RequireTable(relid);
	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		return find_all_inheritors(relid, mode, NULL);
	return list_make1_oid(relid);
}

/* -- CREATE OR REPLACE TRIGGER ------------------------------------------------- */

/* A trigger of that name is replaced only if it calls the function already: else it is not ours to lose. */
static void
RejectOtherTrigger(Oid relid, const char *name, Oid function)
{
	Relation	rel = table_open(relid, NoLock);

	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (strcmp(trigger->tgname, name) == 0 && trigger->tgfoid != function)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("trigger \"%s\" for relation \"%s\" already exists", name,
							RelationGetRelationName(rel)),
					 errdetail("It calls another function."),
					 errhint("Rename it."),
					 errtable(rel)));
	}
	table_close(rel, NoLock);
}

static void
RejectOtherTriggers(List *tables, const char *name, Oid function)
{
	ListCell   *cell;

	foreach(cell, tables)
		RejectOtherTrigger(lfirst_oid(cell), name, function);
}

/* What a WHEN clause needs must not be dropped; CreateTrigger() sees to that only if it has parsed it. */
static void
RecordNeedsOfWhen(const ObjectAddress *trigger, Oid relid, const Node *when)
{
	const bool	reverse_self = false;

	if (when)
		recordDependencyOnSingleRelExpr(trigger, (Node *) WhenToCondition(when), relid,
										DEPENDENCY_NORMAL, DEPENDENCY_NORMAL, reverse_self);
}

static void
ExecuteCreateTrigger(Oid relid, Node *command, Oid function)
{
	Node	   *when = ((CreateTrigStmt *) command)->whenClause;
	const bool	is_internal = false;
	const bool	in_partition = false;
	List	   *tables;
	ObjectAddress trigger;
	AclResult	result = pg_class_aclcheck(relid, GetUserId(), ACL_TRIGGER);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, TableType(relid), get_rel_name(relid));
	tables = LockTree(relid, ShareRowExclusiveLock);
	RejectOtherTriggers(tables, ((CreateTrigStmt *) command)->trigname, function);
	trigger = CreateTrigger((CreateTrigStmt *) command, NULL, relid, InvalidOid, InvalidOid, InvalidOid,
							function, InvalidOid, when, is_internal, in_partition);
	RecordNeedsOfWhen(&trigger, relid, when);
	EventTriggerCollectSimpleCommand(trigger, InvalidObjectAddress, command);
}

/*
 * CREATE OR REPLACE TRIGGER name AFTER INSERT OR UPDATE ON table
 *	 FOR EACH ROW [WHEN (condition)] EXECUTE FUNCTION function(arguments)
 *
 * The condition is over the table's columns as varno 1, or NULL.
 */
void
ReplaceRowTrigger(Oid relid, const char *name, Oid function, const List *arguments,
				  const Expr *condition)
{
	CreateTrigStmt *command = makeNode(CreateTrigStmt);
	ListCell   *cell;

	command->replace = true;
	command->trigname = pstrdup(name);
	command->relation = TableOfCommand(relid);
	command->funcname = list_make2(makeString(get_namespace_name(get_func_namespace(function))),
								   makeString(get_func_name(function)));
	foreach(cell, arguments)
		command->args = lappend(command->args, makeString(lfirst(cell)));
	command->row = true;
	command->timing = TRIGGER_TYPE_AFTER;
	command->events = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE;
	command->whenClause = condition ? ConditionToWhen(condition) : NULL;
	RunCommand(relid, (Node *) command, ExecuteCreateTrigger, function);
}

/* -- DROP TRIGGER -------------------------------------------------------------- */

/* Is it still there, now that the table is locked? */
static bool
HasTrigger(Oid relid, Oid trigger)
{
	Relation	rel = table_open(relid, NoLock);
	bool		found = false;

	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
		found |= rel->trigdesc->triggers[i].tgoid == trigger;
	table_close(rel, NoLock);
	return found;
}

static void
ExecuteDropTrigger(Oid relid, Node *command pg_attribute_unused(), Oid trigger)
{
	ObjectAddress address;

	CheckOwner(relid, OBJECT_TRIGGER);
	(void) LockTree(relid, AccessExclusiveLock);
	ObjectAddressSet(address, TriggerRelationId, trigger);
	if (HasTrigger(relid, trigger))
		performDeletion(&address, DROP_RESTRICT, 0);
}

/* DROP TRIGGER trigger ON table; if somebody else has dropped it meanwhile, so much the better. */
void
DropTrigger(Oid relid, const Trigger *trigger)
{
	DropStmt   *command = makeNode(DropStmt);
	RangeVar   *table = TableOfCommand(relid);

	command->removeType = OBJECT_TRIGGER;
	command->objects = list_make1(list_make3(makeString(table->schemaname), makeString(table->relname),
											 makeString(pstrdup(trigger->tgname))));
	command->behavior = DROP_RESTRICT;
	RunCommand(relid, (Node *) command, ExecuteDropTrigger, trigger->tgoid);
}

/* -- ALTER TABLE ... ENABLE TRIGGER -------------------------------------------- */

static void
ExecuteAlterTable(Oid relid, Node *command, Oid object pg_attribute_unused())
{
	const bool	recurse = true;
	Relation	rel;

	CheckOwner(relid, TableType(relid));
	(void) LockTree(relid, ShareRowExclusiveLock);
	rel = table_open(relid, NoLock);
	CheckTableNotInUse(rel, CreateCommandName(command));
	table_close(rel, NoLock);

	EventTriggerAlterTableStart(command);
	AlterTableInternal(relid, ((AlterTableStmt *) command)->cmds, recurse);
	EventTriggerAlterTableEnd();
}

/* ALTER TABLE table ENABLE TRIGGER name */
void
EnableTrigger(Oid relid, const char *name)
{
	AlterTableStmt *command = makeNode(AlterTableStmt);
	AlterTableCmd *enable = makeNode(AlterTableCmd);

	enable->subtype = AT_EnableTrig;
	enable->name = pstrdup(name);
	command->relation = TableOfCommand(relid);
	command->cmds = list_make1(enable);
	command->objtype = OBJECT_TABLE;
	RunCommand(relid, (Node *) command, ExecuteAlterTable, InvalidOid);
}

/* -- CREATE INDEX -------------------------------------------------------------- */

/*
 * Keeps others from creating an index until the transaction ends, so that one can look whether they have:
 * the lock that CREATE INDEX takes does not. Asks for what that asks for.
 */
void
LockToCreateIndex(Oid relid)
{
	ResourceOwner caller = CurrentResourceOwner;

	PreventCommand((Node *) makeNode(IndexStmt));
	CheckOwner(relid, TableType(relid));
	CurrentResourceOwner = CurTransactionResourceOwner;
	(void) LockTree(relid, ShareRowExclusiveLock);
	CurrentResourceOwner = caller;
}

static void
ExecuteCreateIndex(Oid relid, Node *command, Oid object pg_attribute_unused())
{
	ObjectAddress index;

	CheckOwner(relid, TableType(relid));
	(void) LockTree(relid, ShareLock);
	EventTriggerAlterTableStart(command);
	index = CreateIndex(relid, (IndexStmt *) command);
	EventTriggerCollectSimpleCommand(index, InvalidObjectAddress, command);
	EventTriggerAlterTableEnd();
}

/*
 * CREATE INDEX ON table (expression) [WHERE condition], where both are over the table's columns as varno 1
 * and have no names in them. The index and its column are called as if that were a column of this name.
 */
void
CreateIndexOn(Oid relid, Expr *expression, const char *column_name, const Expr *condition)
{
	IndexStmt  *command = makeNode(IndexStmt);
	IndexElem  *element = makeNode(IndexElem);

	assign_expr_collations(NULL, (Node *) expression);
	element->expr = (Node *) expression;
	element->indexcolname = pstrdup(column_name);
	element->ordering = SORTBY_DEFAULT;
	element->nulls_ordering = SORTBY_NULLS_DEFAULT;
	command->relation = TableOfCommand(relid);
	command->accessMethod = DEFAULT_INDEX_TYPE;
	command->indexParams = list_make1(element);
	command->whereClause = copyObject((Node *) condition);
	command->transformed = true;
	RunCommand(relid, (Node *) command, ExecuteCreateIndex, InvalidOid);
}
