-- How much a call returns of a row: the setting product_upsert.result.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_result;
SET search_path = pu_result, public;
\pset format unaligned
\pset tuples_only on
\i sql/include/helpers.sql

CREATE TABLE product (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON product (brand, serial, manufacturer);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON product FOR EACH ROW WHEN (new.price = 0) EXECUTE FUNCTION refuse();

-- Of all that can become of a row: created, updated, unchanged, stale, skipped with a row and without one
CREATE FUNCTION results() RETURNS SETOF jsonb LANGUAGE sql AS $$
	TRUNCATE product;
	SELECT jsonb_array_elements(product_upsert('product',
		jsonb_build_array(item('1', 2), item('1', 3), item('1', 3), item('1', 1), item('1', NULL), item('2', 0)), newer_by => 'price'))
	 UNION ALL
	SELECT product_upsert('product', item('1', 0))
	 UNION ALL
	SELECT product_upsert('product', item('1', 3))
$$;
LOAD 'product_upsert';
SHOW product_upsert.result;
SELECT results();
SET product_upsert.result = changes;
SELECT results();
SET product_upsert.result = action;
SELECT results();
SELECT product_upsert('product', '[]');
-- What is written does not depend on it.
TABLE product;

-- A transaction has it for itself; a function may have its own.
RESET product_upsert.result;
BEGIN;
SELECT set_config('product_upsert.result', 'action', true);
SELECT product_upsert(item('1', 4));
COMMIT;
SELECT product_upsert(item('1', 4));
CREATE FUNCTION upsert_quietly(jsonb) RETURNS jsonb LANGUAGE sql SET product_upsert.result = action AS 'SELECT product_upsert($1)';
SELECT upsert_quietly(item('1', 5));
SELECT product_upsert(item('1', 5));
SET product_upsert.result = none;
\echo :SQLSTATE

DROP SCHEMA pu_result CASCADE;
