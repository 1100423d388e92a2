-- Without an index to look up the key each call reads the whole table: a session says so once for a table.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_no_index;
SET search_path = pu_no_index, public;
\pset format unaligned
\pset tuples_only on

CREATE TABLE product (brand text, serial text, manufacturer text, price int);
CREATE TABLE "Part" (LIKE product);
\set payload '{"brand": "a", "serial": "1", "manufacturer": "m"}'
SELECT product_upsert(:'payload') ->> 'action';
SELECT product_upsert(:'payload') ->> 'action';
SELECT product_upsert('"Part"', :'payload') ->> 'action';
SELECT product_upsert('"Part"', :'payload') ->> 'action';
-- Not again after the table was altered, or after an error.
ALTER TABLE product ADD COLUMN stock int;
SELECT product_upsert(:'payload') ->> 'action';
BEGIN;
CREATE TABLE third (LIKE product);
SELECT product_upsert('third', :'payload') ->> 'action';
SAVEPOINT s;
SELECT 1 / 0;
ROLLBACK TO s;
SELECT product_upsert('third', :'payload') ->> 'action';
COMMIT;
-- Another session is told.
\connect
SET client_min_messages = warning;
SET search_path = pu_no_index, public;
SELECT product_upsert(:'payload') ->> 'action';
-- So is one that only takes the lock.
SELECT product_upsert_lock('"Part"', :'payload');

CREATE FUNCTION serves(definition text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	CREATE TABLE indexed (brand text, serial text, manufacturer text, price int);
	EXECUTE format('CREATE INDEX ON indexed %s', definition);
	PERFORM product_upsert('indexed', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
	DROP TABLE indexed;
	RETURN definition;
END $$;
-- These do.
SELECT serves('(brand, serial, manufacturer)');
SELECT serves('(manufacturer)');
SELECT serves('(serial, price)');
SELECT serves('USING hash (serial)');
SELECT serves('(brand DESC NULLS FIRST)');
SELECT serves('(brand text_pattern_ops)');
-- These do not.
SELECT serves('(price, brand, serial, manufacturer)');
SELECT serves('(lower(brand))');
SELECT serves('(brand) WHERE price > 0');
SELECT serves('USING brin (brand)');
-- Nor does one with another collation than the key's, in which other values are equal.
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
SELECT serves('(brand COLLATE ignore_case)');

-- The statement that the hint tells makes an index that serves.
CREATE INDEX ON pu_no_index.product (brand, serial, manufacturer);
\connect
SET client_min_messages = warning;
SET search_path = pu_no_index, public;
SELECT product_upsert(:'payload') ->> 'action';
-- It is used.
INSERT INTO product SELECT 'b', i, 'm', i FROM generate_series(1, 10000) AS i;
ANALYZE product;
SELECT pg_stat_force_next_flush();
SELECT seq_scan AS scans_before FROM pg_stat_user_tables WHERE relid = 'product'::regclass \gset
SELECT count(product_upsert(jsonb_build_object('brand', 'b', 'serial', i::text, 'manufacturer', 'm', 'price', 0)))
  FROM generate_series(1, 20) AS i;
SELECT pg_stat_force_next_flush();
SELECT seq_scan = :scans_before AS no_sequential_scan FROM pg_stat_user_tables WHERE relid = 'product'::regclass;

-- The index is used although the table was empty when its statistics were gathered, and goes on to be.
CREATE TABLE was_empty (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON was_empty (brand, serial, manufacturer);
VACUUM ANALYZE was_empty;
BEGIN;
SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relid = 'was_empty'::regclass \gset before_
SELECT count(product_upsert('was_empty', jsonb_build_object('brand', 'a', 'serial', n, 'manufacturer', 'm')))
  FROM generate_series(1, 20) AS n;
SELECT seq_scan - :before_seq_scan, idx_scan - :before_idx_scan FROM pg_stat_xact_user_tables WHERE relid = 'was_empty'::regclass;
COMMIT;
SHOW enable_seqscan;
SHOW jit;
DROP SCHEMA pu_no_index CASCADE;
