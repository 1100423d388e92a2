/*
 * protect.c
 *		Declaring a table's key, and taking that back.
 *
 * A key is declared by the guard trigger: its arguments are the key's columns, its WHEN clause is the
 * condition under which the key counts. What is there already
 * stays as it is: with nothing to do, no writer is kept waiting.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "condition.h"
#include "ddl.h"
#include "declaration.h"
#include "duplicates.h"
#include "engine.h"
#include "keycondition.h"
#include "keyhash.h"
#include "keyinfo.h"
#include "protect.h"
#include "table.h"

/* What a key is declared to be. */
typedef struct Declaration
{
	List	   *key;			/* names of columns */
	Expr	   *condition;		/* on the table, or NULL */
} Declaration;

/* What the trigger is called if there is none to replace, and what the index on the hash is called after. */
#define GUARD_NAME		"product_upsert_guard"
#define HASH_NAME		"product_upsert_hash"

/* -- what is asked for --------------------------------------------------------- */

static void
RejectSize(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("a key has 1 to %d columns", INDEX_MAX_KEYS)));
}

static void
CheckUnlisted(const List *names, const char *name)
{
	ListCell   *cell;

	foreach(cell, names)
	{
		if (strcmp(lfirst(cell), name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("a column is in the key more than once")));
	}
}

/* Returns the names that are in an array of type name[], or raises an error if they cannot be a key. */
static List *
ReadKey(ArrayType *key)
{
	List	   *names = NIL;
	Datum	   *values;
	bool	   *isnull;
	int			nvalues;

	if (ARR_NDIM(key) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("key must be an array of one dimension")));
	deconstruct_array(key, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &values, &isnull, &nvalues);
	if (nvalues < 1 || nvalues > INDEX_MAX_KEYS)
		RejectSize();
	for (int i = 0; i < nvalues; i++)
	{
		if (isnull[i])
			RejectSize();
	}
	for (int i = 0; i < nvalues; i++)
	{
		char	   *name = NameStr(*DatumGetName(values[i]));

		CheckUnlisted(names, name);
		names = lappend(names, name);
	}
	return names;
}

static void
CheckColumns(Oid relid, const List *key)
{
	ListCell   *cell;

	foreach(cell, key)
	{
		if (get_attnum(relid, lfirst(cell)) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("key column \"%s\" of relation \"%s\" does not exist",
							(char *) lfirst(cell), TableName(relid))));
	}
}

/* -- guards -------------------------------------------------------------------- */

/* The guards of a table, whether they do what they should or not. */
typedef struct Guards
{
	const Trigger *kept;		/* what can stay, or be replaced; NULL if there is none */
	bool		is_same;		/* it is what is wanted */
	List	   *others;
} Guards;

static bool
RunsGuard(const Trigger *trigger)
{
	return HasSymbol(trigger->tgfoid, GUARD_SYMBOL);
}

static bool
HasWhen(const Trigger *trigger, const Expr *condition)
{
	if (trigger->tgqual == NULL || condition == NULL)
		return trigger->tgqual == NULL && condition == NULL;
	return equal(stringToNode(trigger->tgqual), ConditionToWhen(condition));
}

static bool
HasArguments(const Trigger *trigger, const List *arguments)
{
	ListCell   *cell;

	if (trigger->tgnargs != list_length(arguments))
		return false;
	foreach(cell, arguments)
	{
		if (strcmp(trigger->tgargs[foreach_current_index(cell)], lfirst(cell)) != 0)
			return false;
	}
	return true;
}

static bool
Declares(const Trigger *trigger, const Declaration *wanted)
{
	return HasArguments(trigger, wanted->key) && HasWhen(trigger, wanted->condition);
}

/* Is it fired for every row that is inserted or updated, but for its WHEN clause? */
static bool
FiresForAllRows(const Trigger *trigger)
{
	const int16 wanted = TRIGGER_TYPE_ROW | TRIGGER_TYPE_AFTER | TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE;

	return trigger->tgtype == wanted && trigger->tgnattr == 0;
}

/* Sorts the triggers of a copy, which the cache may replace its own by meanwhile. */
static Guards
FindGuards(Relation rel, const Declaration *wanted)
{
	const TriggerDesc *triggers = CopyTriggerDesc(rel->trigdesc);
	Guards		guards = {0};

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];
		bool		is_same = Declares(trigger, wanted) && FiresForAllRows(trigger);

		if (!RunsGuard(trigger))
			continue;
		/* A constraint trigger cannot be replaced. */
		if ((is_same && !guards.is_same) ||
			(guards.kept == NULL && !OidIsValid(trigger->tgconstraint)))
		{
			if (guards.kept)
				guards.others = lappend(guards.others, unconstify(Trigger *, guards.kept));
			guards.kept = trigger;
			guards.is_same = is_same;
		}
		else
			guards.others = lappend(guards.others, unconstify(Trigger *, trigger));
	}
	return guards;
}

/* A partition's guard comes and goes with that of the partitioned table. */
static void
CheckNotProtectedAbove(Relation rel)
{
	const TriggerDesc *triggers = CopyTriggerDesc(rel->trigdesc);

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (trigger->tgisclone && RunsGuard(trigger))
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("table \"%s\" is protected as a partition", TableName(RelationGetRelid(rel))),
					 errhint("Protect or unprotect the table that it is a partition of.")));
	}
}

static bool
IsEnabled(const Trigger *trigger)
{
	return trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN || trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
}

/* Has the table no trigger of that name, or one that is enabled? */
static bool
HasNoneDisabled(Oid relid, const char *name)
{
	Relation	rel = table_open(relid, NoLock);
	bool		enabled = true;

	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		enabled &= strcmp(trigger->tgname, name) != 0 || IsEnabled(trigger);
	}
	table_close(rel, NoLock);
	return enabled;
}

/* Is it enabled in the table, and in all partitions, whose copies of it have its name? */
static bool
IsEnabledEverywhere(Relation rel, const Trigger *guard)
{
	List	   *tables;
	ListCell   *cell;
	bool		enabled = IsEnabled(guard);

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return enabled;
	tables = find_all_inheritors(RelationGetRelid(rel), AccessShareLock, NULL);
	foreach(cell, tables)
		enabled &= HasNoneDisabled(lfirst_oid(cell), guard->tgname);
	list_free(tables);
	return enabled;
}

/* Does one more thing that is to be done, and returns whether there was any. */
static bool
ImproveGuards(Oid relid, const Declaration *wanted, Oid function)
{
	Relation	rel = OpenToLook(relid);
	Guards		guards = FindGuards(rel, wanted);
	bool		is_enabled = guards.is_same && IsEnabledEverywhere(rel, guards.kept);

	table_close(rel, NoLock);
	if (guards.others)
		DropTrigger(relid, linitial(guards.others));
	else if (!guards.is_same)
		ReplaceRowTrigger(relid, guards.kept ? guards.kept->tgname : GUARD_NAME, function, wanted->key,
						  wanted->condition);
	else if (!is_enabled)
		EnableTrigger(relid, guards.kept->tgname);
	else
		return false;
	return true;
}

/* -- partitions ---------------------------------------------------------------- */

static void
RejectForeignPartition(Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot protect table \"%s\"", TableName(relid)),
			 errdetail("It has a partition that is a foreign table.")));
}

/* The declaration as one of the partition's, whose columns may be elsewhere. */
static Declaration
TranslateDeclaration(Relation rel, Relation partition, const Declaration *wanted)
{
	List	   *condition = list_make1(wanted->condition);

	if (wanted->condition == NULL)
		return *wanted;
	return (Declaration) {
		.key = wanted->key,
		.condition = linitial(map_partition_varattnos(condition, 1, partition, rel)),
	};
}

/*
 * A partition's own guard with the same declaration is replaced by that of the partitioned table, or
 * does no harm beside it; one with others would declare another key.
 */
static void
CheckPartition(Relation rel, Relation partition, const Declaration *wanted)
{
	const TriggerDesc *triggers = CopyTriggerDesc(partition->trigdesc);
	Declaration own = TranslateDeclaration(rel, partition, wanted);

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (RunsGuard(trigger) && !trigger->tgisclone && !Declares(trigger, &own))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("cannot protect table \"%s\"", TableName(RelationGetRelid(rel))),
					 errdetail("Its partition \"%s\" is protected with another key.",
							   TableName(RelationGetRelid(partition))),
					 errhint("Unprotect the partition, or drop its trigger \"%s\".", trigger->tgname)));
	}
}

static void
CheckPartitions(Relation rel, const Declaration *wanted)
{
	List	   *tables = find_all_inheritors(RelationGetRelid(rel), AccessShareLock, NULL);
	ListCell   *cell;

	foreach(cell, tables)
	{
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE)
			RejectForeignPartition(RelationGetRelid(rel));
	}
	for_each_from(cell, tables, 1)
	{
		Relation	partition = table_open(lfirst_oid(cell), NoLock);

		CheckPartition(rel, partition, wanted);
		table_close(partition, NoLock);
	}
	list_free(tables);
}

/* -- the whole ----------------------------------------------------------------- */

static void
CheckKind(Relation rel, const Declaration *wanted)
{
	if (rel->rd_rel->relispartition || rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		CheckPartitions(rel, wanted);
	else if (rel->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot protect relation \"%s\"", TableName(RelationGetRelid(rel))),
				 errdetail_relkind_not_supported(rel->rd_rel->relkind)));
}

/* product_upsert_hash(brand, ...), of a row's columns */
static Expr *
HashOfKey(Relation rel, const List *key, Oid function)
{
	List	   *arguments = NIL;
	ListCell   *cell;

	foreach(cell, key)
	{
		AttrNumber	attnum = get_attnum(RelationGetRelid(rel), lfirst(cell));

		arguments = lappend(arguments, ColumnValue(RelationGetDescr(rel), attnum));
	}
	return (Expr *) makeFuncExpr(function, INT8OID, arguments, InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

static void
CreateHashIndex(Oid relid, const Declaration *wanted, Oid function)
{
	Relation	rel = OpenToLook(relid);
	Expr	   *hash = HashOfKey(rel, wanted->key, function);

	table_close(rel, NoLock);
	CreateIndexOn(relid, hash, HASH_NAME, wanted->condition);
}

/* Returns what is asked for. The names in the condition are the caller's. */
static Declaration
ReadDeclaration(Oid relid, ArrayType *key, const char *condition)
{
	Declaration declaration = {.key = ReadKey(key)};
	Relation	rel;

	if (condition == NULL)
		return declaration;
	rel = OpenToLook(relid);
	declaration.condition = ParseCondition(rel, condition);
	table_close(rel, NoLock);
	return declaration;
}

/*
 * Creates the guard and, if none fits, an index by which a whole key is found: returns that index.
 * The keys that have more than one row already are counted before anything is locked, as it may
 * take a while. The functions that the table will call are those of the caller's extension.
 */
static Oid
Protect(Oid relid, const Declaration *wanted, Oid caller, int64 *duplicate_keys)
{
	const bool	guarded = false;
	Relation	rel = OpenToLook(relid);
	Oid			guard = FindSibling(caller, GUARD_SYMBOL);
	Oid			index;

	RejectDistributed(rel);
	RejectHypertable(rel);
	RejectChunk(rel, guarded);
	CheckColumns(relid, wanted->key);
	CheckKind(rel, wanted);
	*duplicate_keys = CountDuplicates(rel, wanted->key, wanted->condition);
	CheckNotProtectedAbove(rel);
	table_close(rel, NoLock);

	/* Others may change them as well, until we have the lock. */
	while (ImproveGuards(relid, wanted, guard))
		CHECK_FOR_INTERRUPTS();

	index = LookupIndex(relid);
	if (OidIsValid(index))
		return index;
	LockToCreateIndex(relid);
	index = LookupIndex(relid);
	if (OidIsValid(index))
		return index;
	CreateHashIndex(relid, wanted, FindSibling(caller, HASH_SYMBOL));
	return LookupIndex(relid);
}

/*
 * Protects the table: see Protect(). The condition may be NULL. Names in what is said of the table are
 * qualified, whatever the caller's search_path.
 */
Oid
ProtectTable(Oid relid, ArrayType *key, const char *condition, Oid caller, int64 *duplicate_keys)
{
	Declaration wanted = ReadDeclaration(relid, key, condition);
	int			level = NewGUCNestLevel();
	Oid			index;

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	index = Protect(relid, &wanted, caller, duplicate_keys);
	AtEOXact_GUC(true, level);
	return index;
}

/* Drops all of the table's guards, and leaves the index. */
void
UnprotectTable(Oid relid)
{
	const Declaration none = {0};
	Relation	rel = OpenToLook(relid);
	Guards		guards;

	CheckNotProtectedAbove(rel);
	guards = FindGuards(rel, &none);
	table_close(rel, AccessShareLock);
	if (guards.kept)
		guards.others = lappend(guards.others, unconstify(Trigger *, guards.kept));
	for (int i = 0; i < list_length(guards.others); i++)
		DropTrigger(relid, list_nth(guards.others, i));
}
