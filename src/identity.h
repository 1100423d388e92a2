/*
 * identity.h
 *		What tells a row of a table from all others.
 */
#ifndef PRODUCT_UPSERT_IDENTITY_H
#define PRODUCT_UPSERT_IDENTITY_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/rel.h"

extern List *IdentityColumns(Relation rel);

#endif							/* PRODUCT_UPSERT_IDENTITY_H */
