/*
 * access.c
 *		What the caller must be allowed to do.
 *
 * An upsert asks for what INSERT ... ON CONFLICT DO UPDATE ... RETURNING asks
 * for, whatever it then turns out to do, so that the answer depends on no data:
 * USAGE on the schema, SELECT on the table, INSERT on the given columns and
 * UPDATE on those of them that are not the key. What counts only on a create needs
 * INSERT alone.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "access.h"
#include "compat.h"
#include "table.h"

/* The table's privilege is enough; else each column's own is needed. */
void
CheckColumns(Oid relid, const Bitmapset *columns, AclMode mode, const char *privilege)
{
	int			attnum = -1;

	if (pg_class_aclcheck(relid, GetUserId(), mode) == ACLCHECK_OK)
		return;
	while ((attnum = bms_next_member(columns, attnum)) >= 0)
	{
		if (pg_attribute_aclcheck(relid, attnum, GetUserId(), mode) != ACLCHECK_OK)
			DenyTable(relid, psprintf("%s on column \"%s\"", privilege,
									  get_attname(relid, attnum, false)));
	}
}

/* Raises 42501 unless the caller, who may lock the table, may also insert into the columns. */
void
CheckMayInsert(Oid relid, const Bitmapset *columns)
{
	CheckColumns(relid, columns, ACL_INSERT, "INSERT");
}

/*
 * Raises 42501 unless the caller, who may lock the table, may also upsert rows in
 * which the given columns are given, and create them with those of on_create, if that is not NULL.
 */
void
CheckMayUpsert(const Target *target, const Bitmapset *given, const Row *on_create)
{
	Bitmapset  *updated = bms_difference(given, target->key_columns);

	if (pg_class_aclcheck(target->relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		DenyTable(target->relid, "SELECT on the table as a whole");
	CheckColumns(target->relid, given, ACL_INSERT, "INSERT");
	if (on_create)
		CheckColumns(target->relid, on_create->given, ACL_INSERT, "INSERT");
	CheckColumns(target->relid, bms_del_members(updated, target->read_only_columns), ACL_UPDATE, "UPDATE");
}

/* "(brand, serial)=(Acme, 1)", or NULL if the caller may not read that. */
char *
DescribeKey(const Target *target, const Row *row)
{
	StringInfoData values;

	if (check_enable_rls(target->relid, InvalidOid, true) == RLS_ENABLED)
		return NULL;
	initStringInfo(&values);
	for (int i = 0; i < target->nkey_columns; i++)
	{
		AttrNumber	attnum = target->keys[i].column->attnum;
		Oid			output;
		bool		is_varlena;

		if (pg_class_aclcheck(target->relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
			pg_attribute_aclcheck(target->relid, attnum, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			return NULL;
		getTypeOutputInfo(target->keys[i].column->type, &output, &is_varlena);
		appendStringInfo(&values, "%s%s", i > 0 ? ", " : "",
						 row->isnull[attnum - 1] ? "null"
						 : OidOutputFunctionCall(output, row->values[attnum - 1]));
	}
	return psprintf("(%s)=(%s)", KeyColumnList(target), values.data);
}
