-- The precondition of a call: what the caller expects the stored row to be.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_if_match;
SET search_path = pu_if_match, public;
\pset format unaligned
\pset tuples_only on

CREATE TABLE product (
	brand text,
	serial text,
	manufacturer text,
	name text,
	price numeric,
	stock int,
	version int GENERATED ALWAYS AS (stock + 1) STORED
);
CREATE INDEX ON product (brand, serial, manufacturer);
INSERT INTO product VALUES ('a', '1', 'm', NULL, 1.5, 3);

-- It matches.
SELECT product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m", "stock": 4}', '{"stock": 3}');
SELECT product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m", "stock": 5}',
	'{"stock": 4, "name": null, "price": 1.5, "version": 5, "brand": "a"}') ->> 'action';
SELECT product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m", "stock": 5}', '{"stock": 5}') ->> 'action';
-- An empty object asks only that the row exists.
SELECT product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m", "name": "n"}', '{}') ->> 'action';

-- It does not match: nothing is written, even if there was nothing to change. The stored value is not told.
SELECT product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m", "stock": 6}', '{"stock": 4}');
\echo :SQLSTATE
SELECT product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m"}', '{"stock": 4}');
\echo :SQLSTATE
SELECT product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m", "stock": 6}', '{"stock": 5, "name": null}');
\echo :SQLSTATE
SELECT product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m", "stock": 6}', '{"name": "n", "stock": 4}');
\echo :SQLSTATE
SELECT product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m", "stock": 6}', '{"stock": null}');
\echo :SQLSTATE
-- There is no row.
SELECT product_upsert('product', '{"brand": "b", "serial": "1", "manufacturer": "m", "stock": 6}', '{}');
\echo :SQLSTATE
SELECT product_upsert('product', '{"brand": "b", "serial": "1", "manufacturer": "m", "stock": 6}', '{"stock": null}');
\echo :SQLSTATE
TABLE product;

-- It does not go with an array, and must itself be an object of columns.
SELECT product_upsert('product', '[{"brand": "a", "serial": "1", "manufacturer": "m"}]', '{}');
\echo :SQLSTATE
SELECT product_upsert('product', '[]', '{}');
\echo :SQLSTATE
SELECT product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m"}', '[]');
\echo :SQLSTATE
SELECT product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m"}', 'null');
\echo :SQLSTATE
SELECT product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m"}', '{"stock": "few"}');
\echo :SQLSTATE
SELECT product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m"}', '{"stokc": 5}');
\echo :SQLSTATE
-- Also where a payload's unknown fields are ignored: a condition that is dropped would always hold.
SET product_upsert.unknown_fields = ignore;
SELECT product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m"}', '{"stokc": 5}');
\echo :SQLSTATE
RESET product_upsert.unknown_fields;

-- Without one, that is with NULL, there is no condition.
SELECT product_upsert('product', '{"brand": "b", "serial": "1", "manufacturer": "m"}', NULL) ->> 'action';
SELECT product_upsert('product', '[{"brand": "b", "serial": "1", "manufacturer": "m"}]', NULL) -> 0 ->> 'action';

DROP SCHEMA pu_if_match CASCADE;
