-- The last writer wins, by a version or a time, whatever the order of arrival.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_newer_by;
SET search_path = pu_newer_by, public;
\pset format unaligned
\pset tuples_only on
\i sql/include/helpers.sql

CREATE TABLE product (
	brand text,
	serial text,
	manufacturer text,
	price int,
	version numeric,
	at timestamptz,
	js json,
	point point,
	label text COLLATE "C",
	twice numeric GENERATED ALWAYS AS (version * 2) STORED
);
CREATE INDEX ON product (brand, serial, manufacturer);
CREATE FUNCTION item(serial text, price int, version numeric) RETURNS jsonb LANGUAGE sql RETURN
	item(serial, price) || jsonb_build_object('version', version);

-- Only what is newer is written. What is as new, with other values, is not; with the same ones it is unchanged.
SELECT product_upsert('product', item('1', 1, 5), newer_by => 'version') ->> 'action';
SELECT product_upsert('product', item('1', 2, 4), newer_by => 'version');
SELECT product_upsert('product', item('1', 2, 5), newer_by => 'version') ->> 'action';
SELECT product_upsert('product', item('1', 1, 5), newer_by => 'version') ->> 'action';
SELECT product_upsert('product', item('1', 2, 6), newer_by => 'version') -> 'previous';
-- Equal is by the type, although 6.0 is stored otherwise than 6.
SELECT product_upsert('product', item('1', 2, 6.0), newer_by => 'version') ->> 'action';
-- Without the option nothing is compared.
SELECT product_upsert('product', item('1', 2, 3)) ->> 'action';

-- A null is older than any value: it never takes the place of one, and any value its.
SELECT product_upsert('product', item('1', 3, NULL), newer_by => 'version') ->> 'action';
SELECT product_upsert('product', item('2', 3, NULL), newer_by => 'version') ->> 'action';
SELECT product_upsert('product', item('2', 4, NULL), newer_by => 'version') ->> 'action';
SELECT product_upsert('product', item('2', 4, NULL), newer_by => 'version') ->> 'action';
SELECT product_upsert('product', item('2', 4, -1), newer_by => 'version') ->> 'action';

-- An array, out of order
SELECT string_agg(r ->> 'action', ' '), string_agg(r -> 'product' ->> 'version', ' ') FROM jsonb_array_elements(product_upsert('product',
	jsonb_build_array(item('3', 1, 2), item('4', 1, 1), item('3', 2, 1), item('3', 3, 3), item('4', 1, 1), item('3', 4, 2)),
	newer_by => 'version')) r;

-- With the other options: if_match is asked first; what counts on a create is not compared.
SELECT try($$ SELECT product_upsert('product', item('3', 9, 1), '{"version": 4}', newer_by => 'version') $$);
SELECT product_upsert('product', item('3', 9, 1), '{"version": 3}', newer_by => 'version') ->> 'action';
SELECT product_upsert('product', item('5', 9, 1), on_create => '{"price": 1}', newer_by => 'version') -> 'product' ->> 'price';
SELECT try($$ SELECT product_upsert('product', item('6', 9, 1), on_create => '{"version": 1}', newer_by => 'version') $$);

-- What is stale is not looked at further; what is newer is.
SELECT product_upsert('product', item('5', 9, 0) || '{"twice": 7}', newer_by => 'version') ->> 'action';
SELECT try($$ SELECT product_upsert('product', item('5', 9, 2) || '{"twice": 7}', newer_by => 'version') ->> 'action' $$);

-- By time, and by the collation of the column, in which a is after B
SELECT product_upsert('product', item('7', 1) || '{"at": "2024-01-01 12:00+00"}', newer_by => 'at') ->> 'action';
SELECT product_upsert('product', item('7', 2) || '{"at": "2024-01-01 13:30+02"}', newer_by => 'at') ->> 'action';
SELECT product_upsert('product', item('7', 2) || '{"at": "2024-01-01 12:30+00"}', newer_by => 'at') ->> 'action';
SELECT product_upsert('product', item('8', 1) || '{"label": "a"}', newer_by => 'label') ->> 'action';
SELECT product_upsert('product', item('8', 2) || '{"label": "B"}', newer_by => 'label') ->> 'action';
-- By the type's own comparison, whatever operators others have put in front
CREATE FUNCTION liar(numeric, numeric) RETURNS boolean LANGUAGE sql RETURN true;
CREATE OPERATOR < (LEFTARG = numeric, RIGHTARG = numeric, FUNCTION = liar);
CREATE OPERATOR > (LEFTARG = numeric, RIGHTARG = numeric, FUNCTION = liar);
SET search_path = pu_newer_by, pg_catalog, public;
SELECT product_upsert('product', item('1', 7, 1), newer_by => 'version') ->> 'action';
SET search_path = pu_newer_by, public;
-- Arrays, enums, domains and composite types have an order, too.
CREATE TYPE size AS ENUM ('s', 'm', 'l');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE release AS (major int, minor int);
CREATE TABLE odd (brand text, serial text, manufacturer text, price int, a int[], size size, n positive, release release);
CREATE INDEX ON odd (brand, serial, manufacturer);
SELECT column_name, product_upsert('odd', item(column_name, 1) || v1, newer_by => column_name) ->> 'action',
	product_upsert('odd', item(column_name, 2) || v2, newer_by => column_name) ->> 'action',
	product_upsert('odd', item(column_name, 3) || v1, newer_by => column_name) ->> 'action'
  FROM (VALUES ('a', jsonb '{"a": [1, 9]}', jsonb '{"a": [1, 10]}'), ('size', '{"size": "m"}', '{"size": "l"}'),
	('n', '{"n": 9}', '{"n": 10}'), ('release', '{"release": {"major": 9, "minor": 1}}', '{"release": {"major": 10, "minor": 0}}'))
	v(column_name, v1, v2);

-- A load counts what was stale.
CREATE VIEW feed AS
SELECT 'b' AS brand, serial, 'm' AS manufacturer, 10 AS price, version FROM (VALUES ('1', 2), ('9', 2), ('9', 1), ('9', 3), ('9', 3)) v(serial, version);
SELECT created, updated, unchanged, stale FROM product_upsert_from('feed', 'product', newer_by => 'version');
CREATE VIEW payloads AS SELECT jsonb_agg(to_jsonb(feed) || '{"price": 11}') FROM feed;
SELECT created, updated, unchanged, stale FROM product_upsert_from('payloads', 'product', NULL, 'version');
SELECT serial, price, version FROM product ORDER BY serial;

-- What it must be, and that all must give it
SELECT newer_by, try(format('SELECT product_upsert(''product'', item(''1'', 1), newer_by => %L)', newer_by)),
	(SELECT array_agg(p) FROM place(format('SELECT product_upsert(''product'', item(''1'', 1), newer_by => %L)', newer_by)) p)
  FROM unnest(ARRAY['verison', 'serial', 'twice', 'js', 'point', 'version', '']) newer_by;
SELECT * FROM place($$ SELECT product_upsert('product', jsonb_build_array(item('1', 1, 1), item('1', 1)), newer_by => 'version') $$);
CREATE VIEW without AS SELECT brand, serial, manufacturer, price FROM product;
SELECT try($$ SELECT product_upsert_from('without', 'product', newer_by => 'version') $$);
SELECT * FROM place($$ SELECT product_upsert_from('feed', 'product', newer_by => 'point') $$);

-- Nothing is written of what is stale: the row stays where it is, and no trigger fires.
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'written'; END $$;
CREATE TRIGGER fail BEFORE UPDATE ON product FOR EACH ROW EXECUTE FUNCTION fail();
SELECT product_upsert('product', item('1', 8, 1), newer_by => 'version') ->> 'action';
SELECT try($$ SELECT product_upsert('product', item('1', 8, 9), newer_by => 'version') $$);

-- The HTTP status is that of any row that is not created.
SET product_upsert.http_status = on;
BEGIN;
SELECT product_upsert('product', item('1', 8, 1), newer_by => 'version') ->> 'action';
SELECT current_setting('response.status');
COMMIT;
DROP SCHEMA pu_newer_by CASCADE;
