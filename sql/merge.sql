-- product_upsert_merge_duplicates: one row of all that have the same key. Which row is kept, what is returned, how many keys
-- at a time, and that a dry run changes nothing and leaves no lock.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_merge;
SET search_path = pu_merge, public;
\pset format unaligned
\pset tuples_only on
\pset null NULL
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/merge.sql

-- The oldest or the newest, in the order of the primary key, and what is returned
CREATE TABLE product (id int PRIMARY KEY, brand text, serial text, manufacturer text, price numeric, note text);
INSERT INTO product VALUES
	(10, 'a', '1', 'm', NULL, NULL), (9, 'a', '1', 'm', 1.50, NULL), (100, 'a', '1', 'm', 2, 'from 100'),
	(5, 'b', NULL, '', 1, 'five'), (4, 'b', NULL, '', NULL, 'four'),
	(1, 'single', '1', 'm', NULL, NULL), (2, 'b', NULL, NULL, NULL, NULL), (3, 'b', '', '', NULL, NULL);
BEGIN;
SELECT * FROM product_upsert_merge_duplicates('product') ORDER BY key ->> 'brand';
TABLE product ORDER BY id;
ROLLBACK;
BEGIN;
SELECT * FROM product_upsert_merge_duplicates('product', 'newest') ORDER BY key ->> 'brand';
TABLE product ORDER BY id;
-- Nothing is left to merge.
SELECT * FROM product_upsert_merge_duplicates('product');
SELECT * FROM product_upsert_duplicates('product');
ROLLBACK;

-- dry_run: the same rows, and nothing has changed; no lock is left of it, on a key, a row or the table.
BEGIN;
SELECT * FROM product_upsert_merge_duplicates('product', dry_run => true) ORDER BY key ->> 'brand';
SELECT count(*) FROM product_upsert_locks;
SELECT DISTINCT mode FROM pg_locks WHERE relation = 'product'::regclass ORDER BY mode;
SET LOCAL product_upsert.max_key_locks = 1;
SELECT count(*) FROM product_upsert_merge_duplicates('product', dry_run => true);
SELECT count(*) FROM pg_locks WHERE relation = 'product'::regclass AND mode = 'ShareRowExclusiveLock';
SELECT count(*)
  FROM product
 WHERE xmax <> 0 AND pg_xact_status(xmax::text::xid8) IS DISTINCT FROM 'aborted' AND pg_current_xact_id_if_assigned()::xid = xmax;
COMMIT;
TABLE product ORDER BY id;

-- max_keys, in bites
SELECT count(*) FROM product_upsert_merge_duplicates('product', 'oldest', true, 1);
SELECT count(*) FROM product_upsert_merge_duplicates('product', max_keys => 1);
SELECT count(*) FROM product_upsert_duplicates('product');
SELECT count(*) FROM product_upsert_merge_duplicates('product', max_keys => 1);
SELECT count(*) FROM product_upsert_merge_duplicates('product', max_keys => 1);
TABLE product ORDER BY id;

-- What cannot be asked for
SELECT product_upsert_merge_duplicates('product', 'first');
\echo :SQLSTATE
SELECT product_upsert_merge_duplicates('product', NULL);
\echo :SQLSTATE
SELECT product_upsert_merge_duplicates('product', dry_run => NULL);
\echo :SQLSTATE
SELECT product_upsert_merge_duplicates('product', max_keys => 0);
\echo :SQLSTATE
SELECT product_upsert_merge_duplicates('product', max_keys => -1);
\echo :SQLSTATE
CREATE VIEW a_view AS TABLE product;
SELECT product_upsert_merge_duplicates('a_view');
\echo :SQLSTATE
DROP VIEW a_view;
CREATE TABLE keyless (id int);
SELECT product_upsert_merge_duplicates('keyless');
\echo :SQLSTATE
DROP TABLE keyless;

-- The order is that of all columns of the primary key, failing that of another unique constraint without nulls, and
-- failing that of the places.
CREATE TABLE composite (brand text, serial text, manufacturer text, n int, "Day" date, PRIMARY KEY ("Day", n));
INSERT INTO composite VALUES ('a', '1', 'm', 1, '2024-01-02'), ('a', '1', 'm', 3, '2024-01-01'), ('a', '1', 'm', 2, '2024-01-01');
SELECT * FROM merge('composite', dry_run => true);
SELECT * FROM merge('composite', 'newest');
CREATE TABLE unique_only (brand text, serial text, manufacturer text, n int, partial int, nullable int UNIQUE,
	code text NOT NULL);
ALTER TABLE unique_only ADD UNIQUE (n) DEFERRABLE;
CREATE UNIQUE INDEX ON unique_only (partial) WHERE partial > 0;
CREATE UNIQUE INDEX ON unique_only (lower(code) DESC);
CREATE UNIQUE INDEX ON unique_only (code) INCLUDE (n);
INSERT INTO unique_only VALUES ('a', '1', 'm', 1, 1, 1, 'z'), ('a', '1', 'm', 2, 2, 2, 'y'), ('a', '1', 'm', 3, 3, 3, 'x');
SELECT * FROM merge('unique_only');
CREATE TABLE bare (brand text, serial text, manufacturer text, n int);
INSERT INTO bare VALUES ('a', '1', 'm', 3), ('a', '1', 'm', NULL), ('a', '1', 'm', 3);
SELECT * FROM merge('bare', dry_run => true);
SELECT * FROM merge('bare', 'newest');
TABLE bare;
DROP TABLE composite, unique_only, bare;

-- A temporary table
CREATE TEMPORARY TABLE temporary (id int PRIMARY KEY, brand text, serial text, manufacturer text, note text);
INSERT INTO temporary VALUES (1, 'a', '1', 'm', NULL), (2, 'a', '1', 'm', 'n');
SELECT * FROM merge('temporary');
DROP TABLE temporary;

DROP SCHEMA pu_merge CASCADE;
