/*
 * checkedsql.c
 *		SQL text that can mean nothing but what its writer meant.
 *
 * PostgreSQL parses a prepared statement anew when something that it depends on has
 * changed, perhaps after a wait for a lock in the midst of its execution. By then, its
 * names may be those of other objects: the lock on a table keeps its own name, but
 * nothing keeps that of its schema. A view that has come into the table's place would be
 * run, with the rights of whoever runs the statement, before anybody could look at what
 * was run. So each time a statement of ours was parsed, and before it is planned, a hook
 * compares what it is about with what its writer meant.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"

#include "checkedsql.h"
#include "compat.h"

/* A statement that is being prepared or executed. */
typedef struct CurrentSql
{
	const CheckedSql *sql;		/* NULL if there is none */
	const char *source;			/* its text, where the parser gets it from */
	bool		checked;
} CurrentSql;

/* The innermost, if there are several. */
static CurrentSql current;

static post_parse_analyze_hook_type next_post_parse_analyze = NULL;

/* Finds a relation that is not among those of the list, context. */
static bool
NamesAnotherRelation(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *entry = (RangeTblEntry *) node;

		return entry->rtekind == RTE_RELATION && !list_member_oid((List *) context, entry->relid);
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, NamesAnotherRelation, context,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, NamesAnotherRelation, context);
}

/* Returns the query that is about a relation itself, not only about what a subquery in FROM makes of it. */
static Query *
InnermostQuery(Query *query)
{
	const RangeTblEntry *first = linitial(query->rtable);

	while (first->rtekind == RTE_SUBQUERY)
	{
		query = first->subquery;
		first = linitial(query->rtable);
	}
	return query;
}

/* Adds the condition as if the text had it: so who runs the statement must be allowed to read its columns. */
static void
AddCondition(Query *query, const Expr *condition)
{
	Node	   *added = copyObject((Node *) condition);
	Bitmapset  *columns = NULL;

	pull_varattnos(added, 1, &columns);
	NameReadColumns(query, linitial(query->rtable), columns);
	if (query->onConflict)
		query->onConflict->arbiterWhere = added;
	else
		query->jointree->quals = make_and_qual(query->jointree->quals, added);
}

/* Hook: called when any statement was parsed. */
static void
CheckStatement(ParseState *pstate, Query *query, JumbleState *jumble)
{
	if (next_post_parse_analyze)
		next_post_parse_analyze(pstate, query, jumble);
	/* What a trigger runs meanwhile is not ours, even if it reads the same. */
	if (current.sql == NULL || pstate->p_sourcetext != current.source)
		return;

	if (NamesAnotherRelation((Node *) query, current.sql->relations))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("another relation has taken the name of table \"%s\" during the call",
						get_rel_name(linitial_oid(current.sql->relations)))));
	if (current.sql->condition)
		AddCondition(InnermostQuery(query), current.sql->condition);
	current.checked = true;
}

/* Called once, when the library is loaded. */
void
InitCheckedSql(void)
{
	next_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = CheckStatement;
}

static void
RejectUnchecked(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("statements of product_upsert cannot be checked"),
			 errdetail("A library has taken post_parse_analyze_hook, and does not call who had it before."),
			 errhint("Load product_upsert after that library, or do without it.")));
}

/*
 * Prepares a statement. Raises 55000 if it names other relations than it should, also if
 * that comes out only when it is executed. The caller is connected to SPI, and keeps the
 * statement as long as its plan.
 */
SPIPlanPtr
PrepareChecked(const CheckedSql *sql, int nparameters, Oid *parameter_types, int cursor_options)
{
	const CurrentSql outer = current;
	SPIPlanPtr	plan;
	bool		checked;

	PG_TRY();
	{
		current = (CurrentSql) {.sql = sql, .source = sql->text};
		plan = SPI_prepare_cursor(sql->text, nparameters, parameter_types, cursor_options);
		checked = current.checked;
	}
	PG_FINALLY();
	{
		current = outer;
	}
	PG_END_TRY();
	if (plan == NULL)
		elog(ERROR, "SPI_prepare_cursor returned %s for %s", SPI_result_code_string(SPI_result), sql->text);
	if (!checked)
		RejectUnchecked();
	return plan;
}

/* Where its text is parsed anew from, if need be: a copy in the plan. */
static CurrentSql
PreparedText(const CheckedSql *sql, SPIPlanPtr plan)
{
	const CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));

	return (CurrentSql) {.sql = sql, .source = source->query_string};
}

/*
 * Executes it, with triggers, as a command that sees what this transaction has written; without
 * a snapshot, with a new one. Leaves its rows in SPI_tuptable, at most max_rows of them (0: all).
 */
void
ExecuteChecked(const CheckedSql *sql, SPIPlanPtr plan, Datum *values, const char *nulls,
			   Snapshot snapshot, uint64 max_rows)
{
	const bool	read_only = false;
	const bool	fire_triggers = true;
	const CurrentSql outer = current;
	int			result;

	PG_TRY();
	{
		current = PreparedText(sql, plan);
		result = SPI_execute_snapshot(plan, values, nulls, snapshot, InvalidSnapshot,
									  read_only, fire_triggers, max_rows);
	}
	PG_FINALLY();
	{
		current = outer;
	}
	PG_END_TRY();
	if (result < 0)
		elog(ERROR, "SPI_execute_snapshot returned %s", SPI_result_code_string(result));
}

/* Executes one without parameters, and hands its rows to the receiver. */
void
ExecuteCheckedInto(const CheckedSql *sql, SPIPlanPtr plan, DestReceiver *receiver)
{
	SPIExecuteOptions options = {.dest = receiver};
	const CurrentSql outer = current;
	int			result;

	PG_TRY();
	{
		current = PreparedText(sql, plan);
		result = SPI_execute_plan_extended(plan, &options);
	}
	PG_FINALLY();
	{
		current = outer;
	}
	PG_END_TRY();
	if (result < 0)
		elog(ERROR, "SPI_execute_plan_extended returned %s", SPI_result_code_string(result));
}
