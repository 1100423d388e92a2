/*
 * payload.h
 *		The jsonb arguments of a call, and the rows in them.
 */
#ifndef PRODUCT_UPSERT_PAYLOAD_H
#define PRODUCT_UPSERT_PAYLOAD_H

#include "row.h"

/* One object, or an array of objects. */
typedef struct Payload
{
	bool		is_array;
	int			nrows;
	JsonbValue *objects;		/* in binary form, in the argument */
	PackedRow **rows;			/* in the order given; NULL until ReadRows() */
	Row		   *row;			/* the one whose turn it is: TakeRow() */
	uint32	   *hashes;			/* of their keys */
} Payload;

extern int	unknown_fields;		/* setting product_upsert.unknown_fields */

extern void RejectNull(const char *argument);
extern void ReadPayload(Payload *payload, Jsonb *argument, Position *position);
extern void ReadRows(Payload *payload, Target *target, Position *position);
extern const Row *TakeRow(const Payload *payload, const Target *target, int n);
extern Row *ReadIfMatch(const Payload *payload, Jsonb *argument, const Target *target,
						Position *position);
extern Bitmapset *GivenColumns(const Payload *payload);
extern void DescribePosition(void *position);

#endif							/* PRODUCT_UPSERT_PAYLOAD_H */
