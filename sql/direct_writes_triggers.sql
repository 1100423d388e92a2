-- Triggers around a call without SQL statements: which ones fire, and what those may do that call again, fail, or write to
-- the row that is being written. Errors are survived, and the outcome is the same without direct_store.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_writes_triggers;
SET search_path = pu_writes_triggers, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

CREATE TABLE product (brand text, serial text, manufacturer text, price int, note text);
CREATE INDEX ON product (brand, serial, manufacturer);
-- The call in short, as one that PostgreSQL may not run more than once or reorder
CREATE FUNCTION call(serial text, price int) RETURNS text LANGUAGE sql AS $$
	SELECT product_upsert('product', item(serial, price)) ->> 'action'
$$;

-- Triggers that call again: for rows of another table and of this one, single and in arrays, and catch the errors of
-- what they call
CREATE TABLE part (brand text, serial text, manufacturer text, price int CHECK (price < 100), note text);
CREATE INDEX ON part (brand, serial, manufacturer);
CREATE TABLE event (n int GENERATED ALWAYS AS IDENTITY, entry text);
CREATE FUNCTION spread() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	INSERT INTO event (entry)
		VALUES (concat_ws(' ', TG_TABLE_NAME, TG_WHEN, TG_OP, NEW.serial, NEW.price, 'depth', pg_trigger_depth()));
	IF TG_TABLE_NAME = 'part' OR NEW.note = 'leaf' THEN
		RETURN NEW;
	END IF;
	-- rows of another table; the last of them is refused, and so are they all
	FOR top IN 98 .. 100 LOOP
		BEGIN
			SELECT string_agg(r ->> 'action', ' ') INTO result
			  FROM jsonb_array_elements(product_upsert('part',
				jsonb_build_array(item(NEW.serial || '.1', top), item(NEW.serial || '.2', NEW.price),
				item(NEW.serial || '.1', top - 1), item(NEW.serial || '.3', top)))) AS r;
		EXCEPTION WHEN check_violation THEN
			result := SQLERRM;
		END;
		INSERT INTO event (entry) VALUES (top || ': ' || result);
	END LOOP;
	-- another row of this table, and once more what cannot be
	BEGIN
		result := product_upsert('product', item(NEW.serial || '.leaf', NEW.price) || '{"note": "leaf"}') ->> 'action';
		PERFORM product_upsert('product', jsonb_build_array(item(NEW.serial || '.never', 1) || '{"note": "leaf"}',
			item(NULL, 1) || '{"nonsense": 1}'));
	EXCEPTION WHEN undefined_column THEN
		INSERT INTO event (entry) VALUES ('leaf: ' || result);
	END;
	result := product_upsert('product', jsonb_build_array(item(NEW.serial || '.kept', NEW.price) || '{"note": "leaf"}'))
		#>> '{0,action}';
	INSERT INTO event (entry) VALUES ('kept: ' || result);
	RETURN NEW;
END $$;
CREATE TRIGGER spread_before BEFORE INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION spread();
CREATE TRIGGER spread_after AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION spread();
CREATE TRIGGER spread BEFORE INSERT OR UPDATE ON part FOR EACH ROW EXECUTE FUNCTION spread();
CREATE TRIGGER spread_later AFTER INSERT OR UPDATE ON part FOR EACH ROW WHEN (NEW.price > 5) EXECUTE FUNCTION spread();
SELECT r ->> 'action', r -> 'product' -> 'serial', r -> 'previous'
  FROM jsonb_array_elements(product_upsert('product',
	jsonb_build_array(item('1', 1), item('2', 2), item('1', 3), item('1', 3), item('2', 4)))) AS r;
SELECT entry FROM event ORDER BY n;
SELECT * FROM product ORDER BY serial;
SELECT * FROM part ORDER BY serial;
DROP TRIGGER spread_before ON product;
DROP TRIGGER spread_after ON product;
TRUNCATE product, part, event RESTART IDENTITY;

-- A BEFORE trigger that writes to the very row: to one that is being updated, an error; and to one that is not
-- there yet, no second one
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		IF TG_ARGV[0] = 'call' THEN
			PERFORM product_upsert('product', to_jsonb(NEW) || '{"price": 70}');
		ELSIF TG_OP = 'UPDATE' THEN
			UPDATE product SET price = 71 WHERE serial = NEW.serial;
		ELSE
			DELETE FROM product WHERE serial = '1';
		END IF;
	END IF;
	RETURN NEW;
END $$;
INSERT INTO product VALUES ('b', '1', 'm', 1);
CREATE TRIGGER meddle BEFORE UPDATE ON product FOR EACH ROW EXECUTE FUNCTION meddle('call');
SELECT call('1', 2);
\echo :SQLSTATE
DROP TRIGGER meddle ON product;
CREATE TRIGGER meddle BEFORE UPDATE ON product FOR EACH ROW EXECUTE FUNCTION meddle('update');
SELECT call('1', 2);
\echo :SQLSTATE
DROP TRIGGER meddle ON product;
-- One that is no trigger: a default, or a CHECK constraint, that writes to the row
CREATE FUNCTION meddling_check(serial text, price int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF price = 13 THEN
		UPDATE product SET price = 14 WHERE product.serial = meddling_check.serial;
	END IF;
	RETURN true;
END $$;
ALTER TABLE product ADD CONSTRAINT meddling CHECK (meddling_check(serial, price));
SELECT call('1', 13);
\echo :SQLSTATE
ALTER TABLE product DROP CONSTRAINT meddling;
TABLE product;
TRUNCATE product;

-- Constraint triggers at the end of the transaction see the rows as they are then; what they raise is raised there.
CREATE FUNCTION check_sum() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO event (entry) VALUES (concat_ws(' ', TG_OP, OLD.price, NEW.price, 'of', (SELECT sum(price) FROM product)));
	IF (SELECT sum(price) FROM product) > 100 THEN
		RAISE EXCEPTION 'too much' USING ERRCODE = 'P0042';
	END IF;
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER check_sum AFTER INSERT OR UPDATE OF price ON product DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	WHEN (NEW.price > 1) EXECUTE FUNCTION check_sum();
BEGIN;
SELECT jsonb_array_length(product_upsert('product', jsonb_build_array(item('1', 90), item('2', 1), item('2', 2), item('3', 90))));
SELECT call('1', 5), call('3', 5);
SELECT product_upsert('product', item('1', 5) || '{"note": "not the price"}') -> 'previous';
SELECT count(*) FROM event;
COMMIT;
SELECT entry FROM event ORDER BY n;
BEGIN;
SELECT call('4', 91);
SAVEPOINT s;
SELECT call('4', 1000);
ROLLBACK TO s;
SELECT call('4', 92);
SET CONSTRAINTS check_sum IMMEDIATE;
\echo :SQLSTATE
ROLLBACK;
BEGIN;
SET CONSTRAINTS check_sum IMMEDIATE;
SELECT call('4', 93);
\echo :SQLSTATE
ROLLBACK;
DROP TRIGGER check_sum ON product;
TRUNCATE product, event RESTART IDENTITY;

-- Which triggers fire: by the columns that are given, by a condition, by being enabled
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO event (entry) VALUES (concat_ws(' ', TG_NAME, TG_WHEN, TG_OP, OLD, NEW));
	RETURN NEW;
END $$;
CREATE TRIGGER of_price BEFORE UPDATE OF price ON product FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER of_price_after AFTER UPDATE OF price ON product FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER of_note BEFORE UPDATE OF note ON product FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER of_note_after AFTER UPDATE OF note ON product FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER of_key AFTER UPDATE OF brand, serial, manufacturer ON product FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER changed AFTER UPDATE ON product FOR EACH ROW WHEN (OLD.price < NEW.price) EXECUTE FUNCTION note();
CREATE TRIGGER dear BEFORE INSERT ON product FOR EACH ROW WHEN (NEW.price > 10) EXECUTE FUNCTION note();
CREATE TRIGGER always AFTER INSERT ON product FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER replica AFTER INSERT ON product FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER never AFTER INSERT ON product FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE product ENABLE ALWAYS TRIGGER always, ENABLE REPLICA TRIGGER replica, DISABLE TRIGGER never;
SELECT $$SELECT jsonb_array_length(product_upsert('product', jsonb_build_array(item('1', 10), item('2', 11), item('1', 9),
	item('1', 9) || '{"note": "x"}', item('1', 10) - 'price' || '{"note": "y"}',
	item('2', 12), item('3', 1) - 'price', item('3', 1))));$$ AS batch \gset
:batch
SELECT entry FROM event ORDER BY n;
TRUNCATE product, event RESTART IDENTITY;
SET session_replication_role = replica;
:batch
RESET session_replication_role;
SELECT entry FROM event ORDER BY n;
DROP TABLE product;
CREATE TABLE product (brand text, serial text, manufacturer text, price int, note text);
CREATE INDEX ON product (brand, serial, manufacturer);

-- An error in the midst of an array: what came before it is undone, and the transaction goes on after a savepoint, with
-- other calls and other tables.
BEGIN;
SELECT call('1', 1);
SAVEPOINT s;
SELECT product_upsert('product', jsonb_build_array(item('1', 2), item('2', 1))) IS NOT NULL;
SELECT product_upsert('part', jsonb_build_array(item('1', 2), item('2', 1), item('1', 100), item('3', 1)));
\echo :SQLSTATE
ROLLBACK TO s;
SELECT product_upsert('part', jsonb_build_array(item('1', 2), item('2', 1), item('1', 3))) #>> '{2,action}';
SELECT call('1', 1), call('2', 2);
SAVEPOINT t;
SELECT product_upsert('part', jsonb_build_array(item('1', 4), item('2', 100)));
\echo :SQLSTATE
ROLLBACK TO t;
COMMIT;
SELECT serial, price FROM product ORDER BY serial;
SELECT serial, price FROM part ORDER BY serial;
DO $$
DECLARE
	caught int := 0;
BEGIN
	FOR i IN 1 .. 100 LOOP
		BEGIN
			PERFORM product_upsert('part', jsonb_build_array(item('1', i % 100), item(i::text, i % 3), item('2', i % 7 + 96)));
		EXCEPTION WHEN check_violation THEN
			caught := caught + 1;
		END;
	END LOOP;
	RAISE INFO '% caught, % rows, % keys', caught, (SELECT count(*) FROM part), (SELECT count(DISTINCT serial) FROM part);
END $$;

-- An insert that looks out for a unique index on the key holds a lock of its own while it does, and no longer.
CREATE TABLE arbitrated (LIKE part, UNIQUE (brand, serial, manufacturer), UNIQUE (manufacturer, brand, serial));
BEGIN;
SELECT jsonb_array_length(product_upsert('arbitrated', (SELECT jsonb_agg(item(i::text, i)) FROM generate_series(1, 50) AS i)));
SELECT locktype FROM pg_locks WHERE pid = pg_backend_pid() AND locktype LIKE 'spec%';
COMMIT;

DROP SCHEMA pu_writes_triggers CASCADE;
