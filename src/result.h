/*
 * result.h
 *		What became of a payload, as jsonb.
 */
#ifndef PRODUCT_UPSERT_RESULT_H
#define PRODUCT_UPSERT_RESULT_H

#include "jsonbwriter.h"
#include "upsert.h"

extern void WriteOutcome(JsonbWriter *writer, JsonbNode *parent, Target *target,
						 const Outcome *outcome);

#endif							/* PRODUCT_UPSERT_RESULT_H */
