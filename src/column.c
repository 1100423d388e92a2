/*
 * column.c
 *		One column: its value from a field of a payload, and back.
 *
 * jsonb_populate_record() and to_jsonb() are the rules for it. They look up what
 * they need about a type again and again, so for scalar types that is done once,
 * when the column is built, and then what they would do with it is done here. For
 * all other types, and where what was looked up may go stale unnoticed, they are
 * called.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/syscache.h"

#include "column.h"

/* -- building ----------------------------------------------------------------- */

/*
 * Do values of the type contain a composite type? Its attributes can be altered
 * without any notice to the tables that use it.
 */
static bool
HoldsComposite(Oid type)
{
	Oid			element;

	type = getBaseType(type);
	switch (get_typtype(type))
	{
		case TYPTYPE_COMPOSITE:
			return true;
		case TYPTYPE_RANGE:
			return HoldsComposite(get_range_subtype(type));
		case TYPTYPE_MULTIRANGE:
			return HoldsComposite(get_multirange_range(type));
		default:
			element = get_element_type(type);
			return OidIsValid(element) ? HoldsComposite(element) : type == RECORDOID;
	}
}

/* Prepares a function that asks for the type of its first argument. */
static void
PreparePolymorphicCall(FmgrInfo *function, Oid function_oid, Oid argument_type)
{
	Const	   *argument = makeNullConst(argument_type, -1, InvalidOid);

	fmgr_info(function_oid, function);
	fmgr_info_set_expr((Node *) makeFuncExpr(function_oid, InvalidOid, list_make1(argument),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
					   function);
}

/* Prepares jsonb_populate_record() for a row of this column alone, so that an error can name it. */
static void
BuildPopulate(Column *column, Form_pg_attribute attribute)
{
	Datum		value = (Datum) 0;
	bool		isnull = true;

	column->input = INPUT_BY_POPULATE;
	column->desc = CreateTemplateTupleDesc(1);
	TupleDescInitEntry(column->desc, 1, column->name, attribute->atttypid, attribute->atttypmod, 0);
	TupleDescInitEntryCollation(column->desc, 1, attribute->attcollation);
	BlessTupleDesc(column->desc);
	column->empty_row = heap_copy_tuple_as_datum(heap_form_tuple(column->desc, &value, &isnull),
												 column->desc);
	PreparePolymorphicCall(&column->populate, F_JSONB_POPULATE_RECORD, RECORDOID);
}

static void
BuildInput(Column *column, Form_pg_attribute attribute)
{
	Oid			function;

	/* A domain is read as what it is a domain over, and then checked. */
	column->input_typmod = attribute->atttypmod;
	(void) getBaseTypeAndTypmod(column->type, &column->input_typmod);

	switch (column->base_type)
	{
		case JSONOID:
			BuildPopulate(column, attribute);
			return;
		case JSONBOID:
			column->input = INPUT_JSONB;
			return;
		case TEXTOID:
		case VARCHAROID:
			if (column->input_typmod < 0)
				column->input = INPUT_TEXT;
			break;
		case NUMERICOID:
			column->input = INPUT_NUMERIC;
			break;
		default:
			if (OidIsValid(get_element_type(column->base_type)) || column->holds_composite)
			{
				BuildPopulate(column, attribute);
				return;
			}
			column->input = INPUT_BY_FUNCTION;
	}
	getTypeInputInfo(column->base_type, &function, &column->input_parameter);
	fmgr_info(function, &column->input_function);
}

/* A cast to json, from a type that is not built in, is how to_jsonb() shows its values. */
static bool
HasCastToJson(Oid type)
{
	Oid			function;

	return type >= FirstNormalObjectId &&
		find_coercion_pathway(JSONOID, type, COERCION_EXPLICIT, &function) == COERCION_PATH_FUNC;
}

static OutputMethod
ChooseOutput(const Column *column)
{
	Oid			type = column->base_type;

	switch (type)
	{
		case BOOLOID:
			return OUTPUT_BOOL;
		case INT2OID:
			return OUTPUT_INT2;
		case INT4OID:
			return OUTPUT_INT4;
		case INT8OID:
			return OUTPUT_INT8;
		case FLOAT4OID:
		case FLOAT8OID:
			return OUTPUT_FLOAT;
		case NUMERICOID:
			return OUTPUT_NUMERIC;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return OUTPUT_TEXT;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return OUTPUT_DATETIME;
		case JSONBOID:
			return OUTPUT_JSONB;
		case JSONOID:
			return OUTPUT_BY_TO_JSONB;
		default:
			if (OidIsValid(get_element_type(type)) || column->holds_composite || HasCastToJson(type))
				return OUTPUT_BY_TO_JSONB;
			return OUTPUT_BY_FUNCTION;
	}
}

static void
BuildOutput(Column *column)
{
	Oid			function;
	bool		is_varlena;

	column->output = ChooseOutput(column);
	if (column->output == OUTPUT_BY_TO_JSONB)
		PreparePolymorphicCall(&column->output_function, F_TO_JSONB, column->type);
	else if (column->output == OUTPUT_BY_FUNCTION || column->output == OUTPUT_FLOAT)
	{
		getTypeOutputInfo(column->base_type, &function, &is_varlena);
		fmgr_info(function, &column->output_function);
	}
}

/* A change of a domain is a change of those over it, but only the one itself is invalidated. */
static void
AddDomains(Column *column, Oid type)
{
	while (get_typtype(type) == TYPTYPE_DOMAIN)
	{
		HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for type %u", type);
		column->domain_hashes = lappend_int(column->domain_hashes,
											GetSysCacheHashValue1(TYPEOID, ObjectIdGetDatum(type)));
		type = ((Form_pg_type) GETSTRUCT(tuple))->typbasetype;
		ReleaseSysCache(tuple);
	}
}

/* Adds the domains to which the expression casts. */
static bool
AddDomainsOf(Node *node, void *column)
{
	if (node == NULL)
		return false;
	if (IsA(node, CoerceToDomain))
		AddDomains(column, ((CoerceToDomain *) node)->resulttype);
	return expression_tree_walker(node, AddDomainsOf, column);
}

/* Keeps an expression, or NULL, of the column's, which lasts as long as the column. */
void
KeepExpression(Expression *expression, Node *source, Column *column)
{
	expression->source = (Expr *) source;
	expression->context = column->context;
	(void) AddDomainsOf(source, column);
}

/* Returns the expression ready to be evaluated. Raises what a function raises that is folded into it. */
Expr *
PlanExpression(Expression *expression)
{
	MemoryContext caller;
	Expr	   *planned;

	if (expression->planned)
		return expression->planned;
	planned = expression_planner(copyObject(expression->source));
	caller = MemoryContextSwitchTo(expression->context);
	expression->planned = copyObject(planned);
	MemoryContextSwitchTo(caller);
	return expression->planned;
}

/* What the planner puts in for a column that an INSERT does not name: NULL is checked, too. */
static void
BuildDefault(Column *column, Relation rel, Form_pg_attribute attribute)
{
	Node	   *expression = NULL;

	if (attribute->attgenerated != '\0')
		return;
	expression = build_column_default(rel, column->attnum);
	if (expression == NULL && column->type != column->base_type)
	{
		int32		typmod = attribute->atttypmod;
		Oid			type = getBaseTypeAndTypmod(column->type, &typmod);

		expression = coerce_to_domain((Node *) makeNullConst(type, typmod, attribute->attcollation),
									  type, typmod, column->type, COERCION_IMPLICIT,
									  COERCE_IMPLICIT_CAST, -1, false);
	}
	KeepExpression(&column->default_value, expression, column);
}

/* Fills in what there is to know about a column, in the current memory context, which is to keep it. */
void
BuildColumn(Column *column, Relation rel, AttrNumber attnum)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

	column->attnum = attnum;
	column->name = pstrdup(NameStr(attribute->attname));
	column->name_length = strlen(column->name);
	column->type = attribute->atttypid;
	column->base_type = getBaseType(column->type);
	AddDomains(column, column->type);
	column->holds_composite = HoldsComposite(column->type);
	column->context = CurrentMemoryContext;
	BuildDefault(column, rel, attribute);
	BuildInput(column, attribute);
	BuildOutput(column);
}

/* -- from jsonb --------------------------------------------------------------- */

/*
 * Reads the column's field of the object, as jsonb_populate_record() does. A
 * converter keeps what it looked up; where that may go stale between two calls, or is
 * in use, it starts anew. Its garbage goes away at once.
 */
static Datum
PopulateField(Column *column, const JsonbValue *object, bool in_use, bool *isnull)
{
	LOCAL_FCINFO(fcinfo, 2);
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "product_upsert field",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(scratch);
	Form_pg_attribute attribute = TupleDescAttr(column->desc, 0);
	FmgrInfo   *populate = &column->populate;
	FmgrInfo	fresh;
	HeapTupleData row;
	Datum		value;

	if (column->holds_composite || in_use)
	{
		fmgr_info_copy(&fresh, populate, CurrentMemoryContext);
		populate = &fresh;
	}
	InitFunctionCallInfoData(*fcinfo, populate, 2, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = column->empty_row;
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = JsonbPGetDatum(JsonbValueToJsonb(unconstify(JsonbValue *, object)));
	fcinfo->args[1].isnull = false;

	row.t_data = DatumGetHeapTupleHeader(FunctionCallInvoke(fcinfo));
	row.t_len = HeapTupleHeaderGetDatumLength(row.t_data);
	value = heap_getattr(&row, 1, column->desc, isnull);

	MemoryContextSwitchTo(caller);
	if (!*isnull)
		value = datumCopy(value, attribute->attbyval, attribute->attlen);
	MemoryContextDelete(scratch);
	return value;
}

/* The text of a field that is not null, as the type's input function is to read it. */
static char *
FieldText(const JsonbValue *field)
{
	switch (field->type)
	{
		case jbvString:
			return pnstrdup(field->val.string.val, field->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(field->val.numeric)));
		case jbvBool:
			return pstrdup(field->val.boolean ? "true" : "false");
		case jbvBinary:
			return JsonbToCString(NULL, field->val.binary.data, field->val.binary.len);
		default:
			elog(ERROR, "unexpected jsonb value type: %d", (int) field->type);
			return NULL;
	}
}

/* Converts a field that is not null; what it was made from may be part of the result. */
static Datum
ConvertField(Column *column, const JsonbValue *field, bool in_use)
{
	FmgrInfo   *input = &column->input_function;
	FmgrInfo	fresh;
	char	   *text;
	Datum		value;

	if (column->input == INPUT_TEXT && field->type == jbvString)
		return PointerGetDatum(cstring_to_text_with_len(field->val.string.val,
														field->val.string.len));
	if (column->input == INPUT_JSONB)
		return JsonbPGetDatum(JsonbValueToJsonb(unconstify(JsonbValue *, field)));
	if (column->input == INPUT_NUMERIC && field->type == jbvNumeric)
	{
		value = NumericGetDatum(field->val.numeric);
		if (column->input_typmod < 0)
			return value;
		return DirectFunctionCall2(numeric, value, Int32GetDatum(column->input_typmod));
	}

	if (in_use)
	{
		fmgr_info_copy(&fresh, input, CurrentMemoryContext);
		input = &fresh;
	}
	text = FieldText(field);
	value = InputFunctionCall(input, text, column->input_parameter, column->input_typmod);
	pfree(text);
	return value;
}

static void
CheckDomain(Column *column, Datum value, bool isnull, bool in_use)
{
	MemoryContext scratch;

	if (!in_use)
	{
		domain_check(value, isnull, column->type, &column->domain_constraints, column->context);
		return;
	}
	scratch = AllocSetContextCreate(CurrentMemoryContext, "product_upsert domain",
									ALLOCSET_SMALL_SIZES);
	domain_check(value, isnull, column->type, NULL, scratch);
	MemoryContextDelete(scratch);
}

/*
 * Returns the value of the column that a field gives, as jsonb_populate_record()
 * would; object is what the field is in. It is in the current memory context or
 * part of the object. Raises what the conversion raises.
 *
 * Conversions keep what they looked up, and a domain's check, which may call us, works
 * with that: in_use tells that it may be at work now.
 */
Datum
ValueFromField(Column *column, const JsonbValue *object, const JsonbValue *field, bool in_use,
			   bool *isnull)
{
	Datum		value = (Datum) 0;

	if (column->input == INPUT_BY_POPULATE)
		return PopulateField(column, object, in_use, isnull);

	*isnull = field->type == jbvNull;
	if (!*isnull)
		value = ConvertField(column, field, in_use);
	if (column->type != column->base_type)
		CheckDomain(column, value, *isnull, in_use);
	return value;
}

/* -- to jsonb ----------------------------------------------------------------- */

static void
SetString(JsonbValue *field, char *string, size_t length)
{
	if (length > JENTRY_OFFLENMASK)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("string too long to represent as jsonb string"),
				 errdetail("A jsonb string may have at most %d bytes.", JENTRY_OFFLENMASK)));
	field->type = jbvString;
	field->val.string.val = string;
	field->val.string.len = length;
}

static void
SetNumeric(JsonbValue *field, Numeric value)
{
	field->type = jbvNumeric;
	field->val.numeric = value;
}

/* JSON has no number for NaN and the infinities: those are strings. */
static void
SetNumericOrString(JsonbValue *field, Numeric value)
{
	char	   *text;

	if (!numeric_is_nan(value) && !numeric_is_inf(value))
	{
		SetNumeric(field, value);
		return;
	}
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value)));
	SetString(field, text, strlen(text));
}

/* The same for a float, whose shortest text is the number meant. */
static void
SetFloatOrString(JsonbValue *field, char *text)
{
	/* Of what is no number, each has an n: NaN, Infinity. */
	if (strpbrk(text, "Nn"))
		SetString(field, text, strlen(text));
	else
		SetNumeric(field, DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
															  ObjectIdGetDatum(InvalidOid),
															  Int32GetDatum(-1))));
}

static void
SetJsonb(JsonbValue *field, Jsonb *jsonb)
{
	if (JsonbExtractScalar(&jsonb->root, field))
		return;
	field->type = jbvBinary;
	field->val.binary.data = &jsonb->root;
	field->val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
}

/*
 * Sets *field to what to_jsonb() makes of the column's value. It is in the current
 * memory context or part of the value.
 */
void
FieldFromValue(Column *column, Datum value, bool isnull, JsonbValue *field)
{
	FmgrInfo   *output = &column->output_function;
	FmgrInfo	fresh;
	text	   *string;
	char	   *output_text;

	if (isnull)
	{
		field->type = jbvNull;
		return;
	}
	switch (column->output)
	{
		case OUTPUT_BOOL:
			field->type = jbvBool;
			field->val.boolean = DatumGetBool(value);
			break;
		case OUTPUT_INT2:
			SetNumeric(field, int64_to_numeric(DatumGetInt16(value)));
			break;
		case OUTPUT_INT4:
			SetNumeric(field, int64_to_numeric(DatumGetInt32(value)));
			break;
		case OUTPUT_INT8:
			SetNumeric(field, int64_to_numeric(DatumGetInt64(value)));
			break;
		case OUTPUT_FLOAT:
			SetFloatOrString(field, OutputFunctionCall(output, value));
			break;
		case OUTPUT_NUMERIC:
			SetNumericOrString(field, DatumGetNumeric(value));
			break;
		case OUTPUT_TEXT:
			string = DatumGetTextPP(value);
			SetString(field, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
			break;
		case OUTPUT_DATETIME:
			output_text = JsonEncodeDateTime(NULL, value, column->base_type, NULL);
			SetString(field, output_text, strlen(output_text));
			break;
		case OUTPUT_JSONB:
			SetJsonb(field, DatumGetJsonbP(value));
			break;
		case OUTPUT_BY_FUNCTION:
			output_text = OutputFunctionCall(output, value);
			SetString(field, output_text, strlen(output_text));
			break;
		case OUTPUT_BY_TO_JSONB:
			if (column->holds_composite)
			{
				fmgr_info_copy(&fresh, output, CurrentMemoryContext);
				output = &fresh;
			}
			SetJsonb(field, DatumGetJsonbP(FunctionCall1(output, value)));
			break;
	}
}
