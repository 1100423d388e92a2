-- Relations that are no tables, and tables that have foreign ones below them: nothing can be written to the former, and
-- nothing is told of the latter's rows.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE EXTENSION IF NOT EXISTS file_fdw;
CREATE SCHEMA pu_tables_foreign;
SET search_path = pu_tables_foreign, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

CREATE TABLE plain (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON plain (brand, serial, manufacturer);

-- Relations that are no tables
CREATE VIEW a_view AS SELECT * FROM plain;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM plain;
CREATE SEQUENCE a_sequence;
CREATE INDEX an_index ON plain (price);
CREATE TYPE a_type AS (brand text, serial text, manufacturer text);
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE a_foreign_table (brand text, serial text, manufacturer text, price int) SERVER files
	OPTIONS (program 'echo f,1,m,1', format 'csv');
SELECT product_upsert('a_view', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
SELECT product_upsert('a_matview', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
SELECT product_upsert('a_sequence', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
\set VERBOSITY sqlstate
SELECT product_upsert('an_index', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
SELECT product_upsert('a_type', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\set VERBOSITY default
SELECT product_upsert('a_foreign_table', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
SELECT product_upsert_lock('a_view', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
-- A row that may be in a foreign partition, or in a foreign child, is not looked for, whatever there would be to do with it.
CREATE TABLE partly_foreign (brand text, serial text, manufacturer text, price int) PARTITION BY LIST (brand);
CREATE TABLE here PARTITION OF partly_foreign FOR VALUES IN ('a', 'b');
CREATE FOREIGN TABLE there PARTITION OF partly_foreign FOR VALUES IN ('f') SERVER files
	OPTIONS (program 'echo f,1,m,1', format 'csv');
CREATE INDEX ON here (brand);
SET client_min_messages = error;
SELECT product_upsert('partly_foreign', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}') ->> 'action';
SELECT product_upsert('partly_foreign', '{"brand": "f", "serial": "1", "manufacturer": "m", "price": 1}');
\echo :SQLSTATE
SELECT product_upsert('partly_foreign', '{"brand": "f", "serial": "1", "manufacturer": "m", "price": 2}');
\echo :SQLSTATE
SELECT product_upsert('partly_foreign', '{"brand": "f", "serial": "1", "manufacturer": "m"}', '{"price": 3}');
\echo :SQLSTATE
SELECT product_upsert('partly_foreign',
	'[{"brand": "b", "serial": "1", "manufacturer": "m"}, {"brand": "f", "serial": "1", "manufacturer": "m"}]');
\echo :SQLSTATE
CREATE TABLE some_foreign AS SELECT 'f' AS brand, '1' AS serial, 'm' AS manufacturer;
SELECT product_upsert_from('some_foreign', 'partly_foreign');
\echo :SQLSTATE
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT product_upsert('partly_foreign', '{"brand": "f", "serial": "1", "manufacturer": "m", "price": 1}');
\echo :SQLSTATE
ROLLBACK;
ALTER FOREIGN TABLE there OPTIONS (SET program 'echo f,1,m,1; echo f,1,m,1');
SELECT product_upsert('partly_foreign', '{"brand": "f", "serial": "1", "manufacturer": "m", "price": 1}');
\echo :SQLSTATE
ALTER FOREIGN TABLE there OPTIONS (SET program 'echo f,1,m,1');
SELECT product_upsert('partly_foreign', '{"brand": "f", "serial": "2", "manufacturer": "m", "price": 2}');
\echo :SQLSTATE
CREATE FOREIGN TABLE foreign_child () INHERITS (plain) SERVER files OPTIONS (program 'echo g,1,m,1', format 'csv');
SELECT product_upsert('plain', '{"brand": "g", "serial": "1", "manufacturer": "m", "price": 2}');
\echo :SQLSTATE
SELECT product_upsert('plain', '{"brand": "g", "serial": "1", "manufacturer": "m", "price": 1}');
\echo :SQLSTATE
-- Nor does the guard of a table that got a foreign partition after it was protected.
CREATE TABLE by_region (brand text, region text) PARTITION BY LIST (region);
CREATE TABLE by_region_here PARTITION OF by_region FOR VALUES IN ('here');
SELECT lookup_index FROM product_upsert_protect('by_region', '{brand}');
CREATE FOREIGN TABLE by_region_there (brand text, region text) SERVER files OPTIONS (program 'echo secret,there', format 'csv');
ALTER TABLE by_region ATTACH PARTITION by_region_there FOR VALUES IN ('there');
INSERT INTO by_region VALUES ('secret', 'here');
\echo :SQLSTATE
INSERT INTO by_region VALUES ('other', 'here');
-- Whatever the foreign one has: it is not looked at, as it need not show what its server has committed.
SELECT product_upsert('by_region', '{"brand": "other", "region": "here"}');
\echo :SQLSTATE
SELECT count(*) FROM ONLY by_region_here;
DROP FOREIGN TABLE foreign_child;
SET client_min_messages = warning;

DROP SERVER files CASCADE;

DROP SCHEMA pu_tables_foreign CASCADE;
