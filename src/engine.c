/*
 * engine.c
 *		Tables whose rows another extension keeps elsewhere.
 *
 * Citus leaves an empty table under the name of one that it has spread over servers, and
 * TimescaleDB under the name of one that it has cut into chunks. Each lists them in a
 * catalog of its own, which is asked when a target is built. Where there is no such
 * extension, that is a look-up or two in the system caches.
 *
 * What is asked must not change unnoticed while the answer is kept. Citus invalidates the
 * relation cache entry of a table that it comes or ceases to distribute; TimescaleDB that of
 * a table which is there for nothing else, for any hypertable: IsHypertableSignal().
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "nodes/primnodes.h"
#include "nodes/readfuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "engine.h"

/* The table whose invalidation stands for that of all hypertables, as far as it is known. */
static Oid	hypertable_signal = InvalidOid;

/* Makes a condition on a catalog; returns false if that has no such column. */
static bool
MakeCondition(ScanKeyData *key, Oid catalog, const char *column, Oid type, RegProcedure equals,
			  Datum value)
{
	AttrNumber	attnum = get_attnum(catalog, column);

	if (attnum == InvalidAttrNumber || get_atttype(catalog, attnum) != type)
		return false;
	ScanKeyInit(key, attnum, BTEqualStrategyNumber, equals, value);
	return true;
}

/* Is there a row that fulfils the conditions? Looks at what is committed by now. */
static bool
HasRow(Oid catalog, ScanKeyData *keys, int nkeys)
{
	const bool	use_index = false;
	Relation	rel = table_open(catalog, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, use_index, NULL, nkeys, keys);
	bool		found = HeapTupleIsValid(systable_getnext(scan));

	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* -- Citus -------------------------------------------------------------------- */

static void
RejectCatalog(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("the catalogs of Citus are not as expected"),
			 errdetail("This version has no \"%s\".", name)));
}

/* Opens a catalog of Citus, or raises 0A000. */
Relation
OpenCitusCatalog(const char *name)
{
	Oid			relid = get_relname_relid(name, PG_CATALOG_NAMESPACE);

	if (!OidIsValid(relid))
		RejectCatalog(name);
	return table_open(relid, AccessShareLock);
}

/* Returns what a row of a catalog has in a column of the type, or raises 0A000. */
Datum
CitusValue(Relation catalog, HeapTuple tuple, const char *column, Oid type)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(catalog), column);
	Datum		value = (Datum) 0;
	bool		isnull = true;

	if (attnum != InvalidAttrNumber && get_atttype(RelationGetRelid(catalog), attnum) == type)
		value = heap_getattr(tuple, attnum, RelationGetDescr(catalog), &isnull);
	if (isnull)
		RejectCatalog(column);
	return value;
}

/* Only in pg_catalog can nobody but the extension have made the table. */
static bool
IsDistributed(Oid relid)
{
	Oid			catalog = get_relname_relid("pg_dist_partition", PG_CATALOG_NAMESPACE);
	ScanKeyData key;

	return OidIsValid(catalog) &&
		MakeCondition(&key, catalog, "logicalrelid", REGCLASSOID, F_OIDEQ, ObjectIdGetDatum(relid)) &&
		HasRow(catalog, &key, 1);
}

/* Returns the column by which Citus distributes the table by hash, or InvalidAttrNumber. */
AttrNumber
DistributionColumn(Relation rel)
{
	Relation	catalog;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	AttrNumber	column = InvalidAttrNumber;
	char	   *node;

	if (!IsDistributed(RelationGetRelid(rel)))
		return InvalidAttrNumber;
	catalog = OpenCitusCatalog("pg_dist_partition");
	MakeCondition(&key, RelationGetRelid(catalog), "logicalrelid", REGCLASSOID, F_OIDEQ,
				  ObjectIdGetDatum(RelationGetRelid(rel)));
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple) && DatumGetChar(CitusValue(catalog, tuple, "partmethod", CHAROID)) == 'h')
	{
		node = TextDatumGetCString(CitusValue(catalog, tuple, "partkey", TEXTOID));
		column = castNode(Var, stringToNode(node))->varattno;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return column;
}

/* Raises 0A000 if Citus has the table's rows elsewhere. Its shards are tables like others. */
void
RejectDistributed(Relation rel)
{
	if (IsDistributed(RelationGetRelid(rel)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot find the rows of table \"%s\"", RelationGetRelationName(rel)),
				 errdetail("Citus distributes, replicates or manages it, and keeps its rows in other tables."),
				 errhint("Upsert into the shard that is to have the row, on the node that holds it."),
				 errtable(rel)));
}

/* -- TimescaleDB -------------------------------------------------------------- */

static Oid
FindTable(const char *schema, const char *name)
{
	const bool	missing_ok = true;
	Oid			namespace = get_namespace_oid(schema, missing_ok);

	return OidIsValid(namespace) ? get_relname_relid(name, namespace) : InvalidOid;
}

/* Returns the catalog of hypertables, or InvalidOid. Anybody can make a schema of that name. */
static Oid
FindHypertableCatalog(void)
{
	const bool	missing_ok = true;
	Oid			catalog = FindTable("_timescaledb_catalog", "hypertable");
	Oid			extension;

	if (!OidIsValid(catalog))
		return InvalidOid;
	extension = get_extension_oid("timescaledb", missing_ok);
	if (!OidIsValid(extension) || getExtensionOfObject(RelationRelationId, catalog) != extension)
		return InvalidOid;
	hypertable_signal = FindTable("_timescaledb_cache", "cache_inval_hypertable");
	return catalog;
}

/* The catalog knows tables by their names. */
static bool
IsListed(Oid catalog, Oid relid)
{
	NameData	schema;
	NameData	name;
	ScanKeyData keys[2];

	namestrcpy(&schema, get_namespace_name(get_rel_namespace(relid)));
	namestrcpy(&name, get_rel_name(relid));
	return MakeCondition(&keys[0], catalog, "schema_name", NAMEOID, F_NAMEEQ, NameGetDatum(&schema)) &&
		MakeCondition(&keys[1], catalog, "table_name", NAMEOID, F_NAMEEQ, NameGetDatum(&name)) &&
		HasRow(catalog, keys, lengthof(keys));
}

/* Are the table's rows those of chunks, which are its inheritance children? */
bool
IsHypertable(Relation rel)
{
	Oid			catalog = FindHypertableCatalog();

	return OidIsValid(catalog) && IsListed(catalog, RelationGetRelid(rel));
}

/* Raises 0A000 if the table cannot be guarded, as each chunk's guard would look in that chunk alone. */
void
RejectHypertable(Relation rel)
{
	if (IsHypertable(rel))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot protect table \"%s\"", RelationGetRelationName(rel)),
				 errdetail("It is a hypertable: rows with the same key may be in different chunks of it."),
				 errtable(rel)));
}

/*
 * Raises 0A000 if the table is a chunk: rows with its keys may be in others, or in compressed
 * form where no index has them. A hypertable's trigger is copied to its chunks, and is
 * that of the chunk when it fires.
 */
void
RejectChunk(Relation rel, bool guarded)
{
	const bool	even_if_detached = true;
	Oid			relid = RelationGetRelid(rel);
	Oid			catalog = FindHypertableCatalog();
	Oid			hypertable;

	if (!OidIsValid(catalog) || !has_superclass(relid))
		return;
	hypertable = get_partition_parent(relid, even_if_detached);
	if (IsListed(catalog, hypertable))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 guarded
				 ? errmsg("cannot guard table \"%s\"", RelationGetRelationName(rel))
				 : errmsg("cannot upsert into table \"%s\"", RelationGetRelationName(rel)),
				 errdetail("It is a chunk of hypertable \"%s\": rows with the same key may be in other chunks.",
						   get_rel_name(hypertable)),
				 guarded
				 ? errhint("Drop the guard of the hypertable, as product_upsert_unprotect() does.")
				 : errhint("Name the hypertable."),
				 errtable(rel)));
}

/* Does the invalidation of this relation mean that any table may have become a hypertable? */
bool
IsHypertableSignal(Oid relid)
{
	return OidIsValid(hypertable_signal) && relid == hypertable_signal;
}
