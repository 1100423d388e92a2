-- Which keys may be declared, and of what: names of all kinds, one column and as many as there may be, and each type, for
-- which what is equal is one row; and what cannot be in a key, or have one.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE EXTENSION IF NOT EXISTS citext;
CREATE SCHEMA pu_protect_keys;
SET search_path = pu_protect_keys, public;
\pset format unaligned
\pset tuples_only on
\pset null <null>
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

-- Names of all kinds, of the table and of the columns
CREATE SCHEMA "Pu ""protect""";
CREATE TABLE "Pu ""protect"""."The 'table'" ("a""b" text, "c'd" text, "e\f" text, "g,h" text, "Käse" text, "SELECT" text,
	"%I %s" text, " " text, "$1" text, t text, k text);
SELECT * FROM product_upsert_protect('"Pu ""protect"""."The ''table''"',
	ARRAY['a"b', 'c''d', 'e\f', 'g,h', 'Käse', 'SELECT', '%I %s', ' ', '$1', 't', 'k']);
SELECT guards('"Pu ""protect"""."The ''table''"');
SELECT product_upsert_key('"Pu ""protect"""."The ''table''"');
SELECT xmin FROM pg_trigger WHERE tgrelid = '"Pu ""protect"""."The ''table''"'::regclass \gset trigger_
SELECT * FROM product_upsert_protect('"Pu ""protect"""."The ''table''"',
	ARRAY['a"b', 'c''d', 'e\f', 'g,h', 'Käse', 'SELECT', '%I %s', ' ', '$1', 't', 'k']);
SELECT xmin = :'trigger_xmin'::xid FROM pg_trigger WHERE tgrelid = '"Pu ""protect"""."The ''table''"'::regclass;
INSERT INTO "Pu ""protect"""."The 'table'" VALUES ('1', '2', '3', '4', '5', '6', '7', '8', '9', '10', NULL);
SELECT try($$ INSERT INTO "Pu ""protect"""."The 'table'" SELECT * FROM "Pu ""protect"""."The 'table'" $$);
\set VERBOSITY verbose
SELECT product_upsert('"Pu ""protect"""."The ''table''"', to_jsonb(x)) ->> 'action' FROM "Pu ""protect"""."The 'table'" x;
\set VERBOSITY default
SELECT key, copies, rows FROM product_upsert_duplicates('"Pu ""protect"""."The ''table''"');
ALTER TABLE "Pu ""protect"""."The 'table'" DISABLE TRIGGER ALL;
INSERT INTO "Pu ""protect"""."The 'table'" SELECT * FROM "Pu ""protect"""."The 'table'";
SELECT key, copies, rows FROM product_upsert_duplicates('"Pu ""protect"""."The ''table''"');
SELECT product_upsert_unprotect('"Pu ""protect"""."The ''table''"');
SELECT guards('"Pu ""protect"""."The ''table''"');
DROP SCHEMA "Pu ""protect""" CASCADE;

-- One column, and as many as there may be
SELECT format('CREATE TABLE wide (%s)', string_agg(format('c%s int', n), ', ' ORDER BY n)) FROM generate_series(1, 40) AS n \gexec
SELECT array_agg('c' || n ORDER BY n) AS columns FROM generate_series(1, 32) AS n \gset
SELECT array_agg('c' || n ORDER BY n) AS too_many FROM generate_series(1, 33) AS n \gset
SELECT * FROM product_upsert_protect('wide', '{c40}');
SELECT lookup_index IS NOT NULL, duplicate_keys FROM product_upsert_protect('wide', :'columns');
SELECT cardinality(product_upsert_key('wide'));
INSERT INTO wide (c1, c32) VALUES (1, 1), (1, 2), (2, 1);
SELECT left(try($$ INSERT INTO wide (c1, c32) VALUES (1, 1) $$), 5);
\set VERBOSITY sqlstate
SELECT product_upsert_protect('wide', :'too_many');
\set VERBOSITY default
SELECT try($$ SELECT product_upsert_protect('wide', '{}') $$);
SELECT try($$ SELECT product_upsert_protect('wide', '{{c1,c2},{c3,c4}}') $$);
SELECT try($$ SELECT product_upsert_protect('wide', '{c1,c2,c1}') $$);
SELECT try($$ SELECT product_upsert_protect('wide', '{c1,c41}') $$);
SELECT try($$ SELECT product_upsert_protect('wide', '{C1}') $$);
SELECT try($$ SELECT product_upsert_protect('wide', '{ctid}') $$);
SELECT try($$ SELECT product_upsert_protect('wide') $$);
ALTER TABLE wide DROP c39;
SELECT try($$ SELECT product_upsert_protect('wide', '{........pg.dropped.39........}') $$);
SELECT try($$ SELECT product_upsert_protect('wide', '{NULL}') $$);
SELECT try($$ SELECT product_upsert_protect('wide', ARRAY['c1', NULL]) $$);
SELECT try($$ SELECT product_upsert_protect('wide', NULL) $$);
SELECT try($$ SELECT product_upsert_protect(NULL) $$);
SELECT try($$ SELECT product_upsert_unprotect(NULL) $$);
SELECT try($$ SELECT product_upsert_key(NULL) $$);
SELECT try($$ SELECT product_upsert_lookup_index(NULL) $$);
SELECT try($$ SELECT product_upsert_key(0) $$);
SELECT try($$ SELECT product_upsert_key(1) $$);
SELECT cardinality(product_upsert_key('wide'));
DROP TABLE wide;
-- Columns that cannot be in a key, and relations that cannot have one
CREATE TABLE product (place point, document json, brand text, serial text, manufacturer text);
SELECT try($$ SELECT product_upsert_protect('product', '{brand,place}') $$);
SELECT try($$ SELECT product_upsert_protect('product', '{document}') $$);
SELECT guards('product');
CREATE VIEW view AS SELECT brand, serial, manufacturer FROM product;
CREATE MATERIALIZED VIEW materialized AS SELECT brand, serial, manufacturer FROM product;
CREATE TYPE composite AS (brand text, serial text, manufacturer text);
CREATE SEQUENCE sequence;
CREATE INDEX index ON product (brand);
SELECT relation, left(try(format('SELECT product_upsert_protect(%L)', relation)), 5)
  FROM unnest('{view,materialized,composite}'::text[]) AS relation;
SELECT relation, left(try(format('SELECT product_upsert_key(%L)', relation)), 5)
  FROM unnest('{view,materialized,composite,sequence,index}'::text[]) AS relation;
SELECT relation, left(try(format('SELECT product_upsert_lookup_index(%L)', relation)), 5)
  FROM unnest('{view,materialized,composite,sequence,index}'::text[]) AS relation;
DROP VIEW view;
DROP MATERIALIZED VIEW materialized;
DROP TYPE composite;
DROP SEQUENCE sequence;
DROP TABLE product;

-- The declared key by type: what is equal under the column's type and collation is one row, for the guard and for
-- product_upsert; under the key's own order, which here is not that of the columns.
CREATE TYPE colour AS ENUM ('red', 'Red');
CREATE TYPE pair AS (x numeric, y text);
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE DOMAIN code AS citext CHECK (value <> '');
-- by_type(type, value, same value, other value)
CREATE FUNCTION by_type(type text, value jsonb, same jsonb, other jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('CREATE TABLE typed (n int, k %s, tenant int)', type);
	PERFORM product_upsert_protect('typed', '{tenant,k}');
	SELECT string_agg(product_upsert('typed', jsonb_build_object('n', n, 'k', v, 'tenant', tenant)) ->> 'action', ' ' ORDER BY n)
	  INTO result
	  FROM (VALUES (1, value, 1), (2, same, 1), (3, other, 1), (4, same, 2), (5, other, 2), (6, null, 2),
		(7, 'null'::jsonb, 2)) AS v (n, v, tenant);
	result := concat_ws(' | ', type, result,
		left(try(format('INSERT INTO typed SELECT * FROM jsonb_populate_record(NULL::typed, %L)',
			jsonb_build_object('k', same, 'tenant', 1))), 5),
		left(try('UPDATE typed SET tenant = 1 WHERE n = 4'), 5),
		try('UPDATE typed SET tenant = 3 WHERE n = 4'));
	DROP TABLE typed;
	RETURN result;
END $$;
SELECT by_type('text', '"a"', '"a"', '"A"');
SELECT by_type('citext', '"Abc"', '"aBC"', '"abd"');
SELECT by_type('code', '"Abc"', '"aBC"', '"abd"');
SELECT by_type('char(5)', '"a"', '"a  "', '"b"');
SELECT by_type('numeric', '1.0', '1.00', '2');
SELECT by_type('uuid', '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"', '"{A0EEBC999C0B4EF8BB6D6BB9BD380A11}"',
	'"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12"');
SELECT by_type('colour', '"red"', '"red"', '"Red"');
SELECT by_type('numeric[]', '[1.0, null]', '[1, null]', '[1]');
SELECT by_type('pair', '{"x": 1.0, "y": "a"}', '{"x": 1, "y": "a"}', '{"x": 1}');
SELECT by_type('jsonb', '{"a": 1.0}', '{"a": 1.00}', '{"a": 2}');
SELECT by_type('timestamptz', '"2024-01-01 00:00:00+00"', '"2024-01-01 01:00:00+01"', '"2024-01-01 01:00:00+00"');
SELECT by_type('numrange', '"[1.0,3)"', '"[1,3.0)"', '"empty"');
SELECT by_type('text COLLATE ignore_case', '"abc"', '"ABC"', '"äbc"');

DROP SCHEMA pu_protect_keys CASCADE;
