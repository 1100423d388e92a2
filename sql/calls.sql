-- Where the functions are called from, and under which settings: it must not matter.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_calls;
SET search_path = pu_calls, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

CREATE TABLE product (brand text, serial text, manufacturer text, stock int, note text);
CREATE INDEX ON product (brand, serial, manufacturer);
CREATE FUNCTION payload(serial int, stock int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('brand', 'b', 'serial', serial::text, 'manufacturer', 'm', 'stock', stock)
$$;
SELECT '{"brand": "b", "serial": "1", "manufacturer": "m", "stock": 1}' AS payload \gset

-- More than once in a statement: each call sees what the earlier ones wrote, though the statement does not.
SELECT n, product_upsert(payload(1, n / 2)) ->> 'action', (SELECT count(*) FROM product) FROM generate_series(1, 4) AS n;
-- In a CTE, in a join, in a WHERE clause
WITH done AS MATERIALIZED (SELECT product_upsert(payload(n % 2, n)) AS r FROM generate_series(1, 3) AS n)
SELECT r ->> 'action', r -> 'product' -> 'stock' FROM done;
SELECT c.note FROM (VALUES ('created', 'new'), ('unchanged', 'old')) AS c (action, note)
  JOIN product_upsert(payload(1, 3)) r ON r ->> 'action' = c.action;
SELECT 'yes' WHERE product_upsert(payload(1, 3)) ->> 'action' = 'unchanged';
-- From a query of the table itself
SELECT serial, product_upsert(payload(serial::int, 7)) ->> 'action' FROM product ORDER BY serial;
-- In an INSERT into another table
CREATE TABLE log (action text);
INSERT INTO log SELECT product_upsert(payload(n, 8)) ->> 'action' FROM generate_series(1, 2) AS n RETURNING action;
-- In a cursor, by and by
BEGIN;
DECLARE c CURSOR FOR SELECT product_upsert(payload(n, 9)) ->> 'action' FROM generate_series(1, 3) AS n;
FETCH 1 FROM c;
SELECT stock FROM product ORDER BY serial;
UPDATE product SET stock = 9;
FETCH 2 FROM c;
CLOSE c;
COMMIT;
-- Prepared, with parameters, beyond the number of calls after which PostgreSQL tries a generic plan
PREPARE upsert (jsonb) AS SELECT product_upsert($1) ->> 'action';
EXECUTE upsert (payload(1, 10));
EXECUTE upsert (payload(1, 11));
EXECUTE upsert (payload(1, 11));
EXECUTE upsert (payload(4, 1));
EXECUTE upsert (payload(4, 2));
EXECUTE upsert (payload(4, 3));
EXECUTE upsert ('[{"brand": "b", "serial": "4", "manufacturer": "m", "note": "n"}]');
ALTER TABLE product ALTER note SET DEFAULT 'x';
EXECUTE upsert (payload(5, 1));
SELECT * FROM product ORDER BY serial;
DEALLOCATE upsert;
TRUNCATE product;

-- From PL/pgSQL, with subtransactions and an error that is caught
DO $$
DECLARE
	result jsonb;
BEGIN
	result := product_upsert(payload(1, 1));
	RAISE INFO '%', result -> 'action';
	BEGIN
		result := product_upsert(payload(1, 2));
		RAISE INFO '%', result -> 'action';
		PERFORM product_upsert('{"brand": "b"}');
	EXCEPTION WHEN invalid_parameter_value THEN
		RAISE INFO '%', SQLERRM;
	END;
	result := product_upsert(payload(1, 1));
	RAISE INFO '%', result -> 'action';
END $$;
-- In a procedure that commits and rolls back
CREATE PROCEDURE in_steps() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 4 LOOP
		RAISE INFO '%', product_upsert(payload(i, 5)) -> 'action';
		RAISE INFO '% locks', (SELECT count(*) FROM product_upsert_locks);
		IF i % 2 = 0 THEN
			COMMIT;
		ELSE
			ROLLBACK;
		END IF;
		RAISE INFO '% locks', (SELECT count(*) FROM product_upsert_locks);
	END LOOP;
END $$;
CALL in_steps();
SELECT serial, stock FROM product ORDER BY serial;
-- In functions that call themselves STABLE, whose own statements all see the same snapshot
CREATE FUNCTION stable_upsert(jsonb) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN concat_ws(' ', product_upsert($1) ->> 'action', product_upsert($1) ->> 'action',
		(SELECT count(*) FROM product WHERE serial = $1 ->> 'serial'));
END $$;
SELECT stable_upsert(payload(9, 1));
SELECT stable_upsert(payload(9, 1));
CREATE FUNCTION immutable_upsert(jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT product_upsert($1) ->> 'action'
$$;
SELECT immutable_upsert(payload(9, serial::int)) FROM generate_series(2, 3) AS serial;

-- From a trigger on another table
CREATE TABLE feed (payload jsonb, action text);
CREATE FUNCTION apply_feed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.action := product_upsert(NEW.payload) ->> 'action';
	RETURN NEW;
END $$;
CREATE TRIGGER apply BEFORE INSERT ON feed FOR EACH ROW EXECUTE FUNCTION apply_feed();
INSERT INTO feed SELECT payload(20, n / 2) FROM generate_series(2, 4) AS n RETURNING action;
COPY feed (payload) FROM STDIN;
{"brand": "b", "serial": "20", "manufacturer": "m", "stock": 3}
{"brand": "b", "serial": "21", "manufacturer": "m", "stock": 3}
\.
SELECT action FROM feed;

-- From triggers on the same table: another key, and the same
CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.serial NOT LIKE '%-copy' THEN
		RAISE INFO '% copy: %', TG_OP,
			product_upsert(to_jsonb(NEW) || jsonb_build_object('serial', NEW.serial || '-copy')) ->> 'action';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER also BEFORE INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION also();
SELECT product_upsert(payload(30, 1)) ->> 'action';
SELECT product_upsert(payload(30, 2)) ->> 'action';
SELECT product_upsert(payload(30, 2)) ->> 'action';
SELECT serial, stock FROM product WHERE serial LIKE '30%' ORDER BY serial;
DROP TRIGGER also ON product;
CREATE FUNCTION note_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE INFO '% depth %: %', TG_OP, pg_trigger_depth(), product_upsert(to_jsonb(NEW) || '{"note": "noted"}') ->> 'action';
	RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE ON product FOR EACH ROW WHEN (NEW.note IS DISTINCT FROM 'noted')
	EXECUTE FUNCTION note_once();
SELECT product_upsert(payload(31, 1)) ->> 'action';
SELECT serial, stock, note FROM product WHERE serial = '31';
DROP TRIGGER note ON product;
-- A trigger that creates the row's key before the row itself gets there: there is no second row.
CREATE FUNCTION overtake() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		PERFORM product_upsert(to_jsonb(NEW));
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER overtake BEFORE INSERT ON product FOR EACH ROW EXECUTE FUNCTION overtake();
DO $$
BEGIN
	PERFORM product_upsert(payload(32, 1));
EXCEPTION WHEN OTHERS THEN
	RAISE INFO 'refused';
END $$;
SELECT count(*) <= 1 AS no_second_row FROM product WHERE serial = '32';
DROP TRIGGER overtake ON product;
DELETE FROM product WHERE serial = '32';

-- A trigger that alters the table's definition is stopped by PostgreSQL, not by a crash.
CREATE FUNCTION alter_table() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	ALTER TABLE product ADD COLUMN more int;
	RETURN NEW;
END $$;
CREATE TRIGGER alter_table BEFORE INSERT ON product FOR EACH ROW EXECUTE FUNCTION alter_table();
SELECT product_upsert(payload(33, 1));
\echo :SQLSTATE
DROP TRIGGER alter_table ON product;
-- One that drops all that this session remembers of tables is not.
CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DISCARD PLANS;
	ANALYZE product;
	RETURN NEW;
END $$;
CREATE TRIGGER forget BEFORE INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION forget();
SELECT jsonb_array_length(product_upsert((SELECT jsonb_agg(payload(n, 2)) FROM generate_series(1, 6) AS n)));
DROP TRIGGER forget ON product;

-- One that makes the session forget the very plans that are being executed, and more of them than it keeps
CREATE TABLE nested (brand text, serial text, manufacturer text, c1 int, c2 int, c3 int, c4 int, c5 int, c6 int, c7 int);
CREATE INDEX ON nested (brand, serial, manufacturer);
CREATE FUNCTION nest() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	shape jsonb;
BEGIN
	IF pg_trigger_depth() = 1 THEN
		FOR i IN 0 .. 127 LOOP
			SELECT '{"brand": "n", "manufacturer": "m"}' || jsonb_build_object('serial', i::text)
				|| coalesce(jsonb_object_agg('c' || n, n) FILTER (WHERE i >> (n - 1) & 1 = 1), '{}')
			  INTO shape FROM generate_series(1, 7) AS n;
			DISCARD PLANS;
			PERFORM product_upsert('nested', shape);
		END LOOP;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER nest BEFORE INSERT OR UPDATE ON nested FOR EACH ROW EXECUTE FUNCTION nest();
SELECT jsonb_agg(r -> 'action') FROM jsonb_array_elements(product_upsert('nested', '[
	{"brand": "o", "serial": "1", "manufacturer": "m", "c1": 1},
	{"brand": "o", "serial": "1", "manufacturer": "m", "c1": 2},
	{"brand": "o", "serial": "2", "manufacturer": "m", "c1": 3, "c2": 3}]')) AS r;
SELECT brand, count(*), sum(c1), sum(c7) FROM nested GROUP BY brand ORDER BY brand;

-- A trigger that gives the table's name to another table in the midst of a call: that one is not written to.
-- (SQL statements name the table, so there it is an error; without them there is no name to go wrong.)
SET product_upsert.direct_store = off;
CREATE SCHEMA pu_calls_1;
CREATE SCHEMA pu_calls_2;
CREATE TABLE pu_calls_1.swapped (LIKE product INCLUDING ALL);
CREATE TABLE pu_calls_2.swapped (LIKE product INCLUDING ALL);
CREATE FUNCTION swap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	ALTER SCHEMA pu_calls_1 RENAME TO pu_calls_3;
	ALTER SCHEMA pu_calls_2 RENAME TO pu_calls_1;
	RETURN NEW;
END $$;
CREATE TRIGGER swap BEFORE INSERT ON pu_calls_1.swapped FOR EACH ROW WHEN (NEW.serial = '2') EXECUTE FUNCTION swap();
\set VERBOSITY sqlstate
SELECT product_upsert('pu_calls_1.swapped', (SELECT jsonb_agg(payload(n, 1)) FROM generate_series(1, 3) AS n));
\set VERBOSITY default
SELECT count(*) FROM pu_calls_1.swapped;
SELECT count(*) FROM pu_calls_2.swapped;
DROP SCHEMA pu_calls_1, pu_calls_2 CASCADE;
RESET product_upsert.direct_store;

-- search_path has no say in what the functions do once they know the table.
CREATE SCHEMA pu_evil;
CREATE FUNCTION pu_evil.says(text, text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'an operator from search_path was used';
	RETURN true;
END $$;
CREATE OPERATOR pu_evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = pu_evil.says);
CREATE FUNCTION pu_evil.says(tid, tid) RETURNS boolean LANGUAGE sql AS 'SELECT pu_evil.says(''''::text, ''''::text)';
CREATE OPERATOR pu_evil.= (LEFTARG = tid, RIGHTARG = tid, FUNCTION = pu_evil.says);
CREATE FUNCTION pu_evil.says(oid, oid) RETURNS boolean LANGUAGE sql AS 'SELECT pu_evil.says(''''::text, ''''::text)';
CREATE OPERATOR pu_evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = pu_evil.says);
CREATE FUNCTION pu_evil.to_jsonb(anyelement) RETURNS jsonb LANGUAGE sql AS 'SELECT ''"evil"''::jsonb';
CREATE FUNCTION pu_evil.jsonb_populate_record(anyelement, jsonb) RETURNS anyelement LANGUAGE sql AS 'SELECT $1';
CREATE TABLE pu_evil.product (LIKE pu_calls.product INCLUDING ALL);
CREATE TABLE pu_evil.pg_locks (LIKE pg_catalog.pg_locks);
CREATE DOMAIN pu_evil.text AS pg_catalog.text CHECK (false);
CREATE DOMAIN pu_evil.int8 AS pg_catalog.int8 CHECK (false);
CREATE DOMAIN pu_evil.regclass AS pg_catalog.regclass CHECK (false);
CREATE COLLATION pu_evil."default" (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION pu_evil."POSIX" (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE pu_calls.collated (brand text, serial text COLLATE "POSIX", manufacturer text, stock int);
CREATE INDEX ON pu_calls.collated (brand);
INSERT INTO pu_calls.collated VALUES ('b', 'x', 'M', 1), ('b', 'X', 'm', 1);
SELECT product_upsert('collated', '{"brand": "b", "serial": "x", "manufacturer": "M", "stock": 2}') ->> 'action';
CREATE TABLE pu_calls.variable (brand varchar, serial varchar, manufacturer varchar, stock int);
CREATE INDEX ON pu_calls.variable (brand);
SET search_path = pu_evil, pg_catalog, pu_calls, public;
SELECT product_upsert('pu_calls.product', '{"brand": "b", "serial": "1", "manufacturer": "m", "stock": 40}');
SELECT product_upsert('pu_calls.product', '{"brand": "b", "serial": "41", "manufacturer": "m", "stock": 41}');
SELECT product_upsert('pu_calls.variable', '{"brand": "b", "serial": "41", "manufacturer": "m", "stock": 41}');
SELECT product_upsert('pu_calls.variable', '{"brand": "b", "serial": "41", "manufacturer": "m", "stock": 42}');
SELECT product_upsert('pu_calls.collated', '{"brand": "b", "serial": "x", "manufacturer": "m", "stock": 3}');
SELECT product_upsert('pu_calls.collated',
	'{"brand": "B", "serial": "x", "manufacturer": "M", "stock": 3}') OPERATOR(pg_catalog.->>) 'action';
SELECT product_upsert('pu_calls.collated',
	'{"brand": "b", "serial": "X", "manufacturer": "m", "stock": 3}') OPERATOR(pg_catalog.->>) 'action';
BEGIN;
SELECT product_upsert_lock('pu_calls.product', '{"brand": "b", "serial": "1", "manufacturer": "m"}');
SELECT target, granted, pid OPERATOR(pg_catalog.=) pg_backend_pid() FROM public.product_upsert_locks;
COMMIT;
SET search_path = '';
SELECT public.product_upsert('pu_calls.product',
	'{"brand": "b", "serial": "1", "manufacturer": "m", "stock": 42}') OPERATOR(pg_catalog.->>) 'action';
SET search_path = pu_calls, public;
DROP SCHEMA pu_evil CASCADE;

-- Isolation levels and modes
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT product_upsert(payload(50, 1)) ->> 'action';
SELECT product_upsert(payload(50, 2)) ->> 'action';
SELECT product_upsert(jsonb_build_array(payload(50, 2), payload(51, 1), payload(51, 2))) #>> '{2,action}';
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT product_upsert(payload(50, 3)) ->> 'action';
SELECT product_upsert(payload(52, 2)) ->> 'action';
COMMIT;
-- In a read-only transaction nothing can be written, not even nothing: all but temporary tables.
CREATE TEMP TABLE temporary (LIKE product INCLUDING ALL);
BEGIN READ ONLY;
SELECT product_upsert('temporary', payload(1, 1)) ->> 'action';
SELECT product_upsert('temporary', payload(1, 2)) ->> 'action';
SELECT product_upsert(payload(50, 3));
\echo :SQLSTATE
ROLLBACK;
BEGIN;
SELECT product_upsert(payload(50, 4)) ->> 'action';
SET TRANSACTION READ ONLY;
SELECT product_upsert(payload(50, 4));
\echo :SQLSTATE
ROLLBACK;
SET default_transaction_read_only = on;
SELECT product_upsert('[]');
\echo :SQLSTATE
SET default_transaction_read_only = off;

-- Planner settings
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SET enable_tidscan = off;
SELECT product_upsert(payload(50, 5)) ->> 'action';
RESET enable_indexscan;
RESET enable_bitmapscan;
RESET enable_tidscan;
SET plan_cache_mode = force_custom_plan;
SELECT product_upsert(payload(50, 6)) ->> 'action';
SET plan_cache_mode = force_generic_plan;
SELECT product_upsert(payload(50, 7)) ->> 'action';
RESET plan_cache_mode;
-- A parallel plan where PostgreSQL can: our function keeps to the leader.
SELECT name AS parallel FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') \gset
SELECT set_config(:'parallel', 'on', false);
SELECT product_upsert(payload(50, 8)) ->> 'action';
SELECT sum(stock) FROM (SELECT (product_upsert(payload(serial::int, 9)) -> 'product' ->> 'stock')::int AS stock
	  FROM product WHERE serial IN ('50', '51')) AS s;
SELECT set_config(:'parallel', 'off', false);
-- What the session calls dates and numbers
SET datestyle = 'German';
SET intervalstyle = 'iso_8601';
SET bytea_output = 'escape';
CREATE TABLE styled (brand text, serial date, manufacturer bytea, span interval);
CREATE INDEX ON styled (brand);
SELECT product_upsert('styled', '{"brand": "a", "serial": "2024-02-01", "manufacturer": "\\x00ff", "span": "1 day 2:00"}');
SELECT product_upsert('styled', '{"brand": "a", "serial": "1.2.2024", "manufacturer": "\\000\\377", "span": "P1DT2H"}')
	->> 'action';
RESET datestyle;
RESET intervalstyle;
RESET bytea_output;
SELECT product_upsert('styled', '{"brand": "a", "serial": "2024-02-01", "manufacturer": "\\x00ff", "span": "P1DT2H"}')
	->> 'action';

-- standard_conforming_strings and quote_all_identifiers alter how text is quoted.
SET standard_conforming_strings = off;
SET quote_all_identifiers = on;
SET escape_string_warning = off;
CREATE TABLE "back\slash" (brand text, serial text, manufacturer text, "a\b" text);
CREATE INDEX ON "back\slash" (brand);
SELECT product_upsert('"back\\slash"', $${"brand": "a\\b", "serial": "1", "manufacturer": "m", "a\\b": "\\'"}$$);
SELECT product_upsert('"back\\slash"', $${"brand": "a\\b", "serial": "1", "manufacturer": "m", "a\\b": "\\"}$$) -> 'previous';
RESET standard_conforming_strings;
RESET quote_all_identifiers;
RESET escape_string_warning;

DROP SCHEMA pu_calls CASCADE;
