-- The guard beside product_upsert and beside other triggers of the table: calls do the same with it as without, and a
-- trigger that writes to the very key, before or after the guard is fired, gets no second row past it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_guard_triggers;
SET search_path = pu_guard_triggers, public;
\pset format unaligned
\pset tuples_only on
\pset null <null>
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

-- product_upsert does the same with the guard as without, and either store as the other.
CREATE TABLE product (brand text, serial text, manufacturer text, price int);
SELECT * FROM product_upsert_protect('product');
SELECT product_upsert(item('1', 1)) ->> 'action';
SELECT product_upsert(item('1', 2)) -> 'previous';
SELECT product_upsert(item('1', 2)) ->> 'action';
SELECT r ->> 'action'
  FROM jsonb_array_elements(product_upsert(jsonb_build_array(item('2', 1), item('1', 3), item('2', 2), item('2', 2)))) AS r;
CREATE VIEW feed AS SELECT 'b' AS brand, n::text AS serial, 'm' AS manufacturer, 2 AS price FROM generate_series(1, 3) AS n;
SELECT * FROM product_upsert_from('feed', 'product');
SELECT try($$ INSERT INTO product VALUES ('b', '3', 'm') $$);
SELECT * FROM product ORDER BY serial;
-- Where a statement writes the row, the guard looks once more; the direct store, which has looked, does without. Other
-- triggers are fired either way.
CREATE TABLE event (n int GENERATED ALWAYS AS IDENTITY, entry text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO event (entry) VALUES (concat_ws(' ', TG_NAME, TG_OP, OLD, NEW));
	RETURN NULL;
END $$;
CREATE TRIGGER a_note AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER z_note AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION note();
CREATE FUNCTION guard_calls() RETURNS bigint LANGUAGE sql AS $$
	SELECT coalesce(pg_stat_get_xact_function_calls('product_upsert_guard()'::regprocedure), 0)
$$;
SET track_functions = 'all';
BEGIN;
SELECT guard_calls() AS before \gset
SET LOCAL product_upsert.direct_store = on;
SELECT r ->> 'action' FROM jsonb_array_elements(product_upsert(jsonb_build_array(item('4', 1), item('4', 2)))) AS r;
SELECT guard_calls() - :before;
SET LOCAL product_upsert.direct_store = off;
SELECT r ->> 'action' FROM jsonb_array_elements(product_upsert(jsonb_build_array(item('5', 1), item('5', 2)))) AS r;
SELECT guard_calls() - :before;
COMMIT;
RESET track_functions;
SELECT entry FROM event ORDER BY n;
DROP TRIGGER a_note ON product;
DROP TRIGGER z_note ON product;
DROP TABLE event;
DROP VIEW feed;
-- Rows that are there twice already: no call can tell which is meant, guard or not.
TRUNCATE product;
ALTER TABLE product DISABLE TRIGGER product_upsert_guard;
INSERT INTO product VALUES ('b', '1', 'm', 1), ('b', '1', 'm', 2);
ALTER TABLE product ENABLE TRIGGER product_upsert_guard;
SELECT try($$ SELECT product_upsert(item('1', 3)) $$);
TRUNCATE product;

-- A trigger that inserts the key of the row that is being written: there is never a second one, whether a call writes
-- it or a statement.
CREATE FUNCTION insert_same() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO product VALUES (NEW.brand, NEW.serial, NEW.manufacturer, 99);
	RETURN NEW;
END $$;
CREATE TRIGGER same BEFORE INSERT ON product FOR EACH ROW WHEN (NEW.price <> 99) EXECUTE FUNCTION insert_same();
SELECT try($$ SELECT product_upsert(item('1', 1)) $$) ~ '^(23505|27000) ';
SELECT try($$ SELECT product_upsert(jsonb_build_array(item('1', 99), item('2', 1))) $$) ~ '^(23505|27000) ';
-- So it is if the trigger made a call before, and survived its error.
CREATE FUNCTION call_in_vain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.price := 1 + (try($call$ SELECT product_upsert(item('2', -1)) $call$) LIKE '22012 %')::int;
	RETURN NEW;
END $$;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN 1 / 0; END';
CREATE TRIGGER a_call BEFORE INSERT ON product FOR EACH ROW WHEN (NEW.price = 1) EXECUTE FUNCTION call_in_vain();
CREATE TRIGGER a_fail BEFORE INSERT ON product FOR EACH ROW WHEN (NEW.price = -1) EXECUTE FUNCTION fail();
SELECT try($$ SELECT product_upsert(item('1', 1)) $$);
ALTER TABLE product DISABLE TRIGGER same;
SELECT product_upsert(item('1', 1)) #> '{product,price}';
ALTER TABLE product ENABLE TRIGGER same;
DELETE FROM product;
DROP TRIGGER a_call ON product;
DROP TRIGGER a_fail ON product;
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'm', 1) $$);
TABLE product;
DROP TRIGGER same ON product;
CREATE TRIGGER same AFTER INSERT ON product FOR EACH ROW WHEN (NEW.price <> 99) EXECUTE FUNCTION insert_same();
SELECT try($$ SELECT product_upsert(item('1', 1)) $$);
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'm', 1) $$);
DROP TRIGGER same ON product;
CREATE TRIGGER z_same AFTER INSERT ON product FOR EACH ROW WHEN (NEW.price <> 99) EXECUTE FUNCTION insert_same();
SELECT try($$ SELECT product_upsert(item('1', 1)) $$);
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'm', 1) $$);
DROP TRIGGER z_same ON product;
SELECT product_upsert(item('1', 1)) ->> 'action';
CREATE TRIGGER same BEFORE UPDATE ON product FOR EACH ROW EXECUTE FUNCTION insert_same();
SELECT try($$ SELECT product_upsert(item('1', 2)) $$);
SELECT try($$ UPDATE product SET price = 2 $$);
SELECT try($$ UPDATE product SET serial = '2' $$);
DROP TRIGGER same ON product;
TABLE product;

-- A trigger that is fired before the guard and alters or deletes the row: what it has become is looked at.
TRUNCATE product;
ALTER TABLE product DISABLE TRIGGER product_upsert_guard;
INSERT INTO product VALUES ('b', '1', 'm', 1), ('b', '1', 'm', 1);
ALTER TABLE product ENABLE TRIGGER product_upsert_guard;
CREATE FUNCTION alter_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	CASE NEW.price
		WHEN 2 THEN UPDATE product SET price = 3 WHERE price = 2;
		WHEN 4 THEN UPDATE product SET serial = '4' WHERE price = 4;
		WHEN 5 THEN UPDATE product SET serial = '1', price = 6 WHERE price = 5;
		WHEN 7 THEN DELETE FROM product WHERE price = 7;
		WHEN 8 THEN DELETE FROM product WHERE price <> 8;
		ELSE NULL;
	END CASE;
	RETURN NULL;
END $$;
CREATE TRIGGER a_alter AFTER INSERT OR UPDATE ON product FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION alter_row();
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'm', 2) $$);
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'm', 4) $$);
SELECT try($$ INSERT INTO product VALUES ('b', '5', 'm', 5) $$);
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'm', 7) $$);
SELECT try($$ INSERT INTO product VALUES ('b', '6', 'm', 0) $$);
SELECT try($$ UPDATE product SET serial = '1', price = 4 WHERE serial = '6' $$);
SELECT try($$ UPDATE product SET serial = '1', price = 7 WHERE serial = '6' $$);
SELECT * FROM product ORDER BY price, serial;
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'm', 8) $$);
SELECT * FROM product ORDER BY price;
DROP TABLE product;

DROP SCHEMA pu_guard_triggers CASCADE;
