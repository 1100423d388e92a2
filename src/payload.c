/*
 * payload.c
 *		From the jsonb arguments of a call to rows with a key.
 *
 * All of it lives in the memory context that is current, that of the call.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/typcache.h"

#include "keyhash.h"
#include "payload.h"
#include "row.h"

int			unknown_fields = UNKNOWN_FIELDS_ERROR;

static void
RejectArgument(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s", what)));
}

/* Raises 22004. */
void
RejectNull(const char *argument)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("%s must not be null", argument)));
}

static void
RejectValue(const char *what, const JsonbValue *value)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s", what),
			 value->type == jbvString
			 ? errdetail("It is a string; it may have been encoded twice.")
			 : errdetail("It is of type %s.", JsonbTypeName(unconstify(JsonbValue *, value)))));
}

static void
RejectNoObject(const char *what, Jsonb *argument)
{
	JsonbValue	value;

	/* What is no scalar, it tells the type of. */
	(void) JsonbExtractScalar(&argument->root, &value);
	RejectValue(what, &value);
}

/* A jsonb object or array as it is within another. */
static JsonbValue
BinaryValue(Jsonb *jsonb)
{
	return (JsonbValue)
	{
		.type = jbvBinary,
		.val.binary.data = &jsonb->root,
		.val.binary.len = VARSIZE(jsonb) - VARHDRSZ,
	};
}

/* -- options ------------------------------------------------------------------ */

/* if_match is about one row. */
void
RejectArrayWithIfMatch(const Payload *payload, const GivenOptions *given)
{
	if (payload->is_array && given->if_match)
		RejectArgument("if_match needs a payload that is a single object");
}

/*
 * Makes a row of an object that is an option; NULL stays NULL. An unknown field is an error here
 * in any case: ignored, it would be a condition that always holds, or a value that is never stored.
 */
static Row *
ReadObject(Jsonb *argument, const char *name, const Target *target, Position *position)
{
	JsonbValue	object;
	Row		   *row;

	if (argument == NULL)
		return NULL;
	if (!JB_ROOT_IS_OBJECT(argument))
		RejectNoObject(psprintf("%s must be an object", name), argument);
	object = BinaryValue(argument);
	position->argument = name;
	row = MakeRow(target);
	ReadFields(row, target, &object, UNKNOWN_FIELDS_ERROR, position);
	position->argument = NULL;
	return row;
}

/* A row is created with the key that it is looked for by. */
static void
RejectKeyFields(const Target *target, const Row *on_create)
{
	Bitmapset  *key = bms_union(target->key_columns, target->key_fields);

	key = bms_int_members(key, on_create->given);
	if (!bms_is_empty(key))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_create must not have key field \"%s\"",
						NameStr(TupleDescAttr(target->desc, bms_next_member(key, -1) - 1)->attname)),
				 errdetail("The key of table \"%s\" is (%s).", target->name, KeyColumnList(target))));
}

/* What all payloads that find a row have in common with it, or is not theirs to give, makes none newer. */
static void
RejectConstantColumn(const Target *target, const Column *column)
{
	if (!bms_is_member(column->attnum, target->key_columns) &&
		!bms_is_member(column->attnum, target->key_fields) &&
		!bms_is_member(column->attnum, target->read_only_columns))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("newer_by must not be column \"%s\"", column->name),
			 errdetail("It belongs to the key, or PostgreSQL generates it.")));
}

/* Makes out how values of the column are compared; NULL stays NULL. */
static NewerBy *
ReadNewerBy(const char *name, const Target *target, Position *position)
{
	NewerBy    *newer_by;
	TypeCacheEntry *type;

	if (name == NULL)
		return NULL;
	position->argument = "newer_by";
	newer_by = palloc0(sizeof(NewerBy));
	newer_by->column = FindColumn(target, name, strlen(name));
	if (newer_by->column == NULL)
		ReportUnknownFields(target, list_make1(unconstify(char *, name)));
	RejectConstantColumn(target, newer_by->column);
	newer_by->collation = TupleDescAttr(target->desc, newer_by->column->attnum - 1)->attcollation;

	type = lookup_type_cache(newer_by->column->base_type, TYPECACHE_CMP_PROC_FINFO);
	if (!OidIsValid(type->cmp_proc))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("values of column \"%s\" of type %s have no order", name,
						format_type_be(newer_by->column->type)),
				 errdetail("The type has no default btree operator class.")));
	fmgr_info_copy(&newer_by->compare, &type->cmp_proc_finfo, CurrentMemoryContext);
	position->argument = NULL;
	return newer_by;
}

/* What on_create stores in its place would not be what is compared the next time. */
static void
RejectNewerByOnCreate(const Options *options)
{
	const NewerBy *newer_by = options->newer_by;

	if (newer_by && options->on_create && bms_is_member(newer_by->column->attnum, options->on_create->given))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_create must not have field \"%s\", which newer_by names", newer_by->column->name)));
}

/* Makes of the options what rows are upserted with; position tells which one meanwhile. */
void
ReadOptions(Options *options, const GivenOptions *given, const Target *target, Position *position)
{
	options->if_match = ReadObject(given->if_match, "if_match", target, position);
	options->on_create = ReadObject(given->on_create, "on_create", target, position);
	options->newer_by = ReadNewerBy(given->newer_by, target, position);
	options->shard = given->shard;
	if (options->on_create)
		RejectKeyFields(target, options->on_create);
	RejectNewerByOnCreate(options);
}

/* What is compared must be given: raises 22023. */
void
RequireNewerBy(const Options *options, const Target *target, const Bitmapset *given)
{
	const NewerBy *newer_by = options->newer_by;

	if (newer_by == NULL || bms_is_member(newer_by->column->attnum, given))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("field \"%s\" is missing", newer_by->column->name),
			 errdetail("Rows of table \"%s\" are to be newer by it.", target->name),
			 err_generic_string(PG_DIAG_COLUMN_NAME, newer_by->column->name)));
}

/* -- the payload -------------------------------------------------------------- */

static void
ReadElements(Payload *payload, Jsonb *argument)
{
	JsonbIterator *iterator = JsonbIteratorInit(&argument->root);
	JsonbIteratorToken token;
	JsonbValue	element;
	int			nelements = 0;

	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM)
			payload->objects[nelements++] = element;
	}
}

/* The payload is an object, or an array: 22023 otherwise. */
void
ReadPayload(Payload *payload, Jsonb *argument)
{
	payload->is_array = JB_ROOT_IS_ARRAY(argument) && !JB_ROOT_IS_SCALAR(argument);
	if (!payload->is_array && !JB_ROOT_IS_OBJECT(argument))
		RejectNoObject("payload must be an object or an array of objects", argument);

	payload->nrows = payload->is_array ? JB_ROOT_COUNT(argument) : 1;
	payload->objects = palloc(payload->nrows * sizeof(JsonbValue));
	if (payload->is_array)
		ReadElements(payload, argument);
	else
		payload->objects[0] = BinaryValue(argument);
}

/* Gets ready for ReadRow(). */
void
BeginRows(Payload *payload, const Target *target)
{
	payload->rows = palloc0(payload->nrows * sizeof(PackedRow *));
	payload->row = MakeRow(target);
	payload->hashes = palloc(payload->nrows * sizeof(uint32));
}

/* Makes a row with its whole key, and the key's hash, of the nth object: 22023 if it is none. */
void
ReadRow(Payload *payload, int n, Target *target, const Options *options, Position *position)
{
	const JsonbValue *object = &payload->objects[n];

	CHECK_FOR_INTERRUPTS();
	payload->rows[n] = NULL;
	if (payload->is_array)
		position->element = n;
	if (object->type != jbvBinary || !JsonContainerIsObject(object->val.binary.data))
		RejectValue("payload element is not an object", object);
	ReadFields(payload->row, target, object, unknown_fields, position);
	CompleteKey(target, payload->row);
	RequireNewerBy(options, target, payload->row->given);
	RememberHash(target, payload->row);
	payload->hashes[n] = HashKeyForLock(target, payload->row);
	payload->rows[n] = PackRow(target, payload->row, n > 0 ? payload->rows[n - 1] : NULL);
	position->element = -1;
}

/* Leaves the hashes of those rows alone that could be read, and returns their number. */
int
CollectHashes(Payload *payload)
{
	int			nhashes = 0;

	for (int i = 0; i < payload->nrows; i++)
	{
		if (payload->rows[i])
			payload->hashes[nhashes++] = payload->hashes[i];
	}
	return nhashes;
}

/* Returns the nth row, until the next is taken. */
const Row *
TakeRow(const Payload *payload, const Target *target, int n)
{
	UnpackRow(payload->row, target, payload->rows[n]);
	return payload->row;
}

/* Returns the columns that any of the rows gives. */
Bitmapset *
GivenColumns(const Payload *payload)
{
	Bitmapset  *given = NULL;

	for (int i = 0; i < payload->nrows; i++)
	{
		if (payload->rows[i])
			given = bms_add_members(given, payload->rows[i]->given);
	}
	return given;
}

/* Adds to an error's context what in the arguments it is about. */
void
DescribePosition(const Position *position)
{
	if (position->argument && position->field)
		errcontext("field \"%s\" of %s", position->field, position->argument);
	else if (position->argument)
		errcontext("%s", position->argument);
	else if (position->element >= 0 && position->field)
		errcontext("field \"%s\" of payload element %d", position->field, position->element);
	else if (position->element >= 0)
		errcontext("payload element %d", position->element);
	else if (position->field)
		errcontext("field \"%s\" of the payload", position->field);
}
