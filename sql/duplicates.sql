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
	(6, 'b', NULL, 'm'), (7, NULL, NULL, NULL), (8, NULL, NULL, NULL), (9, 'b', 'null', 'm')
) AS v (n, brand, serial, manufacturer);
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
CREATE TABLE uniquely (n int NOT NULL, more int NOT NULL DEFAULT 0, brand text, serial text, manufacturer text,
	price int NOT NULL, UNIQUE (price, n), UNIQUE (n) INCLUDE (price));
INSERT INTO uniquely (n, brand, serial, manufacturer, price) SELECT * FROM template;
SELECT * FROM duplicates('uniquely') WHERE key ->> 'serial' = '1';
-- None that tells rows apart: with nulls, deferrable, partial, of an expression. Then it is their place.
CREATE TABLE placed (n int UNIQUE, brand text, serial text, manufacturer text, price int NOT NULL,
	same int NOT NULL DEFAULT 1, UNIQUE (price) DEFERRABLE);
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
SELECT d.key, d.copies, (SELECT jsonb_agg(r ->> 'table' ORDER BY r ->> 'table') FROM jsonb_array_elements(d.rows) AS r)
  FROM duplicates('parted') AS d;

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

-- Types that can be hashed and not ordered, alone and beside others
CREATE TABLE hashed (id int PRIMARY KEY, transaction xid, command cid, acl aclitem, name text);
INSERT INTO hashed SELECT id, transaction, command, acl, name
  FROM (VALUES (3, xid '7', cid '1', 'SELECT', 'x'), (1, '7', '1', 'SELECT', 'x'), (2, '7', '2', NULL, 'x'),
			   (4, '8', '2', NULL, 'y'), (6, NULL, '3', 'INSERT', 'z'), (5, NULL, '3', 'INSERT', 'z')
		) AS v (id, transaction, command, privilege, name)
	   CROSS JOIN LATERAL (SELECT makeaclitem('pg_monitor'::regrole, 'pg_monitor'::regrole, privilege, false)) AS a (acl);
-- duplicates_of(key): how many there are, and which
CREATE FUNCTION duplicates_of(VARIADIC key name[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	number bigint;
BEGIN
	SELECT duplicate_keys INTO number FROM product_upsert_protect('hashed', key);
	RETURN QUERY SELECT format('%s: %s', key, number);
	RETURN QUERY SELECT d::text FROM duplicates('hashed') AS d;
END $$;
SELECT duplicates_of('transaction');
SELECT duplicates_of('command');
SELECT duplicates_of('acl');
SELECT duplicates_of('name', 'transaction');
SELECT duplicates_of('acl', 'command', 'transaction', 'name');
SELECT product_upsert('hashed', '{"acl": null, "command": "2", "transaction": "8", "name": "y"}') ->> 'action';
-- However the groups are made: sorted, where that can be, or hashed, also with too little memory for all of them
CREATE TABLE grouped (id int PRIMARY KEY, brand numeric, serial text, manufacturer xid);
INSERT INTO grouped SELECT n, n / 2, 's', NULL FROM generate_series(1, 20001) AS n;
CREATE FUNCTION digest() RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', count(*), sum(copies), md5(string_agg(rows::text, ',' ORDER BY rows::text COLLATE "C")))
	  FROM product_upsert_duplicates('grouped')
$$;
SELECT digest() AS digest \gset
SELECT split_part(:'digest', ' ', 1), split_part(:'digest', ' ', 2);
SET work_mem = '64kB';
SELECT digest() = :'digest';
ALTER TABLE grouped ALTER manufacturer TYPE text;
SET enable_hashagg = off;
SELECT digest() = :'digest';
RESET enable_hashagg;
RESET work_mem;

-- What identifies rows is compared as its types have it, whatever these are; it is an object if it has several columns.
CREATE TABLE identified (path text[], at numrange, number numeric, code citext, brand text, PRIMARY KEY (path, at, number, code));
INSERT INTO identified VALUES ('{b}', '[1,2)', 10, 'x', 'a'), ('{a,c}', '[1,2)', 9, 'x', 'a'),
	('{a,c}', '[1,2)', 10, 'B', 'a'), ('{a,c}', '[1,2)', 10, 'a', 'a'), ('{}', '[,)', 1, 'x', 'a');
SELECT * FROM product_upsert_protect('identified', '{brand}');
SELECT jsonb_array_elements(rows) FROM duplicates('identified');
-- A unique index that gives its columns an order of its own does, too.
CREATE TABLE patterned (name text NOT NULL, brand text);
CREATE UNIQUE INDEX ON patterned (name text_pattern_ops);
INSERT INTO patterned VALUES ('b', 'x'), ('a', 'x'), ('c', 'x');
SELECT * FROM product_upsert_protect('patterned', '{brand}');
SELECT rows FROM duplicates('patterned');

-- Without a key, or with a NULL
CREATE TABLE keyless (id int);
SELECT product_upsert_duplicates('keyless');
\echo :SQLSTATE
SELECT product_upsert_duplicates(NULL);
\echo :SQLSTATE
SELECT product_upsert_duplicates('template');
\echo :SQLSTATE

DROP SCHEMA pu_duplicates CASCADE;
