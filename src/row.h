/*
 * row.h
 *		One row of values, each marked as given or not.
 */
#ifndef PRODUCT_UPSERT_ROW_H
#define PRODUCT_UPSERT_ROW_H

#include "target.h"
#include "utils/jsonb.h"

/* What to do with a field that is no column: the setting product_upsert.unknown_fields. */
typedef enum UnknownFields
{
	UNKNOWN_FIELDS_ERROR,
	UNKNOWN_FIELDS_IGNORE,
} UnknownFields;

typedef struct Row
{
	Datum	   *values;			/* by attnum - 1; meaningful where given, and for the key */
	bool	   *isnull;
	Bitmapset  *given;			/* attnums whose values the payload gives */
	uint64		hash;			/* of the key */
	bool		hashed;			/* RememberHash() has worked that out */
} Row;

/*
 * A row that waits for its turn: as large as what it holds, however wide the table is. That is
 * what is given, in the order of the attnums, and then the generated columns of the key.
 */
typedef struct PackedRow
{
	Bitmapset  *given;			/* shared by rows that are packed one after the other */
	uint64		hash;
	bool		hashed;
	int			nvalues;
	bool	   *isnull;
	Datum		values[FLEXIBLE_ARRAY_MEMBER];
} PackedRow;

/* Which part of the arguments is being worked on, for the context line of an error. */
typedef struct Position
{
	const char *argument;		/* its name; NULL when it is the payload */
	int			element;		/* of the payload, from 0; -1 when none in particular */
	const char *field;			/* NULL when no single field is concerned */
} Position;

extern void ReportUnknownFields(const Target *target, List *names);
extern Row *MakeRow(const Target *target);
extern void ReadFields(Row *row, const Target *target, const JsonbValue *object,
					   UnknownFields unknown_fields, Position *position);
extern PackedRow *PackRow(const Target *target, const Row *row, const PackedRow *previous);
extern void UnpackRow(Row *row, const Target *target, const PackedRow *packed);
extern void RequireKeyFields(const Target *target, const Bitmapset *given);
extern void CompleteKey(Target *target, Row *row);
extern bool SameKey(const Target *target, const Row *row, const Datum *values, const bool *isnull);
extern bool SameImage(const Target *target, AttrNumber attnum, const Datum *values1, const bool *isnull1,
					  const Datum *values2, const bool *isnull2);

#endif							/* PRODUCT_UPSERT_ROW_H */
