-- A function that runs as its owner must not write, with the owner's rights, to a table that its caller has chosen,
-- nor lock it for him. So in such a function product_upsert.default_table counts only if the server or the database is
-- configured so, or the owner has set it, as by the function's SET clause.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
-- Whoever may set a parameter in a function, if it is not known yet, is a superuser.
LOAD 'product_upsert';
CREATE SCHEMA pu_definer;
SET search_path = pu_definer, public;
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on

-- Who is no superuser can have a function set what a library has defined only when that is loaded.
SELECT product_upsert_hash(1) IS NOT NULL;
CREATE ROLE regress_pu_owner;
CREATE ROLE regress_pu_caller;
GRANT USAGE, CREATE ON SCHEMA pu_definer TO regress_pu_owner;
GRANT USAGE ON SCHEMA pu_definer TO regress_pu_caller;
SET ROLE regress_pu_owner;
CREATE TABLE product (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON product (brand, serial, manufacturer);
CREATE TABLE salary (LIKE product INCLUDING ALL);
CREATE TABLE feed (LIKE product INCLUDING ALL);
INSERT INTO feed VALUES ('b', 'f', 'm', 1);

CREATE FUNCTION put(serial text) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pu_definer, public AS
	$$ SELECT product_upsert(jsonb_build_object('brand', 'b', 'serial', serial, 'manufacturer', 'm')) ->> 'action' $$;
CREATE FUNCTION load() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pu_definer, public AS
	$$ SELECT created FROM product_upsert_from('feed') $$;
CREATE FUNCTION put_named(serial text) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pu_definer, public AS
	$$ SELECT product_upsert('product', jsonb_build_object('brand', 'b', 'serial', serial, 'manufacturer', 'm')) ->> 'action' $$;
CREATE FUNCTION put_pinned(serial text) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pu_definer, public
	SET product_upsert.default_table = 'product' AS
	$$ SELECT product_upsert(jsonb_build_object('brand', 'b', 'serial', serial, 'manufacturer', 'm')) ->> 'action' $$;
-- Its own code may set it as well.
CREATE FUNCTION put_set(serial text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pu_definer, public AS $$
BEGIN
	PERFORM set_config('product_upsert.default_table', 'product', true);
	RETURN put(serial);
END $$;
-- No function of the owner's: it runs as who calls it.
CREATE FUNCTION put_as_caller(serial text) RETURNS text LANGUAGE sql SET search_path = pu_definer, public AS
	$$ SELECT product_upsert(jsonb_build_object('brand', 'b', 'serial', serial, 'manufacturer', 'm')) ->> 'action' $$;
RESET ROLE;
CREATE FUNCTION put_as_superuser(serial text) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pu_definer, public AS
	$$ SELECT product_upsert(jsonb_build_object('brand', 'b', 'serial', serial, 'manufacturer', 'm')) ->> 'action' $$;

-- Set before the library is loaded, which happens within the function: it is remembered who did.
\connect
SET client_min_messages = warning;
SET search_path = pu_definer, public;
SET SESSION AUTHORIZATION regress_pu_caller;
SET product_upsert.default_table = 'salary';
SELECT put('before');
\echo :SQLSTATE
SELECT put_pinned('before');
RESET product_upsert.default_table;
SELECT put('before, reset');

-- Not set by anybody
SELECT put('1');
SELECT load();

-- Set by the caller, in whatever way
SET product_upsert.default_table = 'salary';
SELECT put('2');
SELECT load();
\echo :SQLSTATE
\set VERBOSITY sqlstate
SELECT put_as_superuser('2');
\set VERBOSITY default
-- also to what it would be anyway
SET product_upsert.default_table = 'product';
SELECT put('2');
\echo :SQLSTATE
RESET product_upsert.default_table;
SELECT put('3');
BEGIN;
SET LOCAL product_upsert.default_table = 'salary';
SAVEPOINT s;
SELECT put('4');
\echo :SQLSTATE
ROLLBACK TO s;
SELECT put_named('4');
COMMIT;
SELECT put('5');
BEGIN;
SAVEPOINT s;
SET product_upsert.default_table = 'salary';
ROLLBACK TO s;
SELECT put('6');
COMMIT;
SELECT set_config('product_upsert.default_table', 'salary', false);
SELECT put('7');
\echo :SQLSTATE

-- The function's own setting counts, and the caller's is back afterwards.
SELECT put_pinned('8');
SELECT put('9');
\echo :SQLSTATE
SHOW product_upsert.default_table;
SELECT put_as_caller('10');
\echo :SQLSTATE
-- What one function of the owner's sets counts in another.
BEGIN;
SELECT put_set('11');
SELECT put('12');
COMMIT;
SELECT put('13');
\echo :SQLSTATE
-- A function of the caller's, with a SET clause, is the caller.
RESET SESSION AUTHORIZATION;
GRANT CREATE ON SCHEMA pu_definer TO regress_pu_caller;
SET SESSION AUTHORIZATION regress_pu_caller;
CREATE FUNCTION put_for_salary(serial text) RETURNS text
	LANGUAGE sql SET product_upsert.default_table = 'salary' AS 'SELECT put($1)';
RESET product_upsert.default_table;
SELECT put_for_salary('14');
\echo :SQLSTATE

-- Whoever is the owner, or has become him, is no stranger.
RESET SESSION AUTHORIZATION;
GRANT SELECT, INSERT, UPDATE ON product TO regress_pu_caller;
SET ROLE regress_pu_caller;
SET product_upsert.default_table = 'product';
SELECT put_as_caller('15');
SELECT put('16');
\echo :SQLSTATE
SET ROLE regress_pu_owner;
SELECT put('17');
\echo :SQLSTATE
SET product_upsert.default_table = 'product';
SELECT put('18');
SET ROLE regress_pu_caller;
SELECT put('19');
RESET ROLE;
RESET product_upsert.default_table;

-- The database's setting counts, as the server's does. A role's does not: everybody may set his own.
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET product_upsert.default_table = %L', current_database(), 'product'); END $$;
\connect
SET client_min_messages = warning;
SET search_path = pu_definer, public;
SET SESSION AUTHORIZATION regress_pu_caller;
SHOW product_upsert.default_table;
SELECT put('20');
SET product_upsert.default_table = 'salary';
SELECT put('21');
\echo :SQLSTATE
RESET product_upsert.default_table;
SELECT put('22');
RESET SESSION AUTHORIZATION;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET product_upsert.default_table', current_database()); END $$;
DO $$ BEGIN EXECUTE format('ALTER ROLE %I IN DATABASE %I SET product_upsert.default_table = %L',
	current_user, current_database(), 'salary'); END $$;
\connect
SET client_min_messages = warning;
SET search_path = pu_definer, public;
SHOW product_upsert.default_table;
SELECT put('23');
\echo :SQLSTATE
SET SESSION AUTHORIZATION regress_pu_caller;
\set VERBOSITY sqlstate
SELECT put_as_superuser('23');
\set VERBOSITY default
SELECT put_pinned('24');
RESET SESSION AUTHORIZATION;
DO $$ BEGIN EXECUTE format('ALTER ROLE %I IN DATABASE %I RESET product_upsert.default_table',
	current_user, current_database()); END $$;
\connect
SET client_min_messages = warning;
SET search_path = pu_definer, public;

-- A materialized view is refreshed as its owner.
SET ROLE regress_pu_owner;
CREATE MATERIALIZED VIEW view AS SELECT pu_definer.put_as_caller('25');
RESET ROLE;
SET product_upsert.default_table = 'salary';
REFRESH MATERIALIZED VIEW view;
\echo :SQLSTATE
RESET product_upsert.default_table;
REFRESH MATERIALIZED VIEW view;
SELECT * FROM view;

SELECT count(*) FROM salary;
SELECT string_agg(serial, ', ' ORDER BY length(serial), serial) FROM product;

-- A low limit of the caller's does not make the owner lock the whole table for him.
CREATE FUNCTION put_two() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = pu_definer, public AS $$
	SELECT jsonb_array_length(product_upsert('product',
		(SELECT jsonb_agg(jsonb_build_object('brand', 'b', 'serial', n::text, 'manufacturer', 'm'))
		  FROM generate_series(1, 2) AS n))) $$;
ALTER FUNCTION put_two OWNER TO regress_pu_owner;
CREATE VIEW own_locks AS SELECT locktype, mode, count(*) FROM pg_locks
 WHERE pid = pg_backend_pid() AND (locktype = 'advisory' OR relation = 'product'::regclass AND mode <> 'AccessShareLock')
 GROUP BY 1, 2 ORDER BY 1, 2;
GRANT SELECT ON own_locks TO regress_pu_caller;
SET SESSION AUTHORIZATION regress_pu_caller;
SET product_upsert.max_key_locks = 1;
BEGIN;
SELECT put_two();
SELECT * FROM own_locks;
COMMIT;
BEGIN;
SELECT put('1'), put('2');
SELECT * FROM own_locks;
COMMIT;
RESET SESSION AUTHORIZATION;
RESET product_upsert.max_key_locks;

DROP SCHEMA pu_definer CASCADE;
DROP ROLE regress_pu_owner, regress_pu_caller;
