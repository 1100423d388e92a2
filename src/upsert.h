/*
 * upsert.h
 *		Create or update a row under its key's lock.
 */
#ifndef PRODUCT_UPSERT_UPSERT_H
#define PRODUCT_UPSERT_UPSERT_H

#include "payload.h"
#include "store.h"

/* "Precondition failed", as HTTP has it. Class 40 would be retried blindly. */
#define ERRCODE_PRECONDITION_FAILED		MAKE_SQLSTATE('P', 'T', '4', '1', '2')

typedef enum UpsertAction
{
	ACTION_CREATED,
	ACTION_UPDATED,
	ACTION_UNCHANGED,
	ACTION_STALE,
	ACTION_SKIPPED,
} UpsertAction;

/* What became of a row. */
typedef struct Outcome
{
	UpsertAction action;
	TupleTableSlot *product;	/* as it is stored; NULL if there is none */
	TupleTableSlot *previous;	/* as it was stored, with ACTION_UPDATED */
} Outcome;

/* What the rows of a call are upserted with. */
typedef struct Upserter
{
	Store	   *store;
	const Options *options;
	TupleTableSlot *found;
	TupleTableSlot *again;		/* for a second look */
	TupleTableSlot *stored;
} Upserter;

extern Upserter *BeginUpserts(Target *target, Relation rel, const Options *options);
extern void UpsertRow(Upserter *upserter, const Row *row, Outcome *outcome);
extern void EndUpserts(Upserter *upserter);

#endif							/* PRODUCT_UPSERT_UPSERT_H */
