/*
 * target.c
 *		What one table is, for the purposes of an upsert: its columns and its key.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "column.h"
#include "compat.h"
#include "condition.h"
#include "declaration.h"
#include "engine.h"
#include "keyindex.h"
#include "table.h"
#include "target.h"

/* The key of a table that declares none. */
static const char *const default_key[] = {"brand", "serial", "manufacturer"};

/* jsonb keeps the keys of an object by length, then by bytes. */
int
CompareNames(const char *name1, int length1, const char *name2, int length2)
{
	if (length1 != length2)
		return length1 < length2 ? -1 : 1;
	return memcmp(name1, name2, length1);
}

static int
CompareColumns(const void *a, const void *b)
{
	const Column *column1 = a;
	const Column *column2 = b;

	return CompareNames(column1->name, column1->name_length,
						column2->name, column2->name_length);
}

static int
CompareAttnums(const void *a, const void *b)
{
	const Column *column1 = *(Column *const *) a;
	const Column *column2 = *(Column *const *) b;

	return column1->attnum - column2->attnum;
}

typedef struct ColumnName
{
	const char *string;
	int			length;
} ColumnName;

static int
CompareNameToColumn(const void *a, const void *b)
{
	const ColumnName *name = a;
	const Column *column = b;

	return CompareNames(name->string, name->length, column->name, column->name_length);
}

/* Returns the column of that name, or NULL. */
Column *
FindColumn(const Target *target, const char *name, int length)
{
	const ColumnName key = {.string = name, .length = length};

	return bsearch(&key, target->columns, target->ncolumns, sizeof(Column), CompareNameToColumn);
}

/* Returns the key as the text "brand, serial, manufacturer", quoted for SQL. */
char *
KeyColumnList(const Target *target)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < target->nkey_columns; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(target->keys[i].column->name));
	return list.data;
}

/* Returns the key as an array of type name[]. */
ArrayType *
KeyColumnArray(const Target *target)
{
	Datum	   *names = palloc(target->nkey_columns * sizeof(Datum));

	for (int i = 0; i < target->nkey_columns; i++)
		names[i] = DirectFunctionCall1(namein, CStringGetDatum(target->keys[i].column->name));
	return construct_array(names, target->nkey_columns, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR);
}

/* Returns the call that gives the table's key the predicate of a partial index for a condition, as SQL. */
char *
ProtectCall(const Target *target, Oid index)
{
	Relation	rel = index_open(index, AccessShareLock);
	char	   *table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(target->relid)),
												   target->name);
	char	   *key = OidOutputFunctionCall(F_ARRAY_OUT, PointerGetDatum(KeyColumnArray(target)));
	char	   *condition = ConditionText(rel->rd_index->indrelid, IndexPredicate(rel));

	index_close(rel, NoLock);
	return psprintf("product_upsert_protect(%s, %s, %s)", quote_literal_cstr(table),
					quote_literal_cstr(key), quote_literal_cstr(condition));
}

static void
BuildColumns(Target *target, Relation rel)
{
	target->columns = palloc0(target->desc->natts * sizeof(Column));
	for (int i = 0; i < target->desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(target->desc, i);

		if (attribute->attisdropped)
			continue;
		BuildColumn(&target->columns[target->ncolumns++], rel, attribute->attnum);
		if (attribute->attgenerated != '\0' || attribute->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
			target->read_only_columns = bms_add_member(target->read_only_columns,
													   attribute->attnum);
	}
	qsort(target->columns, target->ncolumns, sizeof(Column), CompareColumns);

	target->columns_by_attnum = palloc(target->ncolumns * sizeof(Column *));
	for (int i = 0; i < target->ncolumns; i++)
		target->columns_by_attnum[i] = &target->columns[i];
	qsort(target->columns_by_attnum, target->ncolumns, sizeof(Column *), CompareAttnums);
}

/* A generated key column is computed from the columns that its expression reads. */
static void
BuildGeneration(KeyColumn *key, Relation rel)
{
	Node	   *expression = build_column_default(rel, key->column->attnum);

	key->generated_from = ColumnsOf(expression);
	KeepExpression(&key->generation, expression, key->column);
}

/* What is not stored is not in the rows that triggers and indexes see. */
static void
RejectVirtualColumn(Relation rel, Form_pg_attribute attribute)
{
	if (attribute->attgenerated != '\0' && attribute->attgenerated != ATTRIBUTE_GENERATED_STORED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" cannot be part of a key", NameStr(attribute->attname)),
				 errdetail("It is a generated column that is not stored."),
				 errtablecol(rel, attribute->attnum)));
}

/* A table that declares no key, or one of a column that has been renamed or dropped since. */
static void
RejectMissingColumn(Relation rel, const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("key column \"%s\" of relation \"%s\" does not exist",
					name, RelationGetRelationName(rel)),
			 IsCatalogRelation(rel) ? 0
			 : errhint("Declare which columns are the key: SELECT product_upsert_protect(%s, '{...}').",
					   TableLiteral(RelationGetRelid(rel))),
			 errtable(rel)));
}

static void
BuildKeyColumn(KeyColumn *key, const char *name, Target *target, Relation rel)
{
	Form_pg_attribute attribute;
	TypeCacheEntry *type;

	key->column = FindColumn(target, name, strlen(name));
	if (key->column == NULL)
		RejectMissingColumn(rel, name);
	attribute = TupleDescAttr(target->desc, key->column->attnum - 1);
	RejectVirtualColumn(rel, attribute);

	/* A domain is equal and hashed as what it is a domain over. */
	type = lookup_type_cache(getBaseType(attribute->atttypid),
							 TYPECACHE_EQ_OPR_FINFO | TYPECACHE_HASH_EXTENDED_PROC_FINFO);
	if (!OidIsValid(type->eq_opr) || !OidIsValid(type->hash_extended_proc))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("column \"%s\" of type %s cannot be part of a key", name,
						format_type_be(attribute->atttypid)),
				 errdetail("The type has no default operator class with an extended hash function."),
				 errtablecol(rel, attribute->attnum)));

	key->collation = attribute->attcollation;
	key->eq_operator = type->eq_opr;
	fmgr_info_copy(&key->eq_function, &type->eq_opr_finfo, CurrentMemoryContext);
	fmgr_info_copy(&key->hash_function, &type->hash_extended_proc_finfo, CurrentMemoryContext);
	if (attribute->attgenerated != '\0')
		BuildGeneration(key, rel);
	target->key_columns = bms_add_member(target->key_columns, attribute->attnum);
}

/* The arguments of the table's guard declare its key. */
static void
BuildKey(Target *target, Relation rel, const Trigger *guard)
{
	bool		declared = guard && guard->tgnargs > 0;

	target->nkey_columns = declared ? guard->tgnargs : (int) lengthof(default_key);
	target->keys = palloc0(target->nkey_columns * sizeof(KeyColumn));
	for (int i = 0; i < target->nkey_columns; i++)
	{
		KeyColumn  *key = &target->keys[i];

		BuildKeyColumn(key, declared ? guard->tgargs[i] : default_key[i], target, rel);
		if (key->generation.source)
			target->key_fields = bms_add_members(target->key_fields, key->generated_from);
		else
			target->key_fields = bms_add_member(target->key_fields, key->column->attnum);
	}
}

/* The WHEN clause of the table's guard declares under which condition the key counts. */
static void
BuildCondition(Target *target, Relation rel, const Trigger *guard)
{
	Expr	   *condition = GuardCondition(rel, guard);
	Bitmapset  *columns;
	int			attnum = -1;

	if (condition == NULL)
		return;
	KeepExpression(&target->condition, (Node *) condition, target->keys[0].column);
	columns = ColumnsOf((Node *) condition);
	target->condition_columns = bms_copy(columns);
	while ((attnum = bms_next_member(columns, attnum)) >= 0)
	{
		if (TupleDescAttr(target->desc, attnum - 1)->attgenerated != '\0')
			target->condition_columns = bms_add_members(target->condition_columns,
														ColumnsOf(build_column_default(rel, attnum)));
	}
}

/*
 * A partition's guard is a copy of its partitioned table's, if that has one: then no other
 * partition may have the key either.
 */
static void
BuildGuarded(Target *target, Relation rel, const Trigger *guard)
{
	List	   *ancestors = NIL;
	ListCell   *cell;

	if (guard == NULL)
		return;
	target->guarded = RelationGetRelid(rel);
	if (rel->rd_rel->relispartition)
		ancestors = get_partition_ancestors(RelationGetRelid(rel));
	foreach(cell, ancestors)
	{
		Relation	ancestor = table_open(lfirst_oid(cell), AccessShareLock);

		if (FindGuard(ancestor))
			target->guarded = RelationGetRelid(ancestor);
		table_close(ancestor, AccessShareLock);
	}
}

/* Builds a target below the current memory context. */
Target *
BuildTarget(Relation rel)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "product_upsert target",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Target	   *target = palloc0(sizeof(Target));
	const Trigger *guard = FindGuard(rel);

	RejectDistributed(rel);
	RejectChunk(rel, guard != NULL);
	target->context = context;
	target->relid = RelationGetRelid(rel);
	target->owner = rel->rd_rel->relowner;
	target->partitioned = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	target->hypertable = IsHypertable(rel);
	target->name = pstrdup(RelationGetRelationName(rel));
	MemoryContextCopyAndSetIdentifier(context, target->name);
	target->desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	BuildColumns(target, rel);
	BuildKey(target, rel, guard);
	BuildCondition(target, rel, guard);
	BuildGuarded(target, rel, guard);
	BuildIndexes(target, rel);

	MemoryContextSwitchTo(caller);
	return target;
}
