-- Trusted: the script runs as a superuser for one who is none, in a schema in which others were before him. Nothing of theirs is
-- taken for the extension's own, nor called by it: what is in the way is an error, and what fits better is not found.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS product_upsert CASCADE;
CREATE SCHEMA pu_install;
SET search_path = pu_install;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

CREATE ROLE regress_pu_installer;
CREATE ROLE regress_pu_squatter;
CREATE ROLE regress_pu_heir;
SELECT format('GRANT CREATE, TEMPORARY ON DATABASE %I TO regress_pu_installer', current_database()) \gexec
CREATE SCHEMA squatted AUTHORIZATION regress_pu_squatter;
GRANT USAGE, CREATE ON SCHEMA squatted TO regress_pu_installer;

-- What is in the way: each of the extension's objects, created before by another.
CREATE FUNCTION install_beside(obstacle text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL ROLE regress_pu_squatter;
	EXECUTE obstacle;
	SET LOCAL ROLE regress_pu_installer;
	CREATE EXTENSION product_upsert SCHEMA squatted;
	RAISE EXCEPTION 'installed beside %', obstacle;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
SELECT install_beside(format('CREATE FUNCTION squatted.%s RETURNS %s LANGUAGE plpgsql AS %L', function, result, 'BEGIN END'))
  FROM (VALUES
	('product_upsert(jsonb)', 'jsonb'), ('product_upsert(regclass, jsonb, jsonb, jsonb, name, text)', 'jsonb'),
	('product_upsert_from(regclass, regclass, jsonb, name, regclass, OUT bigint, OUT bigint, OUT bigint, OUT bigint, OUT bigint)', 'record'),
	('product_upsert_shard(regclass, anyelement, jsonb, jsonb, jsonb, name, text)', 'jsonb'),
	('product_upsert_lock(regclass, jsonb)', 'void'), ('product_upsert_guard()', 'trigger'),
	('product_upsert_key(regclass)', 'name[]'), ('product_upsert_condition(regclass)', 'text'),
	('product_upsert_lookup_index(regclass)', 'regclass'),
	('product_upsert_protect(regclass, name[], text, OUT regclass, OUT bigint)', 'record'), ('product_upsert_unprotect(regclass)', 'void'),
	('product_upsert_duplicates(regclass)', 'TABLE (key jsonb, copies bigint, rows jsonb)'),
	('product_upsert_merge_duplicates(regclass, text, boolean, integer)', 'bigint')) AS f (function, result);
SELECT install_beside('CREATE FUNCTION squatted.product_upsert_hash(VARIADIC "any") RETURNS bigint LANGUAGE internal AS ''pg_num_nulls''');
SELECT install_beside('CREATE VIEW squatted.product_upsert_locks AS SELECT 1 AS pid');
SELECT install_beside('CREATE TYPE squatted.product_upsert_locks AS (pid int)');

-- What the script could have called instead: types, operators, functions and relations under the names that it uses.
SET ROLE regress_pu_squatter;
CREATE DOMAIN squatted.jsonb AS text;
CREATE DOMAIN squatted.regclass AS text;
CREATE DOMAIN squatted.name AS text;
CREATE FUNCTION squatted.seize(anyelement, anyelement) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'seized by %', current_user;
	RETURN true;
END $$;
CREATE OPERATOR squatted.= (LEFTARG = anyelement, RIGHTARG = anyelement, FUNCTION = squatted.seize);
CREATE FUNCTION squatted.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'seized'; END $$;
CREATE FUNCTION squatted.current_database() RETURNS name LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'seized'; END $$;
CREATE VIEW squatted.pg_locks AS SELECT 'advisory'::text AS locktype;
CREATE VIEW squatted.pg_stat_activity AS SELECT 1 AS pid;
CREATE FUNCTION squatted.product_upsert(text, pg_catalog.jsonb) RETURNS text LANGUAGE sql AS $$ SELECT 'seized' $$;
CREATE FUNCTION squatted.product_upsert_hash(text, text, text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT 0 $$;
SET ROLE regress_pu_installer;
CREATE TEMP VIEW product_upsert_locks AS SELECT 1 AS pid;
CREATE TEMP TABLE pg_locks (locktype text);
SET search_path = pg_temp, squatted, pg_catalog, pu_install;
CREATE EXTENSION product_upsert SCHEMA squatted;
RESET ROLE;
SET search_path = pu_install;
SELECT count(*) FROM squatted.product_upsert_locks;
-- The extension is the installer's; what is in it is the superuser's who may install it, and goes by nothing of the schema.
SELECT extowner::regrole FROM pg_extension WHERE extname = 'product_upsert';
SELECT p.kind, count(*), bool_and(r.rolsuper) AS superuser
  FROM (SELECT 'function' AS kind, 'pg_proc'::regclass AS classid, oid, proowner AS owner FROM pg_proc
		UNION ALL SELECT 'view', 'pg_class'::regclass, oid, relowner FROM pg_class) p
	   JOIN pg_roles r ON r.oid = p.owner JOIN pg_depend d ON d.classid = p.classid AND d.objid = p.oid AND d.deptype = 'e'
 WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'product_upsert') GROUP BY p.kind ORDER BY p.kind;
SELECT pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
  FROM pg_depend e JOIN pg_depend d ON d.classid = e.classid AND d.objid = e.objid
 WHERE e.deptype = 'e' AND e.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'product_upsert')
   AND d.deptype <> 'e' AND d.refobjid <> 'squatted'::regnamespace
   AND (d.refclassid, d.refobjid) NOT IN (
	SELECT m.classid, m.objid FROM pg_depend m WHERE m.deptype = 'e' AND m.refobjid = e.refobjid);
SELECT has_table_privilege('regress_pu_squatter', 'squatted.product_upsert_locks', 'SELECT');
SELECT has_table_privilege('regress_pu_squatter', 'pg_temp.product_upsert_locks', 'SELECT');
-- So neither the schema's owner nor the extension's can put anything in their place.
SET ROLE regress_pu_squatter;
CREATE OR REPLACE FUNCTION squatted.product_upsert_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
\echo :SQLSTATE
CREATE OR REPLACE VIEW squatted.product_upsert_locks AS SELECT 1 AS pid;
\echo :SQLSTATE
DROP EXTENSION product_upsert;
\echo :SQLSTATE
SET ROLE regress_pu_installer;
ALTER FUNCTION squatted.product_upsert_guard() OWNER TO regress_pu_installer;
\echo :SQLSTATE
ALTER EXTENSION product_upsert DROP FUNCTION squatted.product_upsert_guard();
\echo :SQLSTATE
ALTER EXTENSION product_upsert SET SCHEMA pu_install;
\echo :SQLSTATE
RESET ROLE;

-- A table is written to and protected beside all that. (Its name goes with a payload as text to a function that fits better: so
-- whoever calls in such a schema says what he means.)
CREATE TABLE product (brand text, serial text, manufacturer text);
SELECT * FROM squatted.product_upsert_protect('product');
SELECT squatted.product_upsert('product'::regclass, '{"brand": "b", "serial": "1", "manufacturer": "m"}') ->> 'action';
INSERT INTO product VALUES ('b', '1', 'm');
\echo :SQLSTATE
-- But a dump has names. The trigger's cannot be overloaded; an index is restored with the function that fits better, which then runs
-- as the table's owner, and is not taken for the extension's.
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'product'::regclass;
SELECT pg_get_indexdef('product_product_upsert_hash_idx'::regclass) AS definition \gset
DROP INDEX product_product_upsert_hash_idx;
:definition;
SELECT squatted.product_upsert_lookup_index('product');
SELECT squatted.product_upsert('product'::regclass, '{"brand": "b", "serial": "1", "manufacturer": "m"}') ->> 'action';
-- What the installer owns is handed on, or goes: but not while tables of others depend on it.
REASSIGN OWNED BY regress_pu_installer TO regress_pu_heir;
SELECT extowner::regrole FROM pg_extension WHERE extname = 'product_upsert';
\set VERBOSITY terse
DROP OWNED BY regress_pu_heir;
\echo :SQLSTATE
\set VERBOSITY default
INSERT INTO product VALUES ('b', '1', 'm');
\echo :SQLSTATE
SELECT squatted.product_upsert_unprotect('product');
DROP INDEX product_product_upsert_hash_idx;
DROP OWNED BY regress_pu_heir;
SELECT count(*) FROM pg_extension WHERE extname = 'product_upsert';

DROP OWNED BY regress_pu_installer CASCADE;
DROP SCHEMA pu_install, squatted CASCADE;
DROP ROLE regress_pu_installer, regress_pu_squatter, regress_pu_heir;
