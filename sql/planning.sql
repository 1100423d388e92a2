-- Defaults, generated columns and indexes may call functions that the planner runs once, to put a constant in their
-- place. Who does not need the value must not run them: not as himself, not in a read-only transaction, and a
-- function that fails keeps nobody from calls that do without it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_planning;
SET search_path = pu_planning, public;
\pset format unaligned
\pset tuples_only on
\pset null <null>
\set SHOW_CONTEXT never

-- folded(what): the planner runs it; with pu_planning.broken = on it fails.
CREATE FUNCTION folded(what text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF current_setting('pu_planning.broken', true) = 'on' THEN
		RAISE EXCEPTION 'folded: %', what USING ERRCODE = 'PU001';
	END IF;
	RAISE WARNING 'folded: %', what;
	RETURN what;
END $$;
CREATE TABLE product (brand text, serial text, manufacturer text, price int, note text DEFAULT folded('default'));
CREATE INDEX ON product (brand, serial, manufacturer);
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION product_upsert_guard();
-- Its own functions run when the indexes are made, and once a session when a row is put into them.
CREATE TABLE indexed (LIKE product);
SET client_min_messages = error;
CREATE INDEX ON indexed (brand) WHERE serial = folded('predicate');
CREATE INDEX ON indexed ((serial || folded('expression')));
SET client_min_messages = warning;
CREATE TABLE generated (brand text, serial text,
	manufacturer text GENERATED ALWAYS AS (lower(brand) || folded('generated')) STORED, price int);
CREATE INDEX ON generated (brand, serial, manufacturer);

-- These look, and find what they look for.
\connect
SET client_min_messages = warning;
SET search_path = pu_planning, public;
SET pu_planning.broken = on;
START TRANSACTION READ ONLY;
SELECT t, product_upsert_key(t), product_upsert_lookup_index(t) FROM unnest('{product,indexed,generated}'::regclass[]) AS t;
SELECT count(*) FROM product_upsert_duplicates('product');
SELECT count(*) FROM product_upsert_duplicates('generated');
COMMIT;
SELECT product_upsert_lock('product', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
-- So does a guard.
INSERT INTO product VALUES ('a', '1', 'm', 1, 'given');
INSERT INTO product VALUES ('a', '1', 'm', 1, 'given');
-- Who gives the column, or creates nothing, does without its default.
SELECT product_upsert('product', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 2}') ->> 'action';
SELECT product_upsert('product', '{"brand": "a", "serial": "2", "manufacturer": "m", "note": "given"}') ->> 'action';

-- Who needs it gets the error, however often, and later the value. Nothing is left behind each time.
SELECT product_upsert('product', '{"brand": "b", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT product_upsert('generated', '{"brand": "b", "serial": "1"}') ->> 'action';
SELECT product_upsert_lock('generated', '{"brand": "b", "serial": "1"}');
CREATE FUNCTION fail(target regclass, times int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	failed int := 0;
BEGIN
	FOR i IN 1 .. times LOOP
		BEGIN
			PERFORM product_upsert(target,
				'{"brand": "b", "serial": "1", "manufacturer": "m"}'::jsonb
				- (CASE WHEN target = 'generated'::regclass THEN 'manufacturer' ELSE '' END));
		EXCEPTION WHEN SQLSTATE 'PU001' THEN
			failed := failed + 1;
		END;
	END LOOP;
	RETURN failed;
END $$;
CREATE VIEW targets AS SELECT sum(used_bytes) AS bytes FROM pg_backend_memory_contexts WHERE name = 'product_upsert target';
SELECT fail('product', 10), fail('generated', 10);
SELECT bytes FROM targets \gset
SELECT fail('product', 100), fail('generated', 100);
SELECT bytes - :bytes FROM targets;
SET pu_planning.broken = off;
SELECT product_upsert('product', '{"brand": "b", "serial": "1", "manufacturer": "m"}') -> 'product' ->> 'note';
SELECT product_upsert('product', '{"brand": "b", "serial": "2", "manufacturer": "m"}') -> 'product' ->> 'note';
SELECT product_upsert('generated', '{"brand": "b", "serial": "1"}') -> 'product' ->> 'manufacturer';
SELECT product_upsert('generated', '{"brand": "b", "serial": "1"}') ->> 'action';

-- The default of a domain is checked by the domain, also where it is null.
CREATE DOMAIN required AS text CHECK (VALUE IS NOT NULL);
CREATE DOMAIN short AS text CHECK (length(VALUE) < 5);
CREATE TABLE domains (brand text, serial text, manufacturer text, r required, s short DEFAULT 'fits',
	l short DEFAULT folded('default of a domain'));
CREATE INDEX ON domains (brand, serial, manufacturer);
SELECT product_upsert('domains', '{"brand": "a", "serial": "1", "manufacturer": "m", "l": "l"}');
SELECT product_upsert('domains', '{"brand": "a", "serial": "1", "manufacturer": "m", "r": "r"}');
SELECT product_upsert('domains', '{"brand": "a", "serial": "1", "manufacturer": "m", "r": "r", "l": "l"}');

SET client_min_messages = error;
DROP SCHEMA pu_planning CASCADE;
