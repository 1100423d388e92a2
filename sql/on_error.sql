-- An array of which some elements fail: on_error => 'report'.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_on_error;
SET search_path = pu_on_error, public;
\pset format unaligned
\pset tuples_only on
\i sql/include/helpers.sql

CREATE TABLE maker (name text PRIMARY KEY);
INSERT INTO maker VALUES ('m');
CREATE TABLE product (
	id int GENERATED ALWAYS AS IDENTITY,
	brand text,
	serial text,
	manufacturer text REFERENCES maker,
	price int NOT NULL CONSTRAINT positive CHECK (price > 0),
	code text CONSTRAINT one_code UNIQUE,
	label varchar(3)
);
CREATE INDEX ON product (brand, serial, manufacturer);
-- upserts(payload): the action of each element, and of those that failed what a program sees of it
CREATE FUNCTION upserts(payload jsonb, target regclass DEFAULT 'product', newer_by name DEFAULT NULL) RETURNS SETOF text
LANGUAGE sql AS $$
	SELECT concat_ws(' ', r ->> 'action', r -> 'product' ->> 'serial',
		(SELECT string_agg(e.key || ': ' || e.value, ' | ' ORDER BY n) FROM jsonb_each_text(r -> 'error') WITH ORDINALITY e(key, value, n)
		  WHERE e.value IS NOT NULL))
	  FROM jsonb_array_elements(product_upsert(target, payload, newer_by => newer_by, on_error => 'report')) r
$$;

-- What can be wrong with an element, one after the other: what is before and after is written all the same.
SELECT * FROM upserts(jsonb_build_array(item('1', 1), 5, '[]'::jsonb, null, '{"brand": "b", "price": 1}'::jsonb,
	item('2', 1) || '{"prise": 1}', item('3', 1) || '{"label": "long"}', item('4', 1) || '{"price": "many"}',
	item('5', 0), item('6', NULL), item('7', 1) || '{"manufacturer": "nobody"}', item('8', 1) || '{"id": 5}',
	item('9', 1) || '{"code": "c"}', item('10', 1) || '{"code": "c"}', item('1', 2), item('1', 1) || '{"id": 77}',
	item('11', 1)));
SELECT serial, price, code FROM product ORDER BY serial::int;
-- All fields of the error, whatever it is
SELECT product_upsert('product', jsonb_build_array(item('5', 0), item('2', 1) || '{"prise": 1}'), on_error => 'report');

-- A single object
SELECT product_upsert('product', item('5', 0), on_error => 'report');
SELECT product_upsert('product', '{"brand": "b"}', on_error => 'report') -> 'error';
SELECT product_upsert('product', item('1', 2), '{"price": 5}', on_error => 'report') -> 'error';
SELECT product_upsert('product', item('1', 2), '{"price": 2}', on_error => 'report') ->> 'action';
SELECT product_upsert('product', item('2', 2), on_create => '{"price": 0}', on_error => 'report') #>> '{error,sqlstate}';
SELECT product_upsert('product', '[]', on_error => 'report');

-- Where the elements are many, and some fail: in stretches, and within them one by one
TRUNCATE product;
SELECT r ->> 'action', r #>> '{error,sqlstate}', count(*), sum((r #>> '{product,serial}')::int)
  FROM jsonb_array_elements(product_upsert('product',
		(SELECT jsonb_agg(item(n::text, CASE WHEN n % 97 = 0 OR n BETWEEN 200 AND 230 THEN 0 ELSE n END) ||
				CASE WHEN n % 89 = 0 THEN jsonb '{"label": "long"}' ELSE '{}' END ORDER BY n)
		   FROM generate_series(1, 2000) n), on_error => 'report')) r
 GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*), sum(price) FROM product;
-- They are in the order of the elements.
SELECT bool_and(e.n::text = coalesce(e.r #>> '{product,serial}', e.n::text) AND (e.r ->> 'action' = 'failed') = (e.n IN (1, 17, 18, 50)))
  FROM jsonb_array_elements(product_upsert('product',
		(SELECT jsonb_agg(item(n::text, CASE WHEN n IN (1, 17, 18, 50) THEN 0 ELSE n + 1 END) ORDER BY n) FROM generate_series(1, 50) n),
		on_error => 'report')) WITH ORDINALITY e(r, n);
-- A key that comes again sees what was written before, and not what was undone.
SELECT * FROM upserts(jsonb_build_array(item('a', 1), item('a', 2), item('a', 0), item('b', 0), item('b', 3), item('a', 2), item('b', 4)));

-- What the triggers of a failed row have done is undone with it: also those that come after it.
CREATE TABLE log (entry text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO log VALUES (concat_ws(' ', TG_WHEN, TG_OP, new.serial));
	IF TG_WHEN = 'AFTER' AND new.price = 13 THEN
		RAISE 'unlucky' USING HINT = 'Take another.', DETAIL = 'It is 13.', COLUMN = 'elsewhere', TABLE = 'log';
	END IF;
	RETURN new;
END $$;
CREATE TRIGGER note_before BEFORE INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note_after AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION note();
SELECT * FROM upserts(jsonb_build_array(item('x', 1), item('y', 13), item('z', 1), item('x', 13)));
TABLE log;
SELECT serial, price FROM product WHERE serial IN ('x', 'y', 'z') ORDER BY 1;
DROP TRIGGER note_before ON product;
DROP TRIGGER note_after ON product;

-- Further faults of an element: duplicates, a version that is missing, a trigger that changes the key, a policy
INSERT INTO product (brand, serial, manufacturer, price) VALUES ('b', 'twice', 'm', 1), ('b', 'twice', 'm', 1);
SELECT * FROM upserts(jsonb_build_array(item('twice', 2), item('a', 3), item('a', 1) - 'price'), newer_by => 'price');
CREATE FUNCTION change_key() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.serial := 'changed'; RETURN new; END $$;
CREATE TRIGGER change_key BEFORE INSERT ON product FOR EACH ROW WHEN (new.serial = 'c') EXECUTE FUNCTION change_key();
SELECT * FROM upserts(jsonb_build_array(item('c', 2), item('d', 3)));
CREATE ROLE regress_pu_on_error;
GRANT USAGE ON SCHEMA pu_on_error TO regress_pu_on_error;
GRANT SELECT, INSERT, UPDATE ON product TO regress_pu_on_error;
GRANT SELECT ON maker TO regress_pu_on_error;
ALTER TABLE product ENABLE ROW LEVEL SECURITY;
CREATE POLICY cheap ON product USING (true) WITH CHECK (price < 100);
SET ROLE regress_pu_on_error;
-- What may not be done stops all.
SELECT may($$ SELECT upserts(jsonb_build_array(item('e', 2), item('f', 300))) $$);
SELECT * FROM upserts(jsonb_build_array(item('e', 2)));
RESET ROLE;
ALTER TABLE product DISABLE ROW LEVEL SECURITY;

-- Other errors stop the call, and nothing of it stays: here in a trigger, such as no reader of the payload can help
CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE 'stopped' USING ERRCODE = new.label;
END $$;
ALTER TABLE product ALTER label TYPE text;
CREATE TRIGGER stop BEFORE INSERT ON product FOR EACH ROW WHEN (new.label IS NOT NULL) EXECUTE FUNCTION stop();
SELECT code, try(format('SELECT string_agg(r ->> ''action'', '' '') FROM jsonb_array_elements(product_upsert(''product'', jsonb_build_array(item(''g'', 2), item(''h'', 3) || %L), on_error => ''report'')) r',
	jsonb_build_object('label', code)))
  FROM unnest(ARRAY['40001', '40P01', '55P03', '53100', '42501', 'XX000', '0A000', '42P01', '54000', '25006', 'P0002']) code;
SELECT count(*) FROM product WHERE serial IN ('g', 'h');
SELECT code, try(format('SELECT string_agg(r ->> ''action'', '' '') FROM jsonb_array_elements(product_upsert(''product'', jsonb_build_array(item(''g'', 2), item(''h'', 3) || %L), on_error => ''report'')) r',
	jsonb_build_object('label', code)))
  FROM unnest(ARRAY['22000', '22P05', '23P01', '21000', '27000', '428C9', '42703', '44000', 'PT412', 'P0001']) code;
DROP TRIGGER stop ON product;

-- So do faults of the call, and the locks of the keys stay as they are for all elements that have one.
SELECT on_error, try(format('SELECT product_upsert(''product'', item(''a'', 1), on_error => %L)', on_error))
  FROM unnest(ARRAY['Report', '', NULL]) on_error;
SELECT try($$ SELECT product_upsert('product', '5', on_error => 'report') $$);
SELECT try($$ SELECT product_upsert('product', NULL, on_error => 'report') $$);
SELECT try($$ SELECT product_upsert('product', item('a', 1), on_create => '{"stokc": 1}', on_error => 'report') $$);
SELECT try($$ SELECT product_upsert('product', jsonb_build_array(item('a', 1)), '{}', on_error => 'report') $$);
BEGIN;
SELECT * FROM upserts(jsonb_build_array(item('k', 0), item('l', 1) || '{"price": "x"}', item('m', 0), item('n', 1)));
TABLE key_locks;
-- A savepoint is not lost on the way, nor what was written before.
SAVEPOINT s;
SELECT * FROM upserts(jsonb_build_array(item('o', 0), item('p', 1)));
ROLLBACK TO s;
SELECT * FROM upserts(jsonb_build_array(item('n', 1), item('p', 1), item('p', 0)));
TABLE key_locks;
COMMIT;

-- A constraint that is deferred is looked at when the transaction commits, and then nothing is reported any more.
ALTER TABLE product ALTER CONSTRAINT product_manufacturer_fkey DEFERRABLE INITIALLY DEFERRED;
SELECT * FROM upserts(jsonb_build_array(item('q', 1) || '{"manufacturer": "nobody"}'));
SELECT count(*) FROM product WHERE serial = 'q';
BEGIN;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT * FROM upserts(jsonb_build_array(item('q', 1) || '{"manufacturer": "nobody"}', item('r', 1)));
COMMIT;

-- At the higher isolation levels
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM upserts(jsonb_build_array(item('s', 1), item('s', 0), item('s', 2)));
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM upserts(jsonb_build_array(item('t', 1), item('t', 0), item('t', 2)));
COMMIT;

-- A failure is told whatever else is to be told; the status is that of the rows that are there.
SET product_upsert.result = action;
SET product_upsert.http_status = on;
BEGIN;
SELECT product_upsert('product', item('u', 0), on_error => 'report');
SELECT current_setting('response.status');
SELECT product_upsert('product', jsonb_build_array(item('u', 0), item('u', 1)), on_error => 'report');
SELECT current_setting('response.status');
COMMIT;
RESET product_upsert.result;
RESET product_upsert.http_status;

-- Partitioned, with a guard that looks in all partitions
CREATE TABLE parted (brand text, serial text, manufacturer text, price int) PARTITION BY LIST (price);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1, 2);
CREATE TABLE parted_3 PARTITION OF parted FOR VALUES IN (3);
SELECT FROM product_upsert_protect('parted');
SELECT * FROM upserts(jsonb_build_array(item('1', 1), item('2', 4), item('1', 3), item('1', 4), item('2', 2)), 'parted');
SELECT tableoid::regclass, serial, price FROM parted ORDER BY serial;

DROP OWNED BY regress_pu_on_error;
DROP ROLE regress_pu_on_error;
DROP SCHEMA pu_on_error CASCADE;
