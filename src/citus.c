/*
 * citus.c
 *		Upserting into the shard of a table that Citus distributes, on the node that holds it.
 *
 * A shard that moves to another node is copied, and stays behind for a while as a table that nobody
 * reads. What is written to it then is lost without an error. So a writer takes the lock on the shard
 * that Citus's own writers take, and that a move needs for itself; Citus alone knows which that is,
 * and its function takes it. A move that was committed while we waited shows in the catalogs under
 * the lock. They are looked at before it, too: who is at the wrong node must not hold the lock while
 * he is told so.
 *
 * A shard has neither the identity columns of its table nor the defaults that come from sequences.
 * So the defaults are those of the table. Errors name the table, as no user knows of shards.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "rewrite/rewriteHandler.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "access.h"
#include "call.h"
#include "citus.h"
#include "engine.h"
#include "owner.h"
#include "table.h"

typedef struct CitusShard
{
	Shard		hooks;			/* what call.c and upsert.c know of it */
	Relation	table;			/* the distributed one */
	int64		id;
	char	   *name;			/* of the shard's table */
	AttrNumber	column;			/* of the distributed table, by which it is distributed */
	FmgrInfo	find;			/* Citus's function that finds a value's shard */
	EState	   *estate;			/* for the defaults; NULL until a row is created */
	ExprState **defaults;		/* by the shard's attnum - 1; NULL where there is none */
} CitusShard;

/* -- what Citus says ---------------------------------------------------------- */

static void
RejectTable(Relation rel, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot upsert into a shard of table \"%s\"", RelationGetRelationName(rel)),
			 errdetail("%s", why),
			 errtable(rel)));
}

/* Raises 40001: whoever tries again finds the shard where it is by then. */
static void
RejectPlacement(const CitusShard *shard)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("the shard of table \"%s\" is not on this node", RelationGetRelationName(shard->table)),
			 errhint("Try again on the node that has it by now."),
			 errtable(shard->table)));
}

/* Returns a function of Citus: in pg_catalog nobody else can have made it, and the extension owns it. */
static Oid
FindFunction(Relation rel, const char *name, Oid argument1, Oid argument2)
{
	const bool	missing_ok = true;
	const Oid	arguments[] = {argument1, argument2};
	oidvector  *types = buildoidvector(arguments, lengthof(arguments));
	Oid			extension = get_extension_oid("citus", missing_ok);
	Oid			function;

	if (!OidIsValid(extension))
		RejectTable(rel, "Citus is not installed in this database.");
	function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
							   PointerGetDatum(types), ObjectIdGetDatum(PG_CATALOG_NAMESPACE));
	if (!OidIsValid(function) || getExtensionOfObject(ProcedureRelationId, function) != extension)
		RejectTable(rel, psprintf("This version of Citus has no function %s().", name));
	return function;
}

/* Gets ready to call Citus's function that finds a value's shard: it asks for the type of its argument. */
static void
PrepareFind(CitusShard *shard, Oid value_type)
{
	Const	   *table = makeNullConst(REGCLASSOID, -1, InvalidOid);
	Const	   *value = makeNullConst(value_type, -1, get_typcollation(value_type));

	fmgr_info(FindFunction(shard->table, "get_shard_id_for_distribution_column", REGCLASSOID, ANYOID),
			  &shard->find);
	fmgr_info_set_expr((Node *) makeFuncExpr(shard->find.fn_oid, INT8OID, list_make2(table, value),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL), &shard->find);
}

static int64
FindShard(CitusShard *shard, Datum value)
{
	Datum		table = ObjectIdGetDatum(RelationGetRelid(shard->table));

	return DatumGetInt64(FunctionCall2(&shard->find, table, value));
}

/* Returns the group of nodes that this one is in. */
static int32
LocalGroup(void)
{
	Relation	catalog = OpenCitusCatalog("pg_dist_local_group");
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple = systable_getnext(scan);
	int32		group = -1;

	if (HeapTupleIsValid(tuple))
		group = DatumGetInt32(CitusValue(catalog, tuple, "groupid", INT4OID));
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return group;
}

/* Returns how many placements the shard has by what is committed by now, and the group of one of them. */
static int
CountPlacements(int64 shard_id, int32 *group)
{
	Relation	catalog = OpenCitusCatalog("pg_dist_placement");
	Oid			index = get_relname_relid("pg_dist_placement_shardid_index", PG_CATALOG_NAMESPACE);
	int			count = 0;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, get_attnum(RelationGetRelid(catalog), "shardid"), BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(shard_id));
	scan = systable_beginscan(catalog, index, OidIsValid(index), NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		*group = DatumGetInt32(CitusValue(catalog, tuple, "groupid", INT4OID));
		count++;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return count;
}

/*
 * Raises an error unless the shard is here, and only here: another placement would not get what is written to
 * this one. A shard that was split has none.
 */
static void
RequirePlacement(const CitusShard *shard)
{
	int32		group = -1;
	int			count = CountPlacements(shard->id, &group);

	if (count > 1)
		RejectTable(shard->table, psprintf("Its shards have %d placements each; only one is supported.", count));
	if (count == 0 || group != LocalGroup())
		RejectPlacement(shard);
}

/*
 * Takes the lock on the shard, until the transaction ends. Citus lets only the table's owner do that,
 * and asks nobody else's rights; what the caller may do to the table was checked before.
 */
static void
LockShard(CitusShard *shard)
{
	Oid			function = FindFunction(shard->table, "lock_shard_metadata", INT4OID, INT8ARRAYOID);
	Datum		id = Int64GetDatum(shard->id);
	ArrayType  *ids = construct_array(&id, 1, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	Caller		caller = BecomeOwner(shard->table->rd_rel->relowner, 0);
	ResourceOwner owner = BecomeTransaction();

	OidFunctionCall2(function, Int32GetDatum(ShareLock), PointerGetDatum(ids));
	CurrentResourceOwner = owner;
	BecomeCaller(&caller);
}

/* Returns the shard's table. */
static Oid
FindShardTable(CitusShard *shard)
{
	Oid			relid;

	shard->name = psprintf("%s_" INT64_FORMAT, RelationGetRelationName(shard->table), shard->id);
	if (strlen(shard->name) >= NAMEDATALEN)
		RejectTable(shard->table, "Its name is so long that those of its shards are cut off.");
	relid = get_relname_relid(shard->name, RelationGetNamespace(shard->table));
	if (!OidIsValid(relid))
		RejectPlacement(shard);
	return relid;
}

/* -- what a shard does not know of itself ------------------------------------- */

/* Returns the distributed table's numbers of the shard's columns. */
static Bitmapset *
TableColumns(const CitusShard *shard, const Target *target, const Bitmapset *columns)
{
	Bitmapset  *mapped = NULL;
	int			attnum = -1;

	while ((attnum = bms_next_member(columns, attnum)) >= 0)
	{
		const char *name = NameStr(TupleDescAttr(target->desc, attnum - 1)->attname);

		mapped = bms_add_member(mapped, get_attnum(RelationGetRelid(shard->table), name));
	}
	return mapped;
}

/* Hook: raises 42501 unless the caller may do to the table what he is about to do to its shard. */
static void
CheckMayUpsertTable(Shard *hooks, const Target *target, const Bitmapset *given, const Row *on_create)
{
	const CitusShard *shard = (CitusShard *) hooks;
	TupleDesc	desc = RelationGetDescr(shard->table);
	Row			created = {0};
	const Target table = {
		.relid = RelationGetRelid(shard->table),
		.key_columns = TableColumns(shard, target, target->key_columns),
		.read_only_columns = TableColumns(shard, target, target->read_only_columns),
	};
	int			attnum = -1;

	given = TableColumns(shard, target, given);
	if (on_create)
		created.given = TableColumns(shard, target, on_create->given);
	CheckMayUpsert(&table, given, on_create ? &created : NULL);

	given = bms_union(given, created.given);
	while ((attnum = bms_next_member(given, attnum)) >= 0)
	{
		if (TupleDescAttr(desc, attnum - 1)->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
			ereport(ERROR,
					(errcode(ERRCODE_GENERATED_ALWAYS),
					 errmsg("a payload for a shard must not have column \"%s\"",
							NameStr(TupleDescAttr(desc, attnum - 1)->attname)),
					 errdetail("It is an identity column defined as GENERATED ALWAYS."),
					 errtablecol(shard->table, attnum)));
	}
}

/*
 * Hook: raises 22023 unless the row belongs into the shard, and 0A000 if a row with its key could be in
 * another. The row is the shard's, so are its columns.
 */
static void
CheckRow(Shard *hooks, const Target *target, const Row *row)
{
	CitusShard *shard = (CitusShard *) hooks;
	const char *name = NameStr(TupleDescAttr(RelationGetDescr(shard->table), shard->column - 1)->attname);
	const Column *column = FindColumn(target, name, strlen(name));

	if (column == NULL || !bms_is_member(column->attnum, target->key_columns))
		RejectTable(shard->table, psprintf("Column \"%s\", by which it is distributed, is not in its key.",
										   name));
	if (row->isnull[column->attnum - 1] || FindShard(shard, row->values[column->attnum - 1]) != shard->id)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("field \"%s\" is not in the shard of distribution_value", column->name),
				 errtablecol(shard->table, shard->column)));
}

/* Builds the table's defaults, which last as long as the call. */
static void
PrepareDefaults(CitusShard *shard, const Target *target)
{
	shard->estate = CreateExecutorState();
	shard->defaults = palloc0(target->desc->natts * sizeof(ExprState *));
	for (int i = 0; i < target->ncolumns; i++)
	{
		const Column *column = &target->columns[i];
		AttrNumber	attnum = get_attnum(RelationGetRelid(shard->table), column->name);
		Node	   *source = NULL;

		if (attnum != InvalidAttrNumber &&
			TupleDescAttr(target->desc, column->attnum - 1)->attgenerated == '\0')
			source = build_column_default(shard->table, attnum);
		if (source)
			shard->defaults[column->attnum - 1] = ExecPrepareExpr((Expr *) source, shard->estate);
	}
}

/* Hook: gives a row that is about to be created the table's defaults, for the columns that it lacks. */
static void
CompleteRow(Shard *hooks, const Target *target, Row *created)
{
	CitusShard *shard = (CitusShard *) hooks;
	MemoryContext caller = CurrentMemoryContext;

	if (shard->estate == NULL)
	{
		MemoryContextSwitchTo(hooks->context);
		PrepareDefaults(shard, target);
		MemoryContextSwitchTo(caller);
	}
	ResetPerTupleExprContext(shard->estate);
	for (int i = 0; i < target->desc->natts; i++)
	{
		if (shard->defaults[i] == NULL || bms_is_member(i + 1, created->given))
			continue;
		created->values[i] = ExecEvalExprSwitchContext(shard->defaults[i],
													   GetPerTupleExprContext(shard->estate),
													   &created->isnull[i]);
		created->given = bms_add_member(created->given, i + 1);
	}
}

/* -- errors ------------------------------------------------------------------- */

/* Replaces one quoted name by another in a string, which may be NULL. */
static char *
ReplaceName(char *string, const char *name, const char *by)
{
	if (string == NULL)
		return NULL;
	return TextDatumGetCString(DirectFunctionCall3Coll(replace_text, DEFAULT_COLLATION_OID,
													   CStringGetTextDatum(string),
													   CStringGetTextDatum(psprintf("\"%s\"", name)),
													   CStringGetTextDatum(psprintf("\"%s\"", by))));
}

/* Replaces the name of an object of the shard, wherever the error's own words quote it. */
static void
ReplaceInError(ErrorData *error, const char *name, const char *by)
{
	error->message = ReplaceName(error->message, name, by);
	error->detail = ReplaceName(error->detail, name, by);
	error->hint = ReplaceName(error->hint, name, by);
}

/* Hook: lets the error be one of the table, and its constraint that of which the shard's extends the name. */
static void
NameTable(Shard *hooks, ErrorData *error)
{
	const CitusShard *shard = (CitusShard *) hooks;
	const char *table = RelationGetRelationName(shard->table);
	const char *suffix = shard->name + strlen(table);

	if (error->table_name && strcmp(error->table_name, shard->name) == 0)
		error->table_name = pstrdup(table);
	ReplaceInError(error, shard->name, table);
	if (error->constraint_name && strlen(error->constraint_name) > strlen(suffix) &&
		strcmp(error->constraint_name + strlen(error->constraint_name) - strlen(suffix), suffix) == 0)
	{
		char	   *constraint = pnstrdup(error->constraint_name,
										  strlen(error->constraint_name) - strlen(suffix));

		ReplaceInError(error, error->constraint_name, constraint);
		error->constraint_name = constraint;
	}
}

/* UpsertPayload(), with errors that name the table. */
static Jsonb *
UpsertNamingTable(CitusShard *shard, Oid relid, Jsonb *payload, const GivenOptions *given)
{
	MemoryContext caller = CurrentMemoryContext;
	Jsonb	   *volatile result = NULL;

	PG_TRY();
	{
		result = UpsertPayload(relid, payload, given);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		NameTable(&shard->hooks, error);
		ReThrowError(error);
	}
	PG_END_TRY();
	return result;
}

/* -- the call ----------------------------------------------------------------- */

/*
 * Upserts the payload into the shard of the distributed table that has the distribution value. See
 * UpsertPayload(). Raises 40001 if the shard is on another node.
 */
Jsonb *
UpsertShard(Oid relid, Datum value, Oid value_type, Jsonb *payload, const GivenOptions *given)
{
	CitusShard	shard = {
		.hooks = {
			.context = CurrentMemoryContext,
			.check_caller = CheckMayUpsertTable,
			.check_row = CheckRow,
			.complete_row = CompleteRow,
			.name_table = NameTable,
		},
	};
	GivenOptions options = *given;
	Oid			root;
	Jsonb	   *result;

	shard.table = OpenTable(relid, false, "product_upsert_shard()", &root);
	shard.column = DistributionColumn(shard.table);
	if (shard.column == InvalidAttrNumber)
		RejectTable(shard.table, "Citus does not distribute it by hash.");
	PrepareFind(&shard, value_type);
	shard.id = FindShard(&shard, value);
	RequirePlacement(&shard);
	LockShard(&shard);
	/* Under the lock no move, split or drop of the shard commits. One that did while we waited shows here. */
	RequirePlacement(&shard);

	/* From here on it is the payload's values that are looked for, and they have the column's type. */
	PrepareFind(&shard, TupleDescAttr(RelationGetDescr(shard.table), shard.column - 1)->atttypid);
	options.shard = &shard.hooks;
	result = UpsertNamingTable(&shard, FindShardTable(&shard), payload, &options);
	if (shard.estate)
		FreeExecutorState(shard.estate);
	table_close(shard.table, NoLock);
	return result;
}
