/*
 * product_upsert.c
 *		The face of the extension: its settings and its SQL-callable functions,
 *		which unpack their arguments, call and return.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"

#include "src/bulk.h"
#include "src/call.h"
#include "src/compat.h"
#include "src/guard.h"
#include "src/keyhash.h"
#include "src/keyinfo.h"
#include "src/keylock.h"
#include "src/payload.h"
#include "src/result.h"
#include "src/target.h"
#include "src/store.h"

MODULE_MAGIC("product_upsert", PRODUCT_UPSERT_VERSION);

#define DEFAULT_TABLE_NAME	"product"

PG_FUNCTION_INFO_V1(product_upsert);
PG_FUNCTION_INFO_V1(product_upsert_target);
PG_FUNCTION_INFO_V1(product_upsert_from);
PG_FUNCTION_INFO_V1(product_upsert_lock);
PG_FUNCTION_INFO_V1(product_upsert_guard);
PG_FUNCTION_INFO_V1(product_upsert_hash);
PG_FUNCTION_INFO_V1(product_upsert_check_protectable);
PG_FUNCTION_INFO_V1(product_upsert_key);
PG_FUNCTION_INFO_V1(product_upsert_lookup_index);
PG_FUNCTION_INFO_V1(product_upsert_same_key);
PG_FUNCTION_INFO_V1(product_upsert_lock_key);

static const struct config_enum_entry unknown_fields_options[] = {
	{"error", UNKNOWN_FIELDS_ERROR, false},
	{"ignore", UNKNOWN_FIELDS_IGNORE, false},
	{NULL, 0, false}
};

void		_PG_init(void);

void
_PG_init(void)
{
	DefineCustomStringVariable("product_upsert.table",
							   "Table that product_upsert(jsonb) writes to.",
							   "A possibly schema-qualified name, found through search_path.",
							   &default_table, DEFAULT_TABLE_NAME,
							   PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("product_upsert.unknown_fields",
							 "What to do with a payload's field that is no column of the table.",
							 NULL,
							 &unknown_fields, UNKNOWN_FIELDS_ERROR, unknown_fields_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("product_upsert.max_key_locks",
							"Key locks that a transaction may hold before it locks whole tables.",
							"The server's lock table, which all sessions share, has room for about "
							"max_locks_per_transaction * max_connections locks.",
							&max_key_locks, DEFAULT_MAX_KEY_LOCKS, MIN_MAX_KEY_LOCKS, INT_MAX,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("product_upsert.max_waiters",
							"Callers that may wait for one key before the next one fails at once.",
							"0 means no limit.",
							&max_waiters, NO_WAITER_LIMIT, NO_WAITER_LIMIT, INT_MAX,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("product_upsert.http_status",
							 "Sets response.status to 201 if a call created a row, else to 200.",
							 "PostgREST takes the status of its response from there.",
							 &http_status, false,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("product_upsert.direct_store",
							 "Writes to plain tables without going through SQL statements.",
							 "It makes no difference but to speed. Meant for tests.",
							 &direct_store, true,
							 PGC_USERSET, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	MarkGUCPrefixReserved("product_upsert");

	InitTargetCache();
	InitKeyLocks();
	InitGuard();
}

/* Returns the payload, argument n: 22004 if it is NULL. */
static Jsonb *
GetPayload(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		RejectNull("payload");
	return PG_GETARG_JSONB_P(n);
}

/* Returns the relation, argument n: 22004 if it is NULL, 42P01 if it is "-". */
static Oid
GetRelation(FunctionCallInfo fcinfo, int n, const char *argument)
{
	if (PG_ARGISNULL(n))
		RejectNull(argument);
	if (!OidIsValid(PG_GETARG_OID(n)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID 0 does not exist")));
	return PG_GETARG_OID(n);
}

/*
 * product_upsert(jsonb) returns jsonb
 */
Datum
product_upsert(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(UpsertPayload(DEFAULT_TABLE, GetPayload(fcinfo, 0), NULL));
}

/*
 * product_upsert(target regclass, payload jsonb, if_match jsonb) returns jsonb
 */
Datum
product_upsert_target(PG_FUNCTION_ARGS)
{
	Oid			target = GetRelation(fcinfo, 0, "target");
	Jsonb	   *if_match = PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2);

	PG_RETURN_JSONB_P(UpsertPayload(target, GetPayload(fcinfo, 1), if_match));
}

/*
 * product_upsert_from(source regclass, target regclass,
 *					   OUT created bigint, OUT updated bigint, OUT unchanged bigint)
 */
Datum
product_upsert_from(PG_FUNCTION_ARGS)
{
	Oid			source = GetRelation(fcinfo, 0, "source");
	Oid			target = PG_ARGISNULL(1) ? DEFAULT_TABLE : GetRelation(fcinfo, 1, "target");
	ActionCounts counts;
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	UpsertFrom(source, target, counts);
	values[0] = Int64GetDatum(counts[ACTION_CREATED]);
	values[1] = Int64GetDatum(counts[ACTION_UPDATED]);
	values[2] = Int64GetDatum(counts[ACTION_UNCHANGED]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * product_upsert_lock(target regclass, payload jsonb) returns void
 */
Datum
product_upsert_lock(PG_FUNCTION_ARGS)
{
	Oid			target = GetRelation(fcinfo, 0, "target");

	LockPayload(target, GetPayload(fcinfo, 1));
	PG_RETURN_VOID();
}

/*
 * product_upsert_guard() returns trigger
 */
Datum
product_upsert_guard(PG_FUNCTION_ARGS)
{
	const TriggerData *event = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(event->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(event->tg_event) || TRIGGER_FIRED_BY_DELETE(event->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("product_upsert_guard() must be called as a trigger AFTER INSERT OR UPDATE, for each row")));
	Guard(event);
	return PointerGetDatum(NULL);
}

/*
 * product_upsert_hash(VARIADIC "any") returns bigint
 */
Datum
product_upsert_hash(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) HashArguments(fcinfo));
}

/*
 * product_upsert_check_protectable(target regclass) returns void
 */
Datum
product_upsert_check_protectable(PG_FUNCTION_ARGS)
{
	CheckProtectable(GetRelation(fcinfo, 0, "target"));
	PG_RETURN_VOID();
}

/*
 * product_upsert_key(target regclass) returns name[]
 */
Datum
product_upsert_key(PG_FUNCTION_ARGS)
{
	PG_RETURN_ARRAYTYPE_P(KeyColumns(GetRelation(fcinfo, 0, "target")));
}

/*
 * product_upsert_lookup_index(target regclass) returns regclass
 */
Datum
product_upsert_lookup_index(PG_FUNCTION_ARGS)
{
	Oid			index = LookupIndex(GetRelation(fcinfo, 0, "target"));

	if (!OidIsValid(index))
		PG_RETURN_NULL();
	PG_RETURN_OID(index);
}

/* Returns the key, argument 1: 22004 if it is NULL. */
static ArrayType *
GetStoredKey(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(1))
		RejectNull("key");
	return PG_GETARG_ARRAYTYPE_P(1);
}

/*
 * product_upsert_same_key(target regclass, key text[]) returns text
 */
Datum
product_upsert_same_key(PG_FUNCTION_ARGS)
{
	Oid			target = GetRelation(fcinfo, 0, "target");

	PG_RETURN_TEXT_P(cstring_to_text(SameKeyCondition(target, GetStoredKey(fcinfo))));
}

/*
 * product_upsert_lock_key(target regclass, key text[]) returns void
 */
Datum
product_upsert_lock_key(PG_FUNCTION_ARGS)
{
	Oid			target = GetRelation(fcinfo, 0, "target");

	LockStoredKey(target, GetStoredKey(fcinfo));
	PG_RETURN_VOID();
}
