/*
 * condition.c
 *		The condition that a table's rows must satisfy for their keys to count.
 *
 * It is an expression over the table's columns as varno 1, as an index's predicate is, and must
 * be what that may be. A row for which it is NULL does not satisfy it.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "parser/parse_collate.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "column.h"
#include "condition.h"

/* -- from text ---------------------------------------------------------------- */

/* Error context callback: a position is one in the condition, not in the statement that has it. */
static void
DescribePositionInCondition(void *arg)
{
	int			position = geterrposition();

	if (position <= 0)
		return;
	errposition(0);
	internalerrposition(position);
	internalerrquery(arg);
}

static bool
IsStar(const Node *node)
{
	return IsA(node, ColumnRef) && IsA(linitial(((const ColumnRef *) node)->fields), A_Star);
}

/* Returns the expression that the text is, or raises 42601. The parser takes more for one. */
static Node *
ParseExpression(const char *text)
{
	const RawStmt *statement = linitial(raw_parser(text, RAW_PARSE_PLPGSQL_EXPR));
	const SelectStmt *select = (const SelectStmt *) statement->stmt;
	SelectStmt *targets = makeNode(SelectStmt);
	const ResTarget *target;

	targets->targetList = select->targetList;
	if (list_length(select->targetList) == 1 && equal(select, targets))
	{
		target = linitial(select->targetList);
		if (target->name == NULL && !IsStar(target->val))
			return target->val;
	}
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("condition must be an expression, as after WHERE")));
}

/* Analyzes the expression, with the table's columns and nothing else to name, as for CREATE INDEX. */
static Expr *
AnalyzeCondition(Relation rel, Node *expression, const char *text)
{
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *item;
	Node	   *condition;

	pstate->p_sourcetext = text;
	item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL, false, true);
	addNSItemToQuery(pstate, item, false, true, true);
	condition = transformWhereClause(pstate, expression, EXPR_KIND_INDEX_PREDICATE, "condition");
	assign_expr_collations(pstate, condition);
	free_parsestate(pstate);
	return (Expr *) condition;
}

/*
 * Returns the condition that the text is. Names in it are looked up as the caller's, so this may run
 * functions that he names. Raises what CREATE INDEX ... WHERE raises.
 */
Expr *
ParseCondition(Relation rel, const char *text)
{
	ErrorContextCallback describe = {
		.callback = DescribePositionInCondition,
		.arg = unconstify(char *, text),
		.previous = error_context_stack,
	};
	Expr	   *condition;

	error_context_stack = &describe;
	condition = AnalyzeCondition(rel, ParseExpression(text), text);
	CheckCondition(rel, (Node *) condition);
	/* A function may be inlined, or have a default for an argument, that is not immutable. */
	CheckCondition(rel, (Node *) expression_planner(copyObject(condition)));
	error_context_stack = describe.previous;
	return condition;
}

/* -- what it may be ----------------------------------------------------------- */

/* Returns the columns that the expression reads, of varno 1. */
Bitmapset *
ColumnsOf(const Node *expression)
{
	Bitmapset  *attributes = NULL;
	Bitmapset  *columns = NULL;
	int			member = -1;

	pull_varattnos(unconstify(Node *, expression), 1, &attributes);
	while ((member = bms_next_member(attributes, member)) >= 0)
	{
		AttrNumber	attnum = member + FirstLowInvalidHeapAttributeNumber;

		if (attnum > 0)
			columns = bms_add_member(columns, attnum);
	}
	return columns;
}

static void
RejectCondition(Relation rel, const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("the key of table \"%s\" cannot have such a condition", RelationGetRelationName(rel)),
			 errdetail_internal("%s", reason),
			 errhint("The condition, which is the WHEN clause of the guard, must be immutable and of the"
					 " row alone, as the predicate of an index."),
			 errtable(rel)));
}

/* Does it read a system column, or the row as a whole? */
static bool
ReadsMoreThanColumns(Node *condition)
{
	Bitmapset  *attributes = NULL;

	pull_varattnos(condition, 1, &attributes);
	return !bms_is_empty(attributes) &&
		bms_next_member(attributes, -1) <= -FirstLowInvalidHeapAttributeNumber;
}

/* What is not stored is not in the rows that triggers see. */
static bool
ReadsVirtualColumn(Relation rel, const Node *condition)
{
	Bitmapset  *columns = ColumnsOf(condition);
	int			attnum = -1;

	while ((attnum = bms_next_member(columns, attnum)) >= 0)
	{
		Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

		if (attribute->attgenerated != '\0' && attribute->attgenerated != ATTRIBUTE_GENERATED_STORED)
			return true;
	}
	return false;
}

/* Raises 42P17 if an expression cannot be a condition. Runs no functions. */
void
CheckCondition(Relation rel, Node *condition)
{
	if (ReadsMoreThanColumns(condition))
		RejectCondition(rel, "It reads a system column, or the row as a whole.");
	if (ReadsVirtualColumn(rel, condition))
		RejectCondition(rel, "It reads a generated column that is not stored.");
	if (contain_mutable_functions(condition))
		RejectCondition(rel, "It calls a function that is not marked IMMUTABLE.");
}

/* -- to a trigger and back, and to text --------------------------------------- */

/* Returns the condition as the WHEN clause of a trigger, of NEW. */
Node *
ConditionToWhen(const Expr *condition)
{
	Node	   *when = copyObject((Node *) condition);

	ChangeVarNodes(when, 1, PRS2_NEW_VARNO, 0);
	return when;
}

/* Returns the condition that a WHEN clause is, which must not read OLD. */
Expr *
WhenToCondition(const Node *when)
{
	Node	   *condition = copyObject(unconstify(Node *, when));

	ChangeVarNodes(condition, PRS2_NEW_VARNO, 1, 0);
	return (Expr *) condition;
}

/* Returns the condition, or a predicate, as SQL. */
char *
ConditionText(Oid relid, const Expr *condition)
{
	text	   *nodes = cstring_to_text(nodeToString(condition));

	return TextDatumGetCString(DirectFunctionCall2(pg_get_expr, PointerGetDatum(nodes),
												   ObjectIdGetDatum(relid)));
}

/* -- evaluation --------------------------------------------------------------- */

/* Does the row in the slot, one of the target's or in its shape, count? */
bool
SatisfiesCondition(Target *target, TupleTableSlot *slot)
{
	MemoryContext caller = CurrentMemoryContext;
	ExprContext *context;
	Datum		value;
	bool		isnull;

	if (target->condition.source == NULL)
		return true;
	context = CreateStandaloneExprContext();
	context->ecxt_scantuple = slot;
	MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
	value = ExecEvalExpr(ExecInitExpr(PlanExpression(&target->condition), NULL), context, &isnull);
	MemoryContextSwitchTo(caller);
	FreeExprContext(context, true);
	return !isnull && DatumGetBool(value);
}
