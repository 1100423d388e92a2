/*
 * result.h
 *		What became of a payload, as jsonb.
 */
#ifndef PRODUCT_UPSERT_RESULT_H
#define PRODUCT_UPSERT_RESULT_H

#include "store.h"

typedef enum UpsertAction
{
	ACTION_CREATED,
	ACTION_UPDATED,
	ACTION_UNCHANGED,
	ACTION_SKIPPED,
} UpsertAction;

typedef struct Outcome
{
	UpsertAction action;
	StoredRow	product;		/* composite is 0 where there is no row */
	StoredRow	previous;		/* with ACTION_UPDATED */
} Outcome;

extern Jsonb *OutcomeToJsonb(Target *target, const Outcome *outcome);
extern Jsonb *ArrayOfResults(Jsonb **results, int nresults);

#endif							/* PRODUCT_UPSERT_RESULT_H */
