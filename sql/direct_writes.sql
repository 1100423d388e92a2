-- What PostgreSQL does around a write of its own, and what a call without SQL statements must do as well: commands see
-- what came before them and not what comes after. The outcome is the same without direct_store.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_writes;
SET search_path = pu_writes, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

CREATE TABLE product (brand text, serial text, manufacturer text, price int, note text);
CREATE INDEX ON product (brand, serial, manufacturer);
-- The call in short, as one that PostgreSQL may not run more than once or reorder, and as one from a function that
-- calls itself STABLE: that one's own queries see what its caller sees.
CREATE FUNCTION call(serial text, price int) RETURNS text LANGUAGE sql AS $$
	SELECT product_upsert('product', item(serial, price)) ->> 'action'
$$;
CREATE FUNCTION stable_call(serial text, price int) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN product_upsert('product', item(serial, price)) ->> 'action';
END $$;

-- A call from within a statement that writes to the same table sees what that has written so far.
INSERT INTO product VALUES ('b', '1', 'm', 1) RETURNING product_upsert('product', item('1', 2)) ->> 'action';
INSERT INTO product VALUES ('b', '2', 'm', 1), ('b', '3', 'm', 1) RETURNING call(serial, 2);
INSERT INTO product VALUES ('b', '4', 'm', 1), ('b', '5', 'm', 1) RETURNING stable_call(serial, 1);
WITH new AS (INSERT INTO product VALUES ('b', '6', 'm', 1) RETURNING serial)
	SELECT product_upsert('product', item(serial, 2)) ->> 'action' FROM new;
WITH changed AS (UPDATE product SET price = 9 WHERE serial = '6' RETURNING serial)
	SELECT product_upsert('product', item(serial, 9)) ->> 'action' FROM changed;
WITH gone AS (DELETE FROM product WHERE serial = '6' RETURNING serial)
	SELECT product_upsert('product', item(serial, 10)) ->> 'action' FROM gone;
SELECT serial, price FROM product ORDER BY serial;
-- A statement that comes to a row which a call within it has written to meanwhile: an error, never a lost write.
UPDATE product SET price = price + 100, note = product_upsert('product', item(serial, 50)) ->> 'action' WHERE serial = '1';
\echo :SQLSTATE
UPDATE product SET price = price + 100, note = stable_call(serial, 50) WHERE serial = '1';
\echo :SQLSTATE
DELETE FROM product WHERE serial = '1' AND product_upsert('product', item(serial, 51)) IS NOT NULL;
\echo :SQLSTATE
INSERT INTO product SELECT brand, serial || '+', manufacturer, price,
	product_upsert('product', item(serial || '+', 52)) ->> 'action' FROM product WHERE serial = '1';
SELECT serial, price, note FROM product WHERE serial LIKE '1%' ORDER BY serial, price;
DELETE FROM product WHERE serial = '1+';
-- A row of the statement's own that is to be updated, after the call has done so
UPDATE product SET note = 'n' WHERE serial = '2' RETURNING product_upsert('product', item(serial, price + 1)) -> 'product';
SELECT price, note FROM product WHERE serial = '2';
-- What the statement reads is as it was when it began.
SELECT serial, price, product_upsert('product', item(serial, price + 1)) -> 'previous' FROM product ORDER BY serial;
SELECT (SELECT sum(price) FROM product), call('1', 60), (SELECT sum(price) FROM product);
-- A cursor that is open sees nothing of what is written after it, row by row or all at once.
BEGIN;
DECLARE before CURSOR FOR SELECT serial, price FROM product WHERE serial IN ('1', '2', '7') ORDER BY serial;
SELECT call('1', 61);
FETCH 1 FROM before;
SELECT call('2', 61), call('7', 1);
FETCH ALL FROM before;
SELECT serial, price FROM product WHERE serial IN ('1', '2', '7') ORDER BY serial;
ROLLBACK;
TRUNCATE product;

-- Triggers that leave a cursor open, which sees what they saw, though the call goes on
CREATE FUNCTION open_cursor() RETURNS trigger LANGUAGE plpgsql STABLE AS $$
DECLARE
	seen CURSOR FOR SELECT serial, price FROM product ORDER BY serial;
BEGIN
	IF NEW.serial = '2' THEN
		seen := 'seen by ' || lower(TG_WHEN);
		OPEN seen;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER cursor_before BEFORE INSERT ON product FOR EACH ROW EXECUTE FUNCTION open_cursor();
CREATE TRIGGER cursor_after AFTER INSERT ON product FOR EACH ROW EXECUTE FUNCTION open_cursor();
BEGIN;
SELECT jsonb_array_length(product_upsert('product', jsonb_build_array(item('1', 1), item('2', 1), item('1', 2), item('3', 1),
	item('2', 2))));
FETCH ALL FROM "seen by before";
FETCH ALL FROM "seen by after";
SELECT serial, price FROM product ORDER BY serial;
COMMIT;
DROP TRIGGER cursor_before ON product;
DROP TRIGGER cursor_after ON product;
ALTER FUNCTION open_cursor() VOLATILE;
CREATE TRIGGER cursor_before BEFORE UPDATE ON product FOR EACH ROW EXECUTE FUNCTION open_cursor();
CREATE TRIGGER cursor_after AFTER UPDATE ON product FOR EACH ROW EXECUTE FUNCTION open_cursor();
BEGIN;
SELECT jsonb_array_length(product_upsert('product', jsonb_build_array(item('1', 11), item('2', 11), item('3', 11))));
FETCH ALL FROM "seen by before";
FETCH ALL FROM "seen by after";
COMMIT;
DROP TRIGGER cursor_before ON product;
DROP TRIGGER cursor_after ON product;
TRUNCATE product;

-- Not in a parallel worker, even if a function around it says that it may run there
INSERT INTO product VALUES ('b', '2', 'm', 1);
CREATE FUNCTION parallel_call(serial text, price int) RETURNS text LANGUAGE plpgsql PARALLEL SAFE AS $$
BEGIN
	RETURN product_upsert('product', item(serial, price)) ->> 'action';
END $$;
SELECT name AS parallel FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') \gset
SELECT parallel_call('2', 20);
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SELECT set_config(:'parallel', 'on', false);
\set VERBOSITY sqlstate
SELECT parallel_call('2', 21);
SELECT parallel_call('3', 1);
\set VERBOSITY default
SELECT set_config(:'parallel', 'off', false);
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
SELECT serial, price FROM product;

DROP SCHEMA pu_writes CASCADE;
