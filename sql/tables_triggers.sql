-- What else happens as a row is written: triggers that alter or refuse it, take it away, or only watch; and rules. The
-- result shows the row as it has become, and a row is never written that the next call would not find.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_tables_triggers;
SET search_path = pu_tables_triggers, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

CREATE TABLE plain (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON plain (brand, serial, manufacturer);

-- BEFORE triggers may alter the row; the result shows it.
CREATE TABLE triggered (brand text, serial text, manufacturer text, price int, note text, updates int DEFAULT 0);
CREATE INDEX ON triggered (brand, serial, manufacturer);
CREATE FUNCTION alter_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.note := TG_OP;
	IF TG_OP = 'UPDATE' THEN
		NEW.updates := OLD.updates + 1;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER a_alter BEFORE INSERT OR UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION alter_row();
SELECT four_calls('triggered');
-- They may refuse it.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RETURN NULL;
END $$;
CREATE TRIGGER b_refuse BEFORE INSERT OR UPDATE ON triggered FOR EACH ROW WHEN (NEW.price = 0) EXECUTE FUNCTION refuse();
SELECT product_upsert('triggered', '{"brand": "r", "serial": "1", "manufacturer": "m", "price": 0}');
SELECT product_upsert('triggered', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 0}');
SELECT jsonb_array_elements(product_upsert('triggered', '[
	{"brand": "r", "serial": "1", "manufacturer": "m", "price": 0},
	{"brand": "r", "serial": "1", "manufacturer": "m", "price": 1}]'));
-- They may undo the change; what was written is the row's new version, and nothing is different in it.
CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RETURN OLD;
END $$;
CREATE TRIGGER c_undo BEFORE UPDATE ON triggered FOR EACH ROW WHEN (NEW.price = 99) EXECUTE FUNCTION undo();
SELECT product_upsert('triggered', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 99}');
-- They must not alter the key: the row would not be found under the key that is locked.
CREATE FUNCTION alter_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.serial := upper(NEW.serial);
	RETURN NEW;
END $$;
CREATE TRIGGER d_key BEFORE INSERT OR UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION alter_key();
SELECT product_upsert('triggered', '{"brand": "k", "serial": "x", "manufacturer": "m"}');
\echo :SQLSTATE
SELECT product_upsert('triggered', '{"brand": "k", "serial": "X", "manufacturer": "m"}') ->> 'action';
CREATE FUNCTION drop_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.manufacturer := NULL;
	RETURN NEW;
END $$;
CREATE TRIGGER e_key BEFORE UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION drop_key();
SELECT product_upsert('triggered', '{"brand": "k", "serial": "X", "manufacturer": "m", "price": 5}');
\echo :SQLSTATE
SELECT * FROM triggered WHERE brand = 'k';
-- A refusal beside a unique index on the key, which could be the reason as well
CREATE TABLE refused (LIKE plain, UNIQUE (brand, serial, manufacturer));
CREATE TRIGGER refuse BEFORE INSERT ON refused FOR EACH ROW EXECUTE FUNCTION refuse();
SELECT product_upsert('refused', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}');

-- Who does not take the lock may get there first. With a unique index on the key its row is then updated; but not if
-- that was a trigger of the table, as the row would not have come there without the call.
CREATE TABLE overtaken (LIKE plain, UNIQUE (brand, serial, manufacturer));
CREATE FUNCTION overtake() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		INSERT INTO overtaken VALUES (NEW.brand, NEW.serial, NEW.manufacturer, 0);
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER overtake BEFORE INSERT ON overtaken FOR EACH ROW EXECUTE FUNCTION overtake();
SELECT product_upsert('overtaken', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}');
SELECT product_upsert('overtaken', '{"brand": "a", "serial": "2", "manufacturer": "m", "price": 0}');
TABLE overtaken;

-- AFTER triggers, statement triggers and transition tables see each written row once, and no unwritten one.
CREATE TABLE watched (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON watched (brand, serial, manufacturer);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_LEVEL = 'ROW' THEN
		RAISE WARNING '% % row % -> %', TG_WHEN, TG_OP, OLD, NEW;
	ELSE
		RAISE WARNING '% % statement', TG_WHEN, TG_OP;
	END IF;
	RETURN NULL;
END $$;
CREATE FUNCTION watch_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'inserted: %', (SELECT jsonb_agg(n) FROM n);
	RETURN NULL;
END $$;
CREATE FUNCTION watch_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'updated: % -> %', (SELECT jsonb_agg(o) FROM o), (SELECT jsonb_agg(n) FROM n);
	RETURN NULL;
END $$;
CREATE TRIGGER a AFTER INSERT OR UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION watch();
CREATE TRIGGER b BEFORE INSERT OR UPDATE ON watched FOR EACH STATEMENT EXECUTE FUNCTION watch();
CREATE TRIGGER c AFTER INSERT ON watched REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION watch_inserted();
CREATE TRIGGER d AFTER UPDATE ON watched REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT
	EXECUTE FUNCTION watch_updated();
SELECT product_upsert('watched', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}') ->> 'action';
SELECT product_upsert('watched', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}') ->> 'action';
SELECT product_upsert('watched', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 2}') ->> 'action';
-- Triggers for columns fire when the column is set.
CREATE TRIGGER e BEFORE UPDATE OF brand ON watched FOR EACH STATEMENT EXECUTE FUNCTION watch();
SELECT product_upsert('watched', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 3}') ->> 'action';

-- The result is the row as it is after AFTER triggers, even those that alter it once more.
CREATE TABLE touched (LIKE plain INCLUDING ALL);
ALTER TABLE touched ADD COLUMN touches int DEFAULT 0;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE touched SET touches = touches + 1 WHERE serial = NEW.serial AND pg_trigger_depth() = 1;
	RETURN NULL;
END $$;
CREATE TRIGGER touch AFTER INSERT OR UPDATE ON touched FOR EACH ROW EXECUTE FUNCTION touch();
SELECT product_upsert('touched', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}');
SELECT product_upsert('touched', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 2}');
TABLE touched;
-- also where the trigger is a partition's own, and where a foreign key is what alters the row
CREATE TABLE touched_parts (LIKE touched) PARTITION BY LIST (brand);
CREATE TABLE touched_part PARTITION OF touched_parts DEFAULT;
CREATE INDEX ON touched_parts (brand, serial, manufacturer);
CREATE FUNCTION touch_part() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE touched_part SET touches = 42 WHERE serial = NEW.serial AND pg_trigger_depth() = 1;
	RETURN NULL;
END $$;
CREATE TRIGGER touch AFTER INSERT OR UPDATE ON touched_part FOR EACH ROW EXECUTE FUNCTION touch_part();
SELECT product_upsert('touched_parts', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}');
CREATE TABLE family (brand text, serial text, manufacturer text, id int UNIQUE,
	parent int REFERENCES family (id) ON UPDATE CASCADE);
CREATE INDEX ON family (brand, serial, manufacturer);
SELECT product_upsert('family', '{"brand": "a", "serial": "1", "manufacturer": "m", "id": 1, "parent": 1}') ->> 'action';
SELECT product_upsert('family', '{"brand": "a", "serial": "1", "manufacturer": "m", "id": 2}');
-- A trigger that takes the row away, or gives it another key, is refused: the next call would create it again.
CREATE FUNCTION consume() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM touched WHERE serial = NEW.serial;
	RETURN NULL;
END $$;
CREATE TRIGGER touch_and_go AFTER INSERT ON touched FOR EACH ROW EXECUTE FUNCTION consume();
SELECT product_upsert('touched', '{"brand": "a", "serial": "2", "manufacturer": "m", "price": 1}');
\echo :SQLSTATE
CREATE OR REPLACE FUNCTION consume() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE touched SET brand = upper(brand) WHERE serial = NEW.serial;
	RETURN NULL;
END $$;
SELECT product_upsert('touched', '{"brand": "a", "serial": "2", "manufacturer": "m", "price": 1}');
\echo :SQLSTATE
TABLE touched;
-- So is one that gives it a key that a unique index has.
CREATE TABLE shouted (LIKE plain, UNIQUE (brand, serial, manufacturer));
INSERT INTO shouted VALUES ('A', '1', 'm', 1);
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.brand := upper(NEW.brand);
	RETURN NEW;
END $$;
CREATE TRIGGER shout BEFORE INSERT ON shouted FOR EACH ROW EXECUTE FUNCTION shout();
SET statement_timeout = '10s';
SELECT product_upsert('shouted', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}');
\echo :SQLSTATE
RESET statement_timeout;

-- rules beside the write
CREATE TABLE ruled (LIKE plain INCLUDING ALL);
CREATE TABLE log (entry text);
CREATE RULE log_insert AS ON INSERT TO ruled DO ALSO INSERT INTO log VALUES ('insert ' || NEW.serial);
CREATE RULE log_update AS ON UPDATE TO ruled DO ALSO INSERT INTO log VALUES ('update ' || NEW.serial);
SELECT four_calls('ruled') ->> 'action';
TABLE log;
-- also where there is a unique index on the key
CREATE TABLE ruled_unique (LIKE plain, UNIQUE (brand, serial, manufacturer));
CREATE RULE log_insert AS ON INSERT TO ruled_unique DO ALSO INSERT INTO log VALUES ('unique');
SELECT four_calls('ruled_unique') ->> 'action';
SELECT count(*) FROM log WHERE entry = 'unique';
-- A rule instead of the write has nothing to return, or not the row.
CREATE TABLE ruled_out (LIKE plain INCLUDING ALL);
CREATE RULE nothing AS ON INSERT TO ruled_out DO INSTEAD NOTHING;
SELECT product_upsert('ruled_out', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
DROP RULE nothing ON ruled_out;
CREATE RULE elsewhere AS ON UPDATE TO ruled_out DO INSTEAD UPDATE plain SET price = NEW.price RETURNING plain.*;
SELECT product_upsert('ruled_out', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE

DROP SCHEMA pu_tables_triggers CASCADE;
