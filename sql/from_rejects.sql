-- A load that goes on where rows fail, and puts them into another table.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_from_rejects;
SET search_path = pu_from_rejects, public;
\pset format unaligned
\pset tuples_only on
\i sql/include/helpers.sql
\i sql/include/from.sql

CREATE TABLE feed (brand text, serial text, manufacturer text, price text, stock int, name text);
CREATE TABLE bad (record jsonb, sqlstate text, message text);
CREATE TABLE bad_in_full (context text, id int GENERATED ALWAYS AS IDENTITY, detail text, message text, sqlstate text, record jsonb,
	at timestamptz DEFAULT now());
CREATE VIEW typed AS SELECT brand, serial, manufacturer, price::numeric AS price, stock, name FROM feed;

-- Whatever is wrong with a row, it is there with its error, and the others are written.
INSERT INTO feed VALUES ('b', '1', 'm', '1', 1, 'a'), ('b', '2', 'm', '1', -1, 'a'), ('b', '3', 'm', '1', 1, 'much too long'),
	('b', '4', 'm', '1234567', NULL, NULL), ('b', '5', 'm', '1', 1, 'a'), ('b', '1', 'm', '2', -2, 'a'), ('b', '1', 'm', '3', 2, 'a');
SELECT * FROM product_upsert_from('typed', 'product', rejects => 'bad');
TABLE bad;
SELECT brand, serial, price, stock FROM product ORDER BY serial;
SELECT * FROM product_upsert_from('typed', 'product', rejects => 'bad_in_full');
SELECT record ->> 'serial', sqlstate, detail, place FROM bad_in_full, LATERAL substring(context, '[^\n]*$') place ORDER BY id;
-- Without the option, they stop it.
SELECT * FROM place($$ SELECT product_upsert_from('typed', 'product') $$);
-- An error of the source itself is no row's.
INSERT INTO feed VALUES ('b', '6', 'm', 'many', 1, 'a');
SELECT * FROM place($$ SELECT product_upsert_from('typed', 'product', rejects => 'bad') $$);
SELECT count(*) FROM bad;

-- Payloads: one that fails is rejected as a whole, as an array of which one element fails; so is NULL.
TRUNCATE bad;
CREATE TABLE payload (body jsonb);
INSERT INTO payload VALUES (item('7', 1)), (item('8', 1) || '{"stokc": 1}'), (jsonb_build_array(item('9', 1), item('10', 1) || '{"stock": -1}')),
	('5'), (NULL), (jsonb_build_array(item('11', 1), item('12', 1)));
SELECT * FROM product_upsert_from('payload', 'product', rejects => 'bad_in_full');
SELECT record, sqlstate, message, place FROM bad_in_full, LATERAL substring(context, '[^\n]*$') place WHERE context ~ 'payload' ORDER BY id;
SELECT string_agg(serial, ' ' ORDER BY serial::int) FROM product;

-- Many rows, some of which fail: one by one, next to each other, and the first and the last of them
TRUNCATE product, bad;
CREATE VIEW many AS
SELECT 'b' AS brand, n::text AS serial, 'm' AS manufacturer, n % 1000 AS price,
	   CASE WHEN n IN (1, 5000) OR n % 97 = 0 OR n BETWEEN 1020 AND 1060 THEN -n ELSE n END AS stock
  FROM generate_series(1, 5000) n;
SELECT * FROM product_upsert_from('many', 'product', rejects => 'bad');
SELECT count(*), sum(stock), (SELECT count(*) FROM bad), (SELECT sum((record ->> 'stock')::int) FROM bad) FROM product;
-- In the order of the source
SELECT bool_and(ascending) FROM (SELECT -(record ->> 'stock')::int > lag(-(record ->> 'stock')::int, 1, 0) OVER (ORDER BY ctid) AS ascending FROM bad) b;
-- All of them, or none
TRUNCATE bad;
CREATE VIEW all_bad AS SELECT brand, serial, manufacturer, -1 AS stock FROM many;
SELECT * FROM product_upsert_from('all_bad', 'product', rejects => 'bad');
CREATE VIEW none AS SELECT * FROM many WHERE false;
SELECT * FROM product_upsert_from('none', 'product', rejects => 'bad');
-- Little memory: a row at a time
SET work_mem = '64kB';
CREATE VIEW wide AS SELECT brand, serial, manufacturer, repeat('x', 100000) AS name, stock FROM many WHERE serial::int <= 20;
ALTER TABLE product ALTER name TYPE text;
SELECT * FROM product_upsert_from('wide', 'product', rejects => 'bad');
RESET work_mem;
-- With the other options
TRUNCATE bad;
SELECT * FROM product_upsert_from('many', 'product', '{"name": "new"}', 'price', 'bad');

-- Without what the columns of the table do not name; which come along in the record only if they are read
SET product_upsert.unknown_fields = ignore;
CREATE VIEW more AS SELECT 1 AS elsewhere, brand, serial, manufacturer, -1 AS stock FROM many WHERE serial = '2';
TRUNCATE bad;
SELECT * FROM product_upsert_from('more', 'product', rejects => 'bad');
SELECT record FROM bad;
RESET product_upsert.unknown_fields;

-- What another cannot be: all of it is known before a row is read.
CREATE TABLE no_message (record jsonb, sqlstate text);
CREATE TABLE no_jsonb (record json, sqlstate text, message text);
CREATE TABLE no_text (record jsonb, sqlstate text, message text, detail jsonb);
CREATE DOMAIN code AS text;
CREATE TABLE domains (record jsonb, sqlstate code, message text);
CREATE TABLE self (brand text, serial text, manufacturer text, record jsonb, sqlstate text, message text);
CREATE INDEX ON self (brand, serial, manufacturer);
CREATE VIEW self_view AS SELECT * FROM bad;
SELECT r, try(format('SELECT product_upsert_from(''none'', ''product'', rejects => %L)', r))
  FROM unnest(ARRAY['no_message', 'no_jsonb', 'no_text', 'domains', 'product', 'self_view', '-']) r;
SELECT try($$ SELECT product_upsert_from('many', 'self', rejects => 'self') $$);
SELECT try($$ SELECT product_upsert_from('self', 'product', rejects => 'self') $$);

-- What it does with them is its own: triggers, defaults; and its errors stop the load.
CREATE FUNCTION no_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF (SELECT count(*) FROM bad) >= 3 THEN RAISE 'too many bad rows'; END IF;
	RETURN new;
END $$;
CREATE TRIGGER no_more BEFORE INSERT ON bad FOR EACH ROW EXECUTE FUNCTION no_more();
TRUNCATE bad;
SELECT try($$ SELECT product_upsert_from('many', 'product', rejects => 'bad') $$);
SELECT count(*) FROM bad;
DROP TRIGGER no_more ON bad;
-- So do errors that are no row's.
CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'stopped' USING ERRCODE = '40001'; END $$;
CREATE TRIGGER stop BEFORE UPDATE ON product FOR EACH ROW WHEN (new.price = 999) EXECUTE FUNCTION stop();
UPDATE product SET price = 0 WHERE serial = '3999';
SELECT try($$ SELECT product_upsert_from('many', 'product', rejects => 'bad') $$);
DROP TRIGGER stop ON product;

-- A foreign key and AFTER triggers: their errors are those of the row.
CREATE TABLE maker (name text PRIMARY KEY);
INSERT INTO maker VALUES ('m');
ALTER TABLE product ADD FOREIGN KEY (manufacturer) REFERENCES maker;
CREATE VIEW makers AS SELECT 'b' AS brand, 'f' || n AS serial, CASE n WHEN 3 THEN 'nobody' ELSE 'm' END AS manufacturer FROM generate_series(1, 5) n;
SELECT * FROM product_upsert_from('makers', 'product', rejects => 'bad');
SELECT record ->> 'serial', sqlstate FROM bad;

-- The caller must be allowed to insert into it.
CREATE ROLE regress_pu_from_rejects;
GRANT USAGE ON SCHEMA pu_from_rejects TO regress_pu_from_rejects;
GRANT SELECT, INSERT, UPDATE ON product TO regress_pu_from_rejects;
GRANT SELECT ON makers, maker, none TO regress_pu_from_rejects;
GRANT INSERT (record, sqlstate, message) ON bad TO regress_pu_from_rejects;
GRANT INSERT (record, sqlstate, message) ON bad_in_full TO regress_pu_from_rejects;
SET ROLE regress_pu_from_rejects;
SELECT may($$ SELECT product_upsert_from('makers', 'product', rejects => 'bad') $$);
SELECT may($$ SELECT product_upsert_from('makers', 'product', rejects => 'bad_in_full') $$);
-- Also if there is nothing to put there
SELECT may($$ SELECT product_upsert_from('none', 'product', rejects => 'bad') $$);
SELECT may($$ SELECT product_upsert_from('none', 'product', rejects => 'bad_in_full') $$);
RESET ROLE;
DROP OWNED BY regress_pu_from_rejects;
DROP ROLE regress_pu_from_rejects;

-- Whole or not at all, also with savepoints; a table of rejected rows may be temporary.
CREATE TEMPORARY TABLE temporary_bad (LIKE bad);
BEGIN;
SELECT * FROM product_upsert_from('makers', 'product', rejects => 'temporary_bad');
SAVEPOINT s;
SELECT * FROM product_upsert_from('makers', 'product', rejects => 'temporary_bad');
ROLLBACK TO s;
SELECT count(*) FROM temporary_bad;
ROLLBACK;
SELECT count(*) FROM temporary_bad;
DROP TABLE temporary_bad;
DROP SCHEMA pu_from_rejects CASCADE;
