-- Triggers for each statement and transition tables, with direct_store on and off: each row that is written is a
-- statement of its own to them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_statement_triggers;
SET search_path = pu_statement_triggers, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/both_stores.sql

CREATE FUNCTION note_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO event (entry) VALUES (concat_ws(' ', TG_NAME, TG_OP, 'to', (SELECT jsonb_agg(n) FROM n)));
	RETURN NULL;
END $$;
CREATE FUNCTION note_both() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO event (entry)
	VALUES (concat_ws(' ', TG_NAME, TG_OP, 'from', (SELECT jsonb_agg(o) FROM o), 'to', (SELECT jsonb_agg(n) FROM n)));
	RETURN NULL;
END $$;

-- In the order of their names and kinds; none for what is unchanged; those for columns where one of them is set
CREATE TABLE t (LIKE plain INCLUDING ALL);
\set table t
CREATE TRIGGER before_statement BEFORE INSERT OR UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE TRIGGER before_row BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER after_row AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER after_statement AFTER INSERT OR UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE TRIGGER inserted AFTER INSERT ON t REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION note_new();
CREATE TRIGGER updated AFTER UPDATE ON t REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT
	EXECUTE FUNCTION note_both();
CREATE TRIGGER inserted_row AFTER INSERT ON t REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION note_new();
CREATE TRIGGER priced_before BEFORE UPDATE OF price ON t FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE TRIGGER priced AFTER UPDATE OF price ON t FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE TRIGGER named AFTER UPDATE OF brand ON t FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE TRIGGER never BEFORE INSERT OR UPDATE ON t FOR EACH STATEMENT WHEN (false) EXECUTE FUNCTION note();
CREATE TRIGGER disabled AFTER INSERT OR UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION note();
ALTER TABLE t DISABLE TRIGGER disabled;
SELECT writes('t', '{"price": 1}', '[
	{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1},
	{"brand": "a", "serial": "2", "manufacturer": "m", "price": 2},
	{"brand": "a", "serial": "1", "manufacturer": "m", "price": 3},
	{"brand": "a", "serial": "2", "manufacturer": "m", "price": 4}]');
:which
-- The same for each row of a load, and in each of its subtransactions. What is kept of a function with settings lasts.
ALTER FUNCTION note() SET search_path FROM CURRENT;
CREATE VIEW source AS SELECT 'a' AS brand, g::text AS serial, 'm' AS manufacturer, g AS price FROM generate_series(1, 3) AS g;
TRUNCATE event RESTART IDENTITY;
SELECT product_upsert_from('source', 't');
SELECT entry FROM event ORDER BY n;
SELECT product_upsert('t', '[{"brand": "a", "serial": "1", "manufacturer": "m", "price": 7}, {"brand": "a"},
	{"brand": "a", "serial": "2", "manufacturer": "m", "price": "x"}, {"brand": "a", "serial": "3", "manufacturer": "m", "price": 8}]',
	on_error => 'report');
SELECT entry FROM event WHERE n > 20 ORDER BY n;

-- A row that a BEFORE trigger keeps out: the statement is there all the same, and has nothing to show.
CREATE FUNCTION keep_out() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE WHEN NEW.price > 8 THEN NULL ELSE NEW END; END';
CREATE TRIGGER keep_out BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION keep_out();
SELECT writes('t', '{"price": 9}', '{"price": 1}', '{"price": 10}');
-- A guard, a unique index that a row yields to, constraints that are deferred
DROP TRIGGER keep_out ON t;
SELECT product_upsert_protect('t', ARRAY['brand', 'serial', 'manufacturer']) IS NOT NULL;
SELECT writes('t', '{"price": 9}', '{"price": 1}');
SELECT product_upsert_unprotect('t');
CREATE UNIQUE INDEX t_key ON t (brand, serial, manufacturer);
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT OR UPDATE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
SELECT writes('t', '{"price": 9}', '{"price": 1}');
:which

-- Defaults are evaluated after BEFORE triggers.
CREATE TABLE defaulted (LIKE plain INCLUDING ALL, by text DEFAULT current_setting('pu.trigger', true));
CREATE FUNCTION set_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('pu.trigger', TG_NAME || (SELECT count(*) FROM defaulted), true);
	RETURN NULL;
END $$;
CREATE TRIGGER set_it BEFORE INSERT ON defaulted FOR EACH STATEMENT EXECUTE FUNCTION set_it();
SELECT writes('defaulted', '{"price": 1}', '{"serial": "2"}');

-- A generated column that an UPDATE OF trigger is for
CREATE TABLE generated (LIKE plain INCLUDING ALL, doubled int GENERATED ALWAYS AS (price * 2) STORED);
CREATE TRIGGER doubled_before BEFORE UPDATE OF doubled ON generated FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE TRIGGER doubled AFTER UPDATE OF doubled ON generated FOR EACH STATEMENT EXECUTE FUNCTION note();
SELECT writes('generated', '{"price": 1}', '{"price": 2}');

-- Triggers that write to the row, or create it, or delete it; and that call
CREATE TABLE acted (LIKE plain INCLUDING ALL);
\set table acted
CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() > 1 THEN
		RETURN NULL;
	END IF;
	CASE TG_ARGV[0]
		WHEN 'insert' THEN INSERT INTO acted VALUES ('a', '1', 'm', 50);
		WHEN 'update' THEN UPDATE acted SET price = price + 100;
		WHEN 'delete' THEN DELETE FROM acted;
		WHEN 'call' THEN PERFORM product_upsert('acted', '{"brand": "a", "serial": "2", "manufacturer": "m", "price": 7}');
		WHEN 'fail' THEN RAISE 'no';
	END CASE;
	RETURN NULL;
END $$;
CREATE PROCEDURE try_each(VARIADIC actions text[]) LANGUAGE plpgsql AS $$
DECLARE
	action text;
	timing text;
	event text;
	line text;
BEGIN
	FOREACH action IN ARRAY actions LOOP
		FOREACH timing IN ARRAY ARRAY['BEFORE', 'AFTER'] LOOP
			FOREACH event IN ARRAY ARRAY['INSERT', 'UPDATE'] LOOP
				EXECUTE format('CREATE TRIGGER act %s %s ON acted FOR EACH STATEMENT EXECUTE FUNCTION act(%s)',
							   timing, event, action);
				RAISE WARNING '% % %', timing, event, action;
				FOR line IN SELECT writes('acted', '{"serial": "0", "price": 0}', '{"price": 1}', '{"price": 2}') LOOP
					RAISE WARNING '    %', line;
				END LOOP;
				DROP TRIGGER act ON acted;
			END LOOP;
		END LOOP;
	END LOOP;
END $$;
CALL try_each('insert', 'update', 'delete', 'call', 'fail');
-- With a unique index
CREATE UNIQUE INDEX ON acted (brand, serial, manufacturer);
CALL try_each('insert', 'call');
:which

-- Partitions: the root's triggers, of which the transition tables have the root's columns; a row that moves
CREATE TABLE parts (brand text, serial text, manufacturer text, region text, price int) PARTITION BY LIST (region);
CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
CREATE TABLE parts_us (price int, gone int, region text, manufacturer text, serial text, brand text);
ALTER TABLE parts_us DROP gone;
ALTER TABLE parts ATTACH PARTITION parts_us FOR VALUES IN ('us');
CREATE INDEX ON parts (brand, serial, manufacturer);
\set table parts
\set call 'SELECT product_upsert(:\'table\', \'{"brand": "c", "serial": "1", "manufacturer": "m", "region": "us"}\') ->> \'action\';'
CREATE TRIGGER after_statement AFTER INSERT OR UPDATE ON parts FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE TRIGGER inserted AFTER INSERT ON parts REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION note_new();
CREATE TRIGGER updated AFTER UPDATE ON parts REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT
	EXECUTE FUNCTION note_both();
CREATE TRIGGER leafs_own AFTER INSERT OR UPDATE ON parts_us FOR EACH STATEMENT EXECUTE FUNCTION note();
SELECT writes('parts', '{"region": "us", "price": 1}', '{"price": 2}', '{"region": "eu"}', '{"price": 3}', '[
	{"brand": "a", "serial": "2", "manufacturer": "m", "region": "us", "price": 7},
	{"brand": "a", "serial": "3", "manufacturer": "m", "region": "eu", "price": 8},
	{"brand": "a", "serial": "2", "manufacturer": "m", "region": "eu", "price": 7},
	{"brand": "a", "serial": "3", "manufacturer": "m", "price": 9}]');
:which
CREATE TRIGGER after_row AFTER INSERT OR UPDATE ON parts_us FOR EACH ROW EXECUTE FUNCTION note();
SELECT writes('parts', '{"region": "us", "price": 1}', '{"price": 2}');
-- BEFORE triggers of the root: by statements
CREATE TRIGGER before_statement BEFORE UPDATE ON parts FOR EACH STATEMENT EXECUTE FUNCTION note();
SELECT writes('parts', '{"region": "us", "price": 1}', '{"price": 2}');
:which

SET client_min_messages = error;
DROP SCHEMA pu_statement_triggers CASCADE;
