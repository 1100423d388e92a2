-- A load in its transaction: read-only, of every isolation level, with the locks that it holds; and sources that run
-- functions, which see, write or would alter the target meanwhile.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_from_transactions;
SET search_path = pu_from_transactions, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

\i :abs_srcdir/sql/include/from.sql
CREATE TABLE feed (brand text, serial text, manufacturer text, price numeric, stock int);

-- Nothing in a read-only transaction, not even from an empty source; but a temporary table may be written to.
BEGIN READ ONLY;
SELECT product_upsert_from('feed', 'product');
\echo :SQLSTATE
ROLLBACK;
CREATE TEMPORARY TABLE temporary_feed (brand text, serial text, manufacturer text, stock int);
INSERT INTO temporary_feed VALUES ('a', '1', 'm', 11), ('b', '1', 'm', 11);
CREATE TEMPORARY TABLE temporary_product (brand text, serial text, manufacturer text, stock int);
CREATE INDEX ON temporary_product (brand, serial, manufacturer);
BEGIN READ ONLY;
SELECT * FROM product_upsert_from('temporary_feed', 'temporary_product');
COMMIT;

-- The transaction's isolation
INSERT INTO feed SELECT 'iso', i::text, 'm', 1, i FROM generate_series(1, 3) AS i;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM product_upsert_from('feed', 'product');
UPDATE feed SET stock = stock + 1 WHERE serial = '1';
SELECT * FROM product_upsert_from('feed', 'product');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM product_upsert_from('feed', 'product');
UPDATE feed SET stock = stock + 1 WHERE serial = '1';
SELECT * FROM product_upsert_from('feed', 'product');
COMMIT;

-- One lock, of the whole table, and none of a key, whatever the budget; until the transaction ends
SET product_upsert.max_key_locks = 1;
BEGIN;
SELECT * FROM product_upsert_from('feed', 'product');
SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'product'::regclass AND mode LIKE '%Exclusive%' ORDER BY 1;
SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'feed'::regclass;
SELECT count(*) FROM product_upsert_locks;
COMMIT;
CREATE TABLE parted (brand text, serial text, manufacturer text, price numeric, stock int) PARTITION BY RANGE (stock);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (2) TO (10);
CREATE INDEX ON parted (brand, serial, manufacturer);
CREATE VIEW high AS SELECT * FROM feed WHERE stock >= 2;
BEGIN;
SELECT * FROM product_upsert_from('high', 'parted_high');
SELECT relation::regclass, mode FROM pg_locks
 WHERE pid = pg_backend_pid() AND relation IN ('parted'::regclass, 'parted_high'::regclass) AND mode LIKE '%Exclusive%'
 ORDER BY 1, 2;
COMMIT;
RESET product_upsert.max_key_locks;

-- Sources that run functions. One that is STABLE sees what was there before the first row was written, one that is
-- VOLATILE what was written meanwhile, as in any other command that writes.
TRUNCATE product;
CREATE FUNCTION stable_count() RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT count(*) FROM product); END $$;
CREATE FUNCTION stable_sql_count() RETURNS int LANGUAGE sql STABLE AS 'SELECT count(*)::int FROM product';
CREATE FUNCTION volatile_count() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM product); END $$;
CREATE VIEW counting AS SELECT brand, serial, manufacturer,
	stable_count() + stable_sql_count() + (SELECT count(*)::int FROM product p WHERE f.brand <> '') AS stock,
	volatile_count() AS price FROM feed f ORDER BY serial;
SELECT * FROM product_upsert_from('counting', 'product');
SELECT serial, stock, price FROM product ORDER BY serial;
SELECT * FROM product_upsert_from('counting', 'product');
SELECT serial, stock, price FROM product ORDER BY serial;
-- One that upserts into the target as well, and the very key that comes next
TRUNCATE product;
CREATE FUNCTION upserting(serial text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM product_upsert('product', jsonb_build_object('brand', brand, 'serial', serial, 'manufacturer', 'm', 'price', 5))
	   FROM unnest(ARRAY['iso', 'side']) AS brand;
	BEGIN
		PERFORM product_upsert('product', jsonb_build_object('brand', 'iso', 'serial', serial, 'manufacturer', 'm', 'stock', -1));
	EXCEPTION WHEN check_violation THEN
		RETURN 6;
	END;
END $$;
CREATE VIEW busy AS SELECT brand, serial, manufacturer, upserting(serial) AS stock FROM feed ORDER BY serial;
SELECT * FROM product_upsert_from('busy', 'product');
SELECT brand, serial, price, stock FROM product ORDER BY brand, serial;
-- One that loads another source into the target
CREATE FUNCTION loading() RETURNS int
	LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT updated + created FROM product_upsert_from('feed', 'product')); END $$;
CREATE VIEW nested AS SELECT 'nested' AS brand, i::text AS serial, 'm' AS manufacturer, loading() AS stock
  FROM generate_series(1, 2) AS i;
SELECT * FROM product_upsert_from('nested', 'product');
SELECT brand, serial, stock FROM product WHERE brand <> 'side' ORDER BY 1, 2;
-- One that would alter or empty the target meanwhile
CREATE FUNCTION meddling(command text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE command; RETURN 1; END $$;
CREATE VIEW emptying AS SELECT brand, serial, manufacturer, meddling('TRUNCATE product') AS stock FROM feed;
CREATE VIEW altering AS SELECT brand, serial, manufacturer, meddling('ALTER TABLE product DROP price') AS stock FROM feed;
SELECT product_upsert_from('emptying', 'product');
\echo :SQLSTATE
SELECT product_upsert_from('altering', 'product');
\echo :SQLSTATE
-- One that deletes what was written
CREATE VIEW deleting AS SELECT brand, serial, manufacturer, meddling('DELETE FROM product') AS stock FROM feed ORDER BY serial;
SELECT * FROM product_upsert_from('deleting', 'product');
SELECT brand, serial, stock FROM product ORDER BY 1, 2;

-- Writing does not go with parallel workers; so there are none, also where the planner would like them most.
CREATE TABLE many AS SELECT 'many' AS brand, i::text AS serial, 'm' AS manufacturer, i AS stock
  FROM generate_series(1, 2000) AS i;
ALTER TABLE many SET (parallel_workers = 2);
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
EXPLAIN (COSTS OFF) SELECT * FROM many;
CREATE VIEW sums AS SELECT 'sums' AS brand, manufacturer AS serial, manufacturer, sum(stock)::int AS stock FROM many GROUP BY 2;
SELECT * FROM product_upsert_from('many', 'product');
SELECT * FROM product_upsert_from('sums', 'product');
SELECT stock FROM product WHERE brand = 'sums';
SELECT set_config(name, 'off', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

DROP SCHEMA pu_from_transactions CASCADE;
