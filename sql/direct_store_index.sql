-- Which indexes serve the direct store to find a row. Where none does, SQL statements write, and it comes to the same:
-- each table is written to with direct_store on and off.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE SCHEMA pu_direct_index;
SET search_path = pu_direct_index, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/both_stores.sql

-- The index: a btree, valid, of all rows, that begins with the columns of the key, compared as the key is
CREATE TABLE indexed (brand text, serial text, manufacturer text, price int);
\set table indexed
:which
CREATE INDEX i ON indexed (brand, serial);
:which
DROP INDEX i;
CREATE INDEX i ON indexed USING hash (brand);
:which
DROP INDEX i;
CREATE INDEX i ON indexed (brand, serial, manufacturer) WHERE price IS NULL;
:which
SELECT four_writes('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed (brand, serial, price, manufacturer);
:which
SELECT four_writes('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed (brand, serial) INCLUDE (manufacturer);
:which
SELECT four_writes('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed (brand, lower(serial), serial, manufacturer);
:which
DROP INDEX i;
CREATE INDEX i ON indexed USING gist (brand, serial, manufacturer);
:which
SELECT four_writes('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed USING brin (brand, serial, manufacturer);
:which
DROP INDEX i;
-- These serve, in any order, any direction, and with more behind them.
CREATE INDEX i ON indexed (manufacturer, brand, serial);
:which
SELECT four_writes('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed (serial DESC NULLS LAST, manufacturer NULLS FIRST, brand DESC);
:which
SELECT four_writes('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed (brand, serial, manufacturer, price, lower(brand));
:which
SELECT four_writes('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed (brand, serial, manufacturer) INCLUDE (price);
:which
SELECT four_writes('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed (brand text_pattern_ops, serial, manufacturer);
:which
SELECT four_writes('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed (brand, brand text_pattern_ops, serial, manufacturer, serial DESC, brand COLLATE "C");
:which
SELECT four_writes('indexed');
DROP INDEX i;
-- The one with the fewest columns is searched.
CREATE INDEX wide ON indexed (brand, serial, manufacturer, price);
CREATE INDEX narrow ON indexed (brand, serial, manufacturer);
CREATE INDEX wide_too ON indexed (brand, serial, manufacturer, price);
SELECT pg_stat_reset_single_table_counters(i::regclass) FROM (VALUES ('wide'), ('narrow'), ('wide_too')) AS i (i);
BEGIN;
SELECT product_upsert('indexed', '{"brand": "n", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT i, pg_stat_get_xact_numscans(i::regclass) FROM (VALUES ('wide'), ('narrow'), ('wide_too')) AS i (i);
COMMIT;
DROP INDEX wide, narrow, wide_too;
-- One of another collation does not: there, other strings are equal. Nor one of another idea of equality.
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE INDEX i ON indexed (brand COLLATE ignore_case, serial, manufacturer);
:which
SELECT writes('indexed', '{"price": 1}', '{"brand": "A", "price": 2}');
DROP INDEX i;
CREATE INDEX i ON indexed (brand COLLATE "C", serial, manufacturer);
:which
DROP INDEX i;
CREATE TABLE collated (brand text COLLATE ignore_case, serial text, manufacturer text COLLATE "C", price int);
CREATE INDEX i ON collated (brand, serial, manufacturer);
\set table collated
:which
SELECT writes('collated', '{"price": 1}', '{"brand": "A", "price": 2}', '{"manufacturer": "M", "price": 3}');
DROP INDEX i;
CREATE INDEX i ON collated (brand COLLATE "default", serial, manufacturer);
:which
SELECT writes('collated', '{"price": 1}', '{"brand": "A", "price": 2}');
DROP INDEX i;
CREATE TYPE amount AS (n numeric);
CREATE TABLE composed (brand amount, serial text, manufacturer text, price int);
CREATE INDEX i ON composed (brand record_image_ops, serial, manufacturer);
SELECT $$SELECT product_upsert('composed',
	'[{"brand": {"n": 1.0}, "serial": "1", "manufacturer": "m"}, {"brand": {"n": 1.00}, "serial": "1", "manufacturer": "m"}]')
		-> 1 ->> 'action';$$ AS composed \gset
SET client_min_messages = error;
:composed
SET client_min_messages = debug1;
:composed
SET client_min_messages = warning;
DROP INDEX i;
CREATE INDEX i ON composed (brand, serial, manufacturer, brand record_image_ops);
:composed
DROP INDEX i;
-- One that is not valid does not serve: it may lack rows.
CREATE TABLE unfinished (LIKE plain);
INSERT INTO unfinished VALUES ('a', '1', 'm', 1), ('a', '2', 'm', 1), ('b', '1', 'm', 1), ('b', '1', 'm', 1);
\set VERBOSITY sqlstate
CREATE UNIQUE INDEX CONCURRENTLY i ON unfinished (brand, serial, manufacturer);
\set VERBOSITY default
SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass;
\set table unfinished
:which
SELECT product_upsert('unfinished', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}') ->> 'action';
DELETE FROM unfinished WHERE brand = 'b';
REINDEX INDEX i;
:which
DROP INDEX i;
-- For a new row, the hash in the index is not worked out by a call of the function, and is the same: so it is found.
CREATE TABLE hashed (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON hashed (product_upsert_hash(brand, serial, manufacturer));
SELECT product_upsert('hashed', '{"brand": null, "serial": "1", "manufacturer": "m", "price": 1}') ->> 'action';
BEGIN;
SET LOCAL product_upsert.direct_store = on;
SET LOCAL track_functions = 'all';
SELECT product_upsert('hashed', '{"brand": "a", "serial": "2", "manufacturer": "m", "price": 1}') ->> 'action';
SELECT calls FROM pg_stat_xact_user_functions WHERE funcname = 'product_upsert_hash';
INSERT INTO hashed VALUES ('a', '3', 'm', 1);
SELECT calls FROM pg_stat_xact_user_functions WHERE funcname = 'product_upsert_hash';
COMMIT;
SET enable_seqscan = off;
SELECT serial FROM hashed WHERE product_upsert_hash(brand, serial, manufacturer) =
	product_upsert_hash('a'::text, '2'::text, 'm'::text);
SELECT serial FROM hashed WHERE product_upsert_hash(brand, serial, manufacturer) =
	product_upsert_hash(NULL::text, '1'::text, 'm'::text);

DROP SCHEMA pu_direct_index CASCADE;
