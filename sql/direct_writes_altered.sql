-- What is remembered of a table between calls without SQL statements, and forgotten when it no longer holds: defaults,
-- domains, types, casts, functions, triggers, constraints, indexes. The outcome is the same without direct_store.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_writes_altered;
SET search_path = pu_writes_altered, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

CREATE TABLE product (brand text, serial text, manufacturer text, price int, note text);
CREATE INDEX ON product (brand, serial, manufacturer);
CREATE TABLE event (n int GENERATED ALWAYS AS IDENTITY, entry text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO event (entry) VALUES (concat_ws(' ', TG_NAME, TG_WHEN, TG_OP, OLD, NEW));
	RETURN NEW;
END $$;

-- What is remembered of a table, forgotten in time. A default's function is replaced:
CREATE FUNCTION standard() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION standard_note() RETURNS text LANGUAGE sql AS $$ SELECT 'one' $$;
TRUNCATE product;
ALTER TABLE product ALTER price SET DEFAULT standard(), ALTER note SET DEFAULT standard_note();
SELECT product_upsert('product', item('1', 1) - 'price') -> 'product';
CREATE OR REPLACE FUNCTION standard() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2';
CREATE OR REPLACE FUNCTION standard_note() RETURNS text LANGUAGE sql AS $$ SELECT 'two' $$;
SELECT product_upsert('product', item('2', 1) - 'price') -> 'product';
ALTER TABLE product ALTER price SET DEFAULT 3, ALTER note DROP DEFAULT;
SELECT product_upsert('product', item('3', 1) - 'price') -> 'product';
ALTER TABLE product ALTER price DROP DEFAULT, ALTER price SET NOT NULL, ALTER price ADD GENERATED ALWAYS AS IDENTITY (START 100);
SELECT product_upsert('product', item('4', 1) - 'price') -> 'product';
SELECT product_upsert('product', item('5', 1)) -> 'product';
\echo :SQLSTATE
ALTER TABLE product ALTER price DROP IDENTITY, ALTER price DROP NOT NULL;
SELECT product_upsert('product', item('5', 1) - 'price') -> 'product';
-- A domain gets constraints, and loses them.
CREATE DOMAIN label AS text;
CREATE TABLE labelled (brand text, serial text, manufacturer text, label label, price int);
CREATE INDEX ON labelled (brand, serial, manufacturer);
SELECT product_upsert('labelled', item('1', 1)) -> 'product' -> 'label';
DELETE FROM labelled;
ALTER DOMAIN label SET NOT NULL;
SELECT product_upsert('labelled', item('2', 1)) -> 'product' -> 'label';
\echo :SQLSTATE
SELECT product_upsert('labelled', item('2', 1) || '{"label": null}') -> 'product' -> 'label';
\echo :SQLSTATE
ALTER DOMAIN label DROP NOT NULL;
SELECT product_upsert('labelled', item('2', 1)) -> 'product' -> 'label';
DELETE FROM labelled;
ALTER DOMAIN label ADD CONSTRAINT there CHECK (value IS NOT NULL);
SELECT product_upsert('labelled', item('3', 1)) -> 'product' -> 'label';
\echo :SQLSTATE
SELECT product_upsert('labelled', item('3', 1) || '{"label": "x"}') -> 'product' -> 'label';
ALTER DOMAIN label ADD CONSTRAINT not_y CHECK (value <> 'y');
SELECT product_upsert('labelled', item('3', 1) || '{"label": "y"}') -> 'product' -> 'label';
\echo :SQLSTATE
ALTER DOMAIN label DROP CONSTRAINT not_y;
ALTER DOMAIN label DROP CONSTRAINT there;
SELECT product_upsert('labelled', item('3', 1) || '{"label": "y"}') -> 'product' -> 'label';
SELECT product_upsert('labelled', item('4', 1)) -> 'product' -> 'label';
-- An enum gets another value, which becomes usable when that is committed.
CREATE TYPE mood AS ENUM ('good');
ALTER TABLE labelled ADD mood mood, ADD moods mood[];
SELECT product_upsert('labelled', item('4', 1) || '{"mood": "good"}') -> 'product' -> 'mood';
ALTER TYPE mood ADD VALUE 'better';
SELECT product_upsert('labelled', item('4', 1) || '{"mood": "better", "moods": ["better"]}') -> 'previous' -> 'mood';
ALTER TYPE mood RENAME VALUE 'better' TO 'best';
SELECT product_upsert('labelled', item('4', 1)) -> 'product' -> 'moods';
-- A cast to json, which is how to_jsonb() shows the values of a type, comes and goes.
CREATE FUNCTION mood_to_json(mood) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT json_build_object('mood', $1::text) $$;
SELECT product_upsert('labelled', item('4', 1)) -> 'product' = to_jsonb(labelled), to_jsonb(labelled) -> 'mood'
  FROM labelled WHERE serial = '4';
CREATE CAST (mood AS json) WITH FUNCTION mood_to_json(mood);
SELECT product_upsert('labelled', item('4', 1)) -> 'product' = to_jsonb(labelled), to_jsonb(labelled) -> 'mood'
  FROM labelled WHERE serial = '4';
CREATE OR REPLACE FUNCTION mood_to_json(mood) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT to_json(upper($1::text)) $$;
SELECT product_upsert('labelled', item('4', 1)) -> 'product' = to_jsonb(labelled), to_jsonb(labelled) -> 'mood'
  FROM labelled WHERE serial = '4';
DROP CAST (mood AS json);
SELECT product_upsert('labelled', item('4', 1)) -> 'product' = to_jsonb(labelled), to_jsonb(labelled) -> 'mood'
  FROM labelled WHERE serial = '4';
-- What a CHECK constraint, a generated column or an index calls is replaced.
CREATE FUNCTION allowed(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 < 10';
CREATE FUNCTION doubled(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE TABLE computed (brand text, serial text, manufacturer text, price int CHECK (allowed(price)),
	double int GENERATED ALWAYS AS (doubled(price)) STORED);
CREATE INDEX ON computed (brand, serial, manufacturer);
SELECT product_upsert('computed', item('1', 1)) -> 'product' -> 'double';
CREATE OR REPLACE FUNCTION allowed(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 10';
CREATE OR REPLACE FUNCTION doubled(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 20';
SELECT product_upsert('computed', item('1', 2)) -> 'product' -> 'double';
\echo :SQLSTATE
SELECT product_upsert('computed', item('1', 11)) -> 'product' -> 'double';
-- Triggers, constraints, indexes, row-level security and rules come and go between two calls.
CREATE TABLE altered (brand text, serial text, manufacturer text, price int);
CREATE INDEX key ON altered (brand, serial, manufacturer);
SELECT product_upsert('altered', item('1', 1)) ->> 'action';
CREATE TRIGGER note BEFORE UPDATE ON altered FOR EACH ROW EXECUTE FUNCTION note();
TRUNCATE event RESTART IDENTITY;
SELECT product_upsert('altered', item('1', 2)) ->> 'action';
DROP TRIGGER note ON altered;
SELECT product_upsert('altered', item('1', 3)) ->> 'action';
SELECT entry FROM event ORDER BY n;
ALTER TABLE altered ADD CONSTRAINT low CHECK (price < 10);
SELECT product_upsert('altered', item('1', 10)) ->> 'action';
\echo :SQLSTATE
ALTER TABLE altered DROP CONSTRAINT low;
SELECT product_upsert('altered', item('1', 10)) ->> 'action';
CREATE UNIQUE INDEX price ON altered (price);
SELECT product_upsert('altered', item('2', 10)) ->> 'action';
\echo :SQLSTATE
DROP INDEX price;
SELECT product_upsert('altered', item('2', 10)) ->> 'action';
DROP INDEX key;
SET client_min_messages = error;
SELECT product_upsert('altered', item('2', 10)) ->> 'action';
SET client_min_messages = warning;
CREATE INDEX key ON altered (serial, manufacturer, brand);
SELECT product_upsert('altered', item('2', 10)) ->> 'action';
REINDEX TABLE CONCURRENTLY altered;
SELECT product_upsert('altered', item('2', 11)) ->> 'action';
CLUSTER altered USING key;
SELECT product_upsert('altered', item('2', 12)) ->> 'action';
VACUUM FULL altered;
SELECT product_upsert('altered', item('2', 13)) ->> 'action';
TRUNCATE altered;
SELECT product_upsert('altered', item('2', 13)) ->> 'action';
ALTER TABLE altered ALTER serial TYPE int USING serial::int;
SELECT product_upsert('altered', item('2', 14)) ->> 'action';
ALTER TABLE altered ALTER brand TYPE text COLLATE "C";
SELECT product_upsert('altered', item('2', 15)) ->> 'action';
SELECT * FROM altered;
-- The same, undone before the next call
BEGIN;
CREATE TRIGGER note BEFORE UPDATE ON altered FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE altered ADD more int DEFAULT 7;
DROP INDEX key;
CREATE INDEX other ON altered (brand, serial, manufacturer);
SELECT product_upsert('altered', item('2', 16)) -> 'product';
ROLLBACK;
SELECT product_upsert('altered', item('2', 17)) -> 'product';
BEGIN;
SAVEPOINT s;
ALTER TABLE altered RENAME price TO cost;
SELECT product_upsert('altered', '{"brand": "b", "serial": 2, "manufacturer": "m", "cost": 18}') -> 'product';
ROLLBACK TO s;
SELECT product_upsert('altered', item('2', 19)) -> 'product';
COMMIT;

DROP SCHEMA pu_writes_altered CASCADE;
