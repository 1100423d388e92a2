-- complain if the script is sourced in psql rather than through CREATE EXTENSION
\echo Use "CREATE EXTENSION product_upsert" to load this file. \quit

CREATE FUNCTION product_upsert(jsonb) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'product_upsert'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert(jsonb) IS
	'create or update a row, or an array of rows, of the table named by product_upsert.table';

CREATE FUNCTION product_upsert(target regclass, payload jsonb, if_match jsonb DEFAULT NULL)
	RETURNS jsonb
	AS 'MODULE_PATHNAME', 'product_upsert_target'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert(regclass, jsonb, jsonb) IS
	'create or update a row, or an array of rows, of a table';

CREATE FUNCTION product_upsert_lock(target regclass, payload jsonb) RETURNS void
	AS 'MODULE_PATHNAME', 'product_upsert_lock'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION product_upsert_lock(regclass, jsonb) IS
	'take the lock under which product_upsert writes a key, until the transaction ends';

-- Key locks are advisory locks of class 20565 (KEY_LOCK_CLASS): the table's OID is in classid, the
-- key's hash in objid. A prepared transaction holds its locks without a process.
CREATE VIEW product_upsert_locks AS
SELECT l.classid::pg_catalog.regclass AS target,
	   l.objid::pg_catalog.int8 AS key_hash,
	   CASE WHEN l.granted THEN 'holder' ELSE 'waiter' END AS role,
	   l.pid,
	   p.gid AS prepared_transaction,
	   a.usename,
	   pg_catalog.clock_timestamp()
	   OPERATOR(pg_catalog.-)
	   CASE WHEN l.granted THEN COALESCE(p.prepared, a.xact_start) ELSE l.waitstart END AS duration,
	   a.query
  FROM pg_catalog.pg_locks l
	   LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) l.pid
	   LEFT JOIN pg_catalog.pg_prepared_xacts p
	   ON l.pid IS NULL
	   AND l.virtualtransaction OPERATOR(pg_catalog.=) ('-1/' OPERATOR(pg_catalog.||) p.transaction::pg_catalog.text)
 WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory'
   AND l.objsubid OPERATOR(pg_catalog.=) 20565
   AND l.database OPERATOR(pg_catalog.=)
	   (SELECT d.oid FROM pg_catalog.pg_database d
		 WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database());

COMMENT ON VIEW product_upsert_locks IS
	'key locks held and waited for in this database; a holder''s duration is that of its transaction';

GRANT SELECT ON product_upsert_locks TO PUBLIC;
