-- The extension's schema may be called anything, and be renamed at any time: nothing that it has goes by its name.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS product_upsert CASCADE;
CREATE SCHEMA pu_names;
SET search_path = pu_names;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

CREATE TABLE product (id int PRIMARY KEY, brand text, serial text, manufacturer text, price int);
CREATE TABLE parted (brand text, serial text, manufacturer text, region text) PARTITION BY LIST (region);
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu');
CREATE TABLE parted_us PARTITION OF parted FOR VALUES IN ('us');
CREATE TABLE source AS SELECT 'b' AS brand, '2' AS serial, 5 AS price;
-- use(schema): each function of the extension there, on tables that are as they were afterwards
CREATE PROCEDURE use(schema text) LANGUAGE plpgsql AS $$
DECLARE
	call text;
	result text;
	refused text;
BEGIN
	INSERT INTO product VALUES (1, 'b', '1', 'm', 1), (2, 'b', '1', 'm', 2), (3, 'b', '2', 'm', 3);
	INSERT INTO parted VALUES ('b', '1', 'm', 'eu'), ('b', '1', 'm', 'us');
	FOREACH call IN ARRAY ARRAY[
		'SELECT p::text FROM %I.product_upsert_protect(''product'') AS p',
		'SELECT p::text FROM %I.product_upsert_protect(''product'') AS p',
		'SELECT p::text FROM %I.product_upsert_protect(''product'', ''{serial,brand}'') AS p',
		'SELECT p::text FROM %I.product_upsert_protect(''parted'') AS p',
		'SELECT %I.product_upsert_key(''product'')',
		'SELECT %I.product_upsert_lookup_index(''product'')',
		'SELECT d::text FROM %I.product_upsert_duplicates(''product'') AS d',
		'SELECT d.key::text FROM %I.product_upsert_duplicates(''parted'') AS d',
		'SELECT m.key::text FROM %I.product_upsert_merge_duplicates(''product'') AS m',
		'SELECT %I.product_upsert(''product'', ''{"brand": "b", "serial": "2", "price": 4}'') ->> ''action''',
		'SELECT %I.product_upsert(''{"brand": "b", "serial": "3", "id": 4}'') ->> ''action''',
		'SELECT f::text FROM %I.product_upsert_from(''source'', ''product'') AS f',
		'SELECT %I.product_upsert_lock(''product'', ''{"brand": "b", "serial": "2"}'')',
		'SELECT count(*) FROM %I.product_upsert_locks',
		'SELECT %I.product_upsert_unprotect(''parted'')',
		'SELECT %I.product_upsert_unprotect(''product'')']
	LOOP
		BEGIN
			IF call LIKE '%_unprotect(''product'')' THEN
				BEGIN
					INSERT INTO product VALUES (9, 'b', '2', 'm', 9);
				EXCEPTION WHEN unique_violation THEN
					RAISE NOTICE '%', SQLERRM;
				END;
			END IF;
			EXECUTE format(call, schema) INTO result;
			RAISE NOTICE '%', coalesce(result, '-');
		EXCEPTION WHEN OTHERS THEN
			RAISE NOTICE '% %: %', call, SQLSTATE, SQLERRM;
		END;
	END LOOP;
	TRUNCATE product, parted;
	EXECUTE (SELECT string_agg(format('DROP INDEX %s', indexrelid::regclass), ';') FROM pg_index
			  WHERE indrelid IN ('product'::regclass, 'parted'::regclass) AND NOT indisprimary);
END $$;

-- A name that is a format
CREATE SCHEMA "50%";
CREATE EXTENSION product_upsert SCHEMA "50%";
SET client_min_messages = notice;
CALL use('50%');

-- Renamed while it is in use, in the session that has used it and in another; tables stay protected. Its name may be
-- anything.
CREATE TABLE kept (brand text, serial text, manufacturer text);
SELECT * FROM "50%".product_upsert_protect('kept');
INSERT INTO kept VALUES ('b', '1', 'm');
ALTER SCHEMA "50%" RENAME TO "%s'); $$ %1$I ""\";
CALL use($_$%s'); $$ %1$I "\$_$);
INSERT INTO kept VALUES ('b', '1', 'm');
\echo :SQLSTATE
SELECT "%s'); $$ %1$I ""\".product_upsert('kept', '{"brand": "b", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT * FROM "%s'); $$ %1$I ""\".product_upsert_protect('kept');
ALTER SCHEMA "%s'); $$ %1$I ""\" RENAME TO "Renamed, once";
\c
SET search_path = pu_names;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
CALL use('Renamed, once');
INSERT INTO kept VALUES ('b', '1', 'm');
\echo :SQLSTATE
-- Another schema with functions of these names has its name now: they are not called.
SET client_min_messages = warning;
ALTER SCHEMA "Renamed, once" RENAME TO twice;
CREATE SCHEMA "Renamed, once";
CREATE FUNCTION "Renamed, once".product_upsert_guard() RETURNS trigger
	LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''decoy''; END';
CREATE FUNCTION "Renamed, once".product_upsert_hash(VARIADIC "any") RETURNS bigint
	LANGUAGE internal IMMUTABLE AS 'pg_num_nonnulls';
SET client_min_messages = notice;
CALL use('twice');
SELECT tgfoid::regprocedure FROM pg_trigger WHERE tgrelid = 'kept'::regclass;

SET client_min_messages = warning;
DROP SCHEMA pu_names CASCADE;
DROP EXTENSION product_upsert;
DROP SCHEMA twice;
DROP SCHEMA "Renamed, once" CASCADE;
