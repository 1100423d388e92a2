-- Partitioned tables, with direct_store on and off: triggers, rows that move, foreign keys, guards.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_partitions;
SET search_path = pu_partitions, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/both_stores.sql

CREATE TABLE t (brand text, serial text, manufacturer text, region text, price int) PARTITION BY LIST (region);
CREATE TABLE t_eu PARTITION OF t FOR VALUES IN ('eu');
CREATE TABLE t_us (price int, gone int, region text, manufacturer text, serial text, brand text);
ALTER TABLE t_us DROP gone;
ALTER TABLE t ATTACH PARTITION t_us FOR VALUES IN ('us');
CREATE INDEX ON t (brand, serial, manufacturer);
\set table t
\set call 'SELECT product_upsert(:\'table\', \'{"brand": "c", "serial": "1", "manufacturer": "m", "region": "us"}\') ->> \'action\';'

-- Triggers for each row, of the root and of a partition: in the order of their names
CREATE TRIGGER root_before BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER root_after AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER leaf_before BEFORE INSERT ON t_us FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER leaf_after AFTER INSERT OR UPDATE OR DELETE ON t_us FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER when_after AFTER UPDATE OF price ON t_us FOR EACH ROW WHEN (NEW.price > 5) EXECUTE FUNCTION note();
CREATE TRIGGER leaf_statement BEFORE INSERT OR UPDATE ON t_us FOR EACH STATEMENT EXECUTE FUNCTION note();
SELECT writes('t', '{"region": "eu"}', '{"price": 1}', '{"region": "us"}', '{"price": 6}', '{"price": 2}', '{"region": "eu"}', '{"region": "uk"}',
	'{"region": "us", "serial": "2"}', '{"serial": "2", "region": "us", "price": 9}');
:which
-- The same without BEFORE triggers for updates
DROP TRIGGER root_before ON t;
SELECT writes('t', '{"region": "eu"}', '{"price": 1}', '{"region": "us"}', '{"price": 6}', '{"price": 2}', '{"region": "eu"}', '{"region": "uk"}',
	'{"region": "us", "serial": "2"}', '{"serial": "2", "region": "us", "price": 9}', '[
	{"brand": "a", "serial": "3", "manufacturer": "m", "region": "us", "price": 7}, {"brand": "a", "serial": "3", "manufacturer": "m", "price": 8},
	{"brand": "a", "serial": "3", "manufacturer": "m", "region": "eu", "price": 1}, {"brand": "a", "serial": "3", "manufacturer": "m", "price": 8}]');
-- Deferred ones
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT OR UPDATE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
SELECT writes('t', '{"region": "us"}', '{"price": 6}', '{"region": "eu"}', '{"price": 7}');
-- Triggers of the root for each statement: BEFORE ones by statements
CREATE TRIGGER root_statement BEFORE UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION note();
SELECT writes('t', '{"region": "us"}', '{"price": 6}');
:which
DROP TRIGGER root_statement ON t;
:which
DROP TRIGGER deferred ON t;
DROP TRIGGER root_after ON t;
DROP TRIGGER leaf_before ON t_us;
DROP TRIGGER leaf_after ON t_us;
DROP TRIGGER when_after ON t_us;
DROP TRIGGER leaf_statement ON t_us;

-- A BEFORE INSERT trigger that keeps the row out, alters it, would move it, or alters its key
CREATE FUNCTION alter_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	CASE NEW.price
		WHEN 1 THEN RETURN NULL;
		WHEN 2 THEN NEW.price := 20;
		WHEN 3 THEN NEW.region := CASE NEW.region WHEN 'eu' THEN 'us' ELSE 'eu' END;
		WHEN 4 THEN NEW.serial := 'x';
		WHEN 5 THEN NEW.region := 'nowhere';
		ELSE NULL;
	END CASE;
	RETURN NEW;
END $$;
CREATE TRIGGER alter_row BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION alter_row();
SELECT writes('t', '{"region": "us", "price": 1}', '{"region": "us", "price": 2}', '{"serial": "3", "region": "us", "price": 3}',
	'{"serial": "4", "region": "us", "price": 4}', '{"serial": "5", "region": "us", "price": 5}', '{"serial": "6", "region": "us", "price": 6}',
	'{"serial": "3", "region": "eu", "price": 3}', '{"region": "eu", "price": 7}');
DROP TRIGGER alter_row ON t;
-- the same as the partition's own
CREATE TRIGGER alter_row BEFORE INSERT ON t_us FOR EACH ROW EXECUTE FUNCTION alter_row();
SELECT writes('t', '{"region": "us", "price": 1}', '{"region": "us", "price": 2}', '{"serial": "3", "region": "us", "price": 3}',
	'{"serial": "4", "region": "us", "price": 4}', '{"serial": "5", "region": "us", "price": 5}', '{"serial": "6", "region": "us", "price": 6}',
	'{"serial": "3", "region": "eu", "price": 3}', '{"region": "eu", "price": 7}');
DROP TRIGGER alter_row ON t_us;
-- A BEFORE UPDATE trigger that does
CREATE TRIGGER alter_row BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION alter_row();
SELECT writes('t', '{"region": "us"}', '{"price": 1}', '{"price": 2}', '{"price": 3}', '{"price": 4}', '{"price": 5}', '{"price": 6}');
DROP TRIGGER alter_row ON t;
CREATE TRIGGER alter_row BEFORE UPDATE ON t_us FOR EACH ROW EXECUTE FUNCTION alter_row();
SELECT writes('t', '{"region": "us"}', '{"price": 1}', '{"price": 2}', '{"price": 3}', '{"price": 6}', '{"region": "us"}', '{"price": 4}', '{"price": 5}');
DROP TRIGGER alter_row ON t_us;

-- A trigger that writes to the same table, by a call or a statement, there or in another partition
CREATE FUNCTION write_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.serial = 'call' THEN
		INSERT INTO event (entry) SELECT product_upsert('t', jsonb_build_object('brand', n, 'serial', 'called', 'manufacturer', 'm', 'region', region))
		  FROM generate_series(1, 2) n, unnest('{eu,us}'::text[]) region;
	ELSIF NEW.serial = 'self' THEN
		UPDATE t SET price = coalesce(price, 0) + 1 WHERE serial = 'self' AND price IS DISTINCT FROM 3;
	ELSIF NEW.serial = 'same' THEN
		INSERT INTO t VALUES (NEW.brand, 'same', NEW.manufacturer, CASE NEW.region WHEN 'eu' THEN 'us' ELSE 'eu' END, 1) ON CONFLICT DO NOTHING;
	ELSIF NEW.serial = 'move' THEN
		UPDATE t SET region = 'eu' WHERE serial = 'move' AND region = 'us';
	ELSIF NEW.serial = 'delete' THEN
		DELETE FROM t WHERE serial = 'delete';
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER write_more AFTER INSERT OR UPDATE ON t FOR EACH ROW WHEN (pg_trigger_depth() < 2) EXECUTE FUNCTION write_more();
SELECT writes('t', '{"serial": "call", "region": "us"}', '{"serial": "call", "region": "eu", "price": 1}', '{"serial": "self", "region": "us"}',
	'{"serial": "self", "price": 5}', '{"serial": "same", "region": "us"}', '{"serial": "move", "region": "us"}', '{"serial": "move", "price": 7}',
	'{"serial": "delete", "region": "us"}', '[{"brand": "a", "serial": "call", "manufacturer": "m", "region": "us", "price": 3},
	{"brand": "1", "serial": "called", "manufacturer": "m", "price": 4}, {"brand": "a", "serial": "self", "manufacturer": "m", "price": 9}]');
DROP TRIGGER write_more ON t;

-- A trigger that alters other partitions while an array is written: an index, one more partition and one less. What the
-- call has open it cannot alter, with either store; here it comes to each before the call does.
CREATE FUNCTION alter_table() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE NEW.brand;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	INSERT INTO event (entry) VALUES (SQLSTATE || ' ' || SQLERRM);
	RETURN NULL;
END $$;
CREATE TABLE told (brand text, serial text, manufacturer text, price int) PARTITION BY LIST (serial);
CREATE TABLE told_1 PARTITION OF told FOR VALUES IN ('1');
CREATE TABLE told_2 PARTITION OF told FOR VALUES IN ('2') PARTITION BY LIST (price);
CREATE TABLE told_2_1 PARTITION OF told_2 FOR VALUES IN (1);
CREATE TABLE told_2_2 (LIKE told);
CREATE TABLE told_3 PARTITION OF told FOR VALUES IN ('3');
CREATE INDEX ON told (brand, serial, manufacturer);
CREATE TRIGGER alter_table AFTER INSERT ON told_1 FOR EACH ROW EXECUTE FUNCTION alter_table();
SELECT writes('told', '[{"brand": "CREATE INDEX ON told_2_1 (price)", "serial": "1", "manufacturer": "m"},
	{"brand": "a", "serial": "2", "manufacturer": "m", "price": 1},
	{"brand": "CREATE INDEX ON told_1 (price)", "serial": "1", "manufacturer": "m"},
	{"brand": "CREATE TABLE told_4 PARTITION OF told FOR VALUES IN (4)", "serial": "1", "manufacturer": "m"}]');
SELECT count(*) FROM pg_index WHERE indrelid = 'told_2_1'::regclass;
SELECT product_upsert('told', '[{"brand": "ALTER TABLE told_2 ATTACH PARTITION told_2_2 FOR VALUES IN (2)", "serial": "1", "manufacturer": "m"},
	{"brand": "a", "serial": "2", "manufacturer": "m", "price": 2}]') -> 1;
TRUNCATE told;
SELECT product_upsert('told', '[{"brand": "ALTER TABLE told_2 DETACH PARTITION told_2_2", "serial": "1", "manufacturer": "m"},
	{"brand": "a", "serial": "2", "manufacturer": "m", "price": 2}]') -> 1;
SELECT product_upsert('told', '[{"brand": "DROP TABLE told_3", "serial": "1", "manufacturer": "m"},
	{"brand": "a", "serial": "3", "manufacturer": "m", "price": 2}]') -> 1;
SELECT product_upsert('told', '[{"brand": "DROP INDEX told_2_1_price_idx", "serial": "1", "manufacturer": "m"},
	{"brand": "a", "serial": "2", "manufacturer": "m", "price": 1}]') -> 1;
DROP TABLE told;

-- Foreign keys: to the table, with each action, also when the row moves
CREATE TABLE made (brand text, serial text, manufacturer text, region text, price int, PRIMARY KEY (serial, region)) PARTITION BY LIST (region);
CREATE TABLE made_eu PARTITION OF made FOR VALUES IN ('eu');
CREATE TABLE made_us (price int, gone int, region text NOT NULL, manufacturer text, serial text NOT NULL, brand text);
ALTER TABLE made_us DROP gone;
ALTER TABLE made ATTACH PARTITION made_us FOR VALUES IN ('us');
CREATE INDEX ON made (brand, serial, manufacturer);
CREATE TABLE sale (serial text, region text);
CREATE FUNCTION sold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO sale VALUES (NEW.serial, NEW.region);
	RETURN NULL;
END $$;
CREATE TRIGGER sold AFTER INSERT ON made FOR EACH ROW WHEN (pg_trigger_depth() = 0 AND NEW.price = 1) EXECUTE FUNCTION sold();
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON sale FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE sale ADD CONSTRAINT refers FOREIGN KEY (serial, region) REFERENCES made ON UPDATE CASCADE;
SELECT writes('made', '{"region": "us", "price": 1}', '{"price": 2}', '{"region": "eu"}', '{"region": "us", "price": 3}');
ALTER TABLE sale DROP CONSTRAINT refers, ADD CONSTRAINT refers FOREIGN KEY (serial, region) REFERENCES made;
SELECT writes('made', '{"region": "us", "price": 1}', '{"price": 2}', '{"region": "eu"}');
ALTER TABLE sale DROP CONSTRAINT refers, ADD CONSTRAINT refers FOREIGN KEY (serial, region) REFERENCES made
	ON UPDATE SET NULL DEFERRABLE INITIALLY DEFERRED;
SELECT writes('made', '{"region": "us", "price": 1}', '{"price": 2}', '{"region": "eu"}');
ALTER TABLE sale DROP CONSTRAINT refers, ADD CONSTRAINT refers FOREIGN KEY (serial, region) REFERENCES made
	DEFERRABLE INITIALLY DEFERRED;
SELECT writes('made', '{"region": "us", "price": 1}', '{"price": 2}', '{"region": "eu"}');
DROP TABLE sale;
DROP TRIGGER sold ON made;
-- and from it
CREATE TABLE region (code text PRIMARY KEY);
INSERT INTO region VALUES ('us');
ALTER TABLE made ADD CONSTRAINT known FOREIGN KEY (region) REFERENCES region;
CREATE TABLE cost (price int PRIMARY KEY);
INSERT INTO cost VALUES (1), (2);
ALTER TABLE made_us ADD CONSTRAINT costs FOREIGN KEY (price) REFERENCES cost DEFERRABLE INITIALLY DEFERRED;
SELECT writes('made', '{"region": "us", "price": 1}', '{"price": 2}', '{"price": 3}', '{"region": "eu"}', '{"region": "eu", "serial": "2"}',
	'{"serial": "3", "region": "us", "price": 4}');
-- A unique index of the root, to which an insert yields but which it has nothing to do with here, and one of a partition
CREATE UNIQUE INDEX ON made_us (price);
SELECT writes('made', '{"region": "us", "price": 1}', '{"serial": "2", "region": "us", "price": 1}', '{"serial": "2", "region": "us", "price": 2}',
	'{"serial": "2", "price": 1}');

-- Guards. The root's is not called for what a call writes itself, but for a row that moves, by a statement.
CREATE TABLE guarded (brand text, serial text, manufacturer text, region text, price int, deleted bool) PARTITION BY LIST (region);
CREATE TABLE guarded_eu PARTITION OF guarded FOR VALUES IN ('eu');
CREATE TABLE guarded_us (deleted bool, price int, gone int, region text, manufacturer text, serial text, brand text);
ALTER TABLE guarded_us DROP gone;
ALTER TABLE guarded ATTACH PARTITION guarded_us FOR VALUES IN ('us') ;
SELECT product_upsert_protect('guarded');
CREATE FUNCTION guards(call text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	before bigint := coalesce(pg_stat_get_xact_function_calls(f.oid), 0) FROM pg_proc f WHERE proname = 'product_upsert_guard';
BEGIN
	EXECUTE call;
	RETURN (SELECT coalesce(pg_stat_get_xact_function_calls(f.oid), 0) FROM pg_proc f WHERE proname = 'product_upsert_guard') - before;
END $$;
SET track_functions = 'all';
\set rows '[{"brand": "a", "serial": "1", "manufacturer": "m", "region": "us"}, {"brand": "a", "serial": "2", "manufacturer": "m", "region": "eu"}, {"brand": "a", "serial": "1", "manufacturer": "m", "price": 2}, {"brand": "a", "serial": "1", "manufacturer": "m", "region": "eu"}]'
SELECT guards(format('SELECT product_upsert(%L, %L)', 'guarded', :'rows'));
INSERT INTO guarded_us (brand, serial, manufacturer, region) VALUES ('a', '2', 'm', 'us');
SELECT writes('guarded', '{"region": "us"}', '{"region": "eu", "price": 1}', '{"price": 2}', '{"serial": "2", "region": "us"}');
-- with a condition, in other columns of the partition
DROP TABLE guarded;
CREATE TABLE guarded (brand text, serial text, manufacturer text, region text, price int, deleted bool, other bool) PARTITION BY LIST (region);
CREATE TABLE guarded_eu PARTITION OF guarded FOR VALUES IN ('eu');
CREATE TABLE guarded_us (other bool, deleted bool, price int, region text, manufacturer text, serial text, brand text);
ALTER TABLE guarded ATTACH PARTITION guarded_us FOR VALUES IN ('us') ;
SELECT product_upsert_protect('guarded', '{brand, serial, manufacturer}', 'deleted IS NOT TRUE');
\set table guarded
:which
SELECT writes('guarded', '{"region": "us"}', '{"deleted": true}', '{"region": "eu", "price": 1}', '{"deleted": true, "region": "us"}',
	'{"region": "us", "price": 2}', '{"region": "eu", "price": 3, "other": true}', '{"deleted": true, "serial": "2", "region": "us"}');
-- A sub-partitioned table with a guard of its own, and another key
DROP TABLE guarded;
CREATE TABLE guarded (brand text, serial text, manufacturer text, region text, price int) PARTITION BY LIST (region);
CREATE TABLE guarded_eu PARTITION OF guarded FOR VALUES IN ('eu') PARTITION BY LIST (brand);
CREATE TABLE guarded_eu_a PARTITION OF guarded_eu FOR VALUES IN ('a');
CREATE TABLE guarded_eu_b PARTITION OF guarded_eu FOR VALUES IN ('b');
CREATE TABLE guarded_us PARTITION OF guarded FOR VALUES IN ('us');
SELECT product_upsert_protect('guarded_eu', '{price}');
SELECT product_upsert_protect('guarded');
CREATE INDEX ON guarded (brand, serial, manufacturer);
SELECT writes('guarded', '{"region": "eu", "price": 1}', '{"region": "eu", "serial": "2", "price": 2}', '{"region": "eu", "serial": "3", "price": 1}',
	'{"region": "us", "serial": "3", "price": 1}', '{"region": "eu", "serial": "3"}', '{"brand": "b", "region": "eu", "price": 2}',
	'{"brand": "b", "region": "eu", "price": 3}', '{"brand": "b", "price": 1}');

DROP SCHEMA pu_partitions CASCADE;
