-- Which store serves which table, and that nobody can tell but by the time it takes: everything here is done
-- with direct_store on and off, and must come to the same. Here: the kind of table, triggers, policies.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_direct;
SET search_path = pu_direct, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/both_stores.sql

-- Tables that are written to directly: plain, unlogged, temporary
SELECT four_writes('plain');
\set table plain
:which
CREATE UNLOGGED TABLE unlogged (LIKE plain INCLUDING ALL);
SELECT four_writes('unlogged');
\set table unlogged
:which
CREATE TEMP TABLE temporary (LIKE plain INCLUDING ALL);
SELECT four_writes('temporary');
\set table temporary
:which
-- The setting
SET product_upsert.direct_store = off;
\set table plain
:which
SET product_upsert.direct_store = on;

-- Partitioned: by SQL statements; a partition by itself: directly
CREATE TABLE parted (brand text, serial text, manufacturer text, price int) PARTITION BY RANGE (price);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE INDEX ON parted (brand, serial, manufacturer);
SELECT four_writes('parted');
\set table parted
:which
SELECT four_writes('part');
\set table part
:which
SELECT writes('part', '{"price": 10}', '{"price": 1}', '{"price": 10}', '{}');
-- where the partition has columns of its own order and of its own
CREATE TABLE odd_part (price int, gone text, manufacturer text, serial text, brand text);
ALTER TABLE odd_part DROP gone;
ALTER TABLE parted ATTACH PARTITION odd_part FOR VALUES FROM (10) TO (20);
SELECT writes('odd_part', '{"price": 10}', '{"price": 11}', '{"price": 9}', '{"price": 20}', '{"brand": "b"}');
\set table part
:which
-- and where its CHECK constraints forbid the same
ALTER TABLE part ADD CHECK (price < 8);
SELECT writes('part', '{"price": 9}', '{"price": 11}', '{"price": 1}', '{"price": 9}', '{"price": 11}');
ALTER TABLE part DROP CONSTRAINT part_price_check;
-- A partition that has been detached is bound no longer.
ALTER TABLE parted DETACH PARTITION part;
SELECT writes('part', '{"price": 10}', '{"price": 11}');
ALTER TABLE parted ATTACH PARTITION part FOR VALUES FROM (0) TO (12);
\echo :SQLSTATE
TRUNCATE part;
ALTER TABLE parted ATTACH PARTITION part FOR VALUES FROM (0) TO (10);
SELECT writes('part', '{"price": 10}');

-- Inheritance: a parent by SQL statements, a child directly; a parent that has lost its last child as well,
-- once that is known
CREATE TABLE parent (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON parent (brand, serial, manufacturer);
\set table parent
:which
CREATE TABLE child (extra text DEFAULT 'x') INHERITS (parent);
CREATE INDEX ON child (brand, serial, manufacturer);
:which
\set table child
:which
SELECT four_writes('child');
DROP TABLE child;
ANALYZE parent;
\set table parent
:which

-- Rules
CREATE TABLE ruled (LIKE plain INCLUDING ALL);
CREATE RULE note AS ON UPDATE TO ruled DO ALSO INSERT INTO event (entry) VALUES ('rule ' || NEW.price);
SELECT four_writes('ruled');
\set table ruled
:which

-- Triggers, for each row, for each statement and with transition tables: directly
CREATE FUNCTION note_old() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO event (entry) SELECT concat_ws(' ', TG_NAME, TG_OP, 'from', o) FROM o;
	RETURN NULL;
END $$;
CREATE FUNCTION note_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO event (entry) SELECT concat_ws(' ', TG_NAME, TG_OP, 'to', n) FROM n;
	RETURN NULL;
END $$;
CREATE TABLE triggered (LIKE plain INCLUDING ALL);
\set table triggered
CREATE TRIGGER before_row BEFORE INSERT OR UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER after_row AFTER INSERT OR UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER delete_row AFTER DELETE ON triggered FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER delete_statement BEFORE DELETE ON triggered FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE TRIGGER delete_old AFTER DELETE ON triggered REFERENCING OLD TABLE AS o FOR EACH STATEMENT EXECUTE FUNCTION note_old();
CREATE TRIGGER truncate_statement AFTER TRUNCATE ON triggered FOR EACH STATEMENT EXECUTE FUNCTION note();
SELECT four_writes('triggered');
:which
CREATE TRIGGER s BEFORE INSERT ON triggered FOR EACH STATEMENT EXECUTE FUNCTION note();
:which
SELECT writes('triggered', '{"price": 1}', '{"price": 2}');
DROP TRIGGER s ON triggered;
CREATE TRIGGER s AFTER INSERT ON triggered FOR EACH STATEMENT EXECUTE FUNCTION note();
:which
SELECT writes('triggered', '{"price": 1}', '{"price": 2}');
DROP TRIGGER s ON triggered;
CREATE TRIGGER s BEFORE UPDATE ON triggered FOR EACH STATEMENT EXECUTE FUNCTION note();
:which
SELECT writes('triggered', '{"price": 1}', '{"price": 2}');
DROP TRIGGER s ON triggered;
CREATE TRIGGER s AFTER UPDATE ON triggered FOR EACH STATEMENT EXECUTE FUNCTION note();
:which
SELECT writes('triggered', '{"price": 1}', '{"price": 2}');
DROP TRIGGER s ON triggered;
CREATE TRIGGER s AFTER INSERT ON triggered REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION note_new();
:which
SELECT writes('triggered', '{"price": 1}', '{"price": 2}');
DROP TRIGGER s ON triggered;
CREATE TRIGGER s AFTER UPDATE ON triggered REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION note_new();
:which
SELECT writes('triggered', '{"price": 1}', '{"price": 2}');
DROP TRIGGER s ON triggered;
CREATE TRIGGER s AFTER UPDATE ON triggered REFERENCING OLD TABLE AS o FOR EACH ROW EXECUTE FUNCTION note_old();
:which
SELECT writes('triggered', '{"price": 1}', '{"price": 2}');
DROP TRIGGER s ON triggered;
:which

-- Row-level security: by SQL statements where it applies
CREATE ROLE regress_pu_owner;
CREATE ROLE regress_pu_user;
CREATE ROLE regress_pu_bypass BYPASSRLS;
GRANT USAGE ON SCHEMA pu_direct TO regress_pu_owner, regress_pu_user, regress_pu_bypass;
CREATE TABLE secured (LIKE plain INCLUDING ALL);
ALTER TABLE secured OWNER TO regress_pu_owner;
GRANT SELECT, INSERT, UPDATE ON secured TO regress_pu_user, regress_pu_bypass;
CREATE POLICY cheap ON secured USING (price < 10);
\set table secured
SET ROLE regress_pu_user;
:which
RESET ROLE;
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
:which
SET ROLE regress_pu_user;
:which
SELECT product_upsert('secured', '{"brand": "c", "serial": "1", "manufacturer": "m", "price": 11}');
\echo :SQLSTATE
SET row_security = off;
SELECT product_upsert('secured', '{"brand": "c", "serial": "1", "manufacturer": "m", "price": 11}');
\echo :SQLSTATE
RESET row_security;
SET ROLE regress_pu_bypass;
:which
SET ROLE regress_pu_owner;
:which
ALTER TABLE secured FORCE ROW LEVEL SECURITY;
:which
RESET ROLE;
ALTER TABLE secured DISABLE ROW LEVEL SECURITY;
SET ROLE regress_pu_user;
:which
RESET ROLE;

-- The table is one of the heap's: another access method may mean other things by a tuple.
CREATE ACCESS METHOD pu_heap TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE other_method (LIKE plain INCLUDING ALL) USING pu_heap;
SELECT four_writes('other_method');
\set table other_method
:which
DROP TABLE other_method;
DROP ACCESS METHOD pu_heap;

DROP SCHEMA pu_direct CASCADE;
DROP OWNED BY regress_pu_owner, regress_pu_user, regress_pu_bypass;
DROP ROLE regress_pu_owner, regress_pu_user, regress_pu_bypass;
