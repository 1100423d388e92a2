-- What product_upsert_from() takes for a source and for a target: tables and views of every kind, and what is none of
-- them. The counts are of rows created, updated and unchanged.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE EXTENSION IF NOT EXISTS file_fdw;
CREATE SCHEMA pu_from_sources;
SET search_path = pu_from_sources, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

\i :abs_srcdir/sql/include/from.sql

-- Sources of every kind. The counts are of rows created, updated and unchanged.
CREATE TABLE feed (brand text, serial text, manufacturer text, price numeric, stock int);
INSERT INTO feed VALUES ('a', '1', 'm', 1, 1), ('a', '2', 'm', 2, 2), ('a', '3', NULL, 3, 3);
SELECT * FROM product_upsert_from('feed', 'product');
SELECT * FROM product_upsert_from('feed', 'product');
UPDATE feed SET stock = 4 WHERE serial = '3';
INSERT INTO feed VALUES ('a', '4', 'm', 4, 4);
SELECT * FROM product_upsert_from('feed', 'product');
SELECT * FROM product ORDER BY serial;
-- Named arguments, as for any function
SELECT created, updated, unchanged FROM product_upsert_from(target => 'product', source => 'feed');

CREATE TEMPORARY TABLE temporary_feed (brand text, serial text, manufacturer text, stock int);
COPY temporary_feed FROM stdin (FORMAT csv);
a,1,m,11
b,1,m,11
\.
SELECT * FROM product_upsert_from('temporary_feed', 'product');

CREATE TABLE parted_feed (stock int, brand text, serial text, manufacturer text) PARTITION BY LIST (brand);
CREATE TABLE parted_feed_c PARTITION OF parted_feed FOR VALUES IN ('c');
CREATE TABLE parted_feed_rest (manufacturer text, serial text, brand text, stock int);
ALTER TABLE parted_feed ATTACH PARTITION parted_feed_rest DEFAULT;
INSERT INTO parted_feed VALUES (12, 'c', '1', 'm'), (12, 'b', '1', 'm');
SELECT * FROM product_upsert_from('parted_feed', 'product');
SELECT * FROM product_upsert_from('parted_feed_rest', 'product');
-- Inheritance children belong to a source, as they belong to a SELECT.
CREATE TABLE child_feed () INHERITS (feed);
INSERT INTO child_feed VALUES ('child', '1', 'm', 1, 1);
SELECT * FROM product_upsert_from('feed', 'product');
DROP TABLE child_feed;

CREATE TABLE maker (code int, name text);
INSERT INTO maker VALUES (1, 'm'), (2, 'n');
CREATE TABLE delivery (brand text, serial text, maker int, stock int);
INSERT INTO delivery VALUES ('b', '1', 1, 13), ('b', '1', 2, 13);
CREATE VIEW joined AS SELECT d.brand, d.serial, m.name AS manufacturer, sum(d.stock)::int AS stock
  FROM delivery d JOIN maker m ON m.code = d.maker GROUP BY 1, 2, 3 ORDER BY 3;
SELECT * FROM product_upsert_from('joined', 'product');
CREATE VIEW guarded WITH (security_barrier) AS SELECT * FROM joined WHERE manufacturer = 'n';
CREATE RULE guarded_rule AS ON INSERT TO guarded DO INSTEAD NOTHING;
SELECT * FROM product_upsert_from('guarded', 'product');
CREATE MATERIALIZED VIEW frozen AS SELECT * FROM joined;
UPDATE delivery SET stock = 99;
SELECT * FROM product_upsert_from('frozen', 'product');
CREATE SERVER from_files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE foreign_feed (brand text, serial text, manufacturer text, stock int)
	SERVER from_files OPTIONS (program 'echo f,1,m,1 && echo f,2,m,2', format 'csv');
SELECT * FROM product_upsert_from('foreign_feed', 'product');
-- The target itself, and views over it: one look at it, before anything is written. What is generated comes along.
SELECT count(*) FROM product;
SELECT * FROM product_upsert_from('product', 'product');
CREATE VIEW dearer AS SELECT brand, serial, manufacturer, coalesce(price, 0) + 1 AS price FROM product;
SELECT * FROM product_upsert_from('dearer', 'product');
CREATE VIEW cloned AS SELECT brand || copy AS brand, serial, manufacturer, stock
  FROM product CROSS JOIN generate_series(1, 2) AS copy;
SELECT * FROM product_upsert_from('cloned', 'product');
SELECT count(*), count(DISTINCT (brand, serial, manufacturer)) FROM product;
CREATE VIEW locking AS SELECT brand, serial, manufacturer, price + 1 AS price FROM product WHERE brand = 'f' FOR UPDATE;
SELECT * FROM product_upsert_from('locking', 'product');
-- What has no rows
CREATE SEQUENCE a_sequence;
CREATE TYPE a_type AS (brand text, serial text, manufacturer text);
SELECT product_upsert_from('a_sequence', 'product');
\echo :SQLSTATE
SELECT product_upsert_from('product_brand_serial_manufacturer_idx', 'product');
\echo :SQLSTATE
SELECT product_upsert_from('a_type', 'product');
\echo :SQLSTATE
-- What nothing can be written to
SELECT product_upsert_from('feed', 'joined');
\echo :SQLSTATE
SELECT product_upsert_from('feed', 'foreign_feed');
\echo :SQLSTATE
SELECT product_upsert_from('feed', 'a_sequence');
\echo :SQLSTATE
SELECT product_upsert_from('feed', 'maker');
\echo :SQLSTATE

-- Arguments: the source must be there, the target is the usual table if it is not.
SELECT product_upsert_from(NULL, 'product');
\echo :SQLSTATE
SELECT product_upsert_from('-', 'product');
\echo :SQLSTATE
SELECT product_upsert_from('feed', '-');
\echo :SQLSTATE
\set VERBOSITY sqlstate
SELECT product_upsert_from('nothing', 'product');
SELECT product_upsert_from(2147483647::oid::regclass, 'product');
SELECT product_upsert_from('feed', 2147483647::oid::regclass);
\set VERBOSITY default
TRUNCATE product;
SELECT * FROM product_upsert_from('feed');
CREATE TABLE goods (LIKE product INCLUDING ALL);
SET product_upsert.default_table = 'pu_from_sources.goods';
SELECT * FROM product_upsert_from('feed', NULL);
SELECT count(*) FROM goods;
SET product_upsert.default_table = 'nothing';
SELECT * FROM product_upsert_from('feed');
\echo :SQLSTATE
RESET product_upsert.default_table;

DROP SCHEMA pu_from_sources CASCADE;
DROP SERVER from_files CASCADE;
