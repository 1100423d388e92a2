-- Each error with its SQLSTATE, its text, and the object that it is about.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_errors;
SET search_path = pu_errors, public;
\pset format unaligned
\pset tuples_only on
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

CREATE TABLE maker (name text PRIMARY KEY);
CREATE TABLE product (
	brand text,
	serial text,
	manufacturer text,
	price numeric(6, 2),
	stock smallint CHECK (stock >= 0),
	code varchar(4),
	day date,
	at timestamptz,
	maker text REFERENCES maker,
	required int NOT NULL DEFAULT 0,
	sku text CONSTRAINT sku_taken UNIQUE,
	parts int[],
	span int4range,
	uid uuid,
	doc jsonb
);
CREATE INDEX ON product (brand, serial, manufacturer);
INSERT INTO product (brand, serial, manufacturer, sku) VALUES ('other', '1', 'm', 's1');

-- 22004: no payload, no table
SELECT product_upsert(NULL);
\echo :SQLSTATE
SELECT product_upsert('product', NULL);
\echo :SQLSTATE
SELECT product_upsert(NULL, '{}', '{}');
\echo :SQLSTATE
SELECT product_upsert_lock(NULL, '{}');
\echo :SQLSTATE
SELECT product_upsert_lock('product', NULL);
\echo :SQLSTATE

-- 22023: neither an object nor an array of objects
SELECT product_upsert('null');
\echo :SQLSTATE
SELECT product_upsert('true');
\echo :SQLSTATE
SELECT product_upsert('1');
\echo :SQLSTATE
SELECT product_upsert('"{}"');
\echo :SQLSTATE
SELECT product_upsert('[[]]');
\echo :SQLSTATE

-- 22023: key fields are missing; all of them are named
SELECT product_upsert('{}');
\echo :SQLSTATE
SELECT product_upsert('{"serial": "1"}');
\echo :SQLSTATE
SELECT product_upsert('{"serial": null, "brand": null}');
\echo :SQLSTATE

-- A value does not fit: PostgreSQL's own errors, and the field
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "stock": "many"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "stock": 1.5}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "stock": true}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "uid": "no"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "parts": {"a": 1}}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "parts": [[1], [2, 3]]}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "parts": [1, "x"]}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "span": "[3,1)"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "stock": 32768}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "price": 12345}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "code": "12345"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "day": "yesterday-ish"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "day": "2024-02-30"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "at": "2024-01-01 00:00 Nowhere/City"}');
\echo :SQLSTATE
SELECT product_upsert('[{"brand": "a", "serial": "1", "manufacturer": "m"},
	{"brand": "a", "serial": "2", "manufacturer": "m", "price": "x"}]');
\echo :SQLSTATE

-- A constraint is violated, by a create and by an update. PostgreSQL's context lines, which tell the
-- statement, are left out here.
\set SHOW_CONTEXT never
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "required": null}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "stock": -1}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "maker": "nobody"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "required": null}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "stock": -1}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "maker": "nobody"}');
\echo :SQLSTATE

-- 23505: another unique index, with its name
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "sku": "s1"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "b", "serial": "1", "manufacturer": "m", "sku": "s1"}');
\echo :SQLSTATE

\set SHOW_CONTEXT errors

-- 42703: no such field, no such key column
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "stok": 1}');
\echo :SQLSTATE
SELECT product_upsert('maker', '{"name": "x"}');
\echo :SQLSTATE
-- 42809: no table; see also tables.sql
CREATE VIEW shop AS SELECT * FROM product;
SELECT product_upsert('shop', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
-- 42P01: there is nothing of that name, or with that OID
SELECT product_upsert('nothing', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
SELECT product_upsert('-', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
SELECT product_upsert(0::oid::regclass, '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE

-- 25006: a read-only transaction, for any payload; see also calls.sql
BEGIN READ ONLY;
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT product_upsert_lock('product', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
ROLLBACK;

-- The fields of an error that programs read
CREATE FUNCTION fields(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text; s text; t text; c text; k text;
BEGIN
	EXECUTE command;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, s = SCHEMA_NAME, t = TABLE_NAME, c = COLUMN_NAME, k = CONSTRAINT_NAME;
	RETURN format('%s schema=%s table=%s column=%s constraint=%s', code, s, t, c, k);
END $$;
CREATE TABLE bare (brand text, serial text);
CREATE TABLE unhashable (brand text, serial point, manufacturer text);
CREATE TABLE twice (brand text, serial text, manufacturer text);
CREATE INDEX ON twice (brand);
INSERT INTO twice VALUES ('a', '1', 'm'), ('a', '1', 'm');
SELECT fields($$SELECT product_upsert('bare', '{}')$$);
SELECT fields($$SELECT product_upsert('unhashable', '{}')$$);
SELECT fields($$SELECT product_upsert('twice', '{"brand": "a", "serial": "1", "manufacturer": "m"}')$$);
SELECT fields($$SELECT product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m"}', '{"stock": 5}')$$);
SELECT fields($$SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "required": null}')$$);
SELECT fields($$SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "stock": -1}')$$);
SELECT fields($$SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "sku": "s1"}')$$);
SELECT fields($$SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "sku": "s2"}')$$);
-- Also of a table that is written to by statements in any case.
CREATE TABLE generating (brand text, serial text, manufacturer text, id int GENERATED ALWAYS AS IDENTITY,
	twice int GENERATED ALWAYS AS (id * 2) STORED) PARTITION BY LIST (brand);
CREATE TABLE generating_a PARTITION OF generating FOR VALUES IN ('a');
CREATE INDEX ON generating (serial);
SELECT fields($$SELECT product_upsert('generating', '{"brand": "a", "serial": "1", "manufacturer": "m", "id": 1}')$$);
SELECT fields($$SELECT product_upsert('generating', '{"brand": "a", "serial": "1", "manufacturer": "m", "twice": 1}')$$);

-- The context of an error that PostgreSQL raises while it writes tells the element too.
SELECT place($$SELECT product_upsert('[{"brand": "a", "serial": "1", "manufacturer": "m"},
	{"brand": "z", "serial": "1", "manufacturer": "m", "stock": -1}]')$$);
SELECT place($$SELECT product_upsert('[{"brand": "a", "serial": "1", "manufacturer": "m", "maker": "nobody"}]')$$);

-- Errors leave nothing behind: not in the table, and not in what later calls use.
SELECT brand, serial, stock, required, sku FROM product WHERE brand <> 'other';
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "stock": 1}') ->> 'action';

DROP SCHEMA pu_errors CASCADE;
