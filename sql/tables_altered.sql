-- Tables that have been altered, and that are altered between the calls of one session: what is remembered of them never
-- outlives what it was about.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_tables_altered;
SET search_path = pu_tables_altered, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

CREATE TABLE plain (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON plain (brand, serial, manufacturer);

-- dropped columns, columns that were added later, a column of the key added later
CREATE TABLE evolved (gone1 int, brand text, gone2 text, serial text, price int);
INSERT INTO evolved VALUES (1, 'a', 'x', '1', 5);
ALTER TABLE evolved DROP COLUMN gone1, DROP COLUMN gone2, ADD COLUMN manufacturer text DEFAULT 'm',
	ADD COLUMN added int DEFAULT 42;
CREATE INDEX ON evolved (brand);
SELECT four_calls('evolved');

-- The table changes between calls of one session.
SELECT product_upsert('evolved', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 3}') ->> 'action';
ALTER TABLE evolved ALTER price TYPE numeric(8, 2);
SELECT product_upsert('evolved', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 3.5}');
ALTER TABLE evolved RENAME price TO cost;
SELECT product_upsert('evolved', '{"brand": "a", "serial": "1", "manufacturer": "m", "cost": 4}') -> 'previous';
ALTER TABLE evolved RENAME TO renamed;
SELECT product_upsert('renamed', '{"brand": "a", "serial": "1", "manufacturer": "m", "cost": 5}') -> 'previous';
CREATE SCHEMA pu_tables_altered_2;
ALTER TABLE renamed SET SCHEMA pu_tables_altered_2;
SELECT product_upsert('pu_tables_altered_2.renamed', '{"brand": "a", "serial": "1", "manufacturer": "m", "cost": 6}')
	-> 'previous';
ALTER SCHEMA pu_tables_altered_2 RENAME TO pu_tables_altered_3;
SELECT product_upsert('pu_tables_altered_3.renamed', '{"brand": "a", "serial": "1", "manufacturer": "m", "cost": 7}')
	-> 'previous';
ALTER TABLE pu_tables_altered_3.renamed DROP COLUMN manufacturer;
SELECT product_upsert('pu_tables_altered_3.renamed', '{"brand": "a", "serial": "1", "manufacturer": "m", "cost": 8}');
\echo :SQLSTATE
ALTER TABLE pu_tables_altered_3.renamed ADD COLUMN manufacturer text DEFAULT 'm';
SELECT product_upsert('pu_tables_altered_3.renamed', '{"brand": "a", "serial": "1", "manufacturer": "m", "cost": 8}')
	-> 'previous';
DROP TABLE pu_tables_altered_3.renamed;
CREATE TABLE pu_tables_altered_3.renamed (manufacturer text, serial int, brand text, cost text);
CREATE INDEX ON pu_tables_altered_3.renamed (brand);
SELECT product_upsert('pu_tables_altered_3.renamed', '{"brand": "a", "serial": 1, "manufacturer": "m", "cost": "much"}');
DROP SCHEMA pu_tables_altered_3 CASCADE;
-- A unique index comes and goes.
SELECT product_upsert('plain', '{"brand": "u", "serial": "1", "manufacturer": "m"}') ->> 'action';
ALTER TABLE plain ADD CONSTRAINT plain_key UNIQUE (brand, serial, manufacturer);
SELECT product_upsert('plain', '{"brand": "u", "serial": "2", "manufacturer": "m"}') ->> 'action';
ALTER TABLE plain DROP CONSTRAINT plain_key;
SELECT product_upsert('plain', '{"brand": "u", "serial": "3", "manufacturer": "m"}') ->> 'action';
-- So does an attribute of a column's type.
CREATE TYPE size AS (w int, h int);
CREATE TABLE sized (brand text, serial text, manufacturer text, size size);
CREATE INDEX ON sized (brand);
SELECT product_upsert('sized', '{"brand": "a", "serial": "1", "manufacturer": "m", "size": {"w": 1, "h": 2}}')
	-> 'product' -> 'size';
ALTER TYPE size ADD ATTRIBUTE d int;
SELECT product_upsert('sized', '{"brand": "a", "serial": "1", "manufacturer": "m", "size": {"w": 1, "h": 2, "d": 3}}');
ALTER TYPE size DROP ATTRIBUTE w;
SELECT product_upsert('sized', '{"brand": "a", "serial": "1", "manufacturer": "m", "size": {"h": 3, "d": 3}}');

DROP SCHEMA pu_tables_altered CASCADE;
