-- The guard as one who may not see everything meets it: rows that policies hide count, and are not told; keys are told to
-- those who may read them; and the budget of key locks holds for who cannot LOCK the table, too.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_guard_privileges;
SET search_path = pu_guard_privileges, public;
\pset format unaligned
\pset tuples_only on
\pset null <null>
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

-- Row-level security hides rows, but not that they are there: the guard sees them, and does not tell of them.
CREATE ROLE regress_pu_owner;
CREATE ROLE regress_pu_user;
GRANT USAGE ON SCHEMA pu_guard_privileges TO regress_pu_owner, regress_pu_user;
CREATE TABLE product (brand text, serial text, manufacturer text, owner name DEFAULT current_user);
SELECT * FROM product_upsert_protect('product');
ALTER TABLE product OWNER TO regress_pu_owner;
GRANT SELECT, INSERT, UPDATE ON product TO regress_pu_user;
ALTER TABLE product ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON product USING (owner = current_user);
INSERT INTO product VALUES ('b', '1', 'm', 'regress_pu_owner'), ('b', '2', 'm', 'regress_pu_user');
SET ROLE regress_pu_user;
SELECT * FROM product;
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'm') $$);
SELECT try($$ INSERT INTO product VALUES ('b', '2', 'm') $$);
SELECT try($$ UPDATE product SET serial = '1' $$);
SELECT try($$ INSERT INTO product VALUES ('b', '3', 'm') $$);
SELECT try($$ SELECT product_upsert('{"brand": "b", "serial": "1", "manufacturer": "m"}') $$);
SELECT product_upsert('{"brand": "b", "serial": "3", "manufacturer": "m"}') ->> 'action';
-- A row that who writes it cannot see
RESET ROLE;
CREATE POLICY give ON product FOR INSERT WITH CHECK (true);
SET ROLE regress_pu_user;
SELECT try($$ INSERT INTO product VALUES ('b', '6', 'm', 'regress_pu_owner') $$);
SELECT try($$ INSERT INTO product VALUES ('b', '6', 'm', 'regress_pu_owner') $$);
-- The owner sees all, unless it is forced to see less.
SET ROLE regress_pu_owner;
SELECT try($$ INSERT INTO product VALUES ('b', '2', 'm') $$);
ALTER TABLE product FORCE ROW LEVEL SECURITY;
SELECT try($$ INSERT INTO product VALUES ('b', '2', 'm') $$);
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'm') $$);
SELECT try($$ INSERT INTO product VALUES ('b', '4', 'm') $$);
ALTER TABLE product NO FORCE ROW LEVEL SECURITY;
RESET ROLE;
ALTER TABLE product DISABLE ROW LEVEL SECURITY;
-- Who may not read the key's columns is not told what is in them.
REVOKE ALL ON product FROM regress_pu_user;
GRANT INSERT ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'm') $$);
SELECT try($$ INSERT INTO product VALUES ('b', '5', 'm') $$);
RESET ROLE;
GRANT SELECT (brand, serial) ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'm') $$);
RESET ROLE;
GRANT SELECT (manufacturer) ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT try($$ INSERT INTO product VALUES ('b', '1', 'm') $$);
RESET ROLE;

-- The lock table is the whole server's. A statement that goes beyond the budget of key locks takes the lock of the
-- table instead, also on behalf of one who could not LOCK it.
TRUNCATE product;
REVOKE ALL ON product FROM regress_pu_user;
GRANT INSERT ON product TO regress_pu_user;
GRANT SELECT ON key_locks, table_locks TO regress_pu_user;
-- Nor can he have all others locked out by setting the limit low: it counts no less than by default.
SET product_upsert.max_key_locks = 3;
SET ROLE regress_pu_user;
BEGIN;
COPY product (brand, serial, manufacturer) FROM STDIN;
b	1	m
b	2	m
b	3	m
\.
SELECT * FROM key_locks;
SELECT * FROM table_locks;
COMMIT;
BEGIN;
COPY product (brand, serial, manufacturer) FROM STDIN;
b	4	m
b	5	m
b	6	m
b	7	m
b	8	m
b	9	m
\.
SELECT * FROM key_locks;
SELECT * FROM table_locks;
SELECT try($$ INSERT INTO product SELECT 'b', n, 'm' FROM generate_series(10, 10000) AS n $$);
SELECT * FROM key_locks;
SELECT try($$ INSERT INTO product VALUES ('b', '5', 'm') $$);
COMMIT;
RESET ROLE;
RESET product_upsert.max_key_locks;
SELECT count(*), count(DISTINCT serial) FROM product;

DROP SCHEMA pu_guard_privileges CASCADE;
DROP ROLE regress_pu_owner, regress_pu_user;
