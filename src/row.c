/*
 * row.c
 *		From the fields of a payload to a row of typed values, and what can be
 *		asked of such a row.
 *
 * A row lives in the memory context that is current when it is made.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "utils/varlena.h"

#include "column.h"
#include "compat.h"
#include "payload.h"
#include "row.h"
#include "target.h"

/* A name is near enough to suggest if it is at most this many edits, and half its length, away. */
#define MAX_SUGGESTION_DISTANCE		3

/* An error shows at most this many names. */
#define MAX_NAMES_SHOWN		8

/* Returns the column whose name is nearest to a field that is none, or NULL. */
static const Column *
NearestColumn(const Target *target, const char *name, int length)
{
	const Column *nearest = NULL;
	int			limit = Min(MAX_SUGGESTION_DISTANCE, length / 2);

	if (length >= NAMEDATALEN)
		return NULL;
	for (int i = 0; i < target->ncolumns; i++)
	{
		const Column *column = &target->columns[i];
		int			distance = varstr_levenshtein_less_equal(name, length,
															 column->name, column->name_length,
															 1, 1, 1, limit, true);

		if (distance <= limit)
		{
			nearest = column;
			limit = distance - 1;
		}
		if (limit < 0)
			break;
	}
	return nearest;
}

/* Returns as much of the name as a column's may have. */
static char *
ClipName(const char *name)
{
	return pnstrdup(name, pg_mbcliplen(name, strlen(name), NAMEDATALEN - 1));
}

/* Appends the first of the names, quoted and clipped, and how many are left out. */
static void
AppendNames(StringInfo text, List *names)
{
	ListCell   *cell;

	foreach(cell, names)
	{
		const char *name = lfirst(cell);
		const char *clipped = ClipName(name);

		if (foreach_current_index(cell) == MAX_NAMES_SHOWN)
		{
			appendStringInfo(text, " and %d more", list_length(names) - MAX_NAMES_SHOWN);
			break;
		}
		appendStringInfo(text, "%s\"%s%s\"", foreach_current_index(cell) > 0 ? ", " : "",
						 clipped, strlen(clipped) < strlen(name) ? "..." : "");
	}
}

/* Returns the columns whose names are near to the first of the fields, as quoted names; "" if there are none. */
static char *
SuggestColumns(const Target *target, List *names)
{
	StringInfoData suggestions;
	ListCell   *cell;

	initStringInfo(&suggestions);
	foreach(cell, names)
	{
		const char *name = lfirst(cell);
		const Column *nearest;

		if (foreach_current_index(cell) == MAX_NAMES_SHOWN)
			break;
		nearest = NearestColumn(target, name, strlen(name));
		if (nearest)
			appendStringInfo(&suggestions, "%s\"%s\"", suggestions.len > 0 ? ", " : "", nearest->name);
	}
	return suggestions.data;
}

/* Raises 42703 for fields that are no columns, whose names are given in full. */
void
ReportUnknownFields(const Target *target, List *names)
{
	StringInfoData fields;
	const char *suggestions = SuggestColumns(target, names);

	initStringInfo(&fields);
	AppendNames(&fields, names);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg_plural("field %s is not a column of table \"%s\"",
						   "fields %s are not columns of table \"%s\"",
						   list_length(names), fields.data, target->name),
			 suggestions[0] != '\0' ? errhint("Perhaps you meant %s.", suggestions) : 0,
			 err_generic_string(PG_DIAG_COLUMN_NAME, ClipName(linitial(names)))));
}

/*
 * Returns the column of that name, or NULL. Fields come in the order in which the
 * target keeps its columns, so the search goes on from where it was.
 */
static Column *
NextColumn(const Target *target, const JsonbValue *name, int *position)
{
	while (*position < target->ncolumns)
	{
		Column	   *column = &target->columns[*position];
		int			order = CompareNames(name->val.string.val, name->val.string.len,
										 column->name, column->name_length);

		if (order < 0)
			return NULL;
		(*position)++;
		if (order == 0)
			return column;
	}
	return NULL;
}

/* Makes a row of NULLs, none of them given. */
Row *
MakeRow(const Target *target)
{
	int			natts = target->desc->natts;
	Row		   *row = palloc(sizeof(Row));

	row->values = palloc0(natts * sizeof(Datum));
	row->isnull = palloc(natts * sizeof(bool));
	memset(row->isnull, true, natts * sizeof(bool));
	row->given = NULL;
	row->hashed = false;
	return row;
}

/* Makes it a row of NULLs again, none of them given. */
static void
ClearRow(Row *row, const Target *target)
{
	memset(row->isnull, true, target->desc->natts * sizeof(bool));
	row->given = NULL;
	row->hashed = false;
}

/*
 * Sets the row to the fields of object, a jsonb object in binary form. Errors: 42703
 * for a field that is no column, unless those are to be ignored, and whatever the
 * conversion of a value raises. *position tells the field meanwhile.
 */
void
ReadFields(Row *row, const Target *target, const JsonbValue *object, UnknownFields unknown_fields,
		   Position *position)
{
	JsonbIterator *iterator = JsonbIteratorInit(object->val.binary.data);
	JsonbValue	field;
	const bool	in_use = target->users > 1;	/* as by the call whose domain check makes this one */
	int			next = 0;
	List	   *unknown = NIL;

	ClearRow(row, target);
	(void) JsonbIteratorNext(&iterator, &field, true);
	while (JsonbIteratorNext(&iterator, &field, true) == WJB_KEY)
	{
		Column	   *column = NextColumn(target, &field, &next);

		if (column == NULL && unknown_fields == UNKNOWN_FIELDS_ERROR)
			unknown = lappend(unknown, pnstrdup(field.val.string.val, field.val.string.len));
		(void) JsonbIteratorNext(&iterator, &field, true);
		if (column == NULL)
			continue;
		position->field = column->name;
		row->values[column->attnum - 1] = ValueFromField(column, object, &field, in_use,
														 &row->isnull[column->attnum - 1]);
		position->field = NULL;
		row->given = bms_add_member(row->given, column->attnum);
	}
	if (unknown)
		ReportUnknownFields(target, unknown);
}

/* The key must be known before anything is looked up: raises 22023 naming what is missing. */
void
RequireKeyFields(const Target *target, const Bitmapset *given)
{
	Bitmapset  *missing;
	const char *first;
	StringInfoData names;
	int			attnum = -1;

	if (bms_is_subset(target->key_fields, given))
		return;
	missing = bms_difference(target->key_fields, given);
	first = NameStr(TupleDescAttr(target->desc, bms_next_member(missing, -1) - 1)->attname);
	initStringInfo(&names);
	while ((attnum = bms_next_member(missing, attnum)) >= 0)
		appendStringInfo(&names, "%s\"%s\"", names.len > 0 ? ", " : "",
						 NameStr(TupleDescAttr(target->desc, attnum - 1)->attname));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg_plural("key field %s is missing", "key fields %s are missing",
						   bms_num_members(missing), names.data),
			 errdetail("The key of table \"%s\" is (%s).", target->name, KeyColumnList(target)),
			 err_generic_string(PG_DIAG_COLUMN_NAME, first)));
}

/* A given value of a generated column must be the one that PostgreSQL will store. */
static void
CheckGivenGenerated(const KeyColumn *key, const Target *target, const Row *row,
					Datum value, bool isnull)
{
	Form_pg_attribute attribute = TupleDescAttr(target->desc, key->column->attnum - 1);
	int			index = key->column->attnum - 1;

	if (isnull == row->isnull[index] &&
		(isnull || EqualImages(value, row->values[index], attribute->attbyval, attribute->attlen)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_GENERATED_ALWAYS),
			 errmsg("field \"%s\" differs from what its column is generated as", key->column->name),
			 errdetail("Column \"%s\" is a generated column.", key->column->name)));
}

/* Computes the generated columns of the key from the given values. */
static void
GenerateKey(Target *target, Row *row)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(target->desc, &TTSOpsVirtual);
	ExprContext *context = CreateStandaloneExprContext();
	MemoryContext caller = CurrentMemoryContext;

	memcpy(slot->tts_values, row->values, target->desc->natts * sizeof(Datum));
	memcpy(slot->tts_isnull, row->isnull, target->desc->natts * sizeof(bool));
	slot->tts_tableOid = target->relid;
	ExecStoreVirtualTuple(slot);
	context->ecxt_scantuple = slot;

	for (int i = 0; i < target->nkey_columns; i++)
	{
		KeyColumn  *key = &target->keys[i];
		Form_pg_attribute attribute = TupleDescAttr(target->desc, key->column->attnum - 1);
		int			index = key->column->attnum - 1;
		Datum		value;
		bool		isnull;

		if (key->generation.source == NULL)
			continue;
		MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
		value = ExecEvalExpr(ExecInitExpr(PlanExpression(&key->generation), NULL), context, &isnull);
		MemoryContextSwitchTo(caller);
		if (!isnull)
			value = datumCopy(value, attribute->attbyval, attribute->attlen);
		if (bms_is_member(key->column->attnum, row->given))
			CheckGivenGenerated(key, target, row, value, isnull);
		row->given = bms_del_member(row->given, key->column->attnum);
		row->values[index] = value;
		row->isnull[index] = isnull;
	}
	FreeExprContext(context, true);
	ExecDropSingleTupleTableSlot(slot);
}

/* Makes sure that the row has its whole key: 22023 unless the payload gives it. */
void
CompleteKey(Target *target, Row *row)
{
	RequireKeyFields(target, row->given);
	if (bms_overlap(target->key_columns, target->read_only_columns))
		GenerateKey(target, row);
}

static void
PackValue(PackedRow *packed, const Row *row, AttrNumber attnum)
{
	packed->values[packed->nvalues] = row->values[attnum - 1];
	packed->isnull[packed->nvalues] = row->isnull[attnum - 1];
	packed->nvalues++;
}

/*
 * Packs a row that has its whole key, and may be used for another then. previous is the row that was
 * packed before it, or NULL.
 */
PackedRow *
PackRow(const Target *target, const Row *row, const PackedRow *previous)
{
	int			max_values = bms_num_members(row->given) + target->nkey_columns;
	PackedRow  *packed = palloc(offsetof(PackedRow, values) +
								max_values * (sizeof(Datum) + sizeof(bool)));
	int			attnum = -1;

	packed->given = row->given;
	packed->hash = row->hash;
	packed->hashed = row->hashed;
	if (previous && bms_equal(previous->given, row->given))
	{
		packed->given = previous->given;
		bms_free(row->given);
	}
	packed->nvalues = 0;
	packed->isnull = (bool *) &packed->values[max_values];
	while ((attnum = bms_next_member(packed->given, attnum)) >= 0)
		PackValue(packed, row, attnum);
	for (int i = 0; i < target->nkey_columns; i++)
	{
		if (target->keys[i].generation.source)
			PackValue(packed, row, target->keys[i].column->attnum);
	}
	return packed;
}

static void
UnpackValue(Row *row, const PackedRow *packed, int position, AttrNumber attnum)
{
	row->values[attnum - 1] = packed->values[position];
	row->isnull[attnum - 1] = packed->isnull[position];
}

/* Sets the row to what was packed. */
void
UnpackRow(Row *row, const Target *target, const PackedRow *packed)
{
	int			position = 0;
	int			attnum = -1;

	ClearRow(row, target);
	row->given = packed->given;
	row->hash = packed->hash;
	row->hashed = packed->hashed;
	while ((attnum = bms_next_member(packed->given, attnum)) >= 0)
		UnpackValue(row, packed, position++, attnum);
	for (int i = 0; i < target->nkey_columns; i++)
	{
		if (target->keys[i].generation.source)
			UnpackValue(row, packed, position++, target->keys[i].column->attnum);
	}
}

/* Has the stored row that is given by its values the key of row? NULL equals NULL. */
bool
SameKey(const Target *target, const Row *row, const Datum *values, const bool *isnull)
{
	for (int i = 0; i < target->nkey_columns; i++)
	{
		KeyColumn  *key = &target->keys[i];
		int			index = key->column->attnum - 1;

		if (row->isnull[index] != isnull[index])
			return false;
		if (!isnull[index] &&
			!DatumGetBool(FunctionCall2Coll(&key->eq_function, key->collation,
											row->values[index], values[index])))
			return false;
	}
	return true;
}

/* Is the column stored alike in both rows, to the byte? So 1.5 differs from 1.50. */
bool
SameImage(const Target *target, AttrNumber attnum, const Datum *values1, const bool *isnull1,
		  const Datum *values2, const bool *isnull2)
{
	Form_pg_attribute attribute = TupleDescAttr(target->desc, attnum - 1);
	int			index = attnum - 1;

	if (isnull1[index] || isnull2[index])
		return isnull1[index] == isnull2[index];
	return EqualImages(values1[index], values2[index], attribute->attbyval, attribute->attlen);
}
