-- Every kind of table that can be written to: plain, unlogged, temporary, partitioned, with children; with odd names, with
-- many columns, and more of them than are remembered.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE EXTENSION IF NOT EXISTS file_fdw;
CREATE SCHEMA pu_tables;
SET search_path = pu_tables, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

-- plain, unlogged, temporary
CREATE TABLE plain (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON plain (brand, serial, manufacturer);
SELECT four_calls('plain');
CREATE UNLOGGED TABLE unlogged (LIKE plain INCLUDING ALL);
SELECT four_calls('unlogged');
CREATE TEMP TABLE temporary (LIKE plain INCLUDING ALL);
SELECT four_calls('temporary');
CREATE TEMP TABLE on_commit (LIKE plain INCLUDING ALL) ON COMMIT DELETE ROWS;
SELECT four_calls('on_commit');
SELECT four_calls('on_commit');

-- partitioned by a column of the key, by one that is not, and by none that is given
CREATE TABLE by_brand (brand text, serial text, manufacturer text, price int) PARTITION BY LIST (brand);
CREATE TABLE by_brand_a PARTITION OF by_brand FOR VALUES IN ('a');
CREATE TABLE by_brand_rest PARTITION OF by_brand DEFAULT;
CREATE INDEX ON by_brand (brand, serial, manufacturer);
SELECT four_calls('by_brand');
SELECT tableoid::regclass, * FROM by_brand ORDER BY 1, 2, 3;

CREATE TABLE by_price (brand text, serial text, manufacturer text, price int) PARTITION BY RANGE (price);
CREATE TABLE by_price_1 PARTITION OF by_price FOR VALUES FROM (0) TO (2);
CREATE TABLE by_price_2 PARTITION OF by_price FOR VALUES FROM (2) TO (10);
CREATE INDEX ON by_price (brand, serial, manufacturer);
-- Where the key tells the partition, the others are left alone: they are not locked, and may be foreign.
CREATE TABLE shelf (brand text, serial text, manufacturer text, price int) PARTITION BY LIST (brand);
CREATE SERVER shelf_server FOREIGN DATA WRAPPER file_fdw;
CREATE INDEX ON shelf (brand, serial, manufacturer);
\set ECHO none
SELECT format('CREATE TABLE shelf_%s PARTITION OF shelf FOR VALUES IN (%1$L)', n) FROM generate_series(1, 9) AS n \gexec
\set ECHO all
CREATE TABLE shelf_null PARTITION OF shelf FOR VALUES IN (NULL);
CREATE FOREIGN TABLE shelf_away PARTITION OF shelf FOR VALUES IN ('away') SERVER shelf_server OPTIONS (filename '/nowhere');
SET plan_cache_mode = force_custom_plan;
BEGIN;
SELECT product_upsert('shelf', jsonb_build_object('brand', '7', 'serial', 1, 'manufacturer', NULL, 'price', price)) ->> 'action'
  FROM generate_series(1, 3) AS price;
SELECT DISTINCT relation::regclass FROM pg_locks WHERE relation::regclass::text ~ '^shelf[a-z_0-9]*$'
   AND relation::regclass::text !~ 'idx' ORDER BY 1;
COMMIT;
RESET plan_cache_mode;
SELECT product_upsert('shelf', jsonb_build_object('brand', NULL, 'serial', 1, 'manufacturer', 'm', 'price', price)) ->> 'action'
  FROM generate_series(1, 2) AS price;
SELECT * FROM shelf WHERE brand IS NULL OR brand = '7' ORDER BY brand;
-- A row moves to another partition as its price changes, and is no second row.
SELECT four_calls('by_price');
SELECT tableoid::regclass, * FROM by_price ORDER BY 2, 3, 4;
SELECT product_upsert('by_price', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 10}');
\echo :SQLSTATE
SELECT product_upsert('by_price', '{"brand": "a", "serial": "9", "manufacturer": "m"}');
\echo :SQLSTATE

CREATE SEQUENCE by_day_id;
CREATE TABLE by_day (id bigint DEFAULT nextval('by_day_id'), brand text, serial text, manufacturer text, price int,
	day date DEFAULT '2024-01-01') PARTITION BY RANGE (day);
CREATE TABLE by_day_2024 PARTITION OF by_day FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY HASH (id);
CREATE TABLE by_day_2024_0 PARTITION OF by_day_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE by_day_2024_1 PARTITION OF by_day_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
-- A partition may have its columns in another order.
CREATE TABLE by_day_2025 (price int, gone text, day date, manufacturer text, serial text, brand text, id bigint NOT NULL);
ALTER TABLE by_day_2025 DROP COLUMN gone;
ALTER TABLE by_day ATTACH PARTITION by_day_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE INDEX ON by_day (brand, serial, manufacturer);
SELECT four_calls('by_day') -> 'action';
SELECT product_upsert('by_day', '{"brand": "a", "serial": "1", "manufacturer": "m", "day": "2025-05-05"}');
SELECT product_upsert('by_day', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 9}');
SELECT product_upsert('by_day', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 9}') ->> 'action';
SELECT tableoid::regclass, brand, serial, manufacturer, price, day FROM by_day ORDER BY 2, 3, 4;

-- straight into a partition: its own columns, its constraint, and the key locks of the root
BEGIN;
SELECT product_upsert('by_day_2025', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 8}');
SELECT classid::regclass FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT product_upsert('by_day_2024_0', '{"brand": "p", "serial": "1", "manufacturer": "m", "id": 1000, "day": "2024-02-02"}')
	->> 'action';
SELECT DISTINCT classid::regclass FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
COMMIT;
SELECT product_upsert('by_day_2025', '{"brand": "q", "serial": "1", "manufacturer": "m", "id": 1, "day": "2024-05-05"}');
\echo :SQLSTATE
SELECT product_upsert('by_day_2025', '{"brand": "a", "serial": "1", "manufacturer": "m", "day": "2024-05-05"}');
\echo :SQLSTATE

-- A unique index on a partitioned table has the partition column; it is not the key's.
CREATE TABLE by_id (id int DEFAULT 1, brand text, serial text, manufacturer text, price int,
	UNIQUE (id, brand, serial, manufacturer)) PARTITION BY LIST (id);
CREATE TABLE by_id_1 PARTITION OF by_id FOR VALUES IN (1);
CREATE INDEX ON by_id (brand);
SELECT four_calls('by_id') ->> 'action';
-- One on a table partitioned by the key is.
CREATE TABLE by_key (brand text, serial text, manufacturer text, price int, UNIQUE (serial, manufacturer, brand))
	PARTITION BY HASH (brand, serial, manufacturer);
CREATE TABLE by_key_0 PARTITION OF by_key FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE by_key_1 PARTITION OF by_key FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT four_calls('by_key') ->> 'action';

-- inheritance: a row of a child is a row of its parent, is updated where it is, and shows the parent's columns
CREATE TABLE parent (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON parent (brand);
CREATE TABLE child (extra text DEFAULT 'x') INHERITS (parent);
CREATE INDEX ON child (brand);
INSERT INTO child VALUES ('a', '1', 'm', 0);
SELECT four_calls('parent');
SELECT tableoid::regclass, * FROM parent ORDER BY 2, 3, 4;
SELECT * FROM child;
SELECT product_upsert('child', '{"brand": "a", "serial": "1", "manufacturer": "m", "extra": "y"}');

-- odd names: quotes, upper case, characters beyond ASCII, SQL's words, and what a query might call things itself
CREATE SCHEMA "PU ""tables"".x";
CREATE TABLE "PU ""tables"".x"."Product; DROP" (
	brand text, serial text, manufacturer text,
	r int, r_ int, "R" int, new int, old int, excluded int, "select" int, "$1" int,
	"a""b" int, "a'b" int, "a\b" int, "größe" int, "产品" int, "🛒" int, " " int, "a.b" int, "Product; DROP" int, "123" int,
	a23456789012345678901234567890123456789012345678901234567890123 int
);
CREATE INDEX ON "PU ""tables"".x"."Product; DROP" (brand);
SELECT product_upsert('"PU ""tables"".x"."Product; DROP"', (
	SELECT jsonb_object_agg(attname, attnum) FROM pg_attribute
	 WHERE attrelid = '"PU ""tables"".x"."Product; DROP"'::regclass AND attnum > 0));
SELECT product_upsert('"PU ""tables"".x"."Product; DROP"', (
	SELECT jsonb_object_agg(attname, CASE WHEN attnum > 3 THEN attnum + 100 ELSE attnum END) FROM pg_attribute
	 WHERE attrelid = '"PU ""tables"".x"."Product; DROP"'::regclass AND attnum > 0)) -> 'previous';
DROP SCHEMA "PU ""tables"".x" CASCADE;
-- A table may be called as the name that a query gives it.
CREATE TABLE r (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON r (brand);
SELECT four_calls('r') ->> 'action';

-- many columns
DO $$
BEGIN
	EXECUTE 'CREATE TABLE wide (brand text, serial text, manufacturer text, '
		|| (SELECT string_agg(format('c%s int', i), ', ') FROM generate_series(1, 1500) i) || ')';
	CREATE INDEX ON wide (brand);
END $$;
SELECT r ->> 'action', (SELECT count(*) FROM jsonb_object_keys(r -> 'product')), r -> 'product' -> 'c1500'
  FROM product_upsert('wide', (SELECT '{"brand": "a", "serial": "1", "manufacturer": "m"}' || jsonb_object_agg('c' || i, i)
	  FROM generate_series(1, 1500) i)) r;
SELECT r ->> 'action', (SELECT count(*) FROM jsonb_object_keys(r -> 'previous')), r -> 'product' -> 'c1499',
	r -> 'previous' -> 'c1499'
  FROM product_upsert('wide', (SELECT '{"brand": "a", "serial": "1", "manufacturer": "m"}' || jsonb_object_agg('c' || i, -i)
	  FROM generate_series(1, 1500) i)) r;
SELECT product_upsert('wide', '{"brand": "a", "serial": "1", "manufacturer": "m", "c777": 7}') -> 'previous';
-- More shapes of payload than plans are kept
DO $$
BEGIN
	EXECUTE 'CREATE TABLE shapes (brand text, serial text, manufacturer text, '
		|| (SELECT string_agg(format('c%s int', i), ', ') FROM generate_series(1, 100) i) || ')';
	CREATE INDEX ON shapes (brand);
END $$;
SELECT r ->> 'action', count(*)
  FROM generate_series(0, 2) AS turn, generate_series(1, 100) AS i,
	   product_upsert('shapes', jsonb_build_object('brand', 'a', 'serial', '1', 'manufacturer', 'm', 'c' || i, turn)) AS r
 GROUP BY 1 ORDER BY 1;
SELECT count(*) BETWEEN 1 AND 64 AS plans_kept FROM pg_backend_memory_contexts WHERE name = 'CachedPlanSource'
   AND ident LIKE '%pu_tables.shapes%';
-- More tables than are remembered
DO $$
DECLARE
	actions text;
BEGIN
	FOR i IN 1 .. 150 LOOP
		EXECUTE format('CREATE TABLE many_%s (brand text, serial text, manufacturer text, n int)', i);
		EXECUTE format('CREATE INDEX ON many_%s (brand)', i);
	END LOOP;
	FOR turn IN 1 .. 2 LOOP
		actions := '';
		FOR i IN 1 .. 150 LOOP
			actions := actions || left(product_upsert(format('many_%s', i),
				jsonb_build_object('brand', 'a', 'serial', '1', 'manufacturer', 'm', 'n', turn)) ->> 'action', 1);
		END LOOP;
		RAISE INFO '%', actions;
	END LOOP;
END $$;

SELECT count(*) BETWEEN 100 AND 128 AS tables_remembered FROM pg_backend_memory_contexts WHERE name = 'product_upsert target';
-- Nothing else is left of the calls.
SELECT name FROM pg_backend_memory_contexts WHERE name LIKE 'product_upsert%'
   AND name NOT IN ('product_upsert target', 'product_upsert targets', 'product_upsert statement');

DROP SCHEMA pu_tables CASCADE;
DROP SERVER shelf_server;
