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
#include "src/checkedsql.h"
#include "src/citus.h"
#include "src/compat.h"
#include "src/duplicates.h"
#include "src/guard.h"
#include "src/guard_store.h"
#include "src/keyhash.h"
#include "src/keyinfo.h"
#include "src/keylock.h"
#include "src/merge.h"
#include "src/payload.h"
#include "src/protect.h"
#include "src/result.h"
#include "src/store_choice.h"
#include "src/table.h"
#include "src/targetcache.h"

MODULE_MAGIC("product_upsert", PRODUCT_UPSERT_VERSION);

#define DEFAULT_TABLE_NAME	"product"

PG_FUNCTION_INFO_V1(product_upsert);
PG_FUNCTION_INFO_V1(product_upsert_target);
PG_FUNCTION_INFO_V1(product_upsert_shard);
PG_FUNCTION_INFO_V1(product_upsert_from);
PG_FUNCTION_INFO_V1(product_upsert_lock);
PG_FUNCTION_INFO_V1(product_upsert_guard);
PG_FUNCTION_INFO_V1(product_upsert_protect);
PG_FUNCTION_INFO_V1(product_upsert_unprotect);
PG_FUNCTION_INFO_V1(product_upsert_duplicates);
PG_FUNCTION_INFO_V1(product_upsert_hash);
PG_FUNCTION_INFO_V1(product_upsert_key);
PG_FUNCTION_INFO_V1(product_upsert_condition);
PG_FUNCTION_INFO_V1(product_upsert_lookup_index);
PG_FUNCTION_INFO_V1(product_upsert_merge_duplicates);

static const struct config_enum_entry unknown_fields_options[] = {
	{"error", UNKNOWN_FIELDS_ERROR, false},
	{"ignore", UNKNOWN_FIELDS_IGNORE, false},
	{NULL, 0, false}
};

static const struct config_enum_entry result_options[] = {
	{"full", RESULT_FULL, false},
	{"changes", RESULT_CHANGES, false},
	{"action", RESULT_ACTION, false},
	{NULL, 0, false}
};

void		_PG_init(void);

void
_PG_init(void)
{
	DefineCustomStringVariable("product_upsert.default_table",
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
	DefineCustomEnumVariable("product_upsert.result",
							 "How much product_upsert() returns of a row.",
							 "full: the row; changes: the row unless it is as it was; action: what was done, alone.",
							 &result_detail, RESULT_FULL, result_options,
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
							 PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	MarkGUCPrefixReserved("product_upsert");

	InitCheckedSql();
	InitTargetCache();
	InitKeyLocks();
	InitGuardStore();
}

/* Returns the payload, argument n: 22004 if it is NULL. */
static Jsonb *
GetPayload(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		RejectNull("payload");
	return PG_GETARG_JSONB_P(n);
}

/* Returns the option, argument n, or NULL. */
static Jsonb *
GetOption(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);
}

/* Returns the name, argument n, or NULL. */
static const char *
GetOptionalName(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : NameStr(*PG_GETARG_NAME(n));
}

/* Returns whether to report failures, argument n: 22023 if that says neither this nor to stop. */
static bool
ReportsFailures(FunctionCallInfo fcinfo, int n)
{
	const char *on_error = PG_ARGISNULL(n) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(n));

	if (strcmp(on_error, "stop") != 0 && strcmp(on_error, "report") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_error must be \"stop\" or \"report\"")));
	return strcmp(on_error, "report") == 0;
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
	const GivenOptions none = {0};

	PG_RETURN_JSONB_P(UpsertPayload(DEFAULT_TABLE, GetPayload(fcinfo, 0), &none));
}

/*
 * product_upsert(target regclass, payload jsonb, if_match jsonb, on_create jsonb, newer_by name,
 *				  on_error text) returns jsonb
 */
Datum
product_upsert_target(PG_FUNCTION_ARGS)
{
	Oid			target = GetRelation(fcinfo, 0, "target");
	const GivenOptions given = {
		.if_match = GetOption(fcinfo, 2),
		.on_create = GetOption(fcinfo, 3),
		.newer_by = GetOptionalName(fcinfo, 4),
		.reports = ReportsFailures(fcinfo, 5),
	};

	PG_RETURN_JSONB_P(UpsertPayload(target, GetPayload(fcinfo, 1), &given));
}

/*
 * product_upsert_shard(target regclass, distribution_value anyelement, payload jsonb, if_match jsonb,
 *						on_create jsonb, newer_by name, on_error text) returns jsonb
 */
Datum
product_upsert_shard(PG_FUNCTION_ARGS)
{
	Oid			target = GetRelation(fcinfo, 0, "target");
	const GivenOptions given = {
		.if_match = GetOption(fcinfo, 3),
		.on_create = GetOption(fcinfo, 4),
		.newer_by = GetOptionalName(fcinfo, 5),
		.reports = ReportsFailures(fcinfo, 6),
	};

	if (PG_ARGISNULL(1))
		RejectNull("distribution_value");
	PG_RETURN_JSONB_P(UpsertShard(target, PG_GETARG_DATUM(1), get_fn_expr_argtype(fcinfo->flinfo, 1),
								  GetPayload(fcinfo, 2), &given));
}

/*
 * product_upsert_from(source regclass, target regclass, on_create jsonb, newer_by name, rejects regclass,
 *					   OUT created bigint, OUT updated bigint, OUT unchanged bigint, OUT stale bigint,
 *					   OUT rejected bigint)
 */
Datum
product_upsert_from(PG_FUNCTION_ARGS)
{
	Oid			source = GetRelation(fcinfo, 0, "source");
	Oid			target = PG_ARGISNULL(1) ? DEFAULT_TABLE : GetRelation(fcinfo, 1, "target");
	const GivenOptions given = {
		.on_create = GetOption(fcinfo, 2),
		.newer_by = GetOptionalName(fcinfo, 3),
	};
	Oid			rejects = PG_ARGISNULL(4) ? InvalidOid : GetRelation(fcinfo, 4, "rejects");
	LoadCounts	counts;
	TupleDesc	desc;
	Datum		values[5];
	bool		nulls[5] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	counts = UpsertFrom(source, target, &given, rejects);
	values[0] = Int64GetDatum(counts.actions[ACTION_CREATED]);
	values[1] = Int64GetDatum(counts.actions[ACTION_UPDATED]);
	values[2] = Int64GetDatum(counts.actions[ACTION_UNCHANGED]);
	values[3] = Int64GetDatum(counts.actions[ACTION_STALE]);
	values[4] = Int64GetDatum(counts.rejected);
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
 * product_upsert_protect(target regclass, key name[], condition text,
 *						  OUT lookup_index regclass, OUT duplicate_keys bigint)
 */
Datum
product_upsert_protect(PG_FUNCTION_ARGS)
{
	Oid			target = GetRelation(fcinfo, 0, "target");
	const char *condition = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	int64		duplicate_keys;
	Oid			index;
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false};

	if (PG_ARGISNULL(1))
		RejectNull("key");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	index = ProtectTable(target, PG_GETARG_ARRAYTYPE_P(1), condition, fcinfo->flinfo->fn_oid,
						 &duplicate_keys);
	values[0] = ObjectIdGetDatum(index);
	nulls[0] = !OidIsValid(index);
	values[1] = Int64GetDatum(duplicate_keys);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * product_upsert_unprotect(target regclass) returns void
 */
Datum
product_upsert_unprotect(PG_FUNCTION_ARGS)
{
	UnprotectTable(GetRelation(fcinfo, 0, "target"));
	PG_RETURN_VOID();
}

/*
 * product_upsert_duplicates(target regclass) returns table (key jsonb, copies bigint, rows jsonb)
 */
Datum
product_upsert_duplicates(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			target = GetRelation(fcinfo, 0, "target");

	InitMaterializedSRF(fcinfo, 0);
	ListDuplicates(target, result->setResult, result->econtext->ecxt_per_query_memory);
	return (Datum) 0;
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
 * product_upsert_key(target regclass) returns name[]
 */
Datum
product_upsert_key(PG_FUNCTION_ARGS)
{
	PG_RETURN_ARRAYTYPE_P(KeyColumns(GetRelation(fcinfo, 0, "target")));
}

/*
 * product_upsert_condition(target regclass) returns text
 */
Datum
product_upsert_condition(PG_FUNCTION_ARGS)
{
	const char *condition = KeyConditionText(GetRelation(fcinfo, 0, "target"));

	if (condition == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(condition));
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

/* Returns whether to keep the newest row, argument 1: 22023 if that says neither this nor that. */
static bool
KeepsNewest(FunctionCallInfo fcinfo)
{
	const char *keep = PG_ARGISNULL(1) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(1));

	if (strcmp(keep, "oldest") != 0 && strcmp(keep, "newest") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("keep must be \"oldest\" or \"newest\"")));
	return strcmp(keep, "newest") == 0;
}

/*
 * product_upsert_merge_duplicates(target regclass, keep text, dry_run boolean, max_keys integer)
 *		returns table (key jsonb, kept jsonb, removed jsonb, references_moved bigint, filled name[])
 */
Datum
product_upsert_merge_duplicates(PG_FUNCTION_ARGS)
{
	Oid			target = GetRelation(fcinfo, 0, "target");
	MergeOptions options = {.newest = KeepsNewest(fcinfo)};

	if (PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dry_run must be true or false")));
	options.dry_run = PG_GETARG_BOOL(2);
	options.max_keys = PG_ARGISNULL(3) ? NO_MAX_KEYS : PG_GETARG_INT32(3);
	if (!PG_ARGISNULL(3) && options.max_keys < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_keys must be at least 1")));

	InitMaterializedSRF(fcinfo, 0);
	MergeDuplicates(target, &options, (ReturnSetInfo *) fcinfo->resultinfo);
	return (Datum) 0;
}
