-- What becomes of a source's rows: none, the same key again, a row that fails and takes all others with it. What comes
-- after a failed load, and loads from procedures and triggers.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_from_rows;
SET search_path = pu_from_rows, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

\i :abs_srcdir/sql/include/from.sql
CREATE TABLE feed (brand text, serial text, manufacturer text, price numeric, stock int);
CREATE TABLE payloads (n int, payload jsonb);
CREATE VIEW payload_feed AS SELECT payload FROM payloads ORDER BY n;
CREATE TABLE other_feed (stock int, manufacturer text, price numeric, serial text, brand text);
INSERT INTO other_feed VALUES (21, 'm', 2.5, '1', 'r'), (22, NULL, NULL, '', 'r'), (1, 'm', 1, '1', 'old');

-- No rows at all
TRUNCATE product, feed;
SELECT * FROM product_upsert_from('feed', 'product');
TRUNCATE payloads;
SELECT * FROM product_upsert_from('payload_feed', 'product');
-- A key that comes again sees what was written before it.
INSERT INTO feed VALUES ('a', '1', 'm', 1, 1), ('a', '1', 'm', 1, 2), ('a', '1', 'm', 1, 2), ('a', '1', 'm', NULL, 2),
	('a', NULL, 'm', 1, 1), ('a', NULL, 'm', 1, 1);
SELECT * FROM product_upsert_from('feed', 'product');
SELECT brand, serial, manufacturer, price, stock FROM product ORDER BY serial;
-- A key that two rows have already
INSERT INTO product (brand, serial, manufacturer) VALUES ('a', '1', 'm');
TRUNCATE feed;
INSERT INTO feed VALUES ('z', '1', 'm', 1, 1), ('a', '1', 'm', 1, 3);
SELECT place($$SELECT product_upsert_from('feed', 'product')$$);
-- A unique index on the key
CREATE TABLE unique_key (brand text, serial text, manufacturer text, price numeric, stock int,
	UNIQUE (brand, serial, manufacturer));
INSERT INTO feed VALUES ('z', '1', 'm', 1, 2);
SELECT * FROM product_upsert_from('feed', 'unique_key');
-- No index at all
CREATE TABLE no_index (brand text, serial text, manufacturer text, price numeric, stock int);
SET client_min_messages = error;
SELECT * FROM product_upsert_from('feed', 'no_index');
SET client_min_messages = warning;

-- The error names the row, and the column whose value does not fit. All or nothing: none of the rows before is there.
TRUNCATE product, feed;
INSERT INTO feed VALUES ('a', '1', 'm', 1, 1), ('a', '2', 'm', 2, 2), ('a', '3', 'm', 1000000, 3);
SELECT place($$SELECT product_upsert_from('feed', 'product')$$);
UPDATE feed SET price = 1, stock = -1 WHERE serial = '3';
SELECT place($$SELECT product_upsert_from('feed', 'product')$$);
SELECT count(*) FROM product;
-- What goes wrong after the load is about none of its rows.
SELECT place($$SELECT 1 / (updated - updated) FROM product_upsert_from('other_feed', 'product')$$);
-- In a transaction, what was done before a savepoint stays.
BEGIN;
INSERT INTO product (brand, serial, manufacturer) VALUES ('before', '1', 'm');
SAVEPOINT s;
SELECT product_upsert_from('feed', 'product');
\echo :SQLSTATE
SELECT 1;
\echo :SQLSTATE
ROLLBACK TO s;
SELECT * FROM product_upsert_from('other_feed', 'product');
DELETE FROM feed WHERE stock = -1;
SELECT * FROM product_upsert_from('feed', 'product');
SELECT * FROM product_upsert_from('feed', 'product');
COMMIT;
SELECT brand, serial, stock FROM product ORDER BY brand, serial;
-- The same in a block with an exception handler
INSERT INTO feed VALUES ('a', '3', 'm', 1, -1);
DO $$
BEGIN
	PERFORM product_upsert_from('feed', 'product');
EXCEPTION WHEN check_violation THEN
	DELETE FROM feed WHERE stock < 0;
	UPDATE feed SET stock = stock + 1;
	RAISE WARNING 'second attempt: %', (SELECT f FROM product_upsert_from('feed', 'product') f);
END $$;

-- In a procedure that commits between two loads
CREATE PROCEDURE load_by_turns() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 10 .. 12 LOOP
		UPDATE feed SET stock = i;
		RAISE WARNING '%', (SELECT f FROM product_upsert_from('feed', 'product') f);
		COMMIT;
	END LOOP;
END $$;
CALL load_by_turns();
-- By a trigger of the table that the rows arrive in
CREATE TABLE inbox (brand text, serial text, manufacturer text, stock int);
CREATE FUNCTION empty_inbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING '%', (SELECT f FROM product_upsert_from('inbox', 'product') f);
	DELETE FROM inbox;
	RETURN NULL;
END $$;
CREATE TRIGGER empty_inbox AFTER INSERT ON inbox FOR EACH STATEMENT EXECUTE FUNCTION empty_inbox();
INSERT INTO inbox VALUES ('in', '1', 'm', 1), ('in', '2', 'm', 1);
COPY inbox FROM stdin (FORMAT csv);
in,1,m,2
in,3,m,2
\.

DROP SCHEMA pu_from_rows CASCADE;
