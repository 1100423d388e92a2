/*
 * result.h
 *		What became of a payload, as jsonb.
 */
#ifndef PRODUCT_UPSERT_RESULT_H
#define PRODUCT_UPSERT_RESULT_H

#include "upsert.h"

extern Jsonb *OutcomeToJsonb(Target *target, const Outcome *outcome);
extern Jsonb *ArrayOfResults(Jsonb **results, int nresults);

#endif							/* PRODUCT_UPSERT_RESULT_H */
