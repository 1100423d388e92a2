/*
 * store_choice.c
 *		Which store serves a table.
 *
 * Whatever one of them does, the other does as well, so the choice is about speed alone.
 */
#include "postgres.h"

#include "rewrite/prs2lock.h"

#include "store_choice.h"
#include "store_heap.h"
#include "store_spi.h"

bool		direct_store = true;

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
		return OpenHeapStore(target, rel);
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
		return OpenHeapStore(target, rel);
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
