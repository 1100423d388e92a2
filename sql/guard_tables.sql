-- The guard on every kind of table: temporary, unlogged, without an index, with children, partitioned. With partitions
-- the key is one for all rows below the table that is protected, and its lock is the root's.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_guard_tables;
SET search_path = pu_guard_tables, public;
\pset format unaligned
\pset tuples_only on
\pset null <null>
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

-- Temporary and unlogged tables, and children by inheritance: a parent's guard looks at the children's rows too, but is
-- not fired for them.
CREATE TEMP TABLE temporary (brand text, serial text, manufacturer text);
SELECT * FROM product_upsert_protect('temporary');
INSERT INTO temporary VALUES ('b', '1', 'm');
SELECT try($$ INSERT INTO temporary VALUES ('b', '1', 'm') $$) ~ '^23505 ';
CREATE UNLOGGED TABLE unlogged (brand text, serial text, manufacturer text);
SELECT * FROM product_upsert_protect('unlogged');
INSERT INTO unlogged VALUES ('b', '1', 'm');
SELECT try($$ INSERT INTO unlogged VALUES ('b', '1', 'm') $$);
CREATE TABLE parent (brand text, serial text, manufacturer text);
SELECT * FROM product_upsert_protect('parent');
CREATE TABLE child (extra int) INHERITS (parent);
CREATE INDEX ON child (brand, serial, manufacturer);
INSERT INTO child VALUES ('b', '1', 'm');
SELECT try($$ INSERT INTO parent VALUES ('b', '1', 'm') $$);
SELECT try($$ INSERT INTO parent VALUES ('b', '2', 'm') $$);
SELECT try($$ INSERT INTO child VALUES ('b', '2', 'm') $$);
SELECT * FROM product_upsert_protect('child');
SELECT try($$ INSERT INTO child VALUES ('b', '2', 'm') $$);
-- A unique index of the parent's has none of the children's rows.
CREATE UNIQUE INDEX ON parent (brand, serial, manufacturer);
SELECT try($$ INSERT INTO parent VALUES ('b', '1', 'm') $$);
DROP TABLE temporary, unlogged, parent, child;
-- Without an index each look reads the whole table, and the session is told once, as by product_upsert.
CREATE TABLE bare (brand text, serial text, manufacturer text);
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON bare FOR EACH ROW EXECUTE FUNCTION product_upsert_guard();
INSERT INTO bare VALUES ('b', '1', 'm');
INSERT INTO bare VALUES ('b', '1', 'm');
\echo :SQLSTATE
DROP TABLE bare;

-- Partitions: the key is one for all of them, whatever they are partitioned by, and for rows that are written
-- straight into one.
CREATE TABLE parted (brand text, serial text, manufacturer text, region text, price int) PARTITION BY LIST (region);
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu');
CREATE TABLE parted_us (price int, gone int, manufacturer text, serial text, region text, brand text);
ALTER TABLE parted_us DROP gone;
ALTER TABLE parted ATTACH PARTITION parted_us FOR VALUES IN ('us');
CREATE TABLE parted_asia PARTITION OF parted FOR VALUES IN ('in', 'jp') PARTITION BY LIST (region);
CREATE TABLE parted_in PARTITION OF parted_asia FOR VALUES IN ('in');
CREATE TABLE parted_jp PARTITION OF parted_asia FOR VALUES IN ('jp');
SELECT * FROM product_upsert_protect('parted');
INSERT INTO parted VALUES ('b', '1', 'm', 'eu'), ('b', '2', 'm', 'us'), ('b', '3', 'm', 'in');
SELECT try(format('INSERT INTO parted VALUES (%L, %L, %L, %L)', 'b', serial, 'm', region))
  FROM generate_series(1, 3) AS serial, unnest('{eu,us,in,jp}'::text[]) AS region;
SELECT try($$ INSERT INTO parted VALUES ('b', '4', 'm', 'eu'), ('b', '4', 'm', 'us') $$);
SELECT try(format('INSERT INTO parted_%s (brand, serial, manufacturer, region) VALUES (%L, %L, %L, %1$L)',
	region, 'b', serial, 'm'))
  FROM generate_series(1, 3) AS serial, unnest('{eu,us,in,jp}'::text[]) AS region;
SELECT try($$ INSERT INTO parted_asia VALUES ('b', '1', 'm', 'jp') $$);
SELECT try($$ INSERT INTO parted_asia VALUES ('b', '4', 'm', 'jp') $$);
SELECT try($$ UPDATE parted_us SET serial = '3' $$);
SELECT try($$ UPDATE parted SET serial = '2' WHERE region = 'jp' $$);
COPY parted_us (region, brand, serial, manufacturer) FROM STDIN;
us	b	1	m
\.
SELECT tableoid::regclass, serial, region FROM parted ORDER BY serial;
-- A row that goes to another partition is the same row.
SELECT try($$ UPDATE parted SET region = 'us' WHERE serial = '1' $$);
SELECT try($$ UPDATE parted SET region = CASE region WHEN 'us' THEN 'in' WHEN 'in' THEN 'us' ELSE region END $$);
SELECT try($$ UPDATE parted SET region = 'eu', serial = '2' WHERE serial = '1' $$);
SELECT try($$ UPDATE parted SET region = 'eu', serial = CASE serial WHEN '1' THEN '2' ELSE '1' END WHERE serial IN ('1', '2') $$);
SELECT tableoid::regclass, serial, region FROM parted ORDER BY serial;
-- Whose key is locked, and what keeps those out who lock the whole table: that is the root.
BEGIN;
INSERT INTO parted_jp VALUES ('b', '5', 'm', 'jp');
SELECT * FROM key_locks;
SELECT * FROM table_locks;
ROLLBACK;
-- product_upsert, on the root and on a partition. There it looks in that partition alone, and the guard in all.
SELECT product_upsert('parted', '{"brand": "b", "serial": "1", "manufacturer": "m", "region": "us", "price": 1}') ->> 'action';
SELECT product_upsert('parted', '{"brand": "b", "serial": "1", "manufacturer": "m", "price": 2}') ->> 'action';
SELECT product_upsert('parted', '{"brand": "b", "serial": "1", "manufacturer": "m", "price": 2}') ->> 'action';
SELECT product_upsert('parted', '{"brand": "b", "serial": "6", "manufacturer": "m", "region": "jp"}') ->> 'action';
SELECT try($$ SELECT product_upsert('parted_eu', '{"brand": "b", "serial": "1", "manufacturer": "m", "region": "eu"}') $$);
SELECT product_upsert('parted_us', '{"brand": "b", "serial": "1", "manufacturer": "m", "price": 3}') ->> 'action';
SELECT product_upsert('parted_eu', '{"brand": "b", "serial": "7", "manufacturer": "m", "region": "eu"}') ->> 'action';
SELECT try($$ INSERT INTO parted VALUES ('b', '7', 'm', 'us') $$);
-- A table that is attached gets the guard, whatever rows it brings along; one that has a guard of its own cannot be.
CREATE TABLE parted_au (LIKE parted);
INSERT INTO parted_au VALUES ('b', '1', 'm', 'au'), ('b', '8', 'm', 'au');
SELECT lookup_index FROM product_upsert_protect('parted_au');
SELECT try($$ ALTER TABLE parted ATTACH PARTITION parted_au FOR VALUES IN ('au') $$);
SELECT product_upsert_unprotect('parted_au');
SELECT try($$ ALTER TABLE parted ATTACH PARTITION parted_au FOR VALUES IN ('au') $$);
SELECT key, copies FROM product_upsert_duplicates('parted');
SELECT try($$ INSERT INTO parted VALUES ('b', '8', 'm', 'eu') $$);
SELECT try($$ INSERT INTO parted_au VALUES ('b', '7', 'm', 'au') $$);
SELECT try($$ UPDATE parted SET price = 5 WHERE serial = '1' $$);
-- To go to another partition is to be inserted there, which one that has a duplicate cannot.
SELECT try($$ UPDATE parted SET region = 'eu' WHERE region = 'au' AND serial = '1' $$);
-- A partition that is detached is a table of its own, without a guard.
ALTER TABLE parted DETACH PARTITION parted_au;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'parted_au'::regclass;
SELECT try($$ INSERT INTO parted_au VALUES ('b', '7', 'm', 'au') $$);
SELECT try($$ INSERT INTO parted VALUES ('b', '8', 'm', 'eu') $$);
DROP TABLE parted, parted_au;

-- Only a partition is guarded, or only what is below: then the key is one among those rows, and its lock is the root's.
CREATE TABLE parted (brand text, serial text, manufacturer text, region text) PARTITION BY LIST (region);
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu');
CREATE TABLE parted_us PARTITION OF parted FOR VALUES IN ('us');
CREATE TABLE parted_asia PARTITION OF parted FOR VALUES IN ('in', 'jp') PARTITION BY LIST (region);
CREATE TABLE parted_in PARTITION OF parted_asia FOR VALUES IN ('in');
CREATE TABLE parted_jp PARTITION OF parted_asia FOR VALUES IN ('jp');
SELECT * FROM product_upsert_protect('parted_eu');
SELECT * FROM product_upsert_protect('parted_asia');
INSERT INTO parted VALUES ('b', '1', 'm', 'eu'), ('b', '1', 'm', 'us'), ('b', '1', 'm', 'us'), ('b', '1', 'm', 'in');
SELECT try($$ INSERT INTO parted VALUES ('b', '1', 'm', 'eu') $$);
SELECT try($$ INSERT INTO parted_eu VALUES ('b', '1', 'm', 'eu') $$);
SELECT try($$ INSERT INTO parted VALUES ('b', '1', 'm', 'jp') $$);
SELECT try($$ INSERT INTO parted_jp VALUES ('b', '1', 'm', 'jp') $$);
BEGIN;
INSERT INTO parted_jp VALUES ('b', '2', 'm', 'jp');
SELECT * FROM key_locks;
COMMIT;
-- Another guard above it must mean the same key.
SELECT try($$ CREATE TRIGGER whole AFTER INSERT OR UPDATE ON parted FOR EACH ROW
	EXECUTE FUNCTION product_upsert_guard('serial') $$);
SELECT try($$ INSERT INTO parted VALUES ('b', '2', 'm', 'eu') $$);
DROP TABLE parted;

DROP SCHEMA pu_guard_tables CASCADE;
