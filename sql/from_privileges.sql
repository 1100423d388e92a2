-- Who may load: what is asked for on the source and on the target, under policies, by way of views, casts, partitions and
-- functions; and that search_path has no say in what is read or how it is compared.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_from_privileges;
SET search_path = pu_from_privileges, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

-- Who may: SELECT on what is read of the source, and on the target what any upsert asks for
CREATE ROLE regress_pu_from;
GRANT USAGE ON SCHEMA pu_from_privileges TO regress_pu_from;
-- may(source, target): what the role gets from the load.
CREATE FUNCTION may(source oid, target oid) RETURNS text LANGUAGE sql AS $$
	SELECT may(format('SELECT f::text FROM product_upsert_from(%s::regclass, %s::regclass) AS f', source, target))
$$;
CREATE TABLE wanted (brand text, serial text, manufacturer text, price numeric, stock int, secret text);
CREATE INDEX ON wanted (brand, serial, manufacturer);
GRANT SELECT, INSERT, UPDATE ON wanted TO regress_pu_from;
CREATE TABLE secretive (brand text, serial text, manufacturer text, price numeric, other int);
INSERT INTO secretive VALUES ('a', '1', 'm', 1, 1);
SET product_upsert.unknown_fields = ignore;
SET ROLE regress_pu_from;
SELECT may('secretive'::regclass, 'wanted'::regclass);
RESET ROLE;
GRANT SELECT (brand, serial, manufacturer) ON secretive TO regress_pu_from;
SET ROLE regress_pu_from;
SELECT may('secretive'::regclass, 'wanted'::regclass);
RESET ROLE;
GRANT SELECT (price) ON secretive TO regress_pu_from;
SET ROLE regress_pu_from;
SELECT may('secretive'::regclass, 'wanted'::regclass);
RESET ROLE;
RESET product_upsert.unknown_fields;
-- A view reads with its owner's rights; one with security_invoker does not.
CREATE VIEW revealing AS SELECT brand, serial, manufacturer, other AS stock FROM secretive;
GRANT SELECT ON revealing TO regress_pu_from;
SET ROLE regress_pu_from;
SELECT may('revealing'::regclass, 'wanted'::regclass);
RESET ROLE;
ALTER VIEW revealing SET (security_invoker);
SET ROLE regress_pu_from;
SELECT may('revealing'::regclass, 'wanted'::regclass);
RESET ROLE;
-- A cast that is a function asks for EXECUTE.
CREATE TYPE code AS (text text);
CREATE FUNCTION parts_of(code) RETURNS int[] LANGUAGE sql IMMUTABLE AS 'SELECT ARRAY[length($1.text)]';
CREATE CAST (code AS int[]) WITH FUNCTION parts_of(code) AS ASSIGNMENT;
CREATE TABLE coded (brand text, serial text, manufacturer text, parts int[]);
CREATE INDEX ON coded (brand, serial, manufacturer);
CREATE TABLE codes (brand text, serial text, manufacturer text, parts code);
INSERT INTO codes VALUES ('a', '1', 'm', '(xy)'), ('a', '2', 'm', '(xyz)');
GRANT SELECT ON codes TO regress_pu_from;
GRANT SELECT, INSERT, UPDATE ON coded TO regress_pu_from;
REVOKE EXECUTE ON FUNCTION parts_of(code) FROM PUBLIC;
SET ROLE regress_pu_from;
SELECT may('codes'::regclass, 'coded'::regclass);
RESET ROLE;
-- The source's policies
CREATE TABLE given (brand text, serial text, manufacturer text, price numeric);
INSERT INTO given VALUES ('a', '1', 'm', 1), ('hidden', '1', 'm', 1);
GRANT SELECT ON given TO regress_pu_from;
SELECT 'given'::regclass::oid AS given, 'wanted'::regclass::oid AS wanted \gset
ALTER TABLE given ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON given FOR SELECT TO regress_pu_from USING (brand <> 'hidden');
SET ROLE regress_pu_from;
SELECT may(:given, :wanted);
SET row_security = off;
SELECT may(:given, :wanted);
RESET row_security;
RESET ROLE;
-- The target: each of what it takes, without the others
CREATE FUNCTION may_with(privileges text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	REVOKE ALL ON wanted FROM regress_pu_from;
	EXECUTE format('GRANT %s ON wanted TO regress_pu_from', privileges);
	SET LOCAL ROLE regress_pu_from;
	result := may('given'::regclass, 'wanted'::regclass);
	RESET ROLE;
	RETURN privileges || ' - ' || result;
END $$;
SELECT may_with('SELECT');
SELECT may_with('SELECT, INSERT');
SELECT may_with('SELECT, UPDATE');
SELECT may_with('INSERT, UPDATE');
SELECT may_with('SELECT (brand), INSERT, UPDATE');
-- UPDATE of columns is enough for a write, but not to keep everyone else from writing.
SELECT may_with('SELECT, INSERT, UPDATE (price)');
SELECT may_with('SELECT, INSERT, UPDATE (price), DELETE');
SELECT may_with('SELECT, INSERT, DELETE');
SELECT may_with('SELECT, INSERT (brand, serial, manufacturer, price), TRUNCATE, UPDATE (price)');
SELECT may_with('SELECT, INSERT (brand, serial, manufacturer), UPDATE');
SELECT may_with('SELECT, INSERT, UPDATE');
-- Through a partition, it is the whole partitioned table that must be locked.
CREATE TABLE parted (brand text, serial text, manufacturer text, price numeric, stock int) PARTITION BY RANGE (stock);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (2) TO (10);
CREATE INDEX ON parted (brand, serial, manufacturer);
CREATE TABLE high (LIKE parted);
INSERT INTO high VALUES ('a', '1', 'm', 1, 2), ('a', '3', 'm', 3, 3), ('a', '4', 'n', 4, 4);
INSERT INTO parted SELECT * FROM high WHERE serial <> '4';
GRANT SELECT, INSERT, UPDATE ON parted_high TO regress_pu_from;
GRANT SELECT ON high TO regress_pu_from;
SET ROLE regress_pu_from;
SELECT may('high'::regclass, 'parted_high'::regclass);
RESET ROLE;
GRANT UPDATE ON parted TO regress_pu_from;
SET ROLE regress_pu_from;
SELECT may('high'::regclass, 'parted_high'::regclass);
RESET ROLE;
-- Each payload must be permitted, as its fields may differ.
CREATE TABLE payloads (n int, payload jsonb);
CREATE VIEW payload_feed AS SELECT payload FROM payloads ORDER BY n;
INSERT INTO payloads VALUES (1, '{"brand": "a", "serial": "1", "manufacturer": "m"}'),
	(2, '{"brand": "a", "serial": "1", "manufacturer": "m", "secret": "s"}');
GRANT SELECT ON payload_feed TO regress_pu_from;
REVOKE ALL ON wanted FROM regress_pu_from;
GRANT SELECT, INSERT (brand, serial, manufacturer, price), UPDATE (price), DELETE ON wanted TO regress_pu_from;
SET ROLE regress_pu_from;
SELECT may('payload_feed'::regclass, :wanted);
RESET ROLE;
DELETE FROM payloads WHERE n = 2;
SET ROLE regress_pu_from;
SELECT may('payload_feed'::regclass, :wanted);
RESET ROLE;
-- The target's policies
GRANT SELECT, INSERT, UPDATE ON wanted TO regress_pu_from;
ALTER TABLE wanted ENABLE ROW LEVEL SECURITY;
CREATE POLICY cheap ON wanted TO regress_pu_from USING (price < 10);
SET ROLE regress_pu_from;
SELECT may(:given, :wanted);
RESET ROLE;
UPDATE given SET price = 10;
SET ROLE regress_pu_from;
SELECT may(:given, :wanted);
RESET ROLE;
UPDATE given SET price = 9;
INSERT INTO wanted VALUES ('a', '1', 'm', 11);
SET ROLE regress_pu_from;
SELECT may(:given, :wanted);
RESET ROLE;
DELETE FROM wanted;
ALTER TABLE wanted DISABLE ROW LEVEL SECURITY;
-- USAGE on the schemas, of which one may not know but the OID
CREATE SCHEMA pu_from_closed;
ALTER TABLE given SET SCHEMA pu_from_closed;
SET ROLE regress_pu_from;
SELECT may(:given, :wanted);
RESET ROLE;
ALTER TABLE pu_from_closed.given SET SCHEMA pu_from_privileges;
ALTER TABLE wanted SET SCHEMA pu_from_closed;
SET ROLE regress_pu_from;
SELECT may(:given, :wanted);
RESET ROLE;
ALTER TABLE pu_from_closed.wanted SET SCHEMA pu_from_privileges;
-- A function of its owner's rights, for a role that has none on either table
CREATE FUNCTION load_given() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
	SELECT f::text || ' ' || (current_user = session_user)
	  FROM product_upsert_from('pu_from_privileges.given', 'pu_from_privileges.wanted') AS f
$$;
REVOKE ALL ON given, wanted FROM regress_pu_from;
SET ROLE regress_pu_from;
SELECT load_given();
SELECT load_given();
RESET ROLE;

-- search_path has no say: neither in which table is read, nor in how values are cast or compared.
CREATE SCHEMA pu_from_other;
CREATE TABLE pu_from_other.given (LIKE given);
CREATE FUNCTION pu_from_other.texteq(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR pu_from_other.= (LEFTARG = text, RIGHTARG = text, FUNCTION = pu_from_other.texteq);
CREATE FUNCTION pu_from_other."numeric"(numeric, int) RETURNS numeric LANGUAGE sql AS 'SELECT 0.0';
SET search_path = pu_from_other, pg_catalog;
SELECT * FROM public.product_upsert_from(:given::regclass, :wanted::regclass);
SET search_path = '';
SELECT * FROM public.product_upsert_from(:given::regclass, :wanted::regclass);
SET search_path = pu_from_privileges, public;
DROP SCHEMA pu_from_other, pu_from_closed CASCADE;

DROP SCHEMA pu_from_privileges CASCADE;
DROP OWNED BY regress_pu_from;
DROP ROLE regress_pu_from;
