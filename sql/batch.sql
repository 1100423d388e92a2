-- What an array of objects does: each like a single one, in order, all or nothing.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_batch;
SET search_path = pu_batch, public;
\pset format unaligned
\pset tuples_only on

CREATE TABLE product (
	brand text,
	serial text,
	manufacturer text,
	name text,
	stock int CHECK (stock >= 0)
);
CREATE INDEX ON product (brand, serial, manufacturer);

-- The result is an array in the order of the payload, whatever order the locks are taken in.
SELECT jsonb_array_elements(product_upsert('[
	{"brand": "b", "serial": "1", "manufacturer": "m", "stock": 1},
	{"brand": "a", "serial": "1", "manufacturer": "m", "name": "second"},
	{"brand": "c", "serial": null, "manufacturer": "m"}]'));
-- The actions may differ, and so may the fields.
SELECT jsonb_array_elements(product_upsert('[
	{"brand": "c", "serial": null, "manufacturer": "m"},
	{"brand": "d", "serial": "1", "manufacturer": "m"},
	{"brand": "b", "serial": "1", "manufacturer": "m", "stock": null, "name": "first"}]'));

-- Two hundred rows come back in order.
SELECT count(*), bool_and(r -> 'product' ->> 'serial' = n::text)
  FROM jsonb_array_elements(product_upsert(
	(SELECT jsonb_agg(jsonb_build_object('brand', 'x', 'serial', i::text, 'manufacturer', 'm') ORDER BY i)
	   FROM generate_series(1, 200) i))) WITH ORDINALITY AS e (r, n);

-- A key that comes again sees what was written before it.
SELECT jsonb_array_elements(product_upsert('[
	{"brand": "again", "serial": "1", "manufacturer": "m", "stock": 1},
	{"brand": "again", "serial": "1", "manufacturer": "m", "stock": 2},
	{"brand": "again", "serial": "1", "manufacturer": "m", "stock": 2},
	{"brand": "again", "serial": "1", "manufacturer": "m", "name": "n"}]'));
SELECT * FROM product WHERE brand = 'again';

-- Small arrays.
SELECT product_upsert('[]');
SELECT product_upsert('[{"brand": "one", "serial": "1", "manufacturer": "m"}]');

-- All or nothing: the last element fails and the first is not there.
\set SHOW_CONTEXT never
SELECT product_upsert('[
	{"brand": "e", "serial": "1", "manufacturer": "m", "stock": 1},
	{"brand": "e", "serial": "2", "manufacturer": "m", "stock": -1}]');
\echo :SQLSTATE
\set SHOW_CONTEXT errors
-- The error names the element, counted from 0.
SELECT product_upsert('[
	{"brand": "e", "serial": "1", "manufacturer": "m", "stock": 1},
	{"brand": "e", "serial": "2", "manufacturer": "m", "stock": "many"}]');
\echo :SQLSTATE
SELECT product_upsert('[
	{"brand": "e", "serial": "1", "manufacturer": "m", "stock": 1},
	{"brand": "e", "serial": "2", "manufacturer": "m", "sotck": 1}]');
\echo :SQLSTATE
SELECT product_upsert('[
	{"brand": "e", "serial": "1", "manufacturer": "m", "stock": 1},
	{"brand": "e", "manufacturer": "m"}]');
\echo :SQLSTATE
SELECT product_upsert('[{"brand": "e", "serial": "1", "manufacturer": "m"}, 1]');
\echo :SQLSTATE
SELECT product_upsert('[null]');
\echo :SQLSTATE
SELECT product_upsert('[[{"brand": "e", "serial": "1", "manufacturer": "m"}]]');
\echo :SQLSTATE
SELECT product_upsert('["{}"]');
\echo :SQLSTATE
SELECT count(*) FROM product WHERE brand = 'e';

-- The element that is at fault is named also when it fails as it is looked up.
INSERT INTO product VALUES ('twice', '1', 'm'), ('twice', '1', 'm');
SELECT product_upsert('[
	{"brand": "e", "serial": "1", "manufacturer": "m"},
	{"brand": "twice", "serial": "1", "manufacturer": "m", "stock": 1}]');
\echo :SQLSTATE

-- A batch can go on after a caught error.
DO $$
BEGIN
	PERFORM product_upsert('[{"brand": "e", "serial": "1", "manufacturer": "m"},
		{"brand": "twice", "serial": "1", "manufacturer": "m"}]');
EXCEPTION WHEN cardinality_violation THEN
	PERFORM product_upsert('[{"brand": "e", "serial": "2", "manufacturer": "m"}]');
END $$;
SELECT * FROM product WHERE brand = 'e';

DROP SCHEMA pu_batch CASCADE;
