/*
 * result.c
 *		What became of a payload, as jsonb.
 */
#include "postgres.h"

#include "result.h"

static const char *const action_names[] = {
	[ACTION_CREATED] = "created",
	[ACTION_UPDATED] = "updated",
	[ACTION_UNCHANGED] = "unchanged",
	[ACTION_SKIPPED] = "skipped",
};

static void
PushKey(JsonbParseState **state, const char *name)
{
	JsonbValue	key = {
		.type = jbvString,
		.val.string.val = unconstify(char *, name),
		.val.string.len = strlen(name),
	};

	pushJsonbValue(state, WJB_KEY, &key);
}

static void
PushString(JsonbParseState **state, const char *text)
{
	JsonbValue	value = {
		.type = jbvString,
		.val.string.val = unconstify(char *, text),
		.val.string.len = strlen(text),
	};

	pushJsonbValue(state, WJB_VALUE, &value);
}

static void
PushJsonb(JsonbParseState **state, JsonbIteratorToken token, Jsonb *jsonb)
{
	JsonbValue	value = {
		.type = jbvBinary,
		.val.binary.data = &jsonb->root,
		.val.binary.len = VARSIZE(jsonb) - VARHDRSZ,
	};

	pushJsonbValue(state, token, &value);
}

/* "name": value */
static void
PushColumn(JsonbParseState **state, Column *column, TupleTableSlot *slot)
{
	JsonbValue	value;

	PushKey(state, column->name);
	FieldFromValue(column, slot->tts_values[column->attnum - 1], slot->tts_isnull[column->attnum - 1],
				   &value);
	pushJsonbValue(state, WJB_VALUE, &value);
}

static void
PushProduct(JsonbParseState **state, Target *target, TupleTableSlot *product)
{
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < target->ncolumns; i++)
		PushColumn(state, &target->columns[i], product);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* The old value of every column whose stored value changed. */
static void
PushPrevious(JsonbParseState **state, Target *target, const Outcome *outcome)
{
	TupleTableSlot *before = outcome->previous;
	TupleTableSlot *after = outcome->product;

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < target->ncolumns; i++)
	{
		Column	   *column = &target->columns[i];

		if (!SameImage(target, column->attnum, before->tts_values, before->tts_isnull,
					   after->tts_values, after->tts_isnull))
			PushColumn(state, column, before);
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* {"action": ..., "product": {row} or null, "previous": {...} with "updated" alone} */
Jsonb *
OutcomeToJsonb(Target *target, const Outcome *outcome)
{
	JsonbParseState *state = NULL;
	JsonbValue	null = {.type = jbvNull};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	PushKey(&state, "action");
	PushString(&state, action_names[outcome->action]);
	PushKey(&state, "product");
	if (outcome->product)
		PushProduct(&state, target, outcome->product);
	else
		pushJsonbValue(&state, WJB_VALUE, &null);
	if (outcome->previous)
	{
		PushKey(&state, "previous");
		PushPrevious(&state, target, outcome);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

Jsonb *
ArrayOfResults(Jsonb **results, int nresults)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < nresults; i++)
		PushJsonb(&state, WJB_ELEM, results[i]);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}
