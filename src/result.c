/*
 * result.c
 *		What became of a payload, as jsonb and as an HTTP status.
 *
 * A row is spelled exactly as to_jsonb() spells it.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "column.h"
#include "jsonbwriter.h"
#include "result.h"
#include "row.h"

int			result_detail = RESULT_FULL;
bool		http_status = false;

static const char *const action_names[] = {
	[ACTION_CREATED] = "created",
	[ACTION_UPDATED] = "updated",
	[ACTION_UNCHANGED] = "unchanged",
	[ACTION_STALE] = "stale",
	[ACTION_SKIPPED] = "skipped",
};

static void
WriteLiteral(JsonbWriter *writer, JsonbNode *node, const char *string)
{
	WriteString(writer, node, string, strlen(string));
}

static void
WriteName(JsonbWriter *writer, JsonbNode *node, const Column *column)
{
	WriteString(writer, node, column->name, column->name_length);
}

static void
WriteColumn(JsonbWriter *writer, JsonbNode *node, Column *column, const Datum *values,
			const bool *isnull)
{
	int			index = column->attnum - 1;
	JsonbValue	value;

	FieldFromValue(column, values[index], isnull[index], &value);
	WriteValue(writer, node, &value);
}

/* {row}, as an element of parent, or the root if that is NULL */
void
WriteRow(JsonbWriter *writer, JsonbNode *parent, Target *target, const Datum *values,
		 const bool *isnull)
{
	JsonbNode	object = BeginObject(writer, target->ncolumns);

	for (int i = 0; i < target->ncolumns; i++)
		WriteName(writer, &object, &target->columns[i]);
	for (int i = 0; i < target->ncolumns; i++)
		WriteColumn(writer, &object, &target->columns[i], values, isnull);
	EndNode(writer, &object, parent);
}

/* The same of the key's columns alone, as the root. */
void
WriteKey(JsonbWriter *writer, Target *target, const Datum *values, const bool *isnull)
{
	JsonbNode	object = BeginObject(writer, bms_num_members(target->key_columns));

	for (int i = 0; i < target->ncolumns; i++)
	{
		if (bms_is_member(target->columns[i].attnum, target->key_columns))
			WriteName(writer, &object, &target->columns[i]);
	}
	for (int i = 0; i < target->ncolumns; i++)
	{
		if (bms_is_member(target->columns[i].attnum, target->key_columns))
			WriteColumn(writer, &object, &target->columns[i], values, isnull);
	}
	EndNode(writer, &object, NULL);
}

static bool
IsColumnChanged(const Target *target, const Column *column, const Outcome *outcome)
{
	return !SameImage(target, column->attnum,
					  outcome->previous->tts_values, outcome->previous->tts_isnull,
					  outcome->product->tts_values, outcome->product->tts_isnull);
}

/* The old value of every column whose stored value changed. */
static void
WritePrevious(JsonbWriter *writer, JsonbNode *parent, Target *target, const Outcome *outcome)
{
	Column	  **changed = palloc(target->ncolumns * sizeof(Column *));
	int			nchanged = 0;
	JsonbNode	object;

	for (int i = 0; i < target->ncolumns; i++)
	{
		if (IsColumnChanged(target, &target->columns[i], outcome))
			changed[nchanged++] = &target->columns[i];
	}
	object = BeginObject(writer, nchanged);
	for (int i = 0; i < nchanged; i++)
		WriteName(writer, &object, changed[i]);
	for (int i = 0; i < nchanged; i++)
		WriteColumn(writer, &object, changed[i], outcome->previous->tts_values,
					outcome->previous->tts_isnull);
	EndNode(writer, &object, parent);
}

/* {row} or null, as an element of parent */
static void
WriteProduct(JsonbWriter *writer, JsonbNode *parent, Target *target, const Outcome *outcome)
{
	JsonbValue	null = {.type = jbvNull};

	if (outcome->product)
		WriteRow(writer, parent, target, outcome->product->tts_values, outcome->product->tts_isnull);
	else
		WriteValue(writer, parent, &null);
}

/* Is the row as it was, because it need not or must not be written? */
static bool
IsAsItWas(const Outcome *outcome)
{
	return outcome->action == ACTION_UNCHANGED || outcome->action == ACTION_STALE;
}

/*
 * {"action": ..., "product": {row} or null, "previous": {...} with "updated" alone}, as an
 * element of parent, or the root if that is NULL; of the last two, only what result_detail
 * asks for
 */
void
WriteOutcome(JsonbWriter *writer, JsonbNode *parent, Target *target, const Outcome *outcome)
{
	bool		product = result_detail == RESULT_FULL ||
		(result_detail == RESULT_CHANGES && !IsAsItWas(outcome));
	bool		previous = product && outcome->previous;
	JsonbNode	object = BeginObject(writer, 1 + product + previous);

	WriteLiteral(writer, &object, "action");
	if (product)
		WriteLiteral(writer, &object, "product");
	if (previous)
		WriteLiteral(writer, &object, "previous");

	WriteLiteral(writer, &object, action_names[outcome->action]);
	if (product)
		WriteProduct(writer, &object, target, outcome);
	if (previous)
		WritePrevious(writer, &object, target, outcome);
	EndNode(writer, &object, parent);
}

static void
WriteLiteralOrNull(JsonbWriter *writer, JsonbNode *node, const char *string)
{
	JsonbValue	null = {.type = jbvNull};

	if (string)
		WriteLiteral(writer, node, string);
	else
		WriteValue(writer, node, &null);
}

/* The field at fault: the one that was being converted, or that of the column which the error is about. */
static const char *
FieldAtFault(const Target *target, const Failure *failure)
{
	const ErrorData *error = failure->error;

	if (failure->field)
		return failure->field;
	if (error->table_name && strcmp(error->table_name, target->name) != 0)
		return NULL;
	return error->column_name;
}

/* {"hint": ..., "field": ..., ...}: all that a program may want of an error, null where there is nothing */
static void
WriteError(JsonbWriter *writer, JsonbNode *parent, const Target *target, const Failure *failure)
{
	const ErrorData *error = failure->error;
	const struct
	{
		const char *name;
		const char *value;
	}			fields[] =
	{
		{"hint", error->hint},
		{"field", FieldAtFault(target, failure)},
		{"column", error->column_name},
		{"detail", error->detail},
		{"message", error->message},
		{"sqlstate", unpack_sql_state(error->sqlerrcode)},
		{"constraint", error->constraint_name},
	};
	JsonbNode	object = BeginObject(writer, lengthof(fields));

	for (int i = 0; i < (int) lengthof(fields); i++)
		WriteLiteral(writer, &object, fields[i].name);
	for (int i = 0; i < (int) lengthof(fields); i++)
		WriteLiteralOrNull(writer, &object, fields[i].value);
	EndNode(writer, &object, parent);
}

/* {"error": {...}, "action": "failed"}, as an element of parent, or the root if that is NULL */
void
WriteFailure(JsonbWriter *writer, JsonbNode *parent, const Target *target, const Failure *failure)
{
	JsonbNode	object = BeginObject(writer, 2);

	WriteLiteral(writer, &object, "error");
	WriteLiteral(writer, &object, "action");
	WriteError(writer, &object, target, failure);
	WriteLiteral(writer, &object, "failed");
	EndNode(writer, &object, parent);
}

/*
 * Sets the status of the HTTP response where PostgREST looks for it before it commits: 201 if
 * a row was created, else 200. As by SET LOCAL, so that it ends with the transaction and
 * whoever uses the session next does not find it.
 */
void
SetHttpStatus(bool created)
{
	(void) set_config_option("response.status", created ? "201" : "200",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}
