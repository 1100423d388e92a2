/*
 * store_choice.c
 *		Which store serves a table.
 *
 * Whatever one of them does, the other does as well, so the choice is about speed alone.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "rewrite/prs2lock.h"
#include "utils/rls.h"

#include "compat.h"
#include "probe.h"
#include "store_choice.h"
#include "store_heap.h"
#include "store_partitioned.h"
#include "store_spi.h"
#include "table.h"

bool		direct_store = true;

/* -- when a table is written to directly -------------------------------------- */

/* Has it triggers to be fired before it is known which partition a row goes to? */
static bool
HasBeforeStatementTriggers(const TriggerDesc *triggers)
{
	return triggers && (triggers->trig_insert_before_statement || triggers->trig_update_before_statement);
}

/*
 * Returns NULL if index probes find the table's rows by key, else the reason why not. What speaks against a
 * partition turns out when it is opened.
 */
static const char *
WhyNotFindDirectly(const Target *target, Relation rel)
{
	if (target->partitioned)
		return target->unfit_partition;
	if (target->hypertable)
		return "it is a hypertable";
	if (!IsPlainHeap(rel))
		return "it has another table access method";
	if (rel->rd_rel->relhassubclass)
		return "it may have inheritance children";
	if (target->key_index == NULL)
		return "it has no btree index that begins with the key";
	if (IsIndexTooNew(target->key_index))
		return "the index on the key is newer than the transaction";
	return NULL;
}

/*
 * Returns NULL if the table can be written to directly for the current user, else the reason
 * why it cannot.
 */
static const char *
WhyNotWriteDirectly(const Target *target, Relation rel)
{
	if (rel->rd_rules != NULL)
		return "it has rules";
	if (target->partitioned && HasBeforeStatementTriggers(rel->trigdesc))
		return "it is partitioned and has BEFORE triggers per statement";
	if (HasVirtualGenerated(RelationGetDescr(rel)))
		return "it has virtual generated columns";
	if (ExecutorCheckPerms_hook)
		return "an extension looks at what statements are permitted to do";
	if (check_enable_rls(target->relid, InvalidOid, true) == RLS_ENABLED)
		return "row-level security applies";
	return WhyNotFindDirectly(target, rel);
}

/* -- the store ---------------------------------------------------------------- */

static Store *
OpenDirectStore(Target *target, Relation rel)
{
	return target->partitioned ? OpenPartitionedStore(target, rel) : OpenHeapStore(target, rel);
}

/*
 * Opens the store that serves the table. Whatever one of them does, the other does
 * as well, so the choice is about speed alone.
 */
Store *
OpenStore(Target *target, Relation rel)
{
	const bool	sees_all_rows = false;
	const char *reason = direct_store ? WhyNotWriteDirectly(target, rel)
		: "product_upsert.direct_store is off";

	if (reason == NULL)
		return OpenDirectStore(target, rel);
	ereport(DEBUG1,
			(errmsg_internal("product_upsert writes to table \"%s\" by SQL statements: %s",
							 target->name, reason)));
	return OpenSpiStore(target, rel, sees_all_rows);
}

/* Will OpenStoreToFind() open one that does without SPI, and can stay open while others come and go? */
bool
FindsDirectly(const Target *target, Relation rel)
{
	return direct_store && WhyNotFindDirectly(target, rel) == NULL;
}

/* Opens a store that will write nothing, and finds rows whether the caller may see them or not. */
Store *
OpenStoreToFind(Target *target, Relation rel)
{
	const bool	sees_all_rows = true;

	if (FindsDirectly(target, rel))
		return OpenDirectStore(target, rel);
	return OpenSpiStore(target, rel, sees_all_rows);
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
