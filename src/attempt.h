/*
 * attempt.h
 *		Work on many rows, some of which may fail without the others.
 */
#ifndef PRODUCT_UPSERT_ATTEMPT_H
#define PRODUCT_UPSERT_ATTEMPT_H

#include "row.h"

/* Why a row failed. */
typedef struct Failure
{
	const ErrorData *error;
	const char *field;			/* that was being converted, or NULL */
} Failure;

/*
 * Works on the rows from one to before another; tells in *at which it is at, and passes by those that have
 * failed already. It may be undone, and then be called for some of them again, so it keeps nothing of what
 * it has done before it is through.
 */
typedef void (*RowsWork) (void *arg, int from, int to, int *at);

typedef struct Attempts
{
	RowsWork	work;
	void	   *arg;
	Position   *position;		/* where the work is, for the context of errors */
	Failure   **failures;		/* by row; NULL unless it has failed */
	int			length;			/* of the next stretch */
} Attempts;

extern Attempts MakeAttempts(RowsWork work, void *arg, Position *position, Failure **failures);
extern void AttemptRows(Attempts *attempts, int nrows);

#endif							/* PRODUCT_UPSERT_ATTEMPT_H */
