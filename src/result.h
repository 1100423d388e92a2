/*
 * result.h
 *		What became of a payload, as jsonb and as an HTTP status.
 */
#ifndef PRODUCT_UPSERT_RESULT_H
#define PRODUCT_UPSERT_RESULT_H

#include "attempt.h"
#include "jsonbwriter.h"
#include "upsert.h"

/* How much is told of a row: the setting product_upsert.result. */
typedef enum ResultDetail
{
	RESULT_FULL,
	RESULT_CHANGES,				/* no row that is as it was */
	RESULT_ACTION,				/* no row at all */
} ResultDetail;

extern int	result_detail;		/* setting product_upsert.result */
extern bool http_status;		/* setting product_upsert.http_status */

extern void WriteRow(JsonbWriter *writer, JsonbNode *parent, Target *target, const Datum *values,
					 const bool *isnull);
extern void WriteKey(JsonbWriter *writer, Target *target, const Datum *values, const bool *isnull);
extern void WriteOutcome(JsonbWriter *writer, JsonbNode *parent, Target *target,
						 const Outcome *outcome);
extern void WriteFailure(JsonbWriter *writer, JsonbNode *parent, const Target *target,
						 const Failure *failure);
extern void SetHttpStatus(bool created);

#endif							/* PRODUCT_UPSERT_RESULT_H */
