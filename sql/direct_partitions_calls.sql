-- Partitioned tables, with direct_store on and off: what a call asks for, unique indexes, subtransactions, publications.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_partitions;
SET search_path = pu_partitions, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/both_stores.sql

CREATE TABLE t (brand text, serial text, manufacturer text, region text, price int CHECK (price < 100), total int GENERATED ALWAYS AS (price * 2) STORED)
	PARTITION BY LIST (region);
CREATE TABLE t_eu PARTITION OF t FOR VALUES IN ('eu');
CREATE TABLE t_us (total int GENERATED ALWAYS AS (price * 2) STORED, price int CONSTRAINT t_price_check CHECK (price < 100), region text, manufacturer text,
	serial text, brand text);
ALTER TABLE t ATTACH PARTITION t_us FOR VALUES IN ('us');
CREATE INDEX ON t (brand, serial, manufacturer);
CREATE INDEX ON t (price);
\set table t
\set call 'SELECT product_upsert(:\'table\', \'{"brand": "c", "serial": "1", "manufacturer": "m", "region": "us"}\') ->> \'action\';'
:which

-- item(serial, region, price), and each(call): what the call comes to with each store, and the rows
CREATE FUNCTION item(serial text, region text, price int) RETURNS jsonb LANGUAGE sql RETURN
	jsonb_build_object('brand', 'a', 'serial', serial, 'manufacturer', 'm', 'region', region, 'price', price);
CREATE FUNCTION each(call text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	setting text;
	outcome text;
BEGIN
	FOREACH setting IN ARRAY ARRAY['on', 'off'] LOOP
		PERFORM set_config('product_upsert.direct_store', setting, true);
		DELETE FROM t;
		INSERT INTO t (brand, serial, manufacturer, region, price) VALUES ('a', '1', 'm', 'eu', 1), ('a', '2', 'm', 'us', 2);
		BEGIN
			EXECUTE format('SELECT (%s)::text', call) INTO outcome;
		EXCEPTION WHEN OTHERS THEN
			outcome := SQLSTATE || ' ' || SQLERRM;
		END;
		RETURN NEXT setting || ' ' || outcome;
		RETURN QUERY SELECT 'row ' || tableoid::regclass || ' ' || t::text FROM t ORDER BY 1;
	END LOOP;
	PERFORM set_config('product_upsert.direct_store', 'on', true);
END $$;

-- Options
SELECT each($$product_upsert('t', item('1', 'eu', 5), if_match => '{"price": 1}')$$);
SELECT each($$product_upsert('t', item('2', 'eu', 5), if_match => '{"price": 1}')$$);
SELECT each($$product_upsert('t', item('3', 'eu', 5), if_match => '{}')$$);
SELECT each($$product_upsert('t', item('2', 'us', 1), newer_by => 'price')$$);
SELECT each($$product_upsert('t', item('2', 'eu', 3), newer_by => 'price')$$);
SELECT each($$product_upsert('t', item('3', 'us', 3) - 'price', on_create => '{"price": 8}')$$);
-- Some rows fail, and are undone with what came before them in their stretch, which is done again.
SELECT each($$SELECT string_agg(r::text, E'\n') FROM jsonb_array_elements(product_upsert('t', jsonb_build_array(item('1', 'us', 3), item('3', 'us', 300),
	item('3', 'us', 30), item('4', 'mars', 1), item('4', 'eu', 4), item('2', 'eu', 200), item('2', 'us', 20), item('1', 'eu', 9)), on_error => 'report')) r$$);
-- Unique indexes. On the root, with the partition key in it: an insert yields to it
CREATE UNIQUE INDEX whole_key ON t (brand, serial, manufacturer, region);
SELECT each($$product_upsert('t', jsonb_build_array(item('3', 'us', 3), item('3', 'us', 4), item('3', 'eu', 5)))$$);
DROP INDEX whole_key;
-- on a partition alone: 23505
CREATE UNIQUE INDEX alone ON t_us (price);
SELECT each($$product_upsert('t', jsonb_build_array(item('3', 'us', 3), item('4', 'us', 2)))$$);
SELECT each($$product_upsert('t', jsonb_build_array(item('3', 'us', 3), item('3', 'us', 2)))$$);
SELECT each($$product_upsert('t', item('1', 'us', 2))$$);
DROP INDEX alone;
-- Not finished yet, so that each row is inserted in a subtransaction: after one that named other columns, before one that
-- does, and twice
DROP TABLE t;
CREATE TABLE t (brand text, serial text, manufacturer text, region text, price int, total int GENERATED ALWAYS AS (price * 2) STORED)
	PARTITION BY LIST (brand);
CREATE TABLE t_a (total int GENERATED ALWAYS AS (price * 2) STORED, price int, region text, manufacturer text, serial text, brand text);
ALTER TABLE t ATTACH PARTITION t_a FOR VALUES IN ('a');
CREATE TABLE t_b PARTITION OF t FOR VALUES IN ('b');
CREATE INDEX ON t (brand, serial, manufacturer);
CREATE INDEX ON t (price);
CREATE UNIQUE INDEX ON ONLY t (brand, serial, manufacturer);
CREATE UNIQUE INDEX ON t_a (brand, serial, manufacturer);
CREATE UNIQUE INDEX ON t_a (price);
SELECT each($$product_upsert('t', jsonb_build_array(item('1', 'eu', 5) - 'region', item('3', 'eu', 3), item('4', 'eu', 4) - 'region', item('4', 'x', 7),
	item('5', 'eu', 8)))$$);
SELECT each($$product_upsert('t', jsonb_build_array(item('1', 'eu', 5) - 'region', item('3', 'eu', 2)))$$);
SELECT each($$SELECT string_agg(r::text, E'\n') FROM jsonb_array_elements(product_upsert('t',
	jsonb_build_array(item('1', 'eu', 5) - 'region', item('3', 'eu', 2), item('4', 'eu', 4)), on_error => 'report')) r$$);
-- The same for a plain table
DROP TABLE t;
CREATE TABLE t (brand text, serial text, manufacturer text, region text, price int, total int GENERATED ALWAYS AS (price * 2) STORED);
CREATE INDEX ON t (brand, serial, manufacturer);
CREATE INDEX ON t (price);
CREATE UNIQUE INDEX unfinished ON t (brand, serial, manufacturer);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'unfinished'::regclass;
SELECT each($$product_upsert('t', jsonb_build_array(item('1', 'eu', 5) - 'region', item('3', 'eu', 3), item('4', 'eu', 4) - 'region'))$$);
DROP TABLE t;

-- A load; and a publication of updates, which takes a replica identity of the partition that is written to
CREATE TABLE t (brand text, serial text, manufacturer text, region text, price int) PARTITION BY LIST (region);
CREATE TABLE t_eu PARTITION OF t FOR VALUES IN ('eu');
CREATE TABLE t_us PARTITION OF t FOR VALUES IN ('us');
CREATE INDEX ON t (brand, serial, manufacturer);
SET client_min_messages = error;
CREATE TABLE source AS SELECT 'a' AS brand, n::text AS serial, 'm' AS manufacturer, CASE n % 3 WHEN 0 THEN 'eu' ELSE 'us' END AS region, n AS price
  FROM generate_series(1, 5) n;
SELECT each($$product_upsert_from('source', 't')$$);

CREATE FUNCTION tries(call jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	setting text;
BEGIN
	FOREACH setting IN ARRAY ARRAY['on', 'off'] LOOP
		PERFORM set_config('product_upsert.direct_store', setting, true);
		BEGIN
			RETURN NEXT setting || ' ' || (product_upsert('t', call) ->> 'action');
		EXCEPTION WHEN OTHERS THEN
			RETURN NEXT setting || ' ' || SQLSTATE || ' ' || SQLERRM;
		END;
	END LOOP;
	PERFORM set_config('product_upsert.direct_store', 'on', true);
END $$;
SET client_min_messages = error;
CREATE PUBLICATION pu_partitions FOR TABLE t;
SET client_min_messages = warning;
SELECT tries(item('1', 'eu', 6));
ALTER TABLE t_eu REPLICA IDENTITY FULL;
SELECT tries(item('1', 'eu', 5));
SELECT tries(item('2', 'us', 5));
SELECT tries(item('3', 'us', 5));
DROP PUBLICATION pu_partitions;
SELECT tries(item('2', 'us', 6));

-- Row-level security of the root counts, a partition's does not.
CREATE ROLE pu_partitions_user;
GRANT USAGE ON SCHEMA pu_partitions TO pu_partitions_user;
GRANT SELECT, INSERT, UPDATE ON t TO pu_partitions_user;
ALTER TABLE t_us ENABLE ROW LEVEL SECURITY;
SET ROLE pu_partitions_user;
SELECT product_upsert('t', item('2', 'us', 7)) ->> 'action';
:which
RESET ROLE;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY cheap ON t USING (price < 10) WITH CHECK (price < 20);
SET ROLE pu_partitions_user;
SELECT product_upsert('t', item('2', 'us', 8)) ->> 'action';
SELECT product_upsert('t', item('2', 'eu', 20)) ->> 'action';
SELECT product_upsert('t', item('2', 'eu', 10)) ->> 'action';
SELECT product_upsert('t', item('2', 'eu', 9)) ->> 'action';
RESET ROLE;
DROP OWNED BY pu_partitions_user;
DROP ROLE pu_partitions_user;
DROP SCHEMA pu_partitions CASCADE;
