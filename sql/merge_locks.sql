-- The locks of a merge, of keys or of the table, how much it may return, and what it comes to with a guard.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_merge_locks;
SET search_path = pu_merge_locks, public;
\pset format unaligned
\pset tuples_only on
\pset null NULL
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/merge.sql

-- More keys than a transaction may lock one by one: it holds the table, and no key. And it tells how far it is.
CREATE TABLE product (id int PRIMARY KEY, brand text, serial text, manufacturer text, note text);
INSERT INTO product
	SELECT i, 'b', (i % 1001)::text, 'm', CASE WHEN i > 1001 THEN repeat('x', 100) END FROM generate_series(1, 2002) AS i;
CREATE INDEX ON product (brand, serial, manufacturer);
CREATE FUNCTION locks() RETURNS text LANGUAGE sql AS $$
	SELECT count(*) FILTER (WHERE locktype = 'advisory') || ' keys, '
		   || count(*) FILTER (WHERE locktype = 'relation' AND relation = 'product'::regclass
								 AND mode = 'ShareRowExclusiveLock') || ' table'
	  FROM pg_locks WHERE pid = pg_backend_pid()
$$;
SET product_upsert.max_key_locks = 3;
BEGIN;
SELECT count(*) FROM product_upsert_merge_duplicates('product', max_keys => 3);
SELECT locks();
ROLLBACK;
BEGIN;
SELECT count(*) FROM product_upsert_merge_duplicates('product', max_keys => 4);
SELECT locks();
ROLLBACK;
-- What a dry run returns may take more room than there is in memory.
SET client_min_messages = notice;
SET work_mem = '64kB';
SELECT count(*), count(DISTINCT kept ->> 'id'), max(kept ->> 'note') = repeat('x', 100)
  FROM product_upsert_merge_duplicates('product', dry_run => true);
RESET work_mem;
SET client_min_messages = warning;
SELECT count(*) FROM product;
SELECT locks();
RESET product_upsert.max_key_locks;
-- The guard does not mind a merge, and a merge leaves a protected table protected.
SELECT duplicate_keys FROM product_upsert_protect('product');
BEGIN;
SELECT count(*) FROM product_upsert_merge_duplicates('product', max_keys => 2);
SELECT locks();
SELECT count(*) FROM product;
COMMIT;
SELECT count(*) FROM product_upsert_merge_duplicates('product', max_keys => 100);
SELECT product_upsert('{"brand": "b", "serial": "1", "manufacturer": "m", "note": "n"}') ->> 'action';
INSERT INTO product VALUES (9999, 'b', '1', 'm');
\echo :SQLSTATE
DROP TABLE product;

DROP SCHEMA pu_merge_locks CASCADE;
