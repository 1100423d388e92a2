/*
 * symbol.h
 *		Which of the extension's functions is a function in SQL?
 */
#ifndef PRODUCT_UPSERT_SYMBOL_H
#define PRODUCT_UPSERT_SYMBOL_H

#include "postgres.h"

extern bool HasSymbol(Oid function, const char *symbol);
extern Oid	FindSibling(Oid function, const char *symbol);

#endif							/* PRODUCT_UPSERT_SYMBOL_H */
