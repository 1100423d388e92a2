-- Who may protect a table, and what is called then: nothing that somebody else has put in front of search_path, and the
-- extension's own functions in whatever schema they are.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_protect_privileges;
SET search_path = pu_protect_privileges, public;
\pset format unaligned
\pset tuples_only on
\pset null <null>
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

-- Who may: the owner. The key and its index are no secret.
CREATE ROLE regress_pu_owner;
CREATE ROLE regress_pu_user;
GRANT USAGE, CREATE ON SCHEMA pu_protect_privileges TO regress_pu_owner, regress_pu_user;
CREATE TABLE product (brand text, serial text, manufacturer text, secret text);
INSERT INTO product VALUES ('b', '1', 'm'), ('b', '1', 'm');
ALTER TABLE product OWNER TO regress_pu_owner;
GRANT SELECT, INSERT, UPDATE, DELETE ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT try($$ SELECT product_upsert_protect('product') $$);
RESET ROLE;
GRANT TRIGGER ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT try($$ SELECT product_upsert_protect('product') $$);
RESET ROLE;
SELECT guards('product');
SET ROLE regress_pu_owner;
SELECT * FROM product_upsert_protect('product');
SET ROLE regress_pu_user;
-- With nothing to do, nothing is asked for but to read the table.
SELECT * FROM product_upsert_protect('product');
SELECT try($$ SELECT product_upsert_protect('product', '{serial}') $$);
SELECT try($$ SELECT product_upsert_unprotect('product') $$);
SELECT product_upsert_key('product'), product_upsert_lookup_index('product');
RESET ROLE;
-- Duplicates are counted, and listed, for who may see all of them, or not at all.
REVOKE SELECT ON product FROM regress_pu_user;
SET ROLE regress_pu_user;
SELECT try($$ SELECT product_upsert_protect('product') $$);
SELECT try($$ SELECT product_upsert_duplicates('product') $$);
RESET ROLE;
GRANT SELECT ON product TO regress_pu_user;
ALTER TABLE product ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON product USING (secret IS NOT NULL);
SET ROLE regress_pu_user;
SELECT try($$ SELECT product_upsert_protect('product') $$);
SELECT try($$ SELECT product_upsert_duplicates('product') $$);
SET ROLE regress_pu_owner;
SELECT * FROM product_upsert_protect('product');
RESET ROLE;
DROP TABLE product;
DROP OWNED BY regress_pu_owner, regress_pu_user;
DROP ROLE regress_pu_owner, regress_pu_user;

-- What search_path has in front is not what is called.
CREATE SCHEMA pu_decoy;
CREATE FUNCTION pu_decoy.product_upsert_guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''decoy''; END';
CREATE FUNCTION pu_decoy.product_upsert_lookup_index(regclass) RETURNS regclass
	LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''decoy''; END';
CREATE FUNCTION pu_decoy.product_upsert_key(regclass) RETURNS name[] LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''decoy''; END';
CREATE FUNCTION pu_decoy.format(text, VARIADIC "any") RETURNS text LANGUAGE internal AS 'text_format';
CREATE FUNCTION pu_decoy.count() RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''decoy''; END';
CREATE FUNCTION pu_decoy.decoy(name, name) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''decoy''; END';
CREATE OPERATOR pu_decoy.= (LEFTARG = name, RIGHTARG = name, FUNCTION = pu_decoy.decoy);
CREATE TABLE pu_decoy.pg_trigger ();
CREATE TABLE pu_decoy.pg_attribute ();
CREATE TABLE product (brand text, serial text, manufacturer text);
INSERT INTO product VALUES ('b', '1', 'm'), ('b', '1', 'm');
SET search_path = pu_decoy, pg_catalog, pu_protect_privileges, public;
SELECT * FROM public.product_upsert_protect('product');
SELECT * FROM public.product_upsert_protect('product', '{serial}');
SELECT * FROM public.product_upsert_duplicates('product');
INSERT INTO product VALUES ('b', '1', 'm');
\echo :SQLSTATE
SELECT public.product_upsert_unprotect('product');
SET search_path = pu_protect_privileges, public;
DROP TABLE product;
DROP SCHEMA pu_decoy CASCADE;

-- The extension in another schema
DROP EXTENSION product_upsert CASCADE;
CREATE SCHEMA "Pu Home";
CREATE EXTENSION product_upsert SCHEMA "Pu Home";
CREATE TABLE product (brand text, serial text, manufacturer text);
INSERT INTO product VALUES ('b', '1', 'm');
SELECT * FROM "Pu Home".product_upsert_protect('product', '{serial}');
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'product'::regclass;
SELECT "Pu Home".product_upsert('{"serial": "1"}') ->> 'action';
INSERT INTO product VALUES ('b', '1', 'm');
\echo :SQLSTATE
SELECT * FROM "Pu Home".product_upsert_protect('product', '{brand,serial}');
SELECT * FROM "Pu Home".product_upsert_duplicates('product');
-- It cannot go while tables are protected; or only with their guards.
\set VERBOSITY terse
DROP EXTENSION product_upsert;
\set VERBOSITY default
\echo :SQLSTATE
DROP EXTENSION product_upsert CASCADE;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'product'::regclass;
INSERT INTO product VALUES ('b', '1', 'm');
CREATE EXTENSION product_upsert SCHEMA public;
SELECT product_upsert_key('product');
DROP TABLE product;

DROP SCHEMA pu_protect_privileges CASCADE;
DROP SCHEMA "Pu Home" CASCADE;
