-- Sources whose rows are payloads: which those are, and what is told of a row that is none.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_from_payloads;
SET search_path = pu_from_payloads, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

\i :abs_srcdir/sql/include/from.sql

-- A single column of jsonb: each row is a payload, an object or an array of objects.
TRUNCATE product RESTART IDENTITY;
CREATE TABLE payloads (n int, payload jsonb);
INSERT INTO payloads VALUES
	(1, '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}'),
	(2, '[{"brand": "a", "serial": "2", "manufacturer": "m", "stock": 1},
		{"brand": "a", "serial": "1", "manufacturer": "m", "stock": 3}]'),
	(3, '[]'),
	(4, '{"brand": null, "serial": "1", "manufacturer": "m"}');
CREATE VIEW payload_feed AS SELECT payload FROM payloads ORDER BY n;
SELECT * FROM product_upsert_from('payload_feed', 'product');
SELECT * FROM product_upsert_from('payload_feed', 'product');
SELECT brand, serial, manufacturer, price, stock FROM product ORDER BY id;
-- Two columns are two columns.
SELECT product_upsert_from('payloads', 'product');
\echo :SQLSTATE
-- Columns that were dropped do not count, nor does the name of the one that is left; a domain is what it is over.
CREATE DOMAIN document AS jsonb CHECK (jsonb_typeof(VALUE) <> 'string');
CREATE DOMAIN small_document AS document;
CREATE TABLE documents (dropped int, "Any name" small_document, gone int);
ALTER TABLE documents DROP dropped, DROP gone;
INSERT INTO documents VALUES ('{"brand": "d", "serial": "1", "manufacturer": "m"}');
SELECT * FROM product_upsert_from('documents', 'product');
-- Even if the target has a column of that name
CREATE TABLE with_payload (brand text, serial text, manufacturer text, payload jsonb);
CREATE INDEX ON with_payload (brand);
INSERT INTO payloads VALUES (5, '{"brand": "p", "serial": "1", "manufacturer": "m", "payload": {"x": 1}}');
CREATE VIEW last_payload AS SELECT payload FROM payloads WHERE n = 5;
SELECT * FROM product_upsert_from('last_payload', 'with_payload');
TABLE with_payload;
-- Of other types, a single column is a column.
CREATE TABLE json_feed (payload json);
INSERT INTO json_feed VALUES ('{"brand": "a", "serial": "1", "manufacturer": "m"}');
SELECT product_upsert_from('json_feed', 'product');
\echo :SQLSTATE
-- Rows that are no payload; the error tells which, and all others are not there either.
CREATE FUNCTION try_payload(payload jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO payloads VALUES (5, '[{"brand": "first", "serial": "1", "manufacturer": "m"}]'), (6, payload);
	RETURN QUERY SELECT place('SELECT product_upsert_from(''payload_feed'', ''product'')');
	DELETE FROM payloads WHERE n IN (5, 6);
END $$;
DELETE FROM payloads WHERE n = 5;
SELECT try_payload(NULL);
SELECT try_payload('null');
SELECT try_payload('1');
SELECT try_payload('"text"');
SELECT try_payload('[1]');
SELECT try_payload('[[]]');
SELECT try_payload('{}');
SELECT try_payload('{"brand": "a", "serial": "1", "manufacturer": "m", "stokc": 1}');
SELECT try_payload('{"brand": "a", "serial": "1", "manufacturer": "m", "stock": "many"}');
SELECT try_payload('[{"brand": "a", "serial": "1", "manufacturer": "m"},
	{"brand": "a", "serial": "1", "manufacturer": "m", "stock": "many"}]');
SELECT try_payload('[{"brand": "a", "serial": "1", "manufacturer": "m"},
	{"brand": "a", "serial": "1", "manufacturer": "m", "stock": -1}]');
SELECT try_payload('{"brand": "a", "serial": "1", "manufacturer": "m", "stock": -1}');
SELECT count(*) FROM product WHERE brand = 'first';
SET product_upsert.unknown_fields = ignore;
SELECT try_payload('{"brand": "a", "serial": "1", "manufacturer": "m", "stokc": 1}');
RESET product_upsert.unknown_fields;

DROP SCHEMA pu_from_payloads CASCADE;
