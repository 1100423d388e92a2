-- How the columns of a source get into those of the target: matched by name, coerced as by INSERT ... SELECT, with what is
-- generated computed; and told, with the row and the column, if they do not fit.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_from_columns;
SET search_path = pu_from_columns, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

\i :abs_srcdir/sql/include/from.sql
CREATE TABLE feed (brand text, serial text, manufacturer text, price numeric, stock int);
INSERT INTO feed VALUES ('a', '1', 'm', 1, 1), ('a', '2', 'm', 2, 2), ('a', '3', NULL, 3, 4), ('a', '4', 'm', 4, 4);
INSERT INTO product (brand, serial, manufacturer, price, stock) SELECT * FROM feed;

-- Columns are matched by name: their order, and what was dropped, play no part.
CREATE TABLE reordered (gone1 int, stock int, manufacturer text, gone2 text, price numeric, serial text, brand text, gone3 int);
ALTER TABLE reordered DROP gone1, DROP gone2, DROP gone3;
INSERT INTO reordered VALUES (21, 'm', 2.5, '1', 'r'), (22, NULL, NULL, '', 'r');
CREATE TABLE dropped_columns (gone1 text, price numeric, brand text, gone2 int, serial text, manufacturer text,
	stock int DEFAULT 7, gone3 text);
CREATE INDEX ON dropped_columns (brand, serial, manufacturer);
INSERT INTO dropped_columns VALUES ('x', 1, 'old', 1, '1', 'm', 1, 'x');
ALTER TABLE dropped_columns DROP gone1, DROP gone2, DROP gone3;
SELECT * FROM product_upsert_from('reordered', 'dropped_columns');
SELECT brand, serial, manufacturer, price, stock FROM dropped_columns ORDER BY serial, brand;
SELECT * FROM product_upsert_from('dropped_columns', 'reordered');
SELECT * FROM product_upsert_from('dropped_columns', 'reordered');
-- A column that the source has not keeps its value, or takes its default; NULL is a value.
CREATE TABLE subset (brand text, serial text, manufacturer text, price numeric);
INSERT INTO subset VALUES ('r', '1', 'm', NULL), ('r', '2', 'm', 1);
SELECT * FROM product_upsert_from('subset', 'dropped_columns');
SELECT brand, serial, manufacturer, price, stock FROM dropped_columns WHERE brand = 'r' ORDER BY serial;
-- The key alone
CREATE VIEW keys_alone AS SELECT brand, serial, manufacturer FROM subset UNION ALL SELECT 'k', NULL, NULL;
SELECT * FROM product_upsert_from('keys_alone', 'dropped_columns');
SELECT * FROM product_upsert_from('keys_alone', 'dropped_columns');
-- Names that need quotes, and names that might be taken for others
CREATE SCHEMA "Pu ""from";
CREATE TABLE "Pu ""from"."S" ("Brand" int, brand text, serial text, manufacturer text, "select" int, "s" int,
	"b""q" int, "x y" int);
CREATE TABLE "Pu ""from"."s.t" (LIKE "Pu ""from"."S");
CREATE INDEX ON "Pu ""from"."S" (brand, serial, manufacturer);
INSERT INTO "Pu ""from"."s.t" VALUES (1, 'a', '1', 'm', 2, 3, 4, 5);
SELECT * FROM product_upsert_from('"Pu ""from"."s.t"', '"Pu ""from"."S"');
SELECT * FROM product_upsert_from('"Pu ""from"."s.t"', '"Pu ""from"."S"');
TABLE "Pu ""from"."S";
DROP SCHEMA "Pu ""from" CASCADE;
-- A column that the target has not is an error, even if there is no row.
CREATE TABLE misspelt (brand text, serial text, manufacturer text, sotck int, "Price" int);
SELECT product_upsert_from('misspelt', 'product');
\echo :SQLSTATE
CREATE VIEW like_system AS SELECT brand, serial, manufacturer, 1 AS ctid FROM feed;
SELECT product_upsert_from('like_system', 'product');
\echo :SQLSTATE
-- Or it is not read, if so set: nobody computes what is not read.
SET product_upsert.unknown_fields = ignore;
INSERT INTO misspelt VALUES ('mis', '1', 'm', 5, 5);
SELECT * FROM product_upsert_from('misspelt', 'product');
SELECT * FROM product_upsert_from('like_system', 'product');
CREATE VIEW costly AS SELECT brand, serial, manufacturer, 1 / (stock - stock) AS ratio FROM feed;
SELECT * FROM product_upsert_from('costly', 'product');
RESET product_upsert.unknown_fields;
SELECT brand, price, stock FROM product WHERE brand = 'mis';
-- The key must be there.
CREATE TABLE keyless (serial text, stock int);
INSERT INTO keyless VALUES ('1', 1);
SELECT product_upsert_from('keyless', 'product');
\echo :SQLSTATE
CREATE TABLE empty_row ();
INSERT INTO empty_row DEFAULT VALUES;
SELECT product_upsert_from('empty_row', 'product');
\echo :SQLSTATE

-- Values are coerced as by INSERT ... SELECT.
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE size AS ENUM ('small', 'large');
CREATE TYPE part AS (code int, label text);
CREATE TABLE typed (
	brand varchar(4),
	serial text,
	manufacturer char(3),
	n numeric(4,1),
	i smallint,
	p positive,
	d date,
	t text,
	s size,
	a int[],
	c part,
	j jsonb,
	b bit(3)
);
CREATE INDEX ON typed (brand, serial, manufacturer);
CREATE TABLE loose (brand text, serial int, manufacturer varchar, n float8, i bigint, p int, d timestamp, t int, s size,
	a bigint[], c part, j jsonb, b bit varying(5));
INSERT INTO loose VALUES ('abcd', 17, 'm', 1.25, 12, 3, '2024-02-29 12:00', 5, 'large', '{1,2}', '(1,x)', '{"a": 1}', '101');
SELECT * FROM product_upsert_from('loose', 'typed');
SELECT * FROM product_upsert_from('loose', 'typed');
TABLE typed;
CREATE FUNCTION try_loose(setting text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'UPDATE loose SET ' || setting;
	RETURN QUERY SELECT place('SELECT product_upsert_from(''loose'', ''typed'')');
	RAISE EXCEPTION 'undo';
EXCEPTION WHEN raise_exception THEN
END $$;
SELECT try_loose($$brand = 'abcd  '$$);
SELECT try_loose($$brand = 'abcde'$$);
SELECT try_loose($$manufacturer = 'mmmm'$$);
SELECT try_loose($$n = 1000$$);
SELECT try_loose($$n = 'NaN'$$);
SELECT try_loose($$i = 32768$$);
SELECT try_loose($$p = 0$$);
SELECT try_loose($$a = '{1,2147483648}'$$);
SELECT try_loose($$b = '10'$$);
SELECT try_loose($$(n, i, p, d, t, s, a, c, j, b) = (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)$$);
-- Types without such a cast: told before any row is read
CREATE TABLE texts (brand text, serial text, manufacturer text, i text);
SELECT product_upsert_from('texts', 'typed');
\echo :SQLSTATE
CREATE TABLE text_enum (brand text, serial text, manufacturer text, s text);
SELECT product_upsert_from('text_enum', 'typed');
\echo :SQLSTATE
CREATE TABLE int_date (brand text, serial text, manufacturer text, d int);
SELECT product_upsert_from('int_date', 'typed');
\echo :SQLSTATE
-- A cast that is a function of the user's; what it returns may be expanded, and is not to be written to.
CREATE TYPE code AS (text text);
CREATE FUNCTION parts_of(code) RETURNS int[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	parts int[] := '{}';
BEGIN
	FOR i IN 1 .. length($1.text) LOOP
		parts := parts || i;
	END LOOP;
	RETURN parts;
END $$;
CREATE CAST (code AS int[]) WITH FUNCTION parts_of(code) AS ASSIGNMENT;
CREATE TABLE coded (brand text, serial text, manufacturer text, parts int[], more int[] GENERATED ALWAYS AS (parts || 0) STORED);
CREATE INDEX ON coded (brand, serial, manufacturer);
CREATE TABLE codes (brand text, serial text, manufacturer text, parts code);
INSERT INTO codes VALUES ('a', '1', 'm', '(xy)'), ('a', '2', 'm', '(xyz)');
SELECT * FROM product_upsert_from('codes', 'coded');
SELECT * FROM product_upsert_from('codes', 'coded');
TABLE coded;
-- Values that are stored elsewhere, or compressed
CREATE TABLE wide (brand text, serial text, manufacturer text, plain text, external text, js jsonb);
ALTER TABLE wide ALTER plain SET STORAGE MAIN, ALTER external SET STORAGE EXTERNAL;
CREATE INDEX ON wide (serial);
CREATE TABLE wide_feed (LIKE wide);
ALTER TABLE wide_feed ALTER plain SET STORAGE EXTERNAL;
INSERT INTO wide_feed SELECT repeat('b', 3000), i::text, repeat('m', 5000), repeat('x', 10000), repeat('y', 10000),
	to_jsonb(array_fill(i, ARRAY[5000]))
  FROM generate_series(1, 3) AS i;
SELECT * FROM product_upsert_from('wide_feed', 'wide');
SELECT * FROM product_upsert_from('wide_feed', 'wide');
DROP TABLE wide_feed;
SELECT count(*), min(length(brand)), min(length(manufacturer)), min(length(plain)), min(length(external)),
	min(jsonb_array_length(js)) FROM wide;

-- They are read as they were when the load began, though the rows that they come from are overwritten meanwhile.
CREATE VIEW handed_down AS SELECT brand, serial, manufacturer, lag(external) OVER (ORDER BY serial) AS external,
	lead(plain) OVER (ORDER BY serial) || 'x' AS plain FROM wide ORDER BY serial;
UPDATE wide SET external = repeat(serial, 10000);
SELECT * FROM product_upsert_from('handed_down', 'wide');
SELECT serial, length(plain), left(external, 1), length(external) FROM wide ORDER BY serial;

-- Generated and identity columns
CREATE TABLE generated (
	id int GENERATED ALWAYS AS IDENTITY,
	raw text,
	brand text GENERATED ALWAYS AS (lower(raw)) STORED,
	serial text,
	manufacturer text,
	price int,
	twice int GENERATED ALWAYS AS (price * 2) STORED
);
CREATE INDEX ON generated (brand, serial, manufacturer);
CREATE TABLE raw_feed (raw text, serial text, manufacturer text, price int);
INSERT INTO raw_feed VALUES ('ACME', '1', 'm', 1), ('Acme', '1', 'm', 2), (NULL, '2', 'm', 3), ('x', NULL, 'm', 4);
SELECT * FROM product_upsert_from('raw_feed', 'generated');
SELECT * FROM generated ORDER BY id;
SELECT * FROM product_upsert_from('generated', 'generated');
CREATE VIEW without_raw AS SELECT brand, serial, manufacturer FROM generated;
SELECT product_upsert_from('without_raw', 'generated');
\echo :SQLSTATE
CREATE VIEW wrong_brand AS SELECT raw, 'other' AS brand, serial, manufacturer FROM generated;
SELECT product_upsert_from('wrong_brand', 'generated');
\echo :SQLSTATE
CREATE VIEW wrong_second_brand AS SELECT raw, CASE id WHEN 3 THEN 'other' ELSE brand END AS brand, serial, manufacturer
  FROM generated ORDER BY id;
SELECT place($$SELECT product_upsert_from('wrong_second_brand', 'generated')$$);
CREATE VIEW wrong_id AS SELECT id + 10 AS id, raw, serial, manufacturer FROM generated;
SELECT product_upsert_from('wrong_id', 'generated');
\echo :SQLSTATE
CREATE VIEW new_id AS SELECT 100 AS id, 'new' AS raw, '1' AS serial, 'm' AS manufacturer;
SELECT product_upsert_from('new_id', 'generated');
\echo :SQLSTATE

DROP SCHEMA pu_from_columns CASCADE;
