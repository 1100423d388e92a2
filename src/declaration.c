/*
 * declaration.c
 *		What the guard trigger of a table declares, and which function it calls.
 *
 * A function in SQL is known by the function in C that it stands for, as the extension may be in any
 * schema, and others may create functions of the same name.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "optimizer/optimizer.h"
#include "rewrite/prs2lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/syscache.h"

#include "condition.h"
#include "declaration.h"

/* Is the function the one in C that has this name there, whatever schema the extension is in? */
bool
HasSymbol(Oid function, const char *symbol)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Datum		source;
	bool		isnull;
	bool		has_symbol;

	if (!HeapTupleIsValid(tuple))
		return false;
	source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
	has_symbol = ((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId &&
		!isnull && strcmp(TextDatumGetCString(source), symbol) == 0;
	ReleaseSysCache(tuple);
	return has_symbol;
}

/*
 * Returns the function in C that has this name there, among those of the extension that the
 * given function belongs to. No name in SQL has a say in that, whoever may create functions
 * in the extension's schema, and whatever that is called by now.
 */
Oid
FindSibling(Oid function, const char *symbol)
{
	Oid			extension = getExtensionOfObject(ProcedureRelationId, function);
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	Oid			sibling = InvalidOid;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ExtensionRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, lengthof(keys), keys);
	while (!OidIsValid(sibling) && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend member = (Form_pg_depend) GETSTRUCT(tuple);

		if (member->deptype == DEPENDENCY_EXTENSION && member->classid == ProcedureRelationId &&
			HasSymbol(member->objid, symbol))
			sibling = member->objid;
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	if (!OidIsValid(sibling))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("the extension has no function %s()", symbol),
				 errhint("Drop the extension and create it anew.")));
	return sibling;
}

bool
IsGuard(const Trigger *trigger)
{
	return TRIGGER_FOR_ROW(trigger->tgtype) && TRIGGER_FOR_AFTER(trigger->tgtype) &&
		HasSymbol(trigger->tgfoid, GUARD_SYMBOL);
}

/* Returns the trigger's WHEN clause, or NULL. */
static Node *
WhenClause(const Trigger *trigger)
{
	return trigger->tgqual ? stringToNode(trigger->tgqual) : NULL;
}

static bool
SameDeclaration(const Trigger *a, const Trigger *b)
{
	if (a->tgnargs != b->tgnargs || !equal(WhenClause(a), WhenClause(b)))
		return false;
	for (int i = 0; i < a->tgnargs; i++)
	{
		if (strcmp(a->tgargs[i], b->tgargs[i]) != 0)
			return false;
	}
	return true;
}

/*
 * Returns the table's guard, or NULL. Its arguments and its WHEN clause declare the table's key, so if
 * there are several, they must agree: 42P17. Works on a copy, in the current memory context: the
 * relation's own is replaced when its cache entry is rebuilt, which any look at a catalog may do.
 */
const Trigger *
FindGuard(Relation rel)
{
	const TriggerDesc *triggers = CopyTriggerDesc(rel->trigdesc);
	const Trigger *guard = NULL;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (!IsGuard(trigger))
			continue;
		if (guard == NULL)
			guard = trigger;
		else if (!SameDeclaration(guard, trigger))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("triggers \"%s\" and \"%s\" of table \"%s\" declare different keys",
							guard->tgname, trigger->tgname, RelationGetRelationName(rel)),
					 errhint("Drop one of them."),
					 errtable(rel)));
	}
	return guard;
}

static void
RejectOld(Relation rel, const Trigger *guard)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("trigger \"%s\" of table \"%s\" has a WHEN clause that cannot be the condition of a key",
					guard->tgname, RelationGetRelationName(rel)),
			 errdetail("It reads OLD."),
			 errhint("Declare the key anew, as product_upsert_protect() does."),
			 errtable(rel)));
}

/*
 * Returns the condition under which the table's rows count, as its guard's WHEN clause declares it, or
 * NULL; raises an error for what cannot be one. Runs no functions.
 */
Expr *
GuardCondition(Relation rel, const Trigger *guard)
{
	Node	   *when = guard ? WhenClause(guard) : NULL;
	Expr	   *condition;

	if (when == NULL)
		return NULL;
	if (bms_is_member(PRS2_OLD_VARNO, pull_varnos(NULL, when)))
		RejectOld(rel, guard);
	condition = WhenToCondition(when);
	CheckCondition(rel, (Node *) condition);
	return condition;
}
