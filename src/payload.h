/*
 * payload.h
 *		The jsonb arguments of a call, and the rows in them.
 */
#ifndef PRODUCT_UPSERT_PAYLOAD_H
#define PRODUCT_UPSERT_PAYLOAD_H

#include "fmgr.h"

#include "row.h"

/* What a shard of a distributed table leaves to who knows the table: see citus.c. */
typedef struct Shard
{
	MemoryContext context;		/* of the call */
	void		(*check_caller) (struct Shard *shard, const Target *target, const Bitmapset *given,
								 const Row *on_create);
	void		(*check_row) (struct Shard *shard, const Target *target, const Row *row);
	void		(*complete_row) (struct Shard *shard, const Target *target, Row *created);
	void		(*name_table) (struct Shard *shard, ErrorData *error);
} Shard;

/* The options of a call as they are given; NULL for those that are not. */
typedef struct GivenOptions
{
	Jsonb	   *if_match;
	Jsonb	   *on_create;
	const char *newer_by;
	bool		reports;		/* failures, and goes on with the other rows */
	Shard	   *shard;			/* that the target is, or NULL */
} GivenOptions;

/* The column by which a payload is newer than a stored row, or is not. */
typedef struct NewerBy
{
	const Column *column;
	Oid			collation;
	FmgrInfo	compare;		/* of the type's default btree operator class */
} NewerBy;

/* What a call asks for besides its payload; NULL for what it does not. */
typedef struct Options
{
	Row		   *if_match;		/* values that must be stored */
	Row		   *on_create;		/* values that count only if the row is created */
	NewerBy    *newer_by;
	Shard	   *shard;			/* that the target is */
} Options;

/* One object, or an array of objects. */
typedef struct Payload
{
	bool		is_array;
	int			nrows;
	JsonbValue *objects;		/* in binary form, in the argument */
	PackedRow **rows;			/* in the order given; NULL unless it could be read */
	Row		   *row;			/* the one whose turn it is: TakeRow() */
	uint32	   *hashes;			/* of their keys */
} Payload;

extern int	unknown_fields;		/* setting product_upsert.unknown_fields */

extern void RejectNull(const char *argument);
extern void RejectArrayWithIfMatch(const Payload *payload, const GivenOptions *given);
extern void ReadPayload(Payload *payload, Jsonb *argument);
extern void ReadOptions(Options *options, const GivenOptions *given, const Target *target,
						Position *position);
extern void RequireNewerBy(const Options *options, const Target *target, const Bitmapset *given);
extern void BeginRows(Payload *payload, const Target *target);
extern void ReadRow(Payload *payload, int n, Target *target, const Options *options, Position *position);
extern int	CollectHashes(Payload *payload);
extern const Row *TakeRow(const Payload *payload, const Target *target, int n);
extern Bitmapset *GivenColumns(const Payload *payload);
extern void DescribePosition(const Position *position);

#endif							/* PRODUCT_UPSERT_PAYLOAD_H */
