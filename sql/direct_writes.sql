-- What PostgreSQL does around a write of its own, and what a call without SQL statements must do as well: commands
-- see what came before them and not what comes after, triggers may call again and fail, errors are survived, and
-- what is remembered of a table is forgotten when it no longer holds. The outcome is the same without direct_store.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_writes;
SET search_path = pu_writes, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

CREATE TABLE product (brand text, serial text, manufacturer text, price int, note text);
CREATE INDEX ON product (brand, serial, manufacturer);
CREATE FUNCTION item(serial text, price int) RETURNS jsonb LANGUAGE sql RETURN
	jsonb_build_object('brand', 'b', 'serial', serial, 'manufacturer', 'm', 'price', price);
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
WITH new AS (INSERT INTO product VALUES ('b', '6', 'm', 1) RETURNING serial) SELECT product_upsert('product', item(serial, 2)) ->> 'action' FROM new;
WITH changed AS (UPDATE product SET price = 9 WHERE serial = '6' RETURNING serial) SELECT product_upsert('product', item(serial, 9)) ->> 'action' FROM changed;
WITH gone AS (DELETE FROM product WHERE serial = '6' RETURNING serial) SELECT product_upsert('product', item(serial, 10)) ->> 'action' FROM gone;
SELECT serial, price FROM product ORDER BY serial;
-- A statement that comes to a row which a call within it has written to meanwhile: an error, never a lost write.
UPDATE product SET price = price + 100, note = product_upsert('product', item(serial, 50)) ->> 'action' WHERE serial = '1';
\echo :SQLSTATE
UPDATE product SET price = price + 100, note = stable_call(serial, 50) WHERE serial = '1';
\echo :SQLSTATE
DELETE FROM product WHERE serial = '1' AND product_upsert('product', item(serial, 51)) IS NOT NULL;
\echo :SQLSTATE
INSERT INTO product SELECT brand, serial || '+', manufacturer, price, product_upsert('product', item(serial || '+', 52)) ->> 'action' FROM product WHERE serial = '1';
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
SELECT jsonb_array_length(product_upsert('product', jsonb_build_array(item('1', 1), item('2', 1), item('1', 2), item('3', 1), item('2', 2))));
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

-- Triggers that call again: for rows of another table and of this one, single and in arrays, and catch the errors of
-- what they call
CREATE TABLE part (brand text, serial text, manufacturer text, price int CHECK (price < 100), note text);
CREATE INDEX ON part (brand, serial, manufacturer);
CREATE TABLE event (n int GENERATED ALWAYS AS IDENTITY, entry text);
CREATE FUNCTION spread() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	INSERT INTO event (entry) VALUES (concat_ws(' ', TG_TABLE_NAME, TG_WHEN, TG_OP, NEW.serial, NEW.price, 'depth', pg_trigger_depth()));
	IF TG_TABLE_NAME = 'part' OR NEW.note = 'leaf' THEN
		RETURN NEW;
	END IF;
	-- rows of another table; the last of them is refused, and so are they all
	FOR top IN 98 .. 100 LOOP
		BEGIN
			SELECT string_agg(r ->> 'action', ' ') INTO result
			  FROM jsonb_array_elements(product_upsert('part', jsonb_build_array(item(NEW.serial || '.1', top), item(NEW.serial || '.2', NEW.price), item(NEW.serial || '.1', top - 1), item(NEW.serial || '.3', top)))) AS r;
		EXCEPTION WHEN check_violation THEN
			result := SQLERRM;
		END;
		INSERT INTO event (entry) VALUES (top || ': ' || result);
	END LOOP;
	-- another row of this table, and once more what cannot be
	BEGIN
		result := product_upsert('product', item(NEW.serial || '.leaf', NEW.price) || '{"note": "leaf"}') ->> 'action';
		PERFORM product_upsert('product', jsonb_build_array(item(NEW.serial || '.never', 1) || '{"note": "leaf"}', item(NULL, 1) || '{"nonsense": 1}'));
	EXCEPTION WHEN undefined_column THEN
		INSERT INTO event (entry) VALUES ('leaf: ' || result);
	END;
	result := product_upsert('product', jsonb_build_array(item(NEW.serial || '.kept', NEW.price) || '{"note": "leaf"}')) #>> '{0,action}';
	INSERT INTO event (entry) VALUES ('kept: ' || result);
	RETURN NEW;
END $$;
CREATE TRIGGER spread_before BEFORE INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION spread();
CREATE TRIGGER spread_after AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION spread();
CREATE TRIGGER spread BEFORE INSERT OR UPDATE ON part FOR EACH ROW EXECUTE FUNCTION spread();
CREATE TRIGGER spread_later AFTER INSERT OR UPDATE ON part FOR EACH ROW WHEN (NEW.price > 5) EXECUTE FUNCTION spread();
SELECT r ->> 'action', r -> 'product' -> 'serial', r -> 'previous'
  FROM jsonb_array_elements(product_upsert('product', jsonb_build_array(item('1', 1), item('2', 2), item('1', 3), item('1', 3), item('2', 4)))) AS r;
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
CREATE CONSTRAINT TRIGGER check_sum AFTER INSERT OR UPDATE OF price ON product DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.price > 1) EXECUTE FUNCTION check_sum();
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
\set batch 'SELECT jsonb_array_length(product_upsert(\'product\', jsonb_build_array(item(\'1\', 10), item(\'2\', 11), item(\'1\', 9), item(\'1\', 9) || \'{"note": "x"}\', item(\'1\', 10) - \'price\' || \'{"note": "y"}\', item(\'2\', 12), item(\'3\', 1) - \'price\', item(\'3\', 1))));'
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

-- What is remembered of a table, forgotten in time. A default's function is replaced:
CREATE FUNCTION standard() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION standard_note() RETURNS text LANGUAGE sql AS $$ SELECT 'one' $$;
TRUNCATE product;
ALTER TABLE product ALTER price SET DEFAULT standard(), ALTER note SET DEFAULT standard_note();
SELECT product_upsert('product', item('1', 1) - 'price') -> 'product';
CREATE OR REPLACE FUNCTION standard() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2';
CREATE OR REPLACE FUNCTION standard_note() RETURNS text LANGUAGE sql AS $$ SELECT 'two' $$;
SELECT product_upsert('product', item('2', 1) - 'price') -> 'product';
ALTER TABLE product ALTER price SET DEFAULT 3, ALTER note DROP DEFAULT;
SELECT product_upsert('product', item('3', 1) - 'price') -> 'product';
ALTER TABLE product ALTER price DROP DEFAULT, ALTER price SET NOT NULL, ALTER price ADD GENERATED ALWAYS AS IDENTITY (START 100);
SELECT product_upsert('product', item('4', 1) - 'price') -> 'product';
SELECT product_upsert('product', item('5', 1)) -> 'product';
\echo :SQLSTATE
ALTER TABLE product ALTER price DROP IDENTITY, ALTER price DROP NOT NULL;
SELECT product_upsert('product', item('5', 1) - 'price') -> 'product';
-- A domain gets constraints, and loses them.
CREATE DOMAIN label AS text;
CREATE TABLE labelled (brand text, serial text, manufacturer text, label label, price int);
CREATE INDEX ON labelled (brand, serial, manufacturer);
SELECT product_upsert('labelled', item('1', 1)) -> 'product' -> 'label';
DELETE FROM labelled;
ALTER DOMAIN label SET NOT NULL;
SELECT product_upsert('labelled', item('2', 1)) -> 'product' -> 'label';
\echo :SQLSTATE
SELECT product_upsert('labelled', item('2', 1) || '{"label": null}') -> 'product' -> 'label';
\echo :SQLSTATE
ALTER DOMAIN label DROP NOT NULL;
SELECT product_upsert('labelled', item('2', 1)) -> 'product' -> 'label';
DELETE FROM labelled;
ALTER DOMAIN label ADD CONSTRAINT there CHECK (value IS NOT NULL);
SELECT product_upsert('labelled', item('3', 1)) -> 'product' -> 'label';
\echo :SQLSTATE
SELECT product_upsert('labelled', item('3', 1) || '{"label": "x"}') -> 'product' -> 'label';
ALTER DOMAIN label ADD CONSTRAINT not_y CHECK (value <> 'y');
SELECT product_upsert('labelled', item('3', 1) || '{"label": "y"}') -> 'product' -> 'label';
\echo :SQLSTATE
ALTER DOMAIN label DROP CONSTRAINT not_y;
ALTER DOMAIN label DROP CONSTRAINT there;
SELECT product_upsert('labelled', item('3', 1) || '{"label": "y"}') -> 'product' -> 'label';
SELECT product_upsert('labelled', item('4', 1)) -> 'product' -> 'label';
-- An enum gets another value, which becomes usable when that is committed.
CREATE TYPE mood AS ENUM ('good');
ALTER TABLE labelled ADD mood mood, ADD moods mood[];
SELECT product_upsert('labelled', item('4', 1) || '{"mood": "good"}') -> 'product' -> 'mood';
ALTER TYPE mood ADD VALUE 'better';
SELECT product_upsert('labelled', item('4', 1) || '{"mood": "better", "moods": ["better"]}') -> 'previous' -> 'mood';
ALTER TYPE mood RENAME VALUE 'better' TO 'best';
SELECT product_upsert('labelled', item('4', 1)) -> 'product' -> 'moods';
-- A cast to json, which is how to_jsonb() shows the values of a type, comes and goes.
CREATE FUNCTION mood_to_json(mood) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT json_build_object('mood', $1::text) $$;
SELECT product_upsert('labelled', item('4', 1)) -> 'product' = to_jsonb(labelled), to_jsonb(labelled) -> 'mood' FROM labelled WHERE serial = '4';
CREATE CAST (mood AS json) WITH FUNCTION mood_to_json(mood);
SELECT product_upsert('labelled', item('4', 1)) -> 'product' = to_jsonb(labelled), to_jsonb(labelled) -> 'mood' FROM labelled WHERE serial = '4';
CREATE OR REPLACE FUNCTION mood_to_json(mood) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT to_json(upper($1::text)) $$;
SELECT product_upsert('labelled', item('4', 1)) -> 'product' = to_jsonb(labelled), to_jsonb(labelled) -> 'mood' FROM labelled WHERE serial = '4';
DROP CAST (mood AS json);
SELECT product_upsert('labelled', item('4', 1)) -> 'product' = to_jsonb(labelled), to_jsonb(labelled) -> 'mood' FROM labelled WHERE serial = '4';
-- What a CHECK constraint, a generated column or an index calls is replaced.
CREATE FUNCTION allowed(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 < 10';
CREATE FUNCTION doubled(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE TABLE computed (brand text, serial text, manufacturer text, price int CHECK (allowed(price)), double int GENERATED ALWAYS AS (doubled(price)) STORED);
CREATE INDEX ON computed (brand, serial, manufacturer);
SELECT product_upsert('computed', item('1', 1)) -> 'product' -> 'double';
CREATE OR REPLACE FUNCTION allowed(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 10';
CREATE OR REPLACE FUNCTION doubled(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 20';
SELECT product_upsert('computed', item('1', 2)) -> 'product' -> 'double';
\echo :SQLSTATE
SELECT product_upsert('computed', item('1', 11)) -> 'product' -> 'double';
-- Triggers, constraints, indexes, row-level security and rules come and go between two calls.
CREATE TABLE altered (brand text, serial text, manufacturer text, price int);
CREATE INDEX key ON altered (brand, serial, manufacturer);
SELECT product_upsert('altered', item('1', 1)) ->> 'action';
CREATE TRIGGER note BEFORE UPDATE ON altered FOR EACH ROW EXECUTE FUNCTION note();
TRUNCATE event RESTART IDENTITY;
SELECT product_upsert('altered', item('1', 2)) ->> 'action';
DROP TRIGGER note ON altered;
SELECT product_upsert('altered', item('1', 3)) ->> 'action';
SELECT entry FROM event ORDER BY n;
ALTER TABLE altered ADD CONSTRAINT low CHECK (price < 10);
SELECT product_upsert('altered', item('1', 10)) ->> 'action';
\echo :SQLSTATE
ALTER TABLE altered DROP CONSTRAINT low;
SELECT product_upsert('altered', item('1', 10)) ->> 'action';
CREATE UNIQUE INDEX price ON altered (price);
SELECT product_upsert('altered', item('2', 10)) ->> 'action';
\echo :SQLSTATE
DROP INDEX price;
SELECT product_upsert('altered', item('2', 10)) ->> 'action';
DROP INDEX key;
SET client_min_messages = error;
SELECT product_upsert('altered', item('2', 10)) ->> 'action';
SET client_min_messages = warning;
CREATE INDEX key ON altered (serial, manufacturer, brand);
SELECT product_upsert('altered', item('2', 10)) ->> 'action';
REINDEX TABLE CONCURRENTLY altered;
SELECT product_upsert('altered', item('2', 11)) ->> 'action';
CLUSTER altered USING key;
SELECT product_upsert('altered', item('2', 12)) ->> 'action';
VACUUM FULL altered;
SELECT product_upsert('altered', item('2', 13)) ->> 'action';
TRUNCATE altered;
SELECT product_upsert('altered', item('2', 13)) ->> 'action';
ALTER TABLE altered ALTER serial TYPE int USING serial::int;
SELECT product_upsert('altered', item('2', 14)) ->> 'action';
ALTER TABLE altered ALTER brand TYPE text COLLATE "C";
SELECT product_upsert('altered', item('2', 15)) ->> 'action';
SELECT * FROM altered;
-- The same, undone before the next call
BEGIN;
CREATE TRIGGER note BEFORE UPDATE ON altered FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE altered ADD more int DEFAULT 7;
DROP INDEX key;
CREATE INDEX other ON altered (brand, serial, manufacturer);
SELECT product_upsert('altered', item('2', 16)) -> 'product';
ROLLBACK;
SELECT product_upsert('altered', item('2', 17)) -> 'product';
BEGIN;
SAVEPOINT s;
ALTER TABLE altered RENAME price TO cost;
SELECT product_upsert('altered', '{"brand": "b", "serial": 2, "manufacturer": "m", "cost": 18}') -> 'product';
ROLLBACK TO s;
SELECT product_upsert('altered', item('2', 19)) -> 'product';
COMMIT;

-- Not in a parallel worker, even if a function around it says that it may run there
CREATE FUNCTION parallel_call(serial text, price int) RETURNS text LANGUAGE plpgsql PARALLEL SAFE AS $$
BEGIN
	RETURN product_upsert('altered', item(serial, price)) ->> 'action';
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
SELECT serial, price FROM altered;

-- A BEFORE trigger that writes a row with the same key itself, past the lock: with a guard or without, that is seen.
CREATE TABLE doubled (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON doubled (brand, serial, manufacturer);
CREATE FUNCTION double() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		INSERT INTO doubled VALUES (new.brand, new.serial, new.manufacturer, 99);
	END IF;
	RETURN new;
END $$;
CREATE TRIGGER double BEFORE INSERT ON doubled FOR EACH ROW EXECUTE FUNCTION double();
SELECT product_upsert('doubled', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
-- The same with a unique index, a guard or both, of a table, a partitioned one or a partition; in a trigger that goes on or
-- returns NULL; in a single call or an array.
CREATE FUNCTION double_and_skip() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() > 1 THEN
		RETURN new;
	END IF;
	EXECUTE format('INSERT INTO %s VALUES ($1, $2, $3, 99)', tg_argv[0]) USING new.brand, new.serial, new.manufacturer;
	RETURN CASE tg_argv[1] WHEN 'new' THEN new END;
END $$;
CREATE TABLE outcome (relation text, index text, guard boolean, returns text, payload text, sqlstate text);
DO $$
DECLARE
	relation text; index text; guard boolean; returns text; payload jsonb;
	object jsonb = '{"brand": "a", "serial": "1", "manufacturer": "m"}';
BEGIN
	SET LOCAL client_min_messages = error;
	FOREACH relation IN ARRAY '{doubled,parts,parts_a}'::text[] LOOP
	FOREACH index IN ARRAY '{INDEX,UNIQUE INDEX}'::text[] LOOP
	FOREACH guard IN ARRAY '{false,true}'::boolean[] LOOP
	FOREACH returns IN ARRAY '{new,null}'::text[] LOOP
		DROP TABLE IF EXISTS doubled, parts;
		CREATE TABLE doubled (brand text, serial text, manufacturer text, price int);
		CREATE TABLE parts (LIKE doubled) PARTITION BY LIST (brand);
		CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
		EXECUTE format('CREATE %s ON %s (brand, serial, manufacturer)', index, replace(relation, '_a', ''));
		EXECUTE format('CREATE TRIGGER double BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION double_and_skip(%L, %L)', relation, relation, returns);
		IF guard THEN
			PERFORM product_upsert_protect(replace(relation, '_a', ''));
		END IF;
		FOREACH payload IN ARRAY ARRAY[object, jsonb_build_array(object, object)] LOOP
			BEGIN
				PERFORM product_upsert(relation, payload);
				INSERT INTO outcome VALUES (relation, index, guard, returns, jsonb_typeof(payload), 'none');
			EXCEPTION WHEN OTHERS THEN
				INSERT INTO outcome VALUES (relation, index, guard, returns, jsonb_typeof(payload), sqlstate);
			END;
		END LOOP;
	END LOOP; END LOOP; END LOOP; END LOOP;
END $$;
SELECT sqlstate, count(*) FROM outcome GROUP BY sqlstate;
SELECT * FROM outcome WHERE sqlstate <> '27000';
-- A plain INSERT is none of the extension's, also where a trigger upserts.
DROP TABLE doubled;
CREATE TABLE doubled (brand text, serial text, manufacturer text, price int);
SELECT duplicate_keys FROM product_upsert_protect('doubled');
CREATE FUNCTION upsert_first() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		PERFORM product_upsert('doubled', to_jsonb(new));
	END IF;
	RETURN new;
END $$;
CREATE TRIGGER double BEFORE INSERT ON doubled FOR EACH ROW EXECUTE FUNCTION upsert_first();
INSERT INTO doubled VALUES ('a', '1', 'm', 1);
\echo :SQLSTATE
-- What triggers put into children, as they did before there were partitions, is no row of the table's own.
CREATE TABLE child () INHERITS (doubled);
CREATE FUNCTION to_child() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO child VALUES (new.*);
	RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER double BEFORE INSERT ON doubled FOR EACH ROW EXECUTE FUNCTION to_child();
SELECT product_upsert('doubled', '{"brand": "a", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT product_upsert('doubled', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}') ->> 'action';
TABLE doubled;

DROP SCHEMA pu_writes CASCADE;
