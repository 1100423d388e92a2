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
#include "keyhash.h"
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

static bool
HasShape(const Statement *statement, const StatementShape *shape)
{
	return statement->shape.kind == shape->kind &&
		bms_equal(statement->shape.null_columns, shape->null_columns) &&
		bms_equal(statement->shape.set_columns, shape->set_columns);
}

/*
 * Returns the kept plan for a statement, or NULL. PostgreSQL revises an
 * invalidated plan from its text, but the text may name things that were renamed.
 */
static Statement *
FetchStatement(StatementCache *cache, const StatementShape *shape)
{
	dlist_iter	iter;

	dlist_foreach(iter, &cache->statements)
	{
		Statement  *statement = dlist_container(Statement, node, iter.cur);

		if (!HasShape(statement, shape))
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
	copy->shape.kind = statement->shape.kind;
	copy->shape.null_columns = bms_copy(statement->shape.null_columns);
	copy->shape.set_columns = bms_copy(statement->shape.set_columns);
	copy->sql.text = pstrdup(statement->sql.text);
	copy->sql.relations = list_copy(statement->sql.relations);
	copy->sql.condition = copyObject(statement->sql.condition);
	MemoryContextSwitchTo(caller);
	return copy;
}

static Statement *
KeepStatement(StatementCache *cache, const Statement *new, const Arguments *arguments)
{
	MemoryContext caller = CurrentMemoryContext;
	Statement  *statement;
	SPIPlanPtr	prepared;

	ereport(DEBUG1, (errmsg_internal("product_upsert prepares: %s", new->sql.text)));
	/* The values make no difference to the plan, unless they tell which partitions matter. */
	prepared = PrepareChecked(&new->sql, arguments->n, arguments->types,
							  cache->target->partitioned ? 0 : CURSOR_OPT_GENERIC_PLAN);
	/* SPI comes back in a memory context of its own. */
	MemoryContextSwitchTo(caller);

	if (cache->nstatements >= MAX_STATEMENTS && IsOnlyUser(cache))
		RemoveStatement(cache, dlist_tail_element(Statement, node, &cache->statements));

	SPI_keepplan(prepared);
	statement = CopyStatement(new);
	statement->plan = prepared;
	dlist_push_head(&cache->statements, &statement->node);
	cache->nstatements++;
	return statement;
}

/* -- values ------------------------------------------------------------------- */

/* A statement in the making: its values come first, and tell by which numbers its text names them. */
typedef struct Draft
{
	Target	   *target;
	StatementShape shape;
	Arguments  *arguments;
	int			first_key;		/* the number of the key's first parameter; 0 if the key is not tested */
	int			first_set;		/* that of the first column to insert or set */
} Draft;

/* A place takes two parameters, the hash of the key one. */
static Draft
MakeDraft(Target *target, StatementKind kind)
{
	return (Draft)
	{
		.target = target,
		.shape.kind = kind,
		.arguments = MakeArguments(3 + target->nkey_columns + target->ncolumns),
	};
}

static void
AddColumnValue(Draft *draft, AttrNumber attnum, const Datum *values, const bool *isnull)
{
	AddArgument(draft->arguments, TupleDescAttr(draft->target->desc, attnum - 1)->atttypid,
				values[attnum - 1], isnull[attnum - 1]);
}

/* The key's values, but for NULLs, which are part of the statement. */
static void
AddKeyValues(Draft *draft, const Datum *values, const bool *isnull)
{
	const Target *target = draft->target;

	draft->first_key = draft->arguments->n + 1;
	for (int i = 0; i < target->nkey_columns; i++)
	{
		AttrNumber	attnum = target->keys[i].column->attnum;

		if (isnull[attnum - 1])
			draft->shape.null_columns = bms_add_member(draft->shape.null_columns, attnum);
		else
			AddColumnValue(draft, attnum, values, isnull);
	}
}

/*
 * $1 and $2, as WritePlace() has them. The key lets PostgreSQL leave out partitions, if it tells
 * anything of them.
 */
static void
AddPlace(Draft *draft, const TupleTableSlot *found)
{
	Assert(draft->arguments->n == 0);
	AddArgument(draft->arguments, TIDOID, PointerGetDatum(&found->tts_tid), false);
	AddArgument(draft->arguments, OIDOID, ObjectIdGetDatum(found->tts_tableOid), false);
	if (draft->target->partitioned)
		AddKeyValues(draft, found->tts_values, found->tts_isnull);
}

static void
AddSetValues(Draft *draft, const Row *row, const Bitmapset *columns)
{
	int			attnum = -1;

	draft->shape.set_columns = unconstify(Bitmapset *, columns);
	draft->first_set = draft->arguments->n + 1;
	while ((attnum = bms_next_member(columns, attnum)) >= 0)
		AddColumnValue(draft, attnum, row->values, row->isnull);
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
WriteInsert(StringInfo sql, const StatementCache *cache, const Draft *draft)
{
	const Bitmapset *columns = draft->shape.set_columns;
	const char *separator = "";
	int			attnum = -1;

	appendStringInfo(sql, "INSERT INTO %s AS %s (", cache->table, cache->alias);
	while ((attnum = bms_next_member(columns, attnum)) >= 0)
	{
		appendStringInfo(sql, "%s%s", separator, ColumnName(cache->target, attnum));
		separator = ", ";
	}
	appendStringInfoString(sql, ") VALUES (");
	for (int i = 0; i < bms_num_members(columns); i++)
		appendStringInfo(sql, "%s$%d", i > 0 ? ", " : "", draft->first_set + i);
	appendStringInfoChar(sql, ')');
	if (draft->shape.kind == STATEMENT_INSERT_OR_YIELD)
		appendStringInfo(sql, " ON CONFLICT (%s) DO NOTHING", KeyColumnList(cache->target));
	WriteReturning(sql, cache);
}

/* UPDATE table AS r SET price = $n, ... WHERE place RETURNING ... */
static void
WriteUpdate(StringInfo sql, const StatementCache *cache, const Draft *draft)
{
	const char *separator = "";
	int			parameter = draft->first_set;
	int			attnum = -1;

	appendStringInfo(sql, "UPDATE %s AS %s SET ", cache->table, cache->alias);
	while ((attnum = bms_next_member(draft->shape.set_columns, attnum)) >= 0)
	{
		appendStringInfo(sql, "%s%s = $%d", separator, ColumnName(cache->target, attnum), parameter++);
		separator = ", ";
	}
	WritePlace(sql, cache);
	WriteReturning(sql, cache);
}

static char *
WriteStatement(const StatementCache *cache, const Draft *draft)
{
	StringInfoData sql;

	initStringInfo(&sql);
	switch (draft->shape.kind)
	{
		case STATEMENT_FIND:
			WriteFind(&sql, cache);
			break;
		case STATEMENT_SEE:
		case STATEMENT_SEE_TO_UPDATE:
			WriteSee(&sql, cache, draft->shape.kind == STATEMENT_SEE_TO_UPDATE);
			break;
		case STATEMENT_INSERT:
		case STATEMENT_INSERT_OR_YIELD:
			WriteInsert(&sql, cache, draft);
			break;
		case STATEMENT_UPDATE:
			WriteUpdate(&sql, cache, draft);
			break;
	}
	return sql.data;
}

/* What the text does not say. */
static Expr *
StatementCondition(const Draft *draft)
{
	if (draft->shape.kind == STATEMENT_INSERT_OR_YIELD)
		return draft->target->condition.source;
	if (draft->first_key == 0)
		return NULL;
	if (draft->shape.kind == STATEMENT_FIND)
		return LookupCondition(draft->target, draft->shape.null_columns, draft->first_key);
	return KeyCondition(draft->target, draft->shape.null_columns, draft->first_key);
}

/* -- both --------------------------------------------------------------------- */

/* Returns the statement for the values, prepared. The caller is connected to SPI. */
static BoundStatement
Bind(const Draft *draft)
{
	StatementCache *cache = draft->target->statements;
	Statement  *statement = FetchStatement(cache, &draft->shape);

	if (statement == NULL)
	{
		Statement	new = {.shape = draft->shape};

		new.sql.text = WriteStatement(cache, draft);
		new.sql.relations = list_make1_oid(draft->target->relid);
		new.sql.condition = StatementCondition(draft);
		statement = KeepStatement(cache, &new, draft->arguments);
	}
	return (BoundStatement) {.statement = statement, .arguments = draft->arguments};
}

/* The statement that finds rows with row's key. */
BoundStatement
BindFind(Target *target, const Row *row)
{
	Draft		draft = MakeDraft(target, STATEMENT_FIND);

	AddKeyValues(&draft, row->values, row->isnull);
	if (IsKeyIndexOnHash(target))
		AddArgument(draft.arguments, INT8OID, Int64GetDatum((int64) HashKey(target, row)), false);
	return Bind(&draft);
}

/* The statement that returns a row if the one that was found is there for who executes it. */
BoundStatement
BindSee(Target *target, const TupleTableSlot *found, bool to_update)
{
	Draft		draft = MakeDraft(target, to_update ? STATEMENT_SEE_TO_UPDATE : STATEMENT_SEE);

	AddPlace(&draft, found);
	return Bind(&draft);
}

/* The statement that inserts the given values of row; with or_yield, only if no unique index has its key. */
BoundStatement
BindInsert(Target *target, const Row *row, bool or_yield)
{
	Draft		draft = MakeDraft(target, or_yield ? STATEMENT_INSERT_OR_YIELD : STATEMENT_INSERT);

	AddSetValues(&draft, row, row->given);
	return Bind(&draft);
}

/* The statement that sets columns of the row that was found to row's values. */
BoundStatement
BindUpdate(Target *target, const Row *row, const Bitmapset *columns, const TupleTableSlot *found)
{
	Draft		draft = MakeDraft(target, STATEMENT_UPDATE);

	AddPlace(&draft, found);
	AddSetValues(&draft, row, columns);
	return Bind(&draft);
}
