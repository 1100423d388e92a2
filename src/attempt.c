/*
 * attempt.c
 *		Work on many rows, some of which may fail without the others.
 *
 * What an error leaves behind, only a subtransaction undoes. One for each row would cost more than the
 * row, so there is one for a stretch of rows, which is the longer the longer nothing has failed. When a row
 * fails, its stretch is undone, and what came before the row is done again, as a stretch of its own. Then
 * the row comes first, and if it fails again, that is its own failure.
 *
 * So where nothing fails, the subtransactions are few; and what is done twice is less than what was done
 * before.
 *
 * The work runs in a memory context of the attempt, and whatever it opens, it opens anew: that belongs to the
 * subtransaction.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "attempt.h"
#include "upsert.h"

/* How many rows the first stretch has, and the longest. Each next one is twice as long, until a row fails. */
#define FIRST_LENGTH	16
#define MAX_LENGTH		1024

/* Is the error about the row, so that others may do better? Else it is about the whole work. */
static bool
IsFaultOfRow(const ErrorData *error)
{
	switch (error->sqlerrcode)
	{
		case ERRCODE_CARDINALITY_VIOLATION:
		case ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION:
		case ERRCODE_GENERATED_ALWAYS:
		case ERRCODE_UNDEFINED_COLUMN:
		case ERRCODE_WITH_CHECK_OPTION_VIOLATION:
		case ERRCODE_PRECONDITION_FAILED:
		case ERRCODE_RAISE_EXCEPTION:
			return true;
		default:
			return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_DATA_EXCEPTION ||
				ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION;
	}
}

/*
 * Does the work on some rows in a subtransaction. Returns NULL, or the error that has undone all of it,
 * if it is a row's fault; any other error is raised.
 */
static ErrorData *
AttemptStretch(const Attempts *attempts, int from, int to, int *at)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "product_upsert attempt",
												  ALLOCSET_DEFAULT_SIZES);
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		attempts->work(attempts->arg, from, to, at);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	MemoryContextDelete(context);

	if (error && !IsFaultOfRow(error))
		ReThrowError(error);
	return error;
}

static Failure *
MakeFailure(const ErrorData *error, const char *field)
{
	Failure    *failure = palloc(sizeof(Failure));

	failure->error = error;
	failure->field = field;
	return failure;
}

/* Nothing has been done yet. The failures are those of all rows. */
Attempts
MakeAttempts(RowsWork work, void *arg, Position *position, Failure **failures)
{
	return (Attempts)
	{
		.work = work,
		.arg = arg,
		.position = position,
		.failures = failures,
		.length = FIRST_LENGTH,
	};
}

/* Does the work on the next stretch of rows, and returns where that ends. */
static int
AttemptNext(Attempts *attempts, int from, int nrows)
{
	const Position before = *attempts->position;
	int			to = Min(nrows, from + attempts->length);
	int			at = from;
	ErrorData  *error;

	while ((error = AttemptStretch(attempts, from, to, &at)) != NULL)
	{
		/* What fails after the last row is taken for that row's: each turn must leave less to do. */
		to = Min(at, to - 1);
		attempts->length = FIRST_LENGTH;
		if (to == from)
		{
			attempts->failures[to] = MakeFailure(error, attempts->position->field);
			to++;
		}
		*attempts->position = before;
	}
	attempts->length = Min(attempts->length * 2, MAX_LENGTH);
	return to;
}

/*
 * Does the work on all rows but those that fail, and notes why they do, in the current memory
 * context.
 */
void
AttemptRows(Attempts *attempts, int nrows)
{
	for (int row = 0; row < nrows;)
		row = AttemptNext(attempts, row, nrows);
}
