-- Guards that are declared by hand or altered: deferred, with a condition, for other events, two of them, disabled. What
-- they guard then, what they declare for the key, and what is refused; and what becomes of a guard as its columns change.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_guard_declared;
SET search_path = pu_guard_declared, public;
\pset format unaligned
\pset tuples_only on
\pset null <null>
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

-- As a constraint trigger it can be deferred, as a unique constraint can: then it is the state at the end that counts.
CREATE TABLE later (sku text, price int);
CREATE INDEX ON later (sku);
CREATE CONSTRAINT TRIGGER one_row AFTER INSERT OR UPDATE ON later DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION product_upsert_guard('sku');
SELECT product_upsert_key('later');
INSERT INTO later VALUES ('a', 1), ('b', 2);
BEGIN;
UPDATE later SET sku = 'b' WHERE price = 1;
UPDATE later SET sku = 'a' WHERE price = 2;
COMMIT;
SELECT * FROM later ORDER BY sku;
BEGIN;
INSERT INTO later VALUES ('a', 3);
COMMIT;
\echo :SQLSTATE
BEGIN;
INSERT INTO later VALUES ('a', 3), ('c', 3);
UPDATE later SET sku = 'd' WHERE price = 3 AND sku = 'a';
UPDATE later SET price = 4 WHERE price = 3;
DELETE FROM later WHERE sku = 'c';
COMMIT;
BEGIN;
INSERT INTO later VALUES ('a', 5);
UPDATE later SET price = 6 WHERE price = 5;
SET CONSTRAINTS one_row IMMEDIATE;
\echo :SQLSTATE
ROLLBACK;
BEGIN;
INSERT INTO later VALUES ('a', 5);
SAVEPOINT s;
SET CONSTRAINTS ALL IMMEDIATE;
\echo :SQLSTATE
ROLLBACK TO s;
DELETE FROM later WHERE price = 5;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT try($$ INSERT INTO later VALUES ('a', 7) $$);
COMMIT;
BEGIN;
SELECT product_upsert('later', '{"sku": "a", "price": 8}') ->> 'action';
SELECT product_upsert('later', '{"sku": "e", "price": 8}') ->> 'action';
COMMIT;
SELECT * FROM later ORDER BY sku;
DROP TABLE later;

-- Without arguments it guards the default key; with WHEN, or only for some columns, what it is told to.
CREATE TABLE product (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON product (brand, serial, manufacturer);
CREATE TRIGGER by_hand AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION product_upsert_guard();
SELECT product_upsert_key('product');
INSERT INTO product VALUES ('b', '1', 'm', 1);
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'm', 1) $$);
DROP TRIGGER by_hand ON product;
CREATE TRIGGER "New ones" AFTER INSERT ON product FOR EACH ROW WHEN (NEW.price > 0)
	EXECUTE FUNCTION product_upsert_guard('serial');
SELECT product_upsert_key('product');
SELECT try($$ INSERT INTO product VALUES ('c', '1', 'm', 1) $$);
SELECT try($$ INSERT INTO product VALUES ('c', '1', 'm', 0) $$);
DROP TRIGGER "New ones" ON product;

-- Not what it is made for
SELECT try($$ SELECT product_upsert_guard() $$);
CREATE TRIGGER wrong BEFORE INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION product_upsert_guard('serial');
SELECT try($$ INSERT INTO product VALUES ('d', '1', 'm') $$);
SELECT try($$ UPDATE product SET serial = '2' $$);
-- It declares no key, either.
SELECT product_upsert_key('product');
DROP TRIGGER wrong ON product;
CREATE TRIGGER wrong AFTER INSERT OR UPDATE ON product FOR EACH STATEMENT EXECUTE FUNCTION product_upsert_guard('serial');
SELECT try($$ INSERT INTO product VALUES ('d', '1', 'm') $$);
SELECT product_upsert_key('product');
DROP TRIGGER wrong ON product;
CREATE TRIGGER wrong AFTER DELETE ON product FOR EACH ROW EXECUTE FUNCTION product_upsert_guard('serial');
SELECT try($$ DELETE FROM product $$);
DROP TRIGGER wrong ON product;
CREATE TRIGGER wrong AFTER TRUNCATE ON product FOR EACH STATEMENT EXECUTE FUNCTION product_upsert_guard('serial');
SELECT try($$ TRUNCATE product $$);
DROP TRIGGER wrong ON product;

-- Two guards must agree about the key.
TRUNCATE product;
CREATE TRIGGER one AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION product_upsert_guard('serial');
CREATE TRIGGER same AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION product_upsert_guard('serial');
SELECT product_upsert_key('product');
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'm') $$);
CREATE TRIGGER two AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION product_upsert_guard('brand', 'serial');
SELECT try($$ INSERT INTO product VALUES ('b', '2', 'm') $$);
SELECT try($$ SELECT product_upsert('{"serial": "1"}') $$);
SELECT try($$ SELECT product_upsert_key('product') $$);
SELECT try($$ DELETE FROM product $$);
-- The cure
DROP TRIGGER two ON product;
SELECT try($$ INSERT INTO product VALUES ('b', '2', 'm') $$);
-- Also arguments that are the other's beginning, in another order, or by default
CREATE TRIGGER two AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION product_upsert_guard();
SELECT try($$ SELECT product_upsert_key('product') $$);
SELECT key.lookup_index FROM product_upsert_protect('product', '{brand,serial}') AS key;
SELECT tgname, tgargs FROM pg_trigger WHERE tgrelid = 'product'::regclass;
SELECT try($$ INSERT INTO product VALUES ('c', '2', 'm') $$);

-- While it is disabled, it still declares the key, but keeps nobody out. Nor does it where replication writes, unless
-- it is to.
ALTER TABLE product DISABLE TRIGGER ALL;
SELECT product_upsert_key('product');
TRUNCATE product;
INSERT INTO product VALUES ('b', '1', 'm', 1), ('b', '1', 'n', 1), ('b', '2', 'm', 1);
SELECT try($$ SELECT product_upsert('{"brand": "b", "serial": "2", "price": 2}') $$);
SELECT try($$ SELECT product_upsert('{"brand": "b", "serial": "1", "price": 2}') $$);
DELETE FROM product WHERE manufacturer = 'n';
ALTER TABLE product ENABLE TRIGGER ALL;
SET session_replication_role = replica;
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'r') $$);
RESET session_replication_role;
SELECT try($$ DELETE FROM product WHERE manufacturer = 'r' $$);
SELECT format('ALTER TABLE product ENABLE ALWAYS TRIGGER %I', tgname) FROM pg_trigger WHERE tgrelid = 'product'::regclass \gexec
SET session_replication_role = replica;
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'r') $$);
RESET session_replication_role;
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'r') $$);
SELECT format('ALTER TABLE product ENABLE REPLICA TRIGGER %I', tgname) FROM pg_trigger WHERE tgrelid = 'product'::regclass \gexec
SET session_replication_role = replica;
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'r') $$);
RESET session_replication_role;
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'r') $$);
DROP TABLE product;

-- A column of the key goes, is renamed, or changes its type: no row can be written until the key is declared anew.
CREATE TABLE product (brand text, serial text, manufacturer text, price int);
SELECT * FROM product_upsert_protect('product', '{brand,serial}');
INSERT INTO product VALUES ('b', '1', 'm', 1);
ALTER TABLE product RENAME serial TO number;
SELECT try($$ INSERT INTO product VALUES ('b', '2', 'm', 1) $$);
SELECT try($$ UPDATE product SET number = '2' $$);
SELECT try($$ SELECT product_upsert('{"brand": "b", "number": "1"}') $$);
SELECT try($$ SELECT product_upsert_key('product') $$);
ALTER TABLE product RENAME number TO serial;
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'm', 1) $$);
ALTER TABLE product ALTER serial TYPE int USING serial::int;
SELECT try($$ INSERT INTO product VALUES ('b', '01', 'm', 1) $$);
SELECT try($$ SELECT product_upsert('{"brand": "b", "serial": 1, "price": 2}') $$);
DROP INDEX product_product_upsert_hash_idx;
ALTER TABLE product ALTER serial TYPE point USING point(serial, serial);
SELECT try($$ INSERT INTO product VALUES ('b', '(1,1)', 'm', 1) $$);
ALTER TABLE product DROP serial;
SELECT try($$ INSERT INTO product VALUES ('b', 'm', 1) $$);
SELECT product_upsert_unprotect('product');
SELECT try($$ INSERT INTO product VALUES ('b', 'm', 1) $$);
DROP TABLE product;

DROP SCHEMA pu_guard_declared CASCADE;
