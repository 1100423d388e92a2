/*
 * targetcache.c
 *		What tables are, worked out once and kept.
 *
 * Each table gets a Target in a memory context of its own below
 * CacheMemoryContext. A target is valid until its relation's cache entry is
 * invalidated (DDL, ANALYZE); then the next call builds another, and the old one
 * is freed when the last call that uses it is done. A call counts as a user until
 * its memory context goes away, so an error needs no clean-up of its own.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "condition.h"
#include "target.h"
#include "engine.h"
#include "keyindex.h"
#include "partition.h"
#include "targetcache.h"

/* How many tables one backend remembers; the least recently used makes room. */
#define MAX_TARGETS		128

typedef struct CachedTarget
{
	Oid			relid;			/* hash key */
	bool		valid;			/* target describes the table as it is */
	bool		warned;			/* about the missing lookup index */
	bool		warned_of_exemption;
	uint64		last_use;
	Target	   *target;			/* NULL until complete */
} CachedTarget;

static HTAB *targets = NULL;
static uint64 use_counter = 0;

/* All partitioned ones, also those that calls under way use although they are not in the cache any more. */
static dlist_head partitioned_targets = DLIST_STATIC_INIT(partitioned_targets);

/*
 * A partition may change without its root: what is known of it is forgotten, and with it what depends on
 * that.
 */
static void
InvalidatePartition(Oid relid)
{
	dlist_iter	iter;

	dlist_foreach(iter, &partitioned_targets)
	{
		const Target *target = dlist_container(Target, node, iter.cur);
		CachedTarget *entry;

		if (!ForgetPartition(target, relid))
			continue;
		entry = hash_search(targets, &target->relid, HASH_FIND, NULL);
		if (entry && entry->target == target)
			entry->valid = false;
	}
}

/* Relation cache callback: only sets flags, as it may be called at any moment. */
static void
InvalidateTarget(Datum arg pg_attribute_unused(), Oid relid)
{
	HASH_SEQ_STATUS scan;
	CachedTarget *entry;

	InvalidatePartition(relid);

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
		if (list_member_int(target->columns[i].domain_hashes, type_hash))
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

/* Memory context callback: the partitioned target is freed. */
static void
LeavePartitioned(void *arg)
{
	Target	   *target = arg;

	dlist_delete(&target->node);
}

static void
EnterPartitioned(Target *target)
{
	MemoryContextCallback *leave = MemoryContextAllocZero(target->context, sizeof(MemoryContextCallback));

	leave->func = LeavePartitioned;
	leave->arg = target;
	MemoryContextRegisterResetCallback(target->context, leave);
	dlist_push_head(&partitioned_targets, &target->node);
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
	if (target->partitioned)
		EnterPartitioned(target);

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

/* Is one of the relation's indexes unfinished? That may have changed while we waited for a key. */
bool
HasUnfinishedArbiter(const Target *target, Relation rel)
{
	const CachedTarget *entry = hash_search(targets, &target->relid, HASH_FIND, NULL);

	if (entry && entry->target == target && entry->valid)
		return target->unfinished;
	return LooksUnfinished(target, rel);
}

/* Says so, once a session, if each look for a key reads the whole table. */
void
WarnOfMissingIndex(const Target *target)
{
	const Expr *condition = target->condition.source;
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
			 errhint("Let product_upsert_protect() create one, or run: CREATE INDEX %sON %s (%s)%s%s.",
					 target->partitioned ? "" : "CONCURRENTLY ",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(target->relid)),
												target->name),
					 KeyColumnList(target), condition ? " WHERE " : "",
					 condition ? ConditionText(target->relid, condition) : "")));
}

/* Says so, once a session, if a unique index is a sign that not all rows count, and nothing declares that. */
void
WarnOfExemption(const Target *target)
{
	CachedTarget *entry;

	if (!OidIsValid(target->exempting_index))
		return;
	entry = hash_search(targets, &target->relid, HASH_FIND, NULL);
	if (entry == NULL || entry->warned_of_exemption)
		return;
	entry->warned_of_exemption = true;
	ereport(WARNING,
			(errmsg("unique index \"%s\" on the key of table \"%s\" has a condition, and the key has none",
					get_rel_name(target->exempting_index), target->name),
			 errdetail("Rows that do not satisfy it, such as deleted ones, are found and updated as others are."),
			 errhint("Let only rows that satisfy it count: SELECT %s.",
					 ProtectCall(target, target->exempting_index))));
}
