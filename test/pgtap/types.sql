-- One column of every built-in type, and one of its array: a value goes in as jsonb_populate_record() would
-- convert it, comes out as to_jsonb() spells it, and what came out can be sent back without a change.
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS product_upsert;
SET LOCAL timezone = 'Europe/Berlin';
SET LOCAL datestyle = 'ISO, YMD';
SET LOCAL lc_monetary = 'C';
SET LOCAL bytea_output = 'hex';

-- back: what sending the product back comes to. It is "unchanged" unless the value's spelling in JSON tells
-- less than the value; why is told beside each such sample.
CREATE TEMP TABLE sample (
	id int GENERATED ALWAYS AS IDENTITY,
	type text,
	value jsonb,
	back text DEFAULT 'unchanged'
);

INSERT INTO sample (type, value) VALUES
	('boolean', 'true'), ('boolean', 'false'), ('boolean', '"yes"'),
	('smallint', '-32768'), ('smallint', '32767'), ('smallint', '"12"'),
	('integer', '-2147483648'), ('integer', '2147483647'), ('integer', '0'),
	('bigint', '-9223372036854775808'), ('bigint', '9223372036854775807'),
	('numeric', '0'), ('numeric', '1.50'), ('numeric', '-1e-30'), ('numeric', '"NaN"'), ('numeric', '"Infinity"'),
	('numeric', '"-Infinity"'),
	('numeric', ('1' || repeat('0', 1000) || '.' || repeat('0', 999) || '1')::jsonb),
	('numeric', to_jsonb(('1e131071')::numeric)),
	('numeric(10,3)', '1.5'), ('numeric(10,3)', '-9999999.999'), ('numeric(3,-2)', '12345'),
	('real', '1.1'), ('real', '3.4028235e38'), ('real', '1e-45'), ('real', '"NaN"'), ('real', '"-Infinity"'),
	('double precision', '0.1'), ('double precision', '1.7976931348623157e308'), ('double precision', '5e-324'),
	('double precision', '"NaN"'), ('double precision', '"Infinity"'), ('double precision', '123456789012345678'),
	('money', '1.5'), ('money', '"$92,233,720,368,547,758.07"'), ('money', '"-$92,233,720,368,547,758.08"'),
	('money', '"($1.00)"'),
	('text', '"plain"'), ('text', '""'), ('text', to_jsonb(E'tab\t line\n quote " back\\slash \u00e4 \U0001F6D2'::text)),
	('text', '"null"'), ('text', '1.50'), ('text', 'true'), ('text', '{"b": [1, null], "a": "x"}'), ('text', '[1, "2"]'),
	('text', to_jsonb(repeat('long ', 50000))),
	('varchar', '"a "'), ('varchar(5)', '"12345"'), ('varchar(3)', '"abc   "'),
	('char(5)', '"ab"'), ('char(5)', '"ab   "'), ('char', '""'), ('char(1)', '"ä"'),
	('"char"', '"x"'), ('"char"', '""'), ('"char"', '"xyz"'),
	('name', '"a_name"'), ('name', to_jsonb(repeat('n', 100))),
	('bytea', '"\\x00ff10"'), ('bytea', '"\\x"'), ('bytea', '"\\000abc"'), ('bytea', '"abc"'),
	('bit(3)', '"101"'), ('bit(1)', '1'), ('bit varying', '"1011"'), ('bit varying(5)', '""'), ('bit varying(5)', '"10110"'),
	('date', '"2024-02-29"'), ('date', '"infinity"'), ('date', '"-infinity"'), ('date', '"4713-01-01 BC"'),
	('date', '"5874897-12-31"'), ('date', '"July 4, 1996"'),
	('time', '"23:59:59.999999"'), ('time', '"24:00:00"'), ('time(2)', '"10:00:00.555"'), ('time', '"4:05 PM"'),
	('timetz', '"23:59:59.999999+15:59"'), ('timetz', '"00:00:00-15:59:59"'), ('timetz(0)', '"10:00:00.5+01"'),
	('timestamp', '"2024-02-29 12:34:56.789012"'), ('timestamp', '"infinity"'), ('timestamp', '"-infinity"'),
	('timestamp', '"4713-11-24 00:00:00 BC"'), ('timestamp', '"294276-12-31 23:59:59.999999"'),
	('timestamp(3)', '"2024-01-01T00:00:00.9999"'),
	('timestamptz', '"2024-07-01 12:00:00+05:30"'), ('timestamptz', '"2024-01-01T00:00:00Z"'), ('timestamptz', '"infinity"'),
	('timestamptz', '"1800-01-01 00:00:00+00"'), ('timestamptz', '"0044-03-15 12:00:00+00 BC"'),
	('timestamptz', '"2024-10-27 02:30:00+01"'), ('timestamptz', '"2024-10-27 02:30:00+02"'),
	('timestamptz(0)', '"2024-01-01 00:00:00.5+00"'),
	('interval', '"1 year 2 mons -3 days 04:05:06.7"'), ('interval', '"24:00:00"'), ('interval', '"1 day"'),
	('interval', '"-178000000 years"'), ('interval', '"P1Y2M3DT4H5M6.7S"'), ('interval day to second(2)', '"1 day 00:00:01.239"'),
	('uuid', '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"'), ('uuid', '"{A0EEBC999C0B4EF8BB6D6BB9BD380A11}"'),
	('inet', '"192.168.0.1"'), ('inet', '"192.168.0.1/24"'), ('inet', '"::ffff:1.2.3.4/128"'), ('inet', '"2001:db8::1/64"'),
	('cidr', '"192.168.0.0/24"'), ('cidr', '"10"'), ('cidr', '"2001:db8::/32"'),
	('macaddr', '"08:00:2b:01:02:03"'), ('macaddr8', '"08:00:2b:01:02:03:04:05"'),
	('point', '"(1.5,-2)"'), ('point', '"(NaN,Infinity)"'), ('line', '"{1,2,3}"'), ('lseg', '"[(1,2),(3,4)]"'),
	('box', '"(3,4),(1,2)"'), ('box', '"(1,2),(3,4)"'), ('path', '"[(1,2),(3,4)]"'), ('path', '"((1,2),(3,4))"'),
	('polygon', '"((0,0),(1,1),(2,0))"'), ('circle', '"<(1,2),3>"'),
	('json', '{"b": [1, 2.50, {"c": null}], "a": "x"}'), ('json', '"text"'), ('json', '1.50'), ('json', '[]'), ('json', 'false'),
	('jsonb', '{"b": [1, 2.50, {"c": null}], "a": "x"}'), ('jsonb', '"text"'), ('jsonb', '1.50'), ('jsonb', '[]'),
	('jsonb', '{}'), ('jsonb', 'false'), ('jsonb', '"{\"a\": 1}"'),
	('jsonpath', '"$.a[*] ? (@ > 1)"'), ('jsonpath', '"strict $.\"x y\""'),
	('tsvector', '"''a'':1A ''b'':2,3B ''x y''"'), ('tsvector', '""'), ('tsquery', '"''a'' & !''b'':*A | ''c'' <2> ''d''"'),
	('pg_lsn', '"16/B374D848"'), ('pg_snapshot', '"10:20:10,14,15"'), ('txid_snapshot', '"10:20:10,14,15"'),
	('xid', '"4294967295"'), ('xid', '5'), ('xid8', '"18446744073709551615"'), ('cid', '7'), ('tid', '"(4294967295,65535)"'),
	('oid', '4294967295'), ('oid', '"1"'),
	('regclass', '"pg_class"'), ('regclass', '"4294967295"'), ('regclass', '"-"'), ('regtype', '"timestamp with time zone"'),
	('regproc', '"now"'), ('regprocedure', '"lower(text)"'), ('regoper', '"||/"'), ('regoperator', '"=(text,text)"'),
	('regrole', '"pg_monitor"'), ('regnamespace', '"pg_catalog"'), ('regcollation', '"\"C\""'), ('regconfig', '"english"'),
	('regdictionary', '"simple"'),
	('refcursor', '"cursor"'), ('aclitem', '"=r/pg_monitor"'),
	('int4range', '"[1,5)"'), ('int4range', '"(1,5]"'), ('int4range', '"empty"'), ('int4range', '"(,)"'),
	('int8range', '"[1,9223372036854775807)"'), ('numrange', '"[1.0,2.00]"'), ('numrange', '"(,Infinity]"'),
	('tsrange', '"[\"2024-01-01 00:00:00\",infinity)"'), ('tstzrange', '"[\"2024-01-01 00:00:00+00\",)"'),
	('daterange', '"[2024-01-01,2024-12-31]"'),
	('int4multirange', '"{[1,3),[5,9)}"'), ('int4multirange', '"{}"'), ('int8multirange', '"{[1,3),[2,9)}"'),
	('nummultirange', '"{[1.0,2.00]}"'), ('tsmultirange', '"{[\"2024-01-01 00:00:00\",\"2024-01-02 00:00:00\")}"'),
	('tstzmultirange', '"{(,\"2024-01-01 00:00:00+00\")}"'), ('datemultirange', '"{[2024-01-01,2024-01-03],[2024-02-01,)}"');

-- JSON has no negative zero.
INSERT INTO sample (type, value, back) VALUES
	('double precision', '"-0"', 'updated'), ('real', '"-0"', 'updated'),
	-- These two are arrays from 0, which are spelt like the usual ones from 1.
	('int2vector', '"1 2 3"', 'updated'), ('oidvector', '"1 2"', 'updated'),
	('int2vector', '[1, 2]', 'unchanged'), ('oidvector', '[1, 2]', 'unchanged');

-- xml is there if PostgreSQL was built with it.
DO $$
BEGIN
	PERFORM xmlparse(CONTENT '<a/>');
	INSERT INTO sample (type, value) VALUES
		('xml', '"<a b=\"c\">text &amp; more</a>"'), ('xml', '"content only"'), ('xml', '""');
EXCEPTION WHEN feature_not_supported THEN
	NULL;
END $$;

-- Each type's array: of all its samples, with a NULL; of two dimensions; an empty one.
INSERT INTO sample (type, value)
SELECT type || '[]', jsonb_agg(value ORDER BY id) || '[null]' FROM sample WHERE back = 'unchanged' GROUP BY type
UNION ALL
SELECT type || '[]', jsonb_build_array(jsonb_agg(value ORDER BY id), jsonb_agg(value ORDER BY id DESC))
  FROM sample WHERE back = 'unchanged' AND jsonb_typeof(value) NOT IN ('array', 'object') GROUP BY type
UNION ALL
SELECT DISTINCT type || '[]', '[]'::jsonb FROM sample;
-- json(b) takes a nested array as a value of its own, where arrays of other types take it as a dimension.
DELETE FROM sample WHERE type IN ('json[]', 'jsonb[]', 'int2vector[]', 'oidvector[]') AND value <> '[]';
INSERT INTO sample (type, value, back) VALUES
	('json[]', '[{"a": [1, 2]}, null, "x", 1.50]', 'unchanged'),
	('jsonb[]', '[{"a": [1, 2]}, null, "x", 1.50]', 'unchanged'),
	('text[]', '"{a,NULL,\"null\",\"\"}"', 'unchanged'),
	('integer[]', '[[[1, 2], [3, 4]], [[5, 6], [7, null]]]', 'unchanged'),
	-- JSON's arrays have no lower bound.
	('integer[]', '"[0:1]={1,2}"', 'updated'),
	('text[]', '"[-1:0][5:6]={{a,b},{c,d}}"', 'updated');

-- One column for each type
DO $$
BEGIN
	EXECUTE 'CREATE TABLE product (brand text, serial text, manufacturer text, '
		|| (SELECT string_agg(format('%I %s', type, type), ', ' ORDER BY id)
			  FROM (SELECT type, min(id) AS id FROM sample GROUP BY type) AS t) || ')';
	CREATE INDEX ON product (serial);
END $$;

-- The sample as it is stored and returned, and what each next call of it comes to
CREATE FUNCTION pg_temp.check_sample(sample) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	payload jsonb := jsonb_build_object('brand', 'b', 'serial', $1.id::text, 'manufacturer', NULL, $1.type, $1.value);
	title text := format('%s: %s', $1.type, left($1.value::text, 40));
	result jsonb := product_upsert('product', payload);
	stored product;
BEGIN
	SELECT * INTO stored FROM product WHERE serial = $1.id::text;
	RETURN NEXT ok(result ->> 'action' = 'created' AND stored *= jsonb_populate_record(NULL::product, payload),
		title || ' is stored as jsonb_populate_record() converts it');
	RETURN NEXT is((result -> 'product')::text, to_jsonb(stored)::text, title || ' is returned as to_jsonb() spells it');
	RETURN NEXT is(product_upsert('product', payload) ->> 'action', 'unchanged', title || ' comes again: unchanged');
	RETURN NEXT is(product_upsert('product', result -> 'product') ->> 'action', $1.back, title || ' is sent back: ' || $1.back);
END $$;

-- From one sample of the type to the next: previous has the old value, and nothing else.
CREATE FUNCTION pg_temp.check_change(type text, before jsonb, after jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	key jsonb := '{"brand": "change", "serial": "1", "manufacturer": ""}';
	first jsonb;
	result jsonb;
BEGIN
	DELETE FROM product WHERE brand = 'change';
	first := product_upsert('product', key || jsonb_build_object(type, before)) -> 'product';
	result := product_upsert('product', (first - 'int2vector' - 'oidvector') || jsonb_build_object(type, after));
	RETURN NEXT is((result - 'product')::text,
		jsonb_build_object('action', 'updated', 'previous', jsonb_build_object(type, first -> type))::text,
		format('%s: %s becomes %s', type, left(before::text, 30), left(after::text, 30)));
END $$;
CREATE TEMP VIEW change AS
SELECT type, value AS before, next AS after
  FROM (SELECT *, lead(value) OVER (PARTITION BY type ORDER BY id) AS next FROM sample WHERE back = 'unchanged') AS s
 WHERE next IS NOT NULL
	-- These are spelt in two ways, and are the same value.
   AND (type, value) NOT IN (('boolean', 'true'), ('uuid', '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"'), ('char(5)', '"ab"'),
	('box', '"(3,4),(1,2)"'))
UNION ALL
SELECT type, 'null', value FROM sample WHERE id IN (SELECT min(id) FROM sample GROUP BY type)
UNION ALL
SELECT type, value, 'null' FROM sample WHERE id IN (SELECT min(id) FROM sample GROUP BY type);

SELECT plan((1 + 4 * (SELECT count(*) FROM sample) + (SELECT count(*) FROM change) + 8)::int);

-- Not here: types that no one can make a value of.
SELECT is_empty($$
	SELECT t.oid::regtype FROM pg_type t
	 WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype IN ('b', 'r', 'm') AND t.typcategory <> 'A'
	   AND t.typname NOT IN ('gtsvector', 'pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list',
			'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary')
	   AND (t.typname <> 'xml' OR EXISTS (SELECT FROM sample WHERE type = 'xml'))
	   AND t.oid NOT IN (SELECT atttypid FROM pg_attribute WHERE attrelid = 'product'::regclass)
$$, 'every built-in type has a column');

-- Sorted first: a test is numbered as it is run.
SELECT t FROM (SELECT s FROM sample s ORDER BY id OFFSET 0) AS sorted, pg_temp.check_sample(s) AS t;
SELECT t FROM (SELECT * FROM change ORDER BY type, before, after OFFSET 0) AS sorted,
	pg_temp.check_change(type, before, after) AS t;

-- All of them in one payload
SELECT is(r ->> 'action', 'created', 'all columns at once')
  FROM (SELECT product_upsert('product',
	'{"brand": "all", "serial": "1", "manufacturer": "m"}' || jsonb_object_agg(type, value)) AS r
		  FROM sample WHERE id IN (SELECT max(id) FROM sample WHERE back = 'unchanged' GROUP BY type)) AS s;
SELECT is(product_upsert('product', to_jsonb(p)) ->> 'action', 'unchanged', 'all columns sent back')
  FROM product p WHERE brand = 'all';
SELECT is((product_upsert('product', '{"brand": "all", "serial": "1", "manufacturer": "m", "integer": 5}') - 'product')::text,
	'{"action": "updated", "previous": {"integer": 0}}', 'one of all columns');

-- What was not written as JSON may not be spelt back to the byte; the value is then as JSON has it.
INSERT INTO product (brand, serial, json, jsonb) VALUES ('spelt', '1', '{"a":1,  "a":2}', 'null');
SELECT is(product_upsert('product', to_jsonb(p)) -> 'previous' -> 'json', '{"a": 2}',
	'json keeps the text it was written with; sent back, it is as jsonb writes it')
  FROM product p WHERE brand = 'spelt';
SELECT is((SELECT json::text FROM product WHERE brand = 'spelt'), '{"a": 2}', 'and stored so');
SELECT ok((SELECT jsonb IS NULL FROM product WHERE brand = 'spelt'), 'a JSON null inside a jsonb column comes back as NULL');

-- NULL in every column
SELECT is(product_upsert('product',
	(SELECT '{"brand": "null", "serial": "1", "manufacturer": "m"}' || jsonb_object_agg(type, NULL) FROM sample))
	->> 'action', 'created', 'NULL in every column');
SELECT is(product_upsert('product',
	(SELECT '{"brand": "null", "serial": "1", "manufacturer": "m"}' || jsonb_object_agg(type, NULL) FROM sample))
	->> 'action', 'unchanged', 'and again');

SELECT * FROM finish();
ROLLBACK;
