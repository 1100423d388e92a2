-- Which keys have more than one row, and which rows those are: by their primary key if there is one, by another unique
-- constraint, or by their place.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE EXTENSION IF NOT EXISTS citext;
CREATE SCHEMA pu_duplicates;
SET search_path = pu_duplicates, public;
\pset format unaligned
\pset tuples_only on
\pset null <null>
\set SHOW_CONTEXT never

CREATE VIEW template AS SELECT v.*, n * 10 AS price FROM (VALUES
	(5, 'b', '1', 'm'), (3, 'b', '1', 'm'), (10, 'b', '1', 'm'), (1, 'b', '2', 'm'), (2, 'b', NULL, 'm'), (4, 'b', '', 'm'),
	(6, 'b', NULL, 'm'), (7, NULL, NULL, NULL), (8, NULL, NULL, NULL), (9, 'b', 'null', 'm')) AS v (n, brand, serial, manufacturer);
-- duplicates(table): in an order of our own, as they come in none
CREATE FUNCTION duplicates(target regclass) RETURNS TABLE (key jsonb, copies bigint, rows jsonb) LANGUAGE sql AS $$
	SELECT * FROM product_upsert_duplicates(target) ORDER BY key::text COLLATE "C"
$$;

-- A primary key of one column: its values, in its order
CREATE TABLE one (n int PRIMARY KEY, brand text, serial text, manufacturer text, price int UNIQUE);
SELECT * FROM duplicates('one');
INSERT INTO one SELECT * FROM template;
SELECT * FROM duplicates('one');
-- Of several: an object, in the order of the index; also beside another that would do
CREATE TABLE several (brand text, serial text, n int, price int, manufacturer text, PRIMARY KEY (n, price), UNIQUE (price));
INSERT INTO several SELECT brand, serial, n % 3, price, manufacturer FROM template;
SELECT * FROM duplicates('several');
-- None, but unique and not null: the one of fewest columns
CREATE TABLE uniquely (n int NOT NULL, more int NOT NULL DEFAULT 0, brand text, serial text, manufacturer text, price int NOT NULL, UNIQUE (price, n), UNIQUE (n) INCLUDE (price));
INSERT INTO uniquely (n, brand, serial, manufacturer, price) SELECT * FROM template;
SELECT * FROM duplicates('uniquely') WHERE key ->> 'serial' = '1';
-- None that tells rows apart: with nulls, deferrable, partial, of an expression. Then it is their place.
CREATE TABLE placed (n int UNIQUE, brand text, serial text, manufacturer text, price int NOT NULL, same int NOT NULL DEFAULT 1, UNIQUE (price) DEFERRABLE);
CREATE UNIQUE INDEX ON placed (price) WHERE price > 0;
CREATE UNIQUE INDEX ON placed ((price + 1));
CREATE UNIQUE INDEX ON placed (same, (price + 1));
INSERT INTO placed SELECT * FROM template ORDER BY n;
SELECT * FROM duplicates('placed');
-- Each is there only once.
SELECT count(*), count(DISTINCT p.n) FROM duplicates('placed') AS d CROSS JOIN jsonb_array_elements(d.rows) AS r
	JOIN placed p ON p.ctid = (r ->> 'ctid')::tid AND p.tableoid = (r ->> 'table')::regclass;
-- A table with children by inheritance: its primary key is not theirs.
CREATE TABLE child () INHERITS (one);
INSERT INTO child VALUES (3, 'b', '2', 'm', 10);
SELECT * FROM duplicates('one') WHERE key ->> 'serial' = '2';
DROP TABLE child;

-- Partitions: by a primary key that holds for all of them, else by place
CREATE TABLE parted (n int, brand text, serial text, manufacturer text, price int, PRIMARY KEY (n)) PARTITION BY RANGE (n);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (5);
CREATE TABLE parted_2 (price int, manufacturer text, serial text, brand text, n int NOT NULL);
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (5) TO (100);
INSERT INTO parted SELECT * FROM template;
SELECT * FROM duplicates('parted');
SELECT * FROM duplicates('parted_2');
ALTER TABLE parted DROP CONSTRAINT parted_pkey;
SELECT d.key, d.copies, (SELECT jsonb_agg(r ->> 'table' ORDER BY r ->> 'table') FROM jsonb_array_elements(d.rows) AS r) FROM duplicates('parted') AS d;

-- The key that is declared, and equality as its types have it: which spelling is told is left open.
CREATE TABLE spelled (id int PRIMARY KEY, number numeric, code citext, brand text);
INSERT INTO spelled VALUES (1, 1.0, 'A', 'x'), (2, 1.00, 'a', 'y'), (3, 1, 'b', 'z'), (4, NULL, 'A', 'z'), (5, 2, 'A', 'x');
SELECT * FROM product_upsert_protect('spelled', '{number,code}');
SELECT (d.key ->> 'number')::numeric = 1, lower(d.key ->> 'code'), d.copies, d.rows FROM duplicates('spelled') AS d;
SELECT * FROM product_upsert_protect('spelled', '{brand}');
SELECT * FROM duplicates('spelled');
SELECT * FROM product_upsert_protect('spelled', '{id}');
SELECT * FROM duplicates('spelled');
-- They agree with what a call takes for one key, and what keeps it from writing.
SELECT * FROM product_upsert_protect('spelled', '{number,code}');
SELECT product_upsert('spelled', '{"number": 1, "code": "A"}');
\echo :SQLSTATE
SELECT product_upsert('spelled', '{"number": 1.000, "code": "B"}') -> 'product' -> 'id';

-- Without a key, or with a NULL
CREATE TABLE keyless (id int);
SELECT product_upsert_duplicates('keyless');
\echo :SQLSTATE
SELECT product_upsert_duplicates(NULL);
\echo :SQLSTATE
SELECT product_upsert_duplicates('template');
\echo :SQLSTATE

DROP SCHEMA pu_duplicates CASCADE;
