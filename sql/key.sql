-- The key by type: what is equal under the column's type and collation is one row.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE EXTENSION IF NOT EXISTS citext;
CREATE SCHEMA pu_key;
SET search_path = pu_key, public;
\pset format unaligned
\pset tuples_only on

-- keys(type, value, value, ...): upserts each value as the serial of a table of its own, with the type of
-- that name. Tells the actions, the rows that came of it, and how many different key locks were taken:
-- equal keys must meet at one lock.
CREATE FUNCTION upsert_keys(serials jsonb[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	actions text;
	stored text;
	locks bigint;
BEGIN
	FOR i IN 1 .. cardinality(serials) LOOP
		actions := concat_ws(' ', actions,
			product_upsert('keyed', jsonb_build_object('brand', 'b', 'serial', serials[i], 'manufacturer', 'm', 'n', i))
				->> 'action');
	END LOOP;
	SELECT count(*) INTO locks FROM pg_locks
	 WHERE locktype = 'advisory' AND classid = 'keyed'::regclass AND pid = pg_backend_pid();
	SELECT string_agg(concat(to_jsonb(keyed) -> 'serial', ' ', n), ', ' ORDER BY n) INTO stored FROM keyed;
	RETURN format('%s | rows: %s | locks: %s', actions, stored, locks);
EXCEPTION WHEN OTHERS THEN
	RETURN concat(SQLSTATE, ' ', SQLERRM);
END $$;
CREATE PROCEDURE keys(type text, VARIADIC serials jsonb[]) LANGUAGE plpgsql AS $$
DECLARE
	found text;
	found_by_hash text;
BEGIN
	EXECUTE format('CREATE TABLE keyed (brand text, serial %s, manufacturer text, n int)', type);
	-- Who has just created a table has it locked, and takes no key locks.
	COMMIT;
	found := upsert_keys(serials);
	RAISE INFO '%: %', type, found;
	DROP TABLE keyed;

	-- An index on the hash of the key must make no difference.
	EXECUTE format('CREATE TABLE keyed (brand text, serial %s, manufacturer text, n int)', type);
	CREATE INDEX ON keyed (product_upsert_hash(brand, serial, manufacturer));
	COMMIT;
	found_by_hash := upsert_keys(serials);
	IF found_by_hash <> found THEN
		RAISE INFO 'by hash: %', found_by_hash;
	END IF;
	DROP TABLE keyed;
END $$;

-- The WARNING about the missing index would be told for each of these tables.
SET client_min_messages = error;

-- text, and types that compare as it does not
CALL keys('text', '"a"', '"A"', '"a "', '"a"', 'null', '""', 'null');
CALL keys('varchar(3)', '"a"', '"a "', '"a"');
CALL keys('char(3)', '"a"', '"a "', '"a  "', '"b"');
CALL keys('citext', '"Abc"', '"aBC"', '"abd"');
CALL keys('name', '"a"', '"A"', '"a"');
CALL keys('"char"', '"a"', '"b"', '"a"');
CALL keys('uuid', '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"', '"{A0EEBC999C0B4EF8BB6D6BB9BD380A11}"');
CALL keys('bytea', '"\\x61"', '"a"', '"\\x6100"');
CALL keys('inet', '"10.0.0.1"', '"10.0.0.1/32"', '"10.0.0.1/8"');
CALL keys('macaddr', '"08:00:2b:01:02:03"', '"08002b010203"');
CALL keys('boolean', 'true', '"on"', 'false', '1');

-- numbers: equal whatever their scale, sign of zero, or spelling
CALL keys('numeric', '1.0', '1.00', '1', '1e0', '"NaN"', '"nan"', '"Infinity"', '"inf"', '0', '-0.0');
CALL keys('numeric(5, 1)', '1.04', '1', '1.05');
CALL keys('float8', '0', '"-0"', '"NaN"', '"nan"', '1e2', '100', '"Infinity"', '"-Infinity"');
CALL keys('float4', '0', '"-0"', '0.1', '"0.1"', '"NaN"', '"NaN"');
CALL keys('bigint', '9223372036854775807', '-9223372036854775808', '"9223372036854775807"');
CALL keys('smallint', '1', '"1"', '"01"');
CALL keys('oid', '1', '"1"');

-- dates and times
CALL keys('date', '"2024-02-29"', '"20240229"', '"infinity"', '"infinity"');
CALL keys('timestamptz', '"2024-01-01 00:00:00+00"', '"2024-01-01 01:00:00+01"', '"2024-01-01 01:00:00+00"');
CALL keys('timetz', '"10:00+00"', '"10:00:00+00"', '"11:00+01"');
CALL keys('interval', '"24:00"', '"1 day"', '"30 days"', '"1 month"', '"1 mon 1 us"');

-- composed types
CALL keys('text[]', '["a", null]', '["a", null]', '["a"]', '[]', '"{a}"', '"[0:0]={a}"');
CALL keys('numeric[]', '[1.0, 2]', '[1, 2.00]', '[[1, 2]]');
CALL keys('int4range', '"[1,3)"', '"[1,2]"', '"empty"', '"(5,5)"');
CALL keys('numrange', '"[1.0,3)"', '"[1,3.0)"');
CALL keys('int4multirange', '"{[1,3),[3,5)}"', '"{[1,4]}"', '"{}"');
CALL keys('jsonb', '{"a": 1.0, "b": [true]}', '{"b": [true], "a": 1.00}', '{"a": 1}', '"x"', '1');
CREATE TYPE colour AS ENUM ('red', 'Red');
CALL keys('colour', '"red"', '"Red"', '"red"');
-- NULL is not a row of NULLs, whatever IS NULL says about it.
CREATE TYPE pair AS (x numeric, y text);
CALL keys('pair', '{"x": 1.0, "y": "a"}', '{"y": "a", "x": 1}', '{"x": 1}', '{"x": null, "y": null}', 'null');
CALL keys('pair[]', '[{"x": 1.0, "y": "a"}]', '[{"x": 1, "y": "a"}]');

-- domains compare as what they are made of
CREATE DOMAIN serial_text AS text CHECK (value <> 'forbidden');
CREATE DOMAIN serial_citext AS citext;
CREATE DOMAIN serial_char AS char(3);
CREATE DOMAIN serial_numeric AS numeric(5, 2);
CREATE DOMAIN serial_enum AS colour;
CREATE DOMAIN serial_array AS numeric[];
CREATE DOMAIN serial_range AS numrange;
CREATE DOMAIN serial_pair AS pair;
CREATE DOMAIN serial_domain AS serial_numeric CHECK (value > 0);
CALL keys('serial_text', '"a"', '"A"', '"a"');
CALL keys('serial_text', '"forbidden"');
CALL keys('serial_citext', '"a"', '"A"', '"b"');
CALL keys('serial_char', '"a"', '"a "', '"ab"');
CALL keys('serial_numeric', '1', '1.00', '1.001');
CALL keys('serial_enum', '"red"', '"red"', '"Red"');
CALL keys('serial_array', '[1.0]', '[1]');
CALL keys('serial_range', '"[1.0,3)"', '"[1,3.0)"');
CALL keys('serial_pair', '{"x": 1.0, "y": "a"}', '{"x": 1, "y": "a"}');
CALL keys('serial_domain', '1', '1.0');
CREATE DOMAIN serial_multirange AS nummultirange;
CALL keys('serial_multirange', '"{[1.0,3)}"', '"{[1,3.0)}"', '"{}"');
CALL keys('serial_numeric[]', '[1]', '[1.0]');

-- collations: under a nondeterministic one, different bytes can be equal
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CALL keys('text COLLATE ignore_case', '"abc"', '"ABC"', '"äbc"', '"ÄBC"', '"abd"');
CALL keys('varchar(9) COLLATE ignore_case', '"abc"', '"ABC"');
CALL keys('char(9) COLLATE ignore_case', '"abc"', '"ABC  "');
CALL keys('serial_text COLLATE ignore_case', '"abc"', '"ABC"');
CALL keys('text COLLATE "C"', '"abc"', '"ABC"');
CALL keys('text COLLATE "POSIX"', '"abc"', '"ABC"');
CALL keys('text[] COLLATE ignore_case', '["abc"]', '["ABC"]');
-- The column's collation is what counts, also where its type has one of its own.
CREATE DOMAIN posix_text AS text COLLATE "POSIX";
CREATE DOMAIN ignore_case_text AS text COLLATE ignore_case;
CALL keys('posix_text', '"abc"', '"ABC"', '"abc"');
CALL keys('posix_text COLLATE ignore_case', '"abc"', '"ABC"', '"abc"');
CALL keys('ignore_case_text', '"abc"', '"ABC"');
CALL keys('ignore_case_text COLLATE "C"', '"abc"', '"ABC"', '"abc"');
CALL keys('posix_text COLLATE "default"', '"abc"', '"ABC"', '"abc"');
CALL keys('name COLLATE "POSIX"', '"abc"', '"ABC"', '"abc"');

-- types without a hash cannot be part of a key
CALL keys('json', '1');
CALL keys('point', '"(1,2)"');
CALL keys('point[]', '["(1,2)"]');
CALL keys('money', '1');
CALL keys('bit(3)', '"101"');
CALL keys('tsvector', '"a"');
CALL keys('xml', '"<a/>"');
CREATE TYPE pair_of_points AS (a point, b point);
CALL keys('pair_of_points', '{"a": "(1,2)"}');
CREATE TABLE keyed (brand text, serial point, manufacturer text);
SELECT product_upsert('keyed', '{"brand": "b", "serial": "(1,2)", "manufacturer": "m"}');
\echo :SQLSTATE
DROP TABLE keyed;

SET client_min_messages = warning;

-- A generated key column is computed from the fields of the payload.
CREATE TABLE product (
	name text,
	brand text GENERATED ALWAYS AS (lower(name)) STORED,
	number int,
	series int DEFAULT 5,
	serial int GENERATED ALWAYS AS (coalesce(series, 0) * 1000 + number) STORED,
	manufacturer text,
	stock int
);
CREATE INDEX ON product (brand, serial, manufacturer);
SELECT product_upsert('{"name": "Acme", "series": 1, "number": 2, "manufacturer": "m", "stock": 1}');
SELECT product_upsert('{"name": "Acme", "series": 1, "number": 2, "manufacturer": "m", "stock": 2}');
-- What it is computed from is not the key: another spelling of it is stored.
SELECT product_upsert('{"name": "ACME", "series": 1, "number": 2, "manufacturer": "m"}');
SELECT product_upsert('{"name": "ACME", "series": 0, "number": 1002, "manufacturer": "m"}');
-- NULL counts as given, a default does not.
SELECT product_upsert('{"name": null, "series": null, "number": null, "manufacturer": null}');
SELECT product_upsert('{"name": null, "series": 3, "number": null, "manufacturer": null}');
-- All that the expressions read must be there.
SELECT product_upsert('{"name": "Acme", "number": 2, "manufacturer": "m"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "acme", "serial": 1002, "manufacturer": "m"}');
\echo :SQLSTATE
SELECT product_upsert('{}');
\echo :SQLSTATE
-- The generated value may be sent along, if it is the right one: so a product can be sent back.
SELECT product_upsert(product_upsert('{"name": "ACME", "series": 0, "number": 1002, "manufacturer": "m"}') -> 'product')
	->> 'action';
SELECT product_upsert('{"name": "New", "brand": "new", "series": 0, "number": 1, "manufacturer": "m"}') ->> 'action';
SELECT product_upsert('{"name": "Acme", "brand": "Acme", "series": 1, "number": 2, "manufacturer": "m"}');
\echo :SQLSTATE
SELECT product_upsert('{"name": "Acme", "brand": null, "series": 1, "number": 2, "manufacturer": "m"}');
\echo :SQLSTATE
-- The expression fails: PostgreSQL's error.
SELECT product_upsert('{"name": "Acme", "series": 2147483647, "number": 2, "manufacturer": "m"}');
\echo :SQLSTATE
SELECT name, series, number, brand, serial, manufacturer, stock FROM product ORDER BY 1, 2, 3;

-- Other generated columns are for PostgreSQL to write.
CREATE TABLE priced (
	brand text,
	serial text,
	manufacturer text,
	net numeric,
	gross numeric GENERATED ALWAYS AS (net * 1.2) STORED,
	id int GENERATED ALWAYS AS IDENTITY,
	again int GENERATED BY DEFAULT AS IDENTITY
);
CREATE INDEX ON priced (brand, serial, manufacturer);
SELECT product_upsert('priced', '{"brand": "a", "serial": "1", "manufacturer": "m", "net": 10}');
SELECT product_upsert('priced',
	'{"brand": "a", "serial": "1", "manufacturer": "m", "net": 20, "gross": 12.0, "id": 1, "again": 1}');
SELECT product_upsert('priced',
	'{"brand": "a", "serial": "1", "manufacturer": "m", "net": 20, "gross": 24.0, "id": 1, "again": 9}');
SELECT product_upsert('priced', '{"brand": "a", "serial": "1", "manufacturer": "m", "gross": 25}');
\echo :SQLSTATE
SELECT product_upsert('priced', '{"brand": "a", "serial": "1", "manufacturer": "m", "id": 2}');
\echo :SQLSTATE
\set SHOW_CONTEXT never
SELECT product_upsert('priced', '{"brand": "b", "serial": "1", "manufacturer": "m", "id": 2}');
\echo :SQLSTATE
SELECT product_upsert('priced', '{"brand": "b", "serial": "1", "manufacturer": "m", "net": 1, "gross": 1.2}');
\echo :SQLSTATE
\set SHOW_CONTEXT errors
SELECT product_upsert('priced', '{"brand": "b", "serial": "1", "manufacturer": "m", "again": 7}');

-- The key's columns have to be there, under these very names.
CREATE TABLE unlike ("Brand" text, serial text, manufacturer text);
SELECT product_upsert('unlike', '{"Brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
SELECT product_upsert('pg_catalog.pg_class', '{}');
\echo :SQLSTATE

DROP SCHEMA pu_key CASCADE;
