-- Fields of a payload that are no column of the table.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_unknown;
SET search_path = pu_unknown, public;
\pset format unaligned
\pset tuples_only on

CREATE TABLE product (
	brand text,
	serial text,
	manufacturer text,
	description text,
	"Größe" text,
	dropped text
);
CREATE INDEX ON product (brand, serial, manufacturer);
ALTER TABLE product DROP COLUMN dropped;

-- The nearest column is suggested, if it is near.
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "descripton": "d"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "Description": "d"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "Grösse": "d"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "weight": "d"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "": "d"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "x": "d"}');
\echo :SQLSTATE
-- A misspelt key field is told as such, rather than as a missing one.
SELECT product_upsert('{"brandt": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
-- Neither a dropped column nor a system column is a column.
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "dropped": "d"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "........pg.dropped.6........": "d"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "ctid": "(0,1)"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "tableoid": 1}');
\echo :SQLSTATE
-- Names are hostile data: long ones are cut between characters, and nothing in them is a format.
SELECT product_upsert(jsonb_build_object('brand', 'a', 'serial', '1', 'manufacturer', 'm', repeat('ä', 10000), 1));
\echo :SQLSTATE
SELECT product_upsert(jsonb_build_object('brand', 'a', 'serial', '1', 'manufacturer', 'm', repeat('d', 63), 1));
\echo :SQLSTATE
SELECT product_upsert(jsonb_build_object('brand', 'a', 'serial', '1', 'manufacturer', 'm', repeat('d', 64), 1));
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "%s%n%d": 1}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "description\" = (SELECT 1); --": 1}');
\echo :SQLSTATE
-- A field that goes on where a column's name ends is another field.
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "descriptionx": "d"}');
\echo :SQLSTATE
TABLE product;

-- They can be ignored; all else counts as before.
SET product_upsert.unknown_fields = ignore;
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "descripton": "d", "weight": {"kg": 1}}');
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "description": "d", "weight": [1]}');
SELECT product_upsert('[{"brand": "a", "serial": "1", "manufacturer": "m", "weight": 1}]') -> 0 ->> 'action';
SELECT product_upsert('{"brandt": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
SET product_upsert.unknown_fields = error;
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "weight": 1}');
\echo :SQLSTATE

DROP SCHEMA pu_unknown CASCADE;
