-- Which rows a merge takes for duplicates, by keys of every type: equal is what is equal under the column's type and
-- collation, whatever the session's settings.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE EXTENSION IF NOT EXISTS citext;
CREATE SCHEMA pu_merge_keys;
SET search_path = pu_merge_keys, public;
\pset format unaligned
\pset tuples_only on
\pset null NULL
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/merge.sql

CREATE DOMAIN positive AS int CHECK (value > 0);

-- Keys of other types: equal is what is equal under the column's type and collation. The kept row's spelling stays.
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE typed (id int PRIMARY KEY, num numeric, ci citext, icu text COLLATE ignore_case, name text,
					lowered text GENERATED ALWAYS AS (lower(name)) STORED, note text);
SELECT duplicate_keys FROM product_upsert_protect('typed', '{num}');
INSERT INTO typed VALUES (1, 1.0), (2, 2.00);
ALTER TABLE typed DISABLE TRIGGER product_upsert_guard;
INSERT INTO typed (id, num, note) VALUES (3, 1.00, 'n');
SELECT * FROM product_upsert_merge_duplicates('typed');
TRUNCATE typed;
SELECT duplicate_keys FROM product_upsert_protect('typed', '{ci,icu}');
ALTER TABLE typed DISABLE TRIGGER product_upsert_guard;
INSERT INTO typed (id, ci, icu) VALUES (1, 'Abc', 'äB'), (2, 'aBC', 'ÄB'), (3, 'abc', NULL), (4, 'ABC', NULL), (5, 'abc', 'ab');
SELECT key, kept -> 'id', removed FROM product_upsert_merge_duplicates('typed') ORDER BY kept -> 'id';
TRUNCATE typed;
SELECT duplicate_keys FROM product_upsert_protect('typed', '{lowered}');
ALTER TABLE typed DISABLE TRIGGER product_upsert_guard;
INSERT INTO typed (id, name) VALUES (1, 'A'), (2, 'a'), (3, 'B'), (4, NULL), (5, NULL);
SELECT key, kept -> 'id', kept -> 'name', filled FROM product_upsert_merge_duplicates('typed') ORDER BY kept -> 'id';
DROP TABLE typed;
-- A domain's values are compared in full, also where the name of its base type means one character; and values that a
-- constraint would not let in any more are merged, and filled in, as any others.
CREATE DOMAIN code AS char(5);
CREATE TABLE domains (id int PRIMARY KEY, brand code, serial positive, manufacturer text, old positive);
ALTER DOMAIN positive DROP CONSTRAINT positive_check;
INSERT INTO domains VALUES (1, 'ab', 1, 'm', NULL), (2, 'ab', 1, 'm', -2), (3, 'ax', 1, 'm', NULL), (4, 'ay', 1, 'm', NULL),
	(5, 'b', -1, 'm', -5), (6, 'b', -1, 'm', NULL);
ALTER DOMAIN positive ADD CHECK (value > 0) NOT VALID;
SELECT kept, removed, filled FROM product_upsert_merge_duplicates('domains') ORDER BY kept -> 'id';
SELECT id FROM domains ORDER BY id;
DROP TABLE domains;
DROP DOMAIN code;

-- Keys whose text depends on settings
CREATE TABLE pu_merge_keys.exact (id int PRIMARY KEY, real float8, at timestamptz, during interval);
INSERT INTO pu_merge_keys.exact
	SELECT i, 0.1::float8 + 0.2::float8, '2026-01-02 03:04:05.678901+00', '1 mon -2 days 03:04:05'
	  FROM generate_series(1, 2) AS i;
SELECT duplicate_keys FROM public.product_upsert_protect('pu_merge_keys.exact', '{real,at,during}');
BEGIN;
SET LOCAL extra_float_digits = -3;
SET LOCAL datestyle = 'SQL, DMY';
SET LOCAL intervalstyle = sql_standard;
SET LOCAL timezone = 'Asia/Kolkata';
SELECT kept -> 'id' FROM public.product_upsert_merge_duplicates('pu_merge_keys.exact');
ROLLBACK;

DROP SCHEMA pu_merge_keys CASCADE;
