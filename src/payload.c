/*
 * payload.c
 *		From the jsonb arguments of a call to rows with a key.
 *
 * All of it lives in the memory context that is current, that of the call.
 */
#include "postgres.h"

#include "miscadmin.h"

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
RejectValue(const char *what, JsonbValue *value)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s", what),
			 value->type == jbvString
			 ? errdetail("It is a string; it may have been encoded twice.")
			 : errdetail("It is of type %s.", JsonbTypeName(value))));
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

static void
ReadElements(Payload *payload, Jsonb *argument, Position *position)
{
	JsonbIterator *iterator = JsonbIteratorInit(&argument->root);
	JsonbIteratorToken token;
	JsonbValue	element;

	position->element = 0;
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (element.type != jbvBinary || !JsonContainerIsObject(element.val.binary.data))
			RejectValue("payload element is not an object", &element);
		payload->objects[position->element++] = element;
	}
	position->element = -1;
}

/* The payload is an object, or an array of objects: 22023 otherwise. */
void
ReadPayload(Payload *payload, Jsonb *argument, Position *position)
{
	payload->is_array = JB_ROOT_IS_ARRAY(argument) && !JB_ROOT_IS_SCALAR(argument);
	if (!payload->is_array && !JB_ROOT_IS_OBJECT(argument))
		RejectNoObject("payload must be an object or an array of objects", argument);

	payload->nrows = payload->is_array ? JB_ROOT_COUNT(argument) : 1;
	payload->objects = palloc(payload->nrows * sizeof(JsonbValue));
	if (payload->is_array)
		ReadElements(payload, argument, position);
	else
		payload->objects[0] = BinaryValue(argument);
}

/* Makes a row with its whole key, and the key's hash, of every object. */
void
ReadRows(Payload *payload, Target *target, Position *position)
{
	payload->rows = palloc(payload->nrows * sizeof(PackedRow *));
	payload->row = MakeRow(target);
	payload->hashes = palloc(payload->nrows * sizeof(uint32));
	for (int i = 0; i < payload->nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (payload->is_array)
			position->element = i;
		ReadFields(payload->row, target, &payload->objects[i], unknown_fields, position);
		CompleteKey(target, payload->row);
		payload->hashes[i] = HashKeyForLock(target, payload->row);
		payload->rows[i] = PackRow(target, payload->row, i > 0 ? payload->rows[i - 1] : NULL);
	}
	position->element = -1;
}

/* Returns the nth row, until the next is taken. */
const Row *
TakeRow(const Payload *payload, const Target *target, int n)
{
	UnpackRow(payload->row, target, payload->rows[n]);
	return payload->row;
}

/*
 * Makes a row of if_match; NULL stays NULL. An unknown field is an error here in
 * any case: ignored, it would be a condition that always holds.
 */
Row *
ReadIfMatch(const Payload *payload, Jsonb *argument, const Target *target, Position *position)
{
	JsonbValue	object;
	Row		   *row;

	if (argument == NULL)
		return NULL;
	if (payload->is_array)
		RejectArgument("if_match needs a payload that is a single object");
	if (!JB_ROOT_IS_OBJECT(argument))
		RejectNoObject("if_match must be an object", argument);
	object = BinaryValue(argument);
	position->in_if_match = true;
	row = MakeRow(target);
	ReadFields(row, target, &object, UNKNOWN_FIELDS_ERROR, position);
	position->in_if_match = false;
	return row;
}

/* Returns the columns that any of the rows gives. */
Bitmapset *
GivenColumns(const Payload *payload)
{
	Bitmapset  *given = NULL;

	for (int i = 0; i < payload->nrows; i++)
		given = bms_add_members(given, payload->rows[i]->given);
	return given;
}

/* Error context callback: what in the arguments the error is about. */
void
DescribePosition(void *arg)
{
	const Position *position = arg;

	if (position->in_if_match && position->field)
		errcontext("field \"%s\" of if_match", position->field);
	else if (position->in_if_match)
		errcontext("if_match");
	else if (position->element >= 0 && position->field)
		errcontext("field \"%s\" of payload element %d", position->field, position->element);
	else if (position->element >= 0)
		errcontext("payload element %d", position->element);
	else if (position->field)
		errcontext("field \"%s\" of the payload", position->field);
}
