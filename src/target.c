/*
 * target.c
 *		What one table is, worked out once and kept.
 *
 * Each table gets a Target in a memory context of its own below
 * CacheMemoryContext. A target is valid until its relation's cache entry is
 * invalidated (DDL, ANALYZE); then the next call builds another, and the old one
 * is freed when the last call that uses it is done. A call counts as a user until
 * its memory context goes away, so an error needs no clean-up of its own.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "engine.h"
#include "guard.h"
#include "symbol.h"
#include "target.h"

/* How many tables one backend remembers; the least recently used makes room. */
#define MAX_TARGETS		128

typedef struct CachedTarget
{
	Oid			relid;			/* hash key */
	bool		valid;			/* target describes the table as it is */
	bool		warned;			/* about the missing lookup index */
	uint64		last_use;
	Target	   *target;			/* NULL until complete */
} CachedTarget;

char	   *default_table = NULL;

/* The key of a table that declares none. */
static const char *const default_key[] = {"brand", "serial", "manufacturer"};

static HTAB *targets = NULL;
static uint64 use_counter = 0;

/* Relation cache callback: only sets a flag, as it may be called at any moment. */
static void
InvalidateTarget(Datum arg pg_attribute_unused(), Oid relid)
{
	HASH_SEQ_STATUS scan;
	CachedTarget *entry;

	if (OidIsValid(relid) && !IsHypertableSignal(relid))
	{
		entry = hash_search(targets, &relid, HASH_FIND, NULL);
		if (entry)
			entry->valid = false;
		return;
	}

	hash_seq_init(&scan, targets);
	while ((entry = hash_seq_search(&scan)) != NULL)
		entry->valid = false;
}

/*
 * What a target holds may depend on more than its relation, and relcache invalidation does
 * not tell about that: plans name schemas, which can be renamed; expressions may have functions
 * inlined, which can be replaced; a type may get a cast to json, or lose it.
 */
static void
InvalidateAllTargets(Datum arg, int cacheid pg_attribute_unused(),
					 uint32 hashvalue pg_attribute_unused())
{
	InvalidateTarget(arg, InvalidOid);
}

static bool
HasDomain(const Target *target, uint32 type_hash)
{
	for (int i = 0; i < target->ncolumns; i++)
	{
		if (target->columns[i].domain_hash == type_hash)
			return true;
	}
	return false;
}

/* A domain may get another default. Types come and go with any table, so only those used count. */
static void
InvalidateDomain(Datum arg pg_attribute_unused(), int cacheid pg_attribute_unused(),
				 uint32 hashvalue)
{
	HASH_SEQ_STATUS scan;
	CachedTarget *entry;

	hash_seq_init(&scan, targets);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		/* A hash of 0 stands for all types. While the target is being built, any may be its own. */
		if (hashvalue == 0 || entry->target == NULL || HasDomain(entry->target, hashvalue))
			entry->valid = false;
	}
}

/* Sets up the cache; called once, when the library is loaded. */
void
InitTargetCache(void)
{
	HASHCTL		control = {
		.keysize = sizeof(Oid),
		.entrysize = sizeof(CachedTarget),
		.hcxt = TopMemoryContext,
	};

	targets = hash_create("product_upsert targets", MAX_TARGETS, &control,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(InvalidateTarget, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, InvalidateAllTargets, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, InvalidateAllTargets, (Datum) 0);
	CacheRegisterSyscacheCallback(CASTSOURCETARGET, InvalidateAllTargets, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, InvalidateDomain, (Datum) 0);
}

/* Frees a target now, or lets its last user do it. */
static void
DiscardTarget(Target *target)
{
	target->discarded = true;
	if (target->users == 0)
		MemoryContextDelete(target->context);
}

/* Memory context callback: the call that used the target is over. */
static void
ReleaseTarget(void *arg)
{
	Target	   *target = arg;

	target->users--;
	if (target->users == 0 && target->discarded)
		MemoryContextDelete(target->context);
}

static void
ForgetLeastRecentlyUsed(void)
{
	HASH_SEQ_STATUS scan;
	CachedTarget *entry;
	CachedTarget *oldest = NULL;

	hash_seq_init(&scan, targets);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (oldest == NULL || entry->last_use < oldest->last_use)
			oldest = entry;
	}
	if (oldest->target)
		DiscardTarget(oldest->target);
	hash_search(targets, &oldest->relid, HASH_REMOVE, NULL);
}

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

/* Returns the column of that name, or NULL. */
Column *
FindColumn(const Target *target, const char *name, int length)
{
	int			low = 0;
	int			high = target->ncolumns;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		Column	   *column = &target->columns[middle];
		int			order = CompareNames(name, length, column->name, column->name_length);

		if (order == 0)
			return column;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* Returns the key as the text "brand, serial, manufacturer", quoted for SQL. */
char *
KeyColumnList(const Target *target)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < target->nkeys; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(target->keys[i].column->name));
	return list.data;
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

	target->in_order = palloc(target->ncolumns * sizeof(Column *));
	for (int i = 0; i < target->ncolumns; i++)
		target->in_order[i] = &target->columns[i];
	qsort(target->in_order, target->ncolumns, sizeof(Column *), CompareAttnums);
}

/* A generated key column is computed from the columns that its expression reads. */
static void
BuildGeneration(KeyColumn *key, Relation rel)
{
	Bitmapset  *attributes = NULL;
	int			member = -1;
	Node	   *expression = build_column_default(rel, key->column->attnum);

	pull_varattnos(expression, 1, &attributes);
	while ((member = bms_next_member(attributes, member)) >= 0)
	{
		AttrNumber	attnum = member + FirstLowInvalidHeapAttributeNumber;

		if (attnum > 0)
			key->generated_from = bms_add_member(key->generated_from, attnum);
	}
	key->generation = expression_planner((Expr *) expression);
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

static void
BuildKeyColumn(KeyColumn *key, const char *name, Target *target, Relation rel)
{
	Form_pg_attribute attribute;
	TypeCacheEntry *type;

	key->column = FindColumn(target, name, strlen(name));
	if (key->column == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("key column \"%s\" of relation \"%s\" does not exist",
						name, RelationGetRelationName(rel)),
				 errtable(rel)));
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

	target->nkeys = declared ? guard->tgnargs : (int) lengthof(default_key);
	target->keys = palloc0(target->nkeys * sizeof(KeyColumn));
	for (int i = 0; i < target->nkeys; i++)
	{
		KeyColumn  *key = &target->keys[i];

		BuildKeyColumn(key, declared ? guard->tgargs[i] : default_key[i], target, rel);
		if (key->generation)
			target->key_fields = bms_add_members(target->key_fields, key->generated_from);
		else
			target->key_fields = bms_add_member(target->key_fields, key->column->attnum);
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
		table_close(ancestor, NoLock);
	}
}

/* Returns the key column that the index column is, or NULL. */
static KeyColumn *
KeyColumnOfIndex(const Target *target, Relation index, int position)
{
	AttrNumber	attnum = index->rd_index->indkey.values[position];

	for (int i = 0; i < target->nkeys; i++)
	{
		if (target->keys[i].column->attnum == attnum)
			return &target->keys[i];
	}
	return NULL;
}

/* Does the index column know the key column's idea of equality? */
static bool
SharesEquality(const KeyColumn *key, Relation index, int position)
{
	return index->rd_indcollation[position] == key->collation &&
		op_in_opfamily(key->eq_operator, index->rd_opfamily[position]);
}

/* Can a search for the key start from this index? */
static bool
ServesLookup(const Target *target, Relation index)
{
	const KeyColumn *key = KeyColumnOfIndex(target, index, 0);

	return index->rd_index->indisvalid &&
		RelationGetIndexPredicate(index) == NIL &&
		(index->rd_rel->relam == BTREE_AM_OID || index->rd_rel->relam == HASH_AM_OID) &&
		key != NULL && SharesEquality(key, index, 0);
}

/* The columns of the key that the index has in front of all others. */
static Bitmapset *
LeadingKeyColumns(const Target *target, Relation index)
{
	Bitmapset  *columns = NULL;

	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
	{
		KeyColumn  *key = KeyColumnOfIndex(target, index, i);

		if (key == NULL || !SharesEquality(key, index, i))
			break;
		columns = bms_add_member(columns, key->column->attnum);
	}
	return columns;
}

/* Can an index scan look up the whole key? */
static bool
FindsKey(const Target *target, Relation index)
{
	return index->rd_index->indisvalid && RelationGetIndexPredicate(index) == NIL &&
		index->rd_rel->relam == BTREE_AM_OID &&
		bms_equal(LeadingKeyColumns(target, index), target->key_columns);
}

/*
 * Is the index's first column the hash of the key? Returns the function that it calls
 * for that, or InvalidOid.
 */
static Oid
HashFunctionOfIndex(const Target *target, Relation index)
{
	FuncExpr   *call;

	if (!index->rd_index->indisvalid || RelationGetIndexPredicate(index) != NIL ||
		index->rd_index->indkey.values[0] != InvalidAttrNumber ||
		index->rd_opfamily[0] != INTEGER_BTREE_FAM_OID)
		return InvalidOid;
	call = linitial(RelationGetIndexExpressions(index));
	if (!IsA(call, FuncExpr) || list_length(call->args) != target->nkeys ||
		!HasSymbol(call->funcid, "product_upsert_hash"))
		return InvalidOid;
	for (int i = 0; i < target->nkeys; i++)
	{
		Var		   *argument = list_nth(call->args, i);

		if (!IsA(argument, Var) || argument->varattno != target->keys[i].column->attnum)
			return InvalidOid;
	}
	return call->funcid;
}

/* Is the key looked up by its hash? Then what is found may have another key. */
bool
IsKeyIndexOnHash(const Target *target)
{
	return target->key_index && OidIsValid(target->key_index->hash_function);
}

static KeyIndex *
MakeKeyIndex(Relation index)
{
	KeyIndex   *result = palloc0(sizeof(KeyIndex));

	result->oid = RelationGetRelid(index);
	/* Built over broken HOT chains, it must not be used by who could see their older members. */
	if (index->rd_index->indcheckxmin)
		result->not_before = HeapTupleHeaderGetXmin(index->rd_indextuple->t_data);
	result->scan_keys = palloc0(index->rd_index->indnkeyatts * sizeof(ScanKeyData));
	return result;
}

/* One scan key, for the hash. */
static KeyIndex *
BuildHashIndex(Relation index, Oid hash_function)
{
	KeyIndex   *result = MakeKeyIndex(index);

	result->hash_function = hash_function;
	ScanKeyInit(&result->scan_keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, (Datum) 0);
	result->nscan_keys = 1;
	return result;
}

/* One scan key for each of the index's columns, from the first, that is in the key. */
static KeyIndex *
BuildKeyIndex(const Target *target, Relation index)
{
	KeyIndex   *result = MakeKeyIndex(index);
	int			natts = index->rd_index->indnkeyatts;

	result->attnums = palloc(natts * sizeof(AttrNumber));
	for (int i = 0; i < natts; i++)
	{
		KeyColumn  *key = KeyColumnOfIndex(target, index, i);
		int			strategy;
		Oid			left;
		Oid			right;

		if (key == NULL || !SharesEquality(key, index, i))
			break;
		get_op_opfamily_properties(key->eq_operator, index->rd_opfamily[i], false,
								   &strategy, &left, &right);
		ScanKeyEntryInitializeWithInfo(&result->scan_keys[i], 0, i + 1, strategy, right,
									   key->collation, &key->eq_function, (Datum) 0);
		result->attnums[i] = key->column->attnum;
		result->nscan_keys++;
	}
	return result;
}

/* Is the index a unique constraint on the columns of the key and no others? */
static bool
IsUniqueOnColumns(const Target *target, Relation index)
{
	Bitmapset  *covered = NULL;

	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
	{
		KeyColumn  *key = KeyColumnOfIndex(target, index, i);

		if (key == NULL)
			return false;
		covered = bms_add_member(covered, key->column->attnum);
	}
	return index->rd_index->indisunique && bms_equal(covered, target->key_columns);
}

/* Has it the same idea of equality, and is it in force at once? Then an insert can yield to it. */
static bool
CanArbitrate(const Target *target, Relation index)
{
	return index->rd_index->indimmediate && FindsKey(target, index);
}

/* ON CONFLICT does not go with rules that rewrite the write. */
static bool
HasWriteRules(Relation rel)
{
	if (rel->rd_rules == NULL)
		return false;
	for (int i = 0; i < rel->rd_rules->numLocks; i++)
	{
		if (rel->rd_rules->rules[i]->event != CMD_SELECT)
			return true;
	}
	return false;
}

/*
 * What a rule does instead of a write cannot return the row that was written, nor tell
 * where it is: 0A000.
 */
void
RejectInsteadRules(Relation rel)
{
	for (int i = 0; rel->rd_rules && i < rel->rd_rules->numLocks; i++)
	{
		RewriteRule *rule = rel->rd_rules->rules[i];

		if (rule->isInstead && (rule->event == CMD_INSERT || rule->event == CMD_UPDATE))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot upsert into table \"%s\"", RelationGetRelationName(rel)),
					 errdetail("It has a rule that does something instead of an INSERT or UPDATE."),
					 errtable(rel)));
	}
}

static void
BuildIndexes(Target *target, Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *cell;
	bool		has_deferrable = false;
	int			narrowest = INDEX_MAX_KEYS + 1;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		Oid			hash_function = HashFunctionOfIndex(target, index);

		if (OidIsValid(hash_function))
		{
			target->key_index = BuildHashIndex(index, hash_function);
			narrowest = 0;
		}
		if (ServesLookup(target, index) && !target->looks_up_by_hash)
		{
			target->lookup_index = RelationGetRelid(index);
			target->looks_up_by_hash = index->rd_rel->relam == HASH_AM_OID;
		}
		if (FindsKey(target, index) && index->rd_index->indnkeyatts < narrowest)
		{
			target->key_index = BuildKeyIndex(target, index);
			narrowest = index->rd_index->indnkeyatts;
		}
		if (IsUniqueOnColumns(target, index))
		{
			if (CanArbitrate(target, index))
				target->arbiters = lappend_oid(target->arbiters, RelationGetRelid(index));
			if (!index->rd_index->indimmediate)
				has_deferrable = true;
		}
		index_close(index, AccessShareLock);
	}
	/* ON CONFLICT does not take deferrable constraints, even beside another. */
	if (has_deferrable || HasWriteRules(rel))
		target->arbiters = NIL;
	if (target->key_index)
		target->lookup_index = target->key_index->oid;
	list_free(indexes);
}

/* Builds a target below the current memory context. */
static Target *
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
	target->name = pstrdup(RelationGetRelationName(rel));
	MemoryContextCopyAndSetIdentifier(context, target->name);
	target->desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	BuildColumns(target, rel);
	BuildKey(target, rel, guard);
	BuildGuarded(target, rel, guard);
	BuildIndexes(target, rel);
	target->partitioned = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	target->hypertable = IsHypertable(rel);

	MemoryContextSwitchTo(caller);
	return target;
}

/* Raises 42P01 if there is no such relation by now. */
void
RequireTable(Oid relid)
{
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
}

/* Returns the table that product_upsert.table names by now, or raises 42P01. */
Oid
FindDefaultTable(void)
{
	RangeVar   *name = makeRangeVarFromNameList(QualifiedNameList(default_table));
	Oid			relid = RangeVarGetRelid(name, NoLock, true);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s\" does not exist", default_table),
				 errhint("Name the table in the call, or SET product_upsert.\"table\".")));
	return relid;
}

static void
CheckRelationKind(Relation rel)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot upsert into relation \"%s\"", RelationGetRelationName(rel)),
				 errdetail_relkind_not_supported(rel->rd_rel->relkind)));
}

static CachedTarget *
EnterTarget(Oid relid)
{
	CachedTarget *entry = hash_search(targets, &relid, HASH_FIND, NULL);

	if (entry == NULL)
	{
		if (hash_get_num_entries(targets) >= MAX_TARGETS)
			ForgetLeastRecentlyUsed();
		entry = hash_search(targets, &relid, HASH_ENTER, NULL);
		memset(entry, 0, sizeof(CachedTarget));
		entry->relid = relid;
	}
	return entry;
}

/* Puts a target in the entry's place for one, which the old one leaves. */
static void
SetTarget(CachedTarget *entry, Target *target)
{
	Target	   *old = entry->target;

	entry->target = target;
	if (old)
		DiscardTarget(old);
}

/* (Re)builds what is known of the relation; it is complete before it is kept. */
static CachedTarget *
RebuildTarget(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	CachedTarget *entry = EnterTarget(relid);
	Target	   *target;

	/* Valid from here on, so that an invalidation while we look is not lost. */
	SetTarget(entry, NULL);
	entry->valid = true;
	target = BuildTarget(rel);
	MemoryContextSetParent(target->context, CacheMemoryContext);

	/* Building may run a function of the user's, and that may have used or evicted the entry. */
	entry = EnterTarget(relid);
	SetTarget(entry, target);
	return entry;
}

/*
 * Returns what the relation is as a target, until the current memory context is
 * reset or deleted. The caller holds a lock on the relation that keeps its
 * columns as they are.
 */
Target *
AcquireTarget(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	CachedTarget *entry = hash_search(targets, &relid, HASH_FIND, NULL);
	MemoryContextCallback *release;

	CheckRelationKind(rel);
	if (entry == NULL || entry->target == NULL || !entry->valid)
		entry = RebuildTarget(rel);
	entry->last_use = ++use_counter;

	release = palloc0(sizeof(MemoryContextCallback));
	release->func = ReleaseTarget;
	release->arg = entry->target;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, release);
	entry->target->users++;
	return entry->target;
}

/* Says so, once a session, if each look for a key reads the whole table. */
void
WarnOfMissingIndex(const Target *target)
{
	CachedTarget *entry;

	if (OidIsValid(target->lookup_index))
		return;
	entry = hash_search(targets, &target->relid, HASH_FIND, NULL);
	if (entry == NULL || entry->warned)
		return;
	entry->warned = true;
	ereport(WARNING,
			(errmsg("no index of table \"%s\" serves to look up its key", target->name),
			 errdetail("Each call reads the whole table."),
			 errhint("CREATE INDEX ON %s (%s);",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(target->relid)),
												target->name),
					 KeyColumnList(target))));
}
