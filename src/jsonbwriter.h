/*
 * jsonbwriter.h
 *		Writes jsonb from front to back, without building it as a tree first.
 */
#ifndef PRODUCT_UPSERT_JSONBWRITER_H
#define PRODUCT_UPSERT_JSONBWRITER_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

typedef StringInfoData JsonbWriter;

/* An object or array that is being written. */
typedef struct JsonbNode
{
	int			start;			/* in the buffer */
	int			entries;		/* its JEntries, in the buffer */
	int			nentries;		/* those written so far */
	uint32		length;			/* of what is written below them */
} JsonbNode;

extern void BeginJsonb(JsonbWriter *writer);
extern Jsonb *EndJsonb(JsonbWriter *writer);
extern JsonbNode BeginObject(JsonbWriter *writer, int npairs);
extern JsonbNode BeginArray(JsonbWriter *writer, int nelements);
extern void EndNode(JsonbWriter *writer, JsonbNode *node, JsonbNode *parent);
extern void WriteString(JsonbWriter *writer, JsonbNode *node, const char *string, int length);
extern void WriteValue(JsonbWriter *writer, JsonbNode *node, const JsonbValue *value);

#endif							/* PRODUCT_UPSERT_JSONBWRITER_H */
