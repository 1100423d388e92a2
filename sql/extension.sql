-- The extension as an object: what it has, where it can be put, who can, and that it goes without a trace.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS product_upsert;
\pset format unaligned
\pset tuples_only on

CREATE SCHEMA pu_extension;
CREATE EXTENSION product_upsert SCHEMA pu_extension;
SELECT extname, extversion, extrelocatable, extnamespace::regnamespace, extconfig
  FROM pg_extension WHERE extname = 'product_upsert';

-- Every object, and its comment
CREATE VIEW pu_objects AS
SELECT classid, objid, pg_describe_object(classid, objid, 0) AS object
  FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
   AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'product_upsert')
   AND classid <> 'pg_type'::regclass; -- those of the view, which not every version lists
SELECT object FROM pu_objects ORDER BY object COLLATE "C";
SELECT object FROM pu_objects WHERE classid IN ('pg_proc'::regclass, 'pg_class'::regclass)
   AND obj_description(objid, classid::regclass::name) IS NULL;
SELECT obj_description(oid, 'pg_extension') IS NOT NULL FROM pg_extension WHERE extname = 'product_upsert';

-- Functions: volatile, parallel unsafe, called on null input, with the caller's rights
SELECT p.oid::regprocedure, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proretset,
	p.prorettype::regtype, p.proargnames,
	pg_get_expr(p.proargdefaults, 0) AS defaults
  FROM pg_proc p JOIN pu_objects o ON o.classid = 'pg_proc'::regclass AND o.objid = p.oid
 ORDER BY p.oid::regprocedure::text COLLATE "C";
-- Nobody has to be granted them.
SELECT bool_and(p.proacl IS NULL) FROM pg_proc p JOIN pu_objects o ON o.classid = 'pg_proc'::regclass AND o.objid = p.oid;
SELECT attname, format_type(atttypid, atttypmod)
  FROM pg_attribute WHERE attrelid = 'pu_extension.product_upsert_locks'::regclass AND attnum > 0 ORDER BY attnum;

-- It works where it is, in search_path or not.
CREATE TABLE product (brand text, serial text, manufacturer text, "Stück" int);
CREATE INDEX ON product (brand, serial, manufacturer);
SELECT pu_extension.product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "Stück": 1}');
SELECT pu_extension.product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m", "Stück": 2}');
BEGIN;
SELECT pu_extension.product_upsert_lock('product', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
SELECT target, granted FROM pu_extension.product_upsert_locks;
COMMIT;
SET search_path = pu_extension, public;
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "Stück": 2}') ->> 'action';
RESET search_path;
-- An untyped literal is a payload, and so is one of type jsonb; a name and a payload are two arguments.
SELECT pg_typeof(pu_extension.product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m"}'));
SELECT pg_typeof(pu_extension.product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m"}'::jsonb));
SELECT pg_typeof(pu_extension.product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m"}'));

-- It cannot be moved, and its objects cannot be dropped one by one.
ALTER EXTENSION product_upsert SET SCHEMA public;
\echo :SQLSTATE
DROP FUNCTION pu_extension.product_upsert(jsonb);
\echo :SQLSTATE
DROP VIEW pu_extension.product_upsert_locks;
\echo :SQLSTATE

-- It goes, and the tables stay as they are. A session that has used it goes on, and can have it back.
DROP EXTENSION product_upsert;
SELECT count(*) FROM pg_proc WHERE proname LIKE 'product\_upsert%';
SELECT to_regclass('pu_extension.product_upsert_locks');
SELECT pu_extension.product_upsert('{}');
\echo :SQLSTATE
TABLE product;
CREATE EXTENSION product_upsert SCHEMA public VERSION '1.0';
SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "Stück": 3}') -> 'previous';
CREATE EXTENSION product_upsert;
\echo :SQLSTATE
DROP EXTENSION product_upsert;

-- Trusted: whoever may create objects in the database may create it.
CREATE ROLE regress_pu_creator;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_pu_creator', current_database()) \gexec
GRANT USAGE, CREATE ON SCHEMA pu_extension TO regress_pu_creator;
SET ROLE regress_pu_creator;
CREATE EXTENSION product_upsert SCHEMA pu_extension;
SELECT extowner::regrole FROM pg_extension WHERE extname = 'product_upsert';
CREATE TABLE pu_extension.own (brand text, serial text, manufacturer text);
CREATE INDEX ON pu_extension.own (brand);
SELECT pu_extension.product_upsert('pu_extension.own', '{"brand": "a", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT count(*) FROM pu_extension.product_upsert_locks;
DROP EXTENSION product_upsert;
RESET ROLE;
-- Who may not, may not.
SELECT format('REVOKE CREATE ON DATABASE %I FROM regress_pu_creator', current_database()) \gexec
SET ROLE regress_pu_creator;
\set VERBOSITY sqlstate
CREATE EXTENSION product_upsert SCHEMA pu_extension;
\set VERBOSITY default
RESET ROLE;

DROP VIEW pu_objects;
DROP TABLE product;
DROP SCHEMA pu_extension CASCADE;
DROP OWNED BY regress_pu_creator;
DROP ROLE regress_pu_creator;
