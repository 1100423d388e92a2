/*
 * arguments.c
 *		The values of a statement's parameters.
 */
#include "postgres.h"

#include "arguments.h"

/* Makes room for so many, in the current memory context. */
Arguments *
MakeArguments(int max)
{
	Arguments  *arguments = palloc(sizeof(Arguments));

	arguments->n = 0;
	arguments->max = max;
	arguments->types = palloc(max * sizeof(Oid));
	arguments->values = palloc(max * sizeof(Datum));
	arguments->nulls = palloc(max);
	return arguments;
}

/* Adds the value of the next parameter. */
void
AddArgument(Arguments *arguments, Oid type, Datum value, bool isnull)
{
	Assert(arguments->n < arguments->max);
	arguments->types[arguments->n] = type;
	arguments->values[arguments->n] = value;
	arguments->nulls[arguments->n] = isnull ? 'n' : ' ';
	arguments->n++;
}
