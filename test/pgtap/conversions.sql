-- Every type meets every kind of JSON value: what a field becomes is what jsonb_populate_record() makes of it, be that a
-- value, to the byte, or an error; and what comes back is what to_jsonb() makes of that, to the byte, whatever the settings
-- are that have a say in how values are spelt.
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS product_upsert;
SET LOCAL timezone = 'Europe/Berlin';

CREATE TYPE pg_temp.mood AS ENUM ('good', 'true', '1');
CREATE TYPE pg_temp.pair AS (a int, b text);
CREATE TYPE pg_temp.span AS RANGE (subtype = float8);
CREATE DOMAIN pg_temp.short AS varchar(3);
CREATE DOMAIN pg_temp.shorter AS pg_temp.short CHECK (length(value) < 3);
CREATE DOMAIN pg_temp.amount AS numeric(4, 1) CHECK (value < 100);
CREATE DOMAIN pg_temp.amounts AS numeric(4, 1)[] CHECK (cardinality(value) < 3);
CREATE DOMAIN pg_temp.list AS pg_temp.amount[];
CREATE DOMAIN pg_temp.flag AS boolean;
CREATE DOMAIN pg_temp.letters AS char(4);
CREATE DOMAIN pg_temp.doc AS jsonb CHECK (jsonb_typeof(value) <> 'number');
CREATE DOMAIN pg_temp.raw AS json;
CREATE DOMAIN pg_temp.pair_of AS pg_temp.pair CHECK ((value).a > 0);
CREATE DOMAIN pg_temp.feeling AS pg_temp.mood CHECK (value <> 'good');
CREATE DOMAIN pg_temp.stamp AS timestamp(0);

-- All types that there are values of, these, some with a modifier, and an array of each
CREATE TEMP TABLE types AS
SELECT row_number() OVER () AS n, type FROM (
	SELECT format_type(oid, NULL) AS type FROM pg_type
	 WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A'
	   AND typname NOT IN ('gtsvector', 'pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list',
			'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary', 'xml')
	UNION ALL
	SELECT 'pg_temp.' || t
	  FROM unnest('{mood,pair,span,short,shorter,amount,amounts,list,flag,letters,doc,raw,pair_of,feeling,stamp}'::text[]) AS t
	UNION ALL
	SELECT unnest('{varchar(3),char(3),numeric(3;1),numeric(2;-1),bit(3),varbit(2),'
		'time(0),timetz(0),timestamp(0),timestamptz(0),interval(0),interval year}'::text[])) AS t;
UPDATE types SET type = replace(type, ';', ',');
INSERT INTO types SELECT 1000 + n, type || '[]' FROM types;
DO $$
BEGIN
	EXECUTE 'CREATE TABLE pg_temp.product (brand text, serial text, manufacturer text, '
		|| (SELECT string_agg(format('c%s %s', n, type), ', ' ORDER BY n) FROM types) || ')';
	CREATE INDEX ON pg_temp.product (brand, serial, manufacturer);
END $$;

CREATE TEMP TABLE samples (n int GENERATED ALWAYS AS IDENTITY, value jsonb);
INSERT INTO samples (value) VALUES
	('null'), ('true'), ('false'), ('0'), ('1'), ('-1'), ('1.5'), ('1.50'), ('2.25'), ('99.96'), ('-0.05'), ('1e3'), ('1e-7'),
	('123456789012345678901234567890'), ('100'),
	('""'), ('" "'), ('"a"'), ('"ab "'), ('"abc"'), ('"abc   "'), ('"abcd"'), ('"äöü"'), ('"1"'), ('" 1 "'), ('"1.50"'),
	('"-1"'), ('"true"'), ('"t"'), ('"null"'), ('"NULL"'), ('"NaN"'), ('"-Infinity"'), ('"inf"'),
	('"2024-02-29"'), ('"2024-02-29 12:34:56.789+02"'), ('"0044-03-15 12:00:00 BC"'), ('"12:34:56.789"'),
	('"1 year 2 months 3 days 04:05:06.789"'), ('"now"'), ('"infinity"'),
	('"{}"'), ('"{1,2}"'), ('"{1,NULL,\"a\"}"'), ('"[0:1]={1,2}"'), ('"{{1},{2}}"'), ('"[1,2)"'), ('"{[1,2),[3,4)}"'),
	('"(1,a)"'), ('"(1,2)"'), ('"(,)"'), ('"{\"a\": 1}"'), ('"[1, 2]"'),
	('"0/0"'), ('"1/2"'), ('"10.0.0.1/8"'), ('"::1"'), ('"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"'), ('"\\x00ff"'), ('"\\000"'),
	('"101"'), ('"B101"'), ('"pg_class"'), ('"text"'), ('"10:20:10,14"'), ('"good"'),
	('[]'), ('{}'), ('[1]'), ('[1, 2, 3]'), ('[null]'), ('[[1], [2]]'), ('[[1], [2, 3]]'), ('[1, [2]]'),
	('["a", null, true]'), ('[true]'), ('[{}]'), ('[{"a": 1}, null]'),
	('{"a": 1, "b": "x"}'), ('{"a": null}'), ('{"b": [1, {"c": 2.50}]}'), ('{"a": "x"}');

-- Are they the same to the byte?
CREATE TYPE pg_temp.bytes AS (value jsonb);
CREATE FUNCTION pg_temp.same(jsonb, jsonb) RETURNS boolean
	LANGUAGE sql AS 'SELECT ROW($1)::pg_temp.bytes *= ROW($2)::pg_temp.bytes';

-- What a statement comes to: NULL, or the error
CREATE FUNCTION pg_temp.error_of(sql text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE sql;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END $$;

-- Tells what is not as it should be with a value for a column of the type.
CREATE FUNCTION pg_temp.wrong_with(type types, sample samples) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	payload jsonb := jsonb_build_object('brand', 'b', 'serial', $1.n || '/' || $2.n, 'manufacturer', NULL, 'c' || $1.n, $2.value);
	expected product;
	stored product;
	result jsonb;
	error text := pg_temp.error_of(format('SELECT jsonb_populate_record(NULL::product, %L)', payload));
	actual text;
BEGIN
	IF error IS NOT NULL THEN
		actual := pg_temp.error_of(format('SELECT product_upsert(''product'', %L)', payload));
		RETURN CASE WHEN actual IS DISTINCT FROM error THEN concat_ws(' ', $1.type, $2.value, 'gives',
			coalesce(actual, 'no error'), 'instead of', error) END;
	END IF;
	expected := jsonb_populate_record(NULL::product, payload);
	actual := pg_temp.error_of(format('SELECT product_upsert(''product'', %L)', payload));
	IF actual IS NOT NULL THEN
		RETURN concat_ws(' ', $1.type, $2.value, 'gives', actual);
	END IF;
	-- It is unchanged by now, if what is stored is what is given.
	result := product_upsert('product', payload);
	SELECT * INTO stored FROM product WHERE brand = 'b' AND serial = payload ->> 'serial';
	IF NOT stored *= expected THEN
		RETURN concat_ws(' ', $1.type, $2.value, 'is stored as', to_jsonb(stored) -> ('c' || $1.n), 'instead of',
			to_jsonb(expected) -> ('c' || $1.n));
	END IF;
	IF NOT pg_temp.same(result, jsonb_build_object('action', 'unchanged', 'product', to_jsonb(stored))) THEN
		RETURN concat_ws(' ', $1.type, $2.value, 'is returned as', result ->> 'action', result -> 'product' -> ('c' || $1.n),
			'instead of', to_jsonb(stored) -> ('c' || $1.n));
	END IF;
	RETURN NULL;
END $$;

SELECT plan((SELECT count(*) FROM types)::int + 8);

SELECT is((SELECT string_agg(w, E'\n') FROM samples AS s, pg_temp.wrong_with(t, s) AS w), NULL,
	type || ': as jsonb_populate_record() and to_jsonb() have it')
  FROM types AS t ORDER BY n;

-- The same rows, spelt in other ways
CREATE FUNCTION pg_temp.rows_returned_otherwise() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT serial FROM product AS p
	 WHERE NOT pg_temp.same(product_upsert('product',
		jsonb_build_object('brand', brand, 'serial', serial, 'manufacturer', manufacturer)),
						   jsonb_build_object('action', 'unchanged', 'product', to_jsonb(p)))
$$;
SELECT cmp_ok((SELECT count(*) FROM product)::int, '>', 2000, 'rows of all kinds');
SET LOCAL datestyle = 'German, DMY';
SELECT is_empty('SELECT pg_temp.rows_returned_otherwise()', 'another datestyle');
SET LOCAL intervalstyle = 'iso_8601';
SELECT is_empty('SELECT pg_temp.rows_returned_otherwise()', 'another intervalstyle');
SET LOCAL bytea_output = 'escape';
SELECT is_empty('SELECT pg_temp.rows_returned_otherwise()', 'another bytea_output');
SET LOCAL extra_float_digits = -3;
SELECT is_empty('SELECT pg_temp.rows_returned_otherwise()', 'another extra_float_digits');
SET LOCAL timezone = 'America/St_Johns';
SELECT is_empty('SELECT pg_temp.rows_returned_otherwise()', 'another timezone');
SET LOCAL quote_all_identifiers = on;
SELECT is_empty('SELECT pg_temp.rows_returned_otherwise()', 'another quote_all_identifiers');

-- In an array, and with what was there before, they are the same.
SELECT ok(pg_temp.same(product_upsert('product',
	(SELECT jsonb_agg(jsonb_build_object('brand', brand, 'serial', serial, 'manufacturer', manufacturer, 'c1', NULL)
		ORDER BY serial) FROM product)),
		(SELECT jsonb_agg(CASE WHEN c1 IS NULL THEN jsonb_build_object('action', 'unchanged', 'product', to_jsonb(p))
			ELSE jsonb_build_object('action', 'updated', 'product', to_jsonb(p) || '{"c1": null}',
				'previous', jsonb_build_object('c1', c1)) END ORDER BY serial) FROM product AS p)), 'an array of them all');

SELECT * FROM finish();
ROLLBACK;
