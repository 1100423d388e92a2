/*
 * target.h
 *		What one table is, for the purposes of an upsert: its columns, its key,
 *		and what has been worked out about them.
 */
#ifndef PRODUCT_UPSERT_TARGET_H
#define PRODUCT_UPSERT_TARGET_H

#include "postgres.h"

#include "access/skey.h"
#include "lib/ilist.h"
#include "nodes/bitmapset.h"
#include "utils/array.h"

#include "column.h"

/* One column of the key, in key order. */
typedef struct KeyColumn
{
	Column	   *column;
	Oid			collation;
	Oid			eq_operator;	/* the equality that "the same key" means */
	FmgrInfo	eq_function;
	FmgrInfo	hash_function;	/* the extended hash that goes with it */
	Expression	generation;		/* of a generated column */
	Bitmapset  *generated_from; /* columns that it reads */
} KeyColumn;

/*
 * A btree index by which a whole key is found at once: its first columns are those of
 * the key, or its first is their hash, which is shorter and compared faster. But keys that
 * differ may have the same hash.
 */
typedef struct KeyIndex
{
	Oid			oid;
	Oid			hash_function;	/* product_upsert_hash(); InvalidOid if it has the columns themselves */
	Expr	   *hash;			/* the call of it that is in the index, or NULL */
	int			natts;			/* of the index */
	bool		partial;		/* it has the rows that count, and no others */
	TransactionId not_before;	/* older transactions must not use it; invalid if all may */
	int			nscan_keys;
	ScanKeyData *scan_keys;		/* for its leading columns, without arguments */
	AttrNumber *attnums;		/* those columns' in the table; not for a hash */
} KeyIndex;

typedef struct Target
{
	Oid			relid;
	Oid			owner;
	const char *name;
	MemoryContext context;		/* holds the target and all it points to */
	TupleDesc	desc;

	int			ncolumns;		/* dropped ones are left out */
	Column	   *columns;		/* in the order in which jsonb keeps the keys of an object */
	Column	  **columns_by_attnum;		/* the same in the order of their attnum */

	int			nkey_columns;
	KeyColumn  *keys;
	Bitmapset  *key_columns;
	Bitmapset  *key_fields;		/* what a payload must give: for generated ones, what they read */
	Expression	condition;		/* only rows that satisfy it count; no source if all do */
	Bitmapset  *condition_columns;	/* that it reads, and those that they are generated from */
	Bitmapset  *read_only_columns;	/* generated, and GENERATED ALWAYS AS IDENTITY */
	Oid			lookup_index;	/* one from which a search for the key can start, or InvalidOid */
	bool		is_lookup_by_hash;	/* that is a hash index */
	KeyIndex   *key_index;		/* NULL if there is none */
	Oid			exempting_index;	/* see ExemptsRows(); InvalidOid if there is none, or a condition */
	bool		yields;			/* an insert can yield to unique indexes on exactly the key */
	List	   *arbiters;		/* those that ON CONFLICT takes */
	bool		unfinished;		/* there is one that refuses rows, and ON CONFLICT does not take */
	bool		index_enforces_key; /* one of them is in force at once, for keys without NULL */
	bool		index_enforces_nulls;	/* and for those with NULL, too */
	bool		partitioned;
	struct HTAB *partitions;	/* what is known of its partition tree, by OID; NULL until needed */
	const char *unfit_partition;	/* why its rows cannot be found or written directly; NULL if unknown */
	dlist_node	node;			/* among the partitioned ones */
	bool		hypertable;		/* TimescaleDB keeps its rows in chunks */
	Oid			guarded;		/* the table or, for a partition, topmost table that a guard guards */

	/* The (sub)transaction that has locked the tables above a partition and it, and the topmost of them. */
	LocalTransactionId locked_by;
	SubTransactionId locked_in;
	Oid			locked_root;

	struct StatementCache *statements;	/* the SPI store's; NULL until it needs them */
	int			users;			/* calls under way with it */
	bool		discarded;		/* to be freed when the last user is done */
} Target;

extern Target *BuildTarget(Relation rel);
extern int	CompareNames(const char *name1, int length1, const char *name2, int length2);
extern Column *FindColumn(const Target *target, const char *name, int length);
extern char *KeyColumnList(const Target *target);
extern ArrayType *KeyColumnArray(const Target *target);
extern char *ProtectCall(const Target *target, Oid index);

#endif							/* PRODUCT_UPSERT_TARGET_H */
