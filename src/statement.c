/*
 * statement.c
 *		The SQL statements by which the SPI store reads and writes one table:
 *		their text, and their prepared plans.
 *
 * A statement is prepared once per shape and kept with the target, whose context
 * frees it. Names in it are schema-qualified and quoted, values are parameters, and
 * what is asked of the key is an expression: search_path has no say.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "checkedsql.h"
#include "keycondition.h"
#include "keyindex.h"
#include "statement.h"
#include "target.h"

/* Statements kept per table; the least recently used makes room. */
#define MAX_STATEMENTS	64

/* The statements of one target, in its memory context. */
typedef struct StatementCache
{
	Target	   *target;
	const char *table;			/* qualified and quoted */
	const char *alias;			/* a name that no column has */
	dlist_head	statements;		/* most recently used first */
	int			nstatements;
	dlist_head	retired;		/* no longer valid, but perhaps being executed */
} StatementCache;

/* -- plans -------------------------------------------------------------------- */

static void
FreeStatement(Statement *statement)
{
	SPI_freeplan(statement->plan);
	MemoryContextDelete(statement->context);
}

static void
FreeAll(dlist_head *statements)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, statements)
	{
		dlist_delete(iter.cur);
		FreeStatement(dlist_container(Statement, node, iter.cur));
	}
}

/* Memory context callback: the target goes away, and its plans with it. */
static void
FreeStatementCache(void *arg)
{
	StatementCache *cache = arg;

	FreeAll(&cache->statements);
	FreeAll(&cache->retired);
}

/* Returns a name for the table in statements that cannot be taken for a column's. */
static const char *
ChooseAlias(const Target *target)
{
	char	   *alias = pstrdup("r");

	while (FindColumn(target, alias, strlen(alias)) != NULL)
		alias = psprintf("%s_", alias);
	return alias;
}

static void
MakeStatementCache(Target *target, Relation rel)
{
	MemoryContext caller = MemoryContextSwitchTo(target->context);
	StatementCache *cache = palloc0(sizeof(StatementCache));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	cache->target = target;
	cache->table = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
											  target->name);
	cache->alias = ChooseAlias(target);
	dlist_init(&cache->statements);
	dlist_init(&cache->retired);
	callback->func = FreeStatementCache;
	callback->arg = cache;
	MemoryContextRegisterResetCallback(target->context, callback);
	target->statements = cache;
	MemoryContextSwitchTo(caller);
}

/* Nobody but the current call uses the target, so no plan of it is being executed. */
static bool
IsOnlyUser(const StatementCache *cache)
{
	return cache->target->users == 1;
}

static void
RemoveStatement(StatementCache *cache, Statement *statement)
{
	dlist_delete(&statement->node);
	cache->nstatements--;
	if (IsOnlyUser(cache))
		FreeStatement(statement);
	else
		dlist_push_head(&cache->retired, &statement->node);
}

/*
 * Returns the kept plan for a statement, or NULL. PostgreSQL revises an
 * invalidated plan from its text, but the text may name things that were renamed.
 */
static Statement *
FetchStatement(StatementCache *cache, StatementKind kind, const Bitmapset *columns)
{
	dlist_iter	iter;

	dlist_foreach(iter, &cache->statements)
	{
		Statement  *statement = dlist_container(Statement, node, iter.cur);

		if (statement->kind != kind || !bms_equal(statement->columns, columns))
			continue;
		if (!SPI_plan_is_valid(statement->plan))
		{
			RemoveStatement(cache, statement);
			return NULL;
		}
		dlist_move_head(&cache->statements, &statement->node);
		return statement;
	}
	return NULL;
}

/* Makes the target ready for GetStatement(); called once a call. */
void
OpenStatements(Target *target, Relation rel)
{
	if (target->statements == NULL)
		MakeStatementCache(target, rel);
	else if (IsOnlyUser(target->statements))
		FreeAll(&target->statements->retired);
}

/* Returns a copy of the statement in a memory context of its own, for as long as it is kept. */
static Statement *
CopyStatement(const Statement *statement)
{
	MemoryContext context = AllocSetContextCreate(CacheMemoryContext, "product_upsert statement",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Statement  *copy = palloc0(sizeof(Statement));

	copy->context = context;
	copy->kind = statement->kind;
	copy->columns = bms_copy(statement->columns);
	copy->sql.text = pstrdup(statement->sql.text);
	copy->sql.relations = list_copy(statement->sql.relations);
	copy->sql.condition = copyObject(statement->sql.condition);
	MemoryContextSwitchTo(caller);
	return copy;
}

static Statement *
KeepStatement(StatementCache *cache, const Statement *new, int nparameters, Oid *parameter_types)
{
	Statement  *statement;
	SPIPlanPtr	prepared;

	ereport(DEBUG1, (errmsg_internal("product_upsert prepares: %s", new->sql.text)));
	/* The values make no difference to the plan, unless they tell which partitions matter. */
	prepared = PrepareChecked(&new->sql, nparameters, parameter_types,
							  cache->target->partitioned ? 0 : CURSOR_OPT_GENERIC_PLAN);

	if (cache->nstatements >= MAX_STATEMENTS && IsOnlyUser(cache))
		RemoveStatement(cache, dlist_tail_element(Statement, node, &cache->statements));

	SPI_keepplan(prepared);
	statement = CopyStatement(new);
	statement->plan = prepared;
	dlist_push_head(&cache->statements, &statement->node);
	cache->nstatements++;
	return statement;
}

/* -- text --------------------------------------------------------------------- */

static const char *
ColumnName(const Target *target, AttrNumber attnum)
{
	return quote_identifier(NameStr(TupleDescAttr(target->desc, attnum - 1)->attname));
}

/* SELECT r.tableoid, r.ctid, r FROM table r */
static void
WriteFind(StringInfo sql, const StatementCache *cache)
{
	appendStringInfo(sql, "SELECT %s.tableoid, %s.ctid, %s FROM %s %s",
					 cache->alias, cache->alias, cache->alias, cache->table, cache->alias);
}

/* ... WHERE r.ctid = $1 AND r.tableoid = $2 */
static void
WritePlace(StringInfo sql, const StatementCache *cache)
{
	appendStringInfo(sql, " WHERE %s.ctid OPERATOR(pg_catalog.=) $1"
					 " AND %s.tableoid OPERATOR(pg_catalog.=) $2",
					 cache->alias, cache->alias);
}

/* SELECT FROM table r WHERE place [FOR NO KEY UPDATE] */
static void
WriteSee(StringInfo sql, const StatementCache *cache, bool to_update)
{
	appendStringInfo(sql, "SELECT FROM %s %s", cache->table, cache->alias);
	WritePlace(sql, cache);
	if (to_update)
		appendStringInfoString(sql, " FOR NO KEY UPDATE");
}

static void
WriteReturning(StringInfo sql, const StatementCache *cache)
{
	appendStringInfo(sql, " RETURNING %s.tableoid, %s.ctid, %s",
					 cache->alias, cache->alias, cache->alias);
}

/* INSERT INTO table AS r (brand, ...) VALUES ($1, ...) [ON CONFLICT (key) DO NOTHING] RETURNING ... */
static void
WriteInsert(StringInfo sql, const StatementCache *cache, const Bitmapset *columns, bool or_yield)
{
	int			attnum = -1;
	int			parameter = 0;

	appendStringInfo(sql, "INSERT INTO %s AS %s (", cache->table, cache->alias);
	while ((attnum = bms_next_member(columns, attnum)) >= 0)
		appendStringInfo(sql, "%s%s", parameter++ > 0 ? ", " : "",
						 ColumnName(cache->target, attnum));
	appendStringInfoString(sql, ") VALUES (");
	for (int i = 1; i <= parameter; i++)
		appendStringInfo(sql, "%s$%d", i > 1 ? ", " : "", i);
	appendStringInfoChar(sql, ')');
	if (or_yield)
		appendStringInfo(sql, " ON CONFLICT (%s) DO NOTHING", KeyColumnList(cache->target));
	WriteReturning(sql, cache);
}

/* UPDATE table AS r SET price = $n, ... WHERE place RETURNING ...; the place's parameters come first */
static void
WriteUpdate(StringInfo sql, const StatementCache *cache, const Bitmapset *columns, int parameter)
{
	Bitmapset  *set = bms_difference(columns, cache->target->key_columns);
	const char *separator = "";
	int			attnum = -1;

	parameter -= bms_num_members(set);
	appendStringInfo(sql, "UPDATE %s AS %s SET ", cache->table, cache->alias);
	while ((attnum = bms_next_member(set, attnum)) >= 0)
	{
		appendStringInfo(sql, "%s%s = $%d", separator, ColumnName(cache->target, attnum),
						 ++parameter);
		separator = ", ";
	}
	WritePlace(sql, cache);
	WriteReturning(sql, cache);
}

static char *
WriteStatement(const StatementCache *cache, StatementKind kind, const Bitmapset *columns,
			   int nparameters)
{
	StringInfoData sql;

	initStringInfo(&sql);
	switch (kind)
	{
		case STATEMENT_FIND:
			WriteFind(&sql, cache);
			break;
		case STATEMENT_SEE:
		case STATEMENT_SEE_TO_UPDATE:
			WriteSee(&sql, cache, kind == STATEMENT_SEE_TO_UPDATE);
			break;
		case STATEMENT_INSERT:
		case STATEMENT_INSERT_OR_YIELD:
			WriteInsert(&sql, cache, columns, kind == STATEMENT_INSERT_OR_YIELD);
			break;
		case STATEMENT_UPDATE:
			WriteUpdate(&sql, cache, columns, nparameters);
			break;
	}
	return sql.data;
}

/*
 * What the text does not say. A place is one row: the key lets PostgreSQL leave out partitions,
 * if it says anything about them.
 */
static Expr *
StatementCondition(const Target *target, StatementKind kind, const Bitmapset *columns)
{
	const Bitmapset *null_columns = bms_intersect(columns, target->key_columns);

	switch (kind)
	{
		case STATEMENT_FIND:
			return KeyAndHashCondition(target, null_columns, 1);
		case STATEMENT_SEE:
		case STATEMENT_SEE_TO_UPDATE:
		case STATEMENT_UPDATE:
			return target->partitioned ? KeyCondition(target, null_columns, 3) : NULL;
		case STATEMENT_INSERT:
		case STATEMENT_INSERT_OR_YIELD:
			break;
	}
	return NULL;
}

/*
 * Returns the statement of this kind for these columns, prepared, with parameters
 * of these types. The caller is connected to SPI.
 */
Statement *
GetStatement(Target *target, StatementKind kind, const Bitmapset *columns,
			 int nparameters, Oid *parameter_types)
{
	StatementCache *cache = target->statements;
	Statement  *statement = FetchStatement(cache, kind, columns);
	Statement	new = {.kind = kind};

	if (statement)
		return statement;
	new.columns = unconstify(Bitmapset *, columns);
	new.sql.text = WriteStatement(cache, kind, columns, nparameters);
	new.sql.relations = list_make1_oid(target->relid);
	new.sql.condition = StatementCondition(target, kind, columns);
	return KeepStatement(cache, &new, nparameters, parameter_types);
}
