/*
 * column.h
 *		One column: its value from a field of a payload, and back.
 */
#ifndef PRODUCT_UPSERT_COLUMN_H
#define PRODUCT_UPSERT_COLUMN_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "fmgr.h"
#include "nodes/primnodes.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

/* How a field of jsonb becomes the column's value. */
typedef enum InputMethod
{
	INPUT_BY_FUNCTION,			/* the text of a scalar through the type's input function */
	INPUT_TEXT,					/* the same; a string is the value as it is */
	INPUT_NUMERIC,				/* the same; a number is the value as it is */
	INPUT_JSONB,				/* the field is the value */
	INPUT_BY_POPULATE,			/* jsonb_populate_record() */
} InputMethod;

/* How the column's value becomes a field of jsonb. */
typedef enum OutputMethod
{
	OUTPUT_BY_FUNCTION,			/* a string, from the type's output function */
	OUTPUT_TEXT,				/* a string, the value as it is */
	OUTPUT_BOOL,
	OUTPUT_INT2,
	OUTPUT_INT4,
	OUTPUT_INT8,
	OUTPUT_FLOAT,				/* a number, from the type's output function */
	OUTPUT_NUMERIC,
	OUTPUT_DATETIME,			/* a string, in ISO 8601 */
	OUTPUT_JSONB,
	OUTPUT_BY_TO_JSONB,			/* to_jsonb() */
} OutputMethod;

/* An expression from the catalog. Planning it may run functions, so that is left to who evaluates it. */
typedef struct Expression
{
	Expr	   *source;			/* NULL if there is none */
	Expr	   *planned;		/* NULL until needed */
	MemoryContext context;		/* holds both */
} Expression;

typedef struct Column
{
	AttrNumber	attnum;
	const char *name;
	int			name_length;
	Oid			type;
	Oid			base_type;		/* of a domain; else the type */
	List	   *domain_hashes;	/* by which invalidation tells of the domains that it depends on */
	Expression	default_value;

	InputMethod input;
	FmgrInfo	input_function;
	Oid			input_parameter;
	int32		input_typmod;
	void	   *domain_constraints; /* what domain_check() keeps */
	MemoryContext context;		/* for that, and for what is planned */
	bool		holds_composite;			/* holds a composite type, whose attributes may change under us */
	FmgrInfo	populate;		/* jsonb_populate_record of a row of this column alone */
	TupleDesc	desc;			/* that row's descriptor */
	Datum		empty_row;		/* that row, with a NULL */

	OutputMethod output;
	FmgrInfo	output_function;
} Column;

extern void KeepExpression(Expression *expression, Node *source, Column *column);
extern Expr *PlanExpression(Expression *expression);
extern void BuildColumn(Column *column, Relation rel, AttrNumber attnum);
extern Datum ValueFromField(Column *column, const JsonbValue *object, const JsonbValue *field,
							bool in_use, bool *isnull);
extern void FieldFromValue(Column *column, Datum value, bool isnull, JsonbValue *field);

#endif							/* PRODUCT_UPSERT_COLUMN_H */
