/*
 * owner.h
 *		Running as a table's owner.
 */
#ifndef PRODUCT_UPSERT_OWNER_H
#define PRODUCT_UPSERT_OWNER_H

#include "postgres.h"

/* Who runs what, until an owner does. */
typedef struct Caller
{
	Oid			role;
	int			security;
	int			settings;		/* nesting level of those that are set for the owner */
} Caller;

extern Caller BecomeOwner(Oid owner, int security);
extern void BecomeCaller(const Caller *caller);

#endif							/* PRODUCT_UPSERT_OWNER_H */
