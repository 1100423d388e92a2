-- Triggers that themselves write a row with the key of the one that is being written, past the lock: whatever serves the
-- table, there is never a second one, and the outcome is the same without direct_store.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_writes_doubled;
SET search_path = pu_writes_doubled, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

-- A BEFORE trigger that writes a row with the same key itself, past the lock: with a guard or without, that is seen.
CREATE TABLE doubled (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON doubled (brand, serial, manufacturer);
CREATE FUNCTION double() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		INSERT INTO doubled VALUES (new.brand, new.serial, new.manufacturer, 99);
	END IF;
	RETURN new;
END $$;
CREATE TRIGGER double BEFORE INSERT ON doubled FOR EACH ROW EXECUTE FUNCTION double();
SELECT product_upsert('doubled', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
-- The same with a unique index, a guard or both, of a table, a partitioned one or a partition; in a trigger that goes on or
-- returns NULL; in a single call or an array.
CREATE FUNCTION double_and_skip() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() > 1 THEN
		RETURN new;
	END IF;
	EXECUTE format('INSERT INTO %s VALUES ($1, $2, $3, 99)', tg_argv[0]) USING new.brand, new.serial, new.manufacturer;
	RETURN CASE tg_argv[1] WHEN 'new' THEN new END;
END $$;
CREATE TABLE outcome (relation text, index text, guard boolean, returns text, payload text, sqlstate text);
DO $$
DECLARE
	relation text; index text; guard boolean; returns text; payload jsonb;
	object jsonb = '{"brand": "a", "serial": "1", "manufacturer": "m"}';
BEGIN
	SET LOCAL client_min_messages = error;
	FOREACH relation IN ARRAY '{doubled,parts,parts_a}'::text[] LOOP
	FOREACH index IN ARRAY '{INDEX,UNIQUE INDEX}'::text[] LOOP
	FOREACH guard IN ARRAY '{false,true}'::boolean[] LOOP
	FOREACH returns IN ARRAY '{new,null}'::text[] LOOP
		DROP TABLE IF EXISTS doubled, parts;
		CREATE TABLE doubled (brand text, serial text, manufacturer text, price int);
		CREATE TABLE parts (LIKE doubled) PARTITION BY LIST (brand);
		CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
		EXECUTE format('CREATE %s ON %s (brand, serial, manufacturer)', index, replace(relation, '_a', ''));
		EXECUTE format('CREATE TRIGGER double BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION double_and_skip(%L, %L)',
			relation, relation, returns);
		IF guard THEN
			PERFORM product_upsert_protect(replace(relation, '_a', ''));
		END IF;
		FOREACH payload IN ARRAY ARRAY[object, jsonb_build_array(object, object)] LOOP
			BEGIN
				PERFORM product_upsert(relation, payload);
				INSERT INTO outcome VALUES (relation, index, guard, returns, jsonb_typeof(payload), 'none');
			EXCEPTION WHEN OTHERS THEN
				INSERT INTO outcome VALUES (relation, index, guard, returns, jsonb_typeof(payload), sqlstate);
			END;
		END LOOP;
	END LOOP; END LOOP; END LOOP; END LOOP;
END $$;
SELECT sqlstate, count(*) FROM outcome GROUP BY sqlstate;
SELECT * FROM outcome WHERE sqlstate <> '27000';
-- A plain INSERT is none of the extension's, also where a trigger upserts.
DROP TABLE doubled;
CREATE TABLE doubled (brand text, serial text, manufacturer text, price int);
SELECT duplicate_keys FROM product_upsert_protect('doubled');
CREATE FUNCTION upsert_first() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		PERFORM product_upsert('doubled', to_jsonb(new));
	END IF;
	RETURN new;
END $$;
CREATE TRIGGER double BEFORE INSERT ON doubled FOR EACH ROW EXECUTE FUNCTION upsert_first();
INSERT INTO doubled VALUES ('a', '1', 'm', 1);
\echo :SQLSTATE
-- What triggers put into children, as they did before there were partitions, is no row of the table's own.
CREATE TABLE child () INHERITS (doubled);
CREATE FUNCTION to_child() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO child VALUES (new.*);
	RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER double BEFORE INSERT ON doubled FOR EACH ROW EXECUTE FUNCTION to_child();
SELECT product_upsert('doubled', '{"brand": "a", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT product_upsert('doubled', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}') ->> 'action';
TABLE doubled;

DROP SCHEMA pu_writes_doubled CASCADE;
