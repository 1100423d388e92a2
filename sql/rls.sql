-- Row-level security: a row that is hidden from the caller is there all the same, and never gets a double.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_rls;
SET search_path = pu_rls, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

CREATE ROLE regress_pu_owner;
CREATE ROLE regress_pu_user;
CREATE ROLE regress_pu_bypass BYPASSRLS;
GRANT USAGE ON SCHEMA pu_rls TO regress_pu_owner, regress_pu_user, regress_pu_bypass;
CREATE TABLE product (brand text, serial text, manufacturer text, owner name, stock int, secret text UNIQUE);
CREATE INDEX ON product (brand, serial, manufacturer);
ALTER TABLE product OWNER TO regress_pu_owner;
GRANT SELECT, INSERT, UPDATE ON product TO regress_pu_user, regress_pu_bypass;
INSERT INTO product VALUES
	('own', '1', 'm', 'regress_pu_user', 1, 's1'),
	('other', '1', 'm', 'regress_pu_owner', 1, 's2'),
	('public', '1', 'm', 'everyone', 1, 's3');
ALTER TABLE product ENABLE ROW LEVEL SECURITY;

-- Without a policy nothing is visible, and nothing may be written.
SET ROLE regress_pu_user;
SELECT product_upsert('{"brand": "own", "serial": "1", "manufacturer": "m", "stock": 2}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "new", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
RESET ROLE;

CREATE POLICY see ON product FOR SELECT USING (owner IN (current_user, 'everyone'));
CREATE POLICY add ON product FOR INSERT WITH CHECK (owner = current_user);
CREATE POLICY alter ON product FOR UPDATE USING (owner = current_user) WITH CHECK (owner = current_user AND stock >= 0);
SET ROLE regress_pu_user;
-- What is the caller's own
SELECT product_upsert('{"brand": "own", "serial": "1", "manufacturer": "m", "stock": 2}');
SELECT product_upsert('{"brand": "own", "serial": "1", "manufacturer": "m", "stock": 2}') ->> 'action';
SELECT product_upsert('{"brand": "new", "serial": "1", "manufacturer": "m", "owner": "regress_pu_user"}');
-- A row that the caller cannot see: neither written nor told
SELECT product_upsert('{"brand": "other", "serial": "1", "manufacturer": "m", "owner": "regress_pu_user", "stock": 2}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "other", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "other", "serial": "1", "manufacturer": "m", "owner": "regress_pu_owner", "stock": 1,
	"secret": "s2"}');
\echo :SQLSTATE
SELECT product_upsert('product', '{"brand": "other", "serial": "1", "manufacturer": "m"}', '{"stock": 1}');
\echo :SQLSTATE
SELECT product_upsert('product', '{"brand": "other", "serial": "1", "manufacturer": "m"}', '{"stock": 2}');
\echo :SQLSTATE
SELECT product_upsert('[{"brand": "own", "serial": "1", "manufacturer": "m"},
	{"brand": "other", "serial": "1", "manufacturer": "m"}]');
\echo :SQLSTATE
-- A row that the caller can see and not update
SELECT product_upsert('{"brand": "public", "serial": "1", "manufacturer": "m", "stock": 1}') ->> 'action';
SELECT product_upsert('{"brand": "public", "serial": "1", "manufacturer": "m", "stock": 2}');
\echo :SQLSTATE
-- A row that the caller may not make
SELECT product_upsert('{"brand": "new", "serial": "2", "manufacturer": "m", "owner": "regress_pu_owner"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "own", "serial": "1", "manufacturer": "m", "stock": -1}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "own", "serial": "1", "manufacturer": "m", "owner": "everyone"}');
\echo :SQLSTATE
-- Another unique index tells that the value is taken, as PostgreSQL does, and by no value.
SELECT product_upsert('{"brand": "own", "serial": "1", "manufacturer": "m", "secret": "s2"}');
\echo :SQLSTATE
RESET ROLE;
TABLE product ORDER BY brand;

-- With a unique index on the key too, a hidden row is refused.
ALTER TABLE product ADD CONSTRAINT product_key UNIQUE (brand, serial, manufacturer);
SET ROLE regress_pu_user;
SELECT product_upsert('{"brand": "other", "serial": "1", "manufacturer": "m", "stock": 2}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "new", "serial": "3", "manufacturer": "m", "owner": "regress_pu_user"}') ->> 'action';
RESET ROLE;
ALTER TABLE product DROP CONSTRAINT product_key;

-- A trigger that refuses is told from a policy that does.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RETURN NULL;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON product FOR EACH ROW EXECUTE FUNCTION refuse();
SET ROLE regress_pu_user;
SELECT product_upsert('{"brand": "own", "serial": "1", "manufacturer": "m", "stock": 9}') ->> 'action';
SELECT product_upsert('{"brand": "public", "serial": "1", "manufacturer": "m", "stock": 9}');
\echo :SQLSTATE
RESET ROLE;
DROP TRIGGER refuse ON product;

-- row_security = off: an error rather than an answer that policies have cut short
SET ROLE regress_pu_user;
SET row_security = off;
SELECT product_upsert('{"brand": "own", "serial": "1", "manufacturer": "m", "stock": 3}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "own", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "new", "serial": "4", "manufacturer": "m"}');
\echo :SQLSTATE
RESET row_security;
SELECT product_upsert('{"brand": "own", "serial": "1", "manufacturer": "m", "stock": 3}') ->> 'action';
RESET ROLE;

-- The owner, and who bypasses policies, writes every row; in the same session, with plans already made.
SET ROLE regress_pu_owner;
SELECT product_upsert('{"brand": "own", "serial": "1", "manufacturer": "m", "stock": 4}') ->> 'action';
RESET ROLE;
SET ROLE regress_pu_bypass;
SELECT product_upsert('{"brand": "other", "serial": "1", "manufacturer": "m", "stock": 5}') ->> 'action';
SELECT product_upsert('{"brand": "new", "serial": "5", "manufacturer": "m", "owner": "nobody"}') ->> 'action';
RESET ROLE;
SET ROLE regress_pu_user;
SELECT product_upsert('{"brand": "other", "serial": "1", "manufacturer": "m", "stock": 6}');
\echo :SQLSTATE
RESET ROLE;
-- Forced, policies are for the owner too.
ALTER TABLE product FORCE ROW LEVEL SECURITY;
SET ROLE regress_pu_owner;
SELECT product_upsert('{"brand": "own", "serial": "1", "manufacturer": "m", "stock": 7}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "other", "serial": "1", "manufacturer": "m", "stock": 7}') ->> 'action';
RESET ROLE;
ALTER TABLE product NO FORCE ROW LEVEL SECURITY;

-- More than one row of the key is told as such, hidden or not.
INSERT INTO product VALUES ('other', '1', 'm', 'regress_pu_user', 1);
SET ROLE regress_pu_user;
SELECT product_upsert('{"brand": "other", "serial": "1", "manufacturer": "m", "stock": 6}');
\echo :SQLSTATE
RESET ROLE;

-- Policies of a partitioned table, written to through its root
CREATE TABLE parted (brand text, serial text, manufacturer text, owner name, stock int) PARTITION BY LIST (stock);
CREATE TABLE parted_rest PARTITION OF parted DEFAULT;
CREATE INDEX ON parted (brand);
INSERT INTO parted VALUES ('other', '1', 'm', 'regress_pu_owner', 1);
GRANT SELECT, INSERT, UPDATE ON parted TO regress_pu_user;
ALTER TABLE parted ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON parted USING (owner = current_user);
SET ROLE regress_pu_user;
SELECT product_upsert('parted', '{"brand": "other", "serial": "1", "manufacturer": "m", "stock": 2}');
\echo :SQLSTATE
SELECT product_upsert('parted', '{"brand": "own", "serial": "1", "manufacturer": "m", "owner": "regress_pu_user"}') ->> 'action';
SELECT product_upsert('parted', '{"brand": "own", "serial": "1", "manufacturer": "m", "stock": 2}') ->> 'action';
RESET ROLE;
SELECT * FROM parted ORDER BY brand;

-- A policy that asks the table for other rows is no obstacle to the look-up, which policies do not bind.
CREATE POLICY siblings ON product FOR SELECT USING ((SELECT count(*) FROM parted) >= 0);
SET ROLE regress_pu_user;
SELECT product_upsert('{"brand": "public", "serial": "1", "manufacturer": "m"}') ->> 'action';
RESET ROLE;

-- A policy that writes to the row while it is asked about it: an error that says so, and nothing is written.
CREATE TABLE meddled (brand text, serial text, manufacturer text, stock int);
CREATE INDEX ON meddled (brand);
INSERT INTO meddled VALUES ('a', '1', 'm', 1);
CREATE FUNCTION meddle() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	UPDATE pu_rls.meddled SET stock = stock + 100;
	RETURN true;
END $$;
ALTER TABLE meddled ENABLE ROW LEVEL SECURITY;
CREATE POLICY meddle ON meddled USING (meddle()) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON meddled TO regress_pu_user;
SET statement_timeout = '10s';
SET ROLE regress_pu_user;
SELECT product_upsert('meddled', '{"brand": "a", "serial": "1", "manufacturer": "m", "stock": 2}');
\echo :SQLSTATE
RESET ROLE;
RESET statement_timeout;
TABLE meddled;

DROP SCHEMA pu_rls CASCADE;
DROP OWNED BY regress_pu_owner, regress_pu_user, regress_pu_bypass;
DROP ROLE regress_pu_owner, regress_pu_user, regress_pu_bypass;
