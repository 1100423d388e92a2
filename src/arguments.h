/*
 * arguments.h
 *		The values of a statement's parameters.
 */
#ifndef PRODUCT_UPSERT_ARGUMENTS_H
#define PRODUCT_UPSERT_ARGUMENTS_H

#include "postgres.h"

/* As functions of SPI take them. */
typedef struct Arguments
{
	int			n;
	int			max;
	Oid		   *types;
	Datum	   *values;
	char	   *nulls;			/* 'n' or ' ' */
} Arguments;

extern Arguments *MakeArguments(int max);
extern void AddArgument(Arguments *arguments, Oid type, Datum value, bool isnull);

#endif							/* PRODUCT_UPSERT_ARGUMENTS_H */
