-- complain if the script is sourced in psql rather than through CREATE EXTENSION
\echo Use "CREATE EXTENSION product_upsert" to load this file. \quit

CREATE FUNCTION product_upsert(jsonb) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'product_upsert'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert(jsonb) IS
	'create or update a row, or an array of rows, of the table named by product_upsert.default_table';

CREATE FUNCTION product_upsert(target regclass, payload jsonb, if_match jsonb DEFAULT NULL,
							   on_create jsonb DEFAULT NULL, newer_by name DEFAULT NULL,
							   on_error text DEFAULT 'stop')
	RETURNS jsonb
	AS 'MODULE_PATHNAME', 'product_upsert_target'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert(regclass, jsonb, jsonb, jsonb, name, text) IS
	'create or update a row, or an array of rows, of a table';

CREATE FUNCTION product_upsert_shard(target regclass, distribution_value anyelement, payload jsonb,
									 if_match jsonb DEFAULT NULL, on_create jsonb DEFAULT NULL,
									 newer_by name DEFAULT NULL, on_error text DEFAULT 'stop')
	RETURNS jsonb
	AS 'MODULE_PATHNAME', 'product_upsert_shard'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_shard(regclass, anyelement, jsonb, jsonb, jsonb, name, text) IS
	'create or update a row, or an array of rows, in the shard of a table that Citus distributes, on its node';

CREATE FUNCTION product_upsert_from(source regclass, target regclass DEFAULT NULL,
									on_create jsonb DEFAULT NULL, newer_by name DEFAULT NULL,
									rejects regclass DEFAULT NULL,
									OUT created bigint, OUT updated bigint, OUT unchanged bigint,
									OUT stale bigint, OUT rejected bigint)
	AS 'MODULE_PATHNAME', 'product_upsert_from'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_from(regclass, regclass, jsonb, name, regclass) IS
	'create or update a row of a table for every row of another table or view';

CREATE FUNCTION product_upsert_lock(target regclass, payload jsonb) RETURNS void
	AS 'MODULE_PATHNAME', 'product_upsert_lock'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_lock(regclass, jsonb) IS
	'take the lock under which product_upsert writes a key, until the transaction ends';

CREATE FUNCTION product_upsert_guard() RETURNS trigger
	AS 'MODULE_PATHNAME', 'product_upsert_guard'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_guard() IS
	'trigger that keeps every writer from giving a row the key of another; its arguments are the key''s columns';

CREATE FUNCTION product_upsert_hash(VARIADIC "any") RETURNS bigint
	AS 'MODULE_PATHNAME', 'product_upsert_hash'
	LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION product_upsert_hash("any") IS
	'hash of a key''s values, for an index on the hash of a table''s key columns';

CREATE FUNCTION product_upsert_key(target regclass) RETURNS name[]
	AS 'MODULE_PATHNAME', 'product_upsert_key'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_key(regclass) IS
	'columns of a table''s key, as its guard declares them or by default';

CREATE FUNCTION product_upsert_lookup_index(target regclass) RETURNS regclass
	AS 'MODULE_PATHNAME', 'product_upsert_lookup_index'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_lookup_index(regclass) IS
	'index by which a table''s rows are looked up by key, or null';

CREATE FUNCTION product_upsert_condition(target regclass) RETURNS text
	AS 'MODULE_PATHNAME', 'product_upsert_condition'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_condition(regclass) IS
	'condition that a table''s rows must satisfy for their keys to count, or null';

-- Row-level security does not hide what it counts. The names in the condition are the caller's, so
-- search_path is set when it has been read.
CREATE FUNCTION product_upsert_protect(target regclass, key name[] DEFAULT '{brand,serial,manufacturer}',
									   condition text DEFAULT NULL,
									   OUT lookup_index regclass, OUT duplicate_keys bigint)
	AS 'MODULE_PATHNAME', 'product_upsert_protect'
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET row_security = off;

COMMENT ON FUNCTION product_upsert_protect(regclass, name[], text) IS
	'declare a table''s key, and keep every writer from duplicating it';

CREATE FUNCTION product_upsert_unprotect(target regclass) RETURNS void
	AS 'MODULE_PATHNAME', 'product_upsert_unprotect'
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION product_upsert_unprotect(regclass) IS
	'drop what product_upsert_protect created, except for the index';

CREATE FUNCTION product_upsert_duplicates(target regclass)
	RETURNS TABLE (key jsonb, copies bigint, rows jsonb)
	AS 'MODULE_PATHNAME', 'product_upsert_duplicates'
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	SET row_security = off;

COMMENT ON FUNCTION product_upsert_duplicates(regclass) IS
	'keys that more than one row of a table has, and what identifies those rows, oldest first';

CREATE FUNCTION product_upsert_merge_duplicates(target regclass, keep text DEFAULT 'oldest',
									 dry_run boolean DEFAULT false, max_keys integer DEFAULT NULL)
	RETURNS TABLE (key jsonb, kept jsonb, removed jsonb, references_moved bigint, filled name[])
	AS 'MODULE_PATHNAME', 'product_upsert_merge_duplicates'
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	-- An error where row-level security would hide rows, not half a merge.
	SET row_security = off;

COMMENT ON FUNCTION product_upsert_merge_duplicates(regclass, text, boolean, integer) IS
	'make one row of all the rows that have the same key, and repoint what references them';

-- Key locks are advisory locks of class 20565 (KEY_LOCK_CLASS): the table's OID is in classid, the
-- lower half of the key's hash in objid. A prepared transaction holds its locks without a process; the lock on its own
-- transaction ID tells which it is.
CREATE VIEW product_upsert_locks AS
WITH locks AS MATERIALIZED (
	SELECT * FROM pg_catalog.pg_locks
), prepared AS (
	SELECT l.virtualtransaction, p.gid, p.prepared
	  FROM locks l
		   JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = l.transactionid
	 WHERE l.pid IS NULL
)
SELECT l.classid::pg_catalog.regclass AS target,
	   l.objid::pg_catalog.int8 AS key_hash,
	   l.granted,
	   l.pid,
	   p.gid AS prepared_transaction,
	   a.usename,
	   pg_catalog.clock_timestamp() -
	   CASE WHEN l.granted THEN COALESCE(p.prepared, a.xact_start) ELSE l.waitstart END AS duration,
	   a.query
  FROM locks l
	   LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
	   LEFT JOIN prepared p ON l.pid IS NULL AND p.virtualtransaction = l.virtualtransaction
 WHERE l.locktype = 'advisory'
   AND l.objsubid = 20565
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d
					  WHERE d.datname = pg_catalog.current_database());

COMMENT ON VIEW product_upsert_locks IS
	'key locks held and waited for in this database; a holder''s duration is that of its transaction';

GRANT SELECT ON product_upsert_locks TO PUBLIC;
