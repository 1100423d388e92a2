/*
 * access.c
 *		What the caller must be allowed to do.
 *
 * An upsert asks for what INSERT ... ON CONFLICT DO UPDATE ... RETURNING asks
 * for, whatever it then turns out to do, so that the answer depends on no data:
 * USAGE on the schema, SELECT on the table, INSERT on the given columns and
 * UPDATE on those of them that are not the key.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/objectaddress.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc_tables.h"
#include "utils/lsyscache.h"

#include "access.h"
#include "compat.h"

static void
DenyTable(Oid relid)
{
	aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(relid)),
				   get_rel_name(relid));
}

static void
CheckSchema(Oid relid)
{
	Oid			schema = get_rel_namespace(relid);
	AclResult	result = NamespaceAclCheck(schema, GetUserId(), ACL_USAGE);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_SCHEMA, get_namespace_name(schema));
}

/*
 * Where code runs as its owner, its caller must not choose the table that is written to with the owner's
 * rights: 42501 unless that is how the server or the database is configured, or the role that is current
 * now has set it. So it is with a function's own SET clause, as by then the role is the owner.
 *
 * PostgreSQL keeps who has set a setting with its value, also when that is stacked, or comes from before
 * the library was loaded. But what is set for a role is kept as if a superuser had set it.
 */
void
CheckMayChooseTable(void)
{
	static const char *const name = "product_upsert.table";
	static const struct config_generic *setting = NULL;

	if (!InLocalUserIdChange() && !InSecurityRestrictedOperation())
		return;
	if (setting == NULL)
		setting = FindSetting(name);
	if (setting->source < PGC_S_USER ||
		(setting->source > PGC_S_DATABASE_USER && setting->srole == GetUserId()))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("setting \"%s\" is not that of role \"%s\"", name,
					GetUserNameFromId(GetUserId(), false)),
			 errdetail("Code that runs as its owner does not write to a table that its caller has chosen."),
			 errhint("Name the table in the call, or ALTER FUNCTION ... SET product_upsert.\"table\".")));
}

/*
 * Before any lock is taken: who may not write to the table at all must not be
 * able to hold up those who may.
 */
void
CheckMayLock(Oid relid)
{
	Oid			role = GetUserId();
	AclMode		writes = ACL_INSERT | ACL_UPDATE | ACL_DELETE;

	CheckSchema(relid);
	if (pg_class_aclcheck(relid, role, writes) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(relid, role, writes, ACLMASK_ANY) != ACLCHECK_OK)
		DenyTable(relid);
}

/* May the caller keep all other writers off the table? LOCK TABLE asks for the same. */
bool
MayLockWholeTable(Oid relid)
{
	return pg_class_aclcheck(relid, GetUserId(),
							 ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE) == ACLCHECK_OK;
}

/* The table's privilege is enough; else each column's own is needed. */
static void
CheckColumns(Oid relid, const Bitmapset *columns, AclMode mode)
{
	int			attnum = -1;

	if (pg_class_aclcheck(relid, GetUserId(), mode) == ACLCHECK_OK)
		return;
	while ((attnum = bms_next_member(columns, attnum)) >= 0)
	{
		if (pg_attribute_aclcheck(relid, attnum, GetUserId(), mode) != ACLCHECK_OK)
			DenyTable(relid);
	}
}

/*
 * Raises 42501 unless the caller, who may lock the table, may also upsert rows in
 * which the given columns are given.
 */
void
CheckMayUpsert(const Target *target, const Bitmapset *given)
{
	Bitmapset  *updated = bms_difference(given, target->key_columns);

	if (pg_class_aclcheck(target->relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		DenyTable(target->relid);
	CheckColumns(target->relid, given, ACL_INSERT);
	CheckColumns(target->relid, bms_del_members(updated, target->read_only_columns), ACL_UPDATE);
}
