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

/* to_jsonb(row): the one spelling that PostgreSQL has for it. */
static Jsonb *
RowToJsonb(Target *target, const StoredRow *row)
{
	return DatumGetJsonbP(FunctionCall1(&target->to_jsonb, row->composite));
}

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

/* The old value of every column whose stored value changed. */
static void
PushPrevious(JsonbParseState **state, Target *target, const Outcome *outcome)
{
	const StoredRow *before = &outcome->previous;
	const StoredRow *after = &outcome->product;
	Jsonb	   *row = RowToJsonb(target, before);

	PushKey(state, "previous");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < target->ncolumns; i++)
	{
		const Column *column = &target->columns[i];
		JsonbValue *value;

		if (SameImage(target, column->attnum, before->values, before->isnull,
					  after->values, after->isnull))
			continue;
		value = getKeyJsonValueFromContainer(&row->root, column->name, column->name_length, NULL);
		PushKey(state, column->name);
		pushJsonbValue(state, WJB_VALUE, value);
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
	if (outcome->product.composite != (Datum) 0)
		PushJsonb(&state, WJB_VALUE, RowToJsonb(target, &outcome->product));
	else
		pushJsonbValue(&state, WJB_VALUE, &null);
	if (outcome->action == ACTION_UPDATED)
		PushPrevious(&state, target, outcome);
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
