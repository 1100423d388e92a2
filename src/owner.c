/*
 * owner.c
 *		Running as a table's owner.
 *
 * To plan a statement, PostgreSQL evaluates what is constant in index expressions, predicates and
 * CHECK constraints, and calls the functions in them. As whoever runs the statement: so what the owner
 * of a table has written must not be run with the rights of one who only maintains it. And by
 * whatever names search_path leads to: so where another asks for what runs as the owner, the path
 * is not his.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "owner.h"

#define SAFE_SEARCH_PATH	"pg_catalog, pg_temp"

/*
 * Goes on as the owner, without what row-level security keeps from him, under more flags of the security
 * context. Returns who is to go on afterwards; after an error, PostgreSQL sees to that.
 */
Caller
BecomeOwner(Oid owner, int security)
{
	Caller		caller;

	GetUserIdAndSecContext(&caller.role, &caller.security);
	caller.settings = NewGUCNestLevel();
	if (caller.role != owner)
		(void) set_config_option("search_path", SAFE_SEARCH_PATH, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	SetUserIdAndSecContext(owner, caller.security | security |
						   SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	return caller;
}

void
BecomeCaller(const Caller *caller)
{
	AtEOXact_GUC(false, caller->settings);
	SetUserIdAndSecContext(caller->role, caller->security);
}
