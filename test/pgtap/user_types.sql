-- Types that a database defines itself: composites, domains, enums, ranges, and each within the other. A value
-- goes in as jsonb_populate_record() would convert it, comes out as to_jsonb() spells it, and can be sent back.
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS product_upsert;

CREATE TYPE pg_temp.colour AS ENUM ('red', 'light green', 'quo"ted');
CREATE TYPE pg_temp.size AS (w numeric, h numeric);
CREATE TYPE pg_temp.box_of AS (label text, size pg_temp.size, sizes pg_temp.size[], colour pg_temp.colour, note json);
CREATE TYPE pg_temp.version AS RANGE (subtype = text, collation = "C");
CREATE DOMAIN pg_temp.positive AS int CHECK (value > 0);
CREATE DOMAIN pg_temp.required AS text NOT NULL;
CREATE DOMAIN pg_temp.tiny AS pg_temp.positive CHECK (value < 10);
CREATE DOMAIN pg_temp.ints AS int[] CHECK (cardinality(value) < 4);
CREATE DOMAIN pg_temp.square AS pg_temp.size CHECK ((value).w = (value).h);
CREATE DOMAIN pg_temp.warm AS pg_temp.colour CHECK (value = 'red');
CREATE DOMAIN pg_temp.price AS numeric(8, 2);
CREATE DOMAIN pg_temp.doc AS jsonb CHECK (value ? 'id');
CREATE DOMAIN pg_temp.early AS pg_temp.version CHECK (lower(value) = 'a');
CREATE TYPE pg_temp.domained AS (p pg_temp.positive, i pg_temp.ints, s pg_temp.square);

CREATE TABLE pg_temp.product (
	brand text, serial text, manufacturer text,
	colour pg_temp.colour, colours pg_temp.colour[],
	size pg_temp.size, sizes pg_temp.size[],
	box_of pg_temp.box_of, boxes pg_temp.box_of[],
	version pg_temp.version, versions pg_temp.version[],
	positive pg_temp.positive, positives pg_temp.positive[],
	required pg_temp.required DEFAULT 'default',
	tiny pg_temp.tiny, ints pg_temp.ints, square pg_temp.square, squares pg_temp.square[],
	warm pg_temp.warm, price pg_temp.price, prices pg_temp.price[], doc pg_temp.doc, early pg_temp.early,
	domained pg_temp.domained, domaineds pg_temp.domained[]
);
CREATE INDEX ON pg_temp.product (serial);
-- A row of another table is a composite too.
CREATE TABLE pg_temp.maker (name text, sizes pg_temp.size[]);
ALTER TABLE pg_temp.product ADD maker pg_temp.maker;

CREATE TEMP TABLE sample (id int GENERATED ALWAYS AS IDENTITY, field text, value jsonb);
INSERT INTO sample (field, value) VALUES
	('colour', '"red"'), ('colour', '"light green"'), ('colour', '"quo\"ted"'),
	('colours', '["red", null, "quo\"ted"]'), ('colours', '[["red"], ["light green"]]'), ('colours', '[]'),
	('size', '{"w": 1.50, "h": 2}'), ('size', '{"h": 2}'), ('size', '{}'), ('size', '{"w": null, "h": null}'),
	('size', '"(3,4)"'), ('size', '{"w": 1, "h": 2, "d": 3}'),
	('sizes', '[{"w": 1.50, "h": 2}, null, {"h": 3}]'), ('sizes', '[[{"w": 1}], [{"h": 2}]]'), ('sizes', '"{\"(1,2)\"}"'),
	('box_of', '{"label": "a, \"b\" (c)", "size": {"w": 1.0, "h": 2.00}, "sizes": [{"w": 1}, null],
		"colour": "red", "note": {"k": [1]}}'),
	('box_of', '{"label": null, "size": null, "sizes": []}'), ('box_of', '{"size": {}}'),
	('boxes', '[{"label": "a", "size": {"w": 1.0}}, {"sizes": [{"w": 1}]}, null]'),
	('version', '"[a,b)"'), ('version', '"(,\"x y\"]"'), ('version', '"empty"'),
	('versions', '["[a,b)", null]'),
	('positive', '1'), ('positive', '"2"'), ('positives', '[1, 2, null]'),
	('required', '"x"'), ('required', '""'),
	('tiny', '9'), ('ints', '[1, 2, 3]'), ('ints', '[]'),
	('square', '{"w": 2, "h": 2}'), ('squares', '[{"w": 2.0, "h": 2}]'), ('squares', '[null]'),
	('warm', '"red"'), ('price', '1.5'), ('price', '1.555'), ('prices', '[1, 2.555]'),
	('doc', '{"id": 1.0, "x": null}'), ('early', '"[a,b)"'),
	('domained', '{"p": 1, "i": [1], "s": {"w": 1, "h": 1}}'), ('domained', '{"p": 5}'),
	('domaineds', '[{"p": 1}, {"i": [null]}]'),
	('maker', '{"name": "m", "sizes": [{"w": 1}]}'),
	-- Text within a composite that is long enough to be stored elsewhere, or compressed
	('box_of', jsonb_build_object('label', repeat('long ', 20000))),
	('sizes', (SELECT jsonb_agg(jsonb_build_object('w', i, 'h', i * 1.5)) FROM generate_series(1, 5000) AS i));

CREATE FUNCTION pg_temp.check_sample(sample) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	payload jsonb := jsonb_build_object('brand', 'b', 'serial', $1.id::text, 'manufacturer', NULL, 'required', 'r',
		$1.field, $1.value);
	title text := format('%s: %s', $1.field, left($1.value::text, 40));
	result jsonb := product_upsert('product', payload);
	stored product;
BEGIN
	SELECT * INTO stored FROM product WHERE serial = $1.id::text;
	RETURN NEXT ok(result ->> 'action' = 'created' AND stored *= jsonb_populate_record(NULL::product, payload),
		title || ' is stored as jsonb_populate_record() converts it');
	RETURN NEXT is((result -> 'product')::text, to_jsonb(stored)::text, title || ' is returned as to_jsonb() spells it');
	RETURN NEXT is(product_upsert('product', payload) ->> 'action', 'unchanged', title || ' comes again: unchanged');
	RETURN NEXT is(product_upsert('product', result -> 'product') ->> 'action', 'unchanged', title || ' is sent back: unchanged');
	UPDATE product SET manufacturer = 'other' WHERE serial = $1.id::text;
	INSERT INTO product SELECT (jsonb_populate_record(stored, '{"manufacturer": null}')).*;
	RETURN NEXT is(product_upsert('product', to_jsonb(stored)) ->> 'action', 'unchanged',
		title || ' is the same if SQL has written it');
END $$;

-- fails(field, value, code): the value is refused with that SQLSTATE, and nothing is created.
CREATE FUNCTION pg_temp.fails(field text, value jsonb, code char(5)) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN NEXT throws_ok(
		format('SELECT product_upsert(%L, %L)', 'product',
			jsonb_build_object('brand', 'fails', 'serial', field, 'manufacturer', '', field, value)),
		code, NULL, format('%s: %s is refused with %s', field, value, code));
END $$;

SELECT plan((5 * (SELECT count(*) FROM sample) + 27)::int);

SELECT t FROM (SELECT s FROM sample s ORDER BY id OFFSET 0) AS sorted, pg_temp.check_sample(s) AS t;

SELECT pg_temp.fails('colour', '"green"', '22P02');
SELECT pg_temp.fails('colours', '["green"]', '22P02');
SELECT pg_temp.fails('size', '[1, 2]', '22023');
SELECT pg_temp.fails('size', '{"w": "wide"}', '22P02');
SELECT pg_temp.fails('sizes', '{"w": 1}', '22P02');
SELECT pg_temp.fails('box_of', '{"sizes": [{"w": "wide"}]}', '22P02');
SELECT pg_temp.fails('version', '"[b,a]"', '22000');
SELECT pg_temp.fails('positive', '0', '23514');
SELECT pg_temp.fails('positives', '[1, 0]', '23514');
SELECT pg_temp.fails('required', 'null', '23502');
SELECT pg_temp.fails('tiny', '10', '23514');
SELECT pg_temp.fails('tiny', '0', '23514');
SELECT pg_temp.fails('ints', '[1, 2, 3, 4]', '23514');
SELECT pg_temp.fails('square', '{"w": 1, "h": 2}', '23514');
SELECT pg_temp.fails('warm', '"light green"', '23514');
SELECT pg_temp.fails('price', '1234567', '22003');
SELECT pg_temp.fails('doc', '{}', '23514');
SELECT pg_temp.fails('early', '"[b,c)"', '23514');
SELECT pg_temp.fails('domained', '{"p": 0}', '23514');
SELECT is_empty($$SELECT FROM product WHERE brand = 'fails'$$, 'nothing came of those');

-- A domain that takes no NULL does not stand in the way of a payload that leaves it out.
SELECT is(product_upsert('product', '{"brand": "d", "serial": "d", "manufacturer": "", "tiny": 1}') #>> '{product,required}',
	'default', 'a field left out takes the default, whatever its domain');
SELECT is(product_upsert('product', '{"brand": "d", "serial": "d", "manufacturer": "", "tiny": 2}') - 'product',
	'{"action": "updated", "previous": {"tiny": 1}}', 'and keeps its value');

-- previous, within composites: the old value of the whole column
SELECT is(product_upsert('product',
	'{"brand": "c", "serial": "c", "manufacturer": "", "box_of": {"label": "x", "size": {"w": 1.0}}}') ->> 'action',
	'created', 'a row with a composite');
SELECT is((product_upsert('product',
	'{"brand": "c", "serial": "c", "manufacturer": "", "box_of": {"label": "x", "size": {"w": 1.00}}}') -> 'previous')::text,
	'{"box_of": {"note": null, "size": {"h": null, "w": 1.0}, "label": "x", "sizes": null, "colour": null}}',
	'the scale of a number inside it is a change');
SELECT is(product_upsert('product',
	'{"brand": "c", "serial": "c", "manufacturer": "", "box_of": {"label": "y"}}') #> '{product,box_of,size}', 'null',
	'a composite is replaced as a whole: what is left out of it is NULL');
-- A row of NULLs is not NULL.
SELECT is(product_upsert('product', '{"brand": "c", "serial": "c", "manufacturer": "", "size": {}}') -> 'previous',
	'{"size": null}', 'from NULL to a row of NULLs is a change');
SELECT is((product_upsert('product', '{"brand": "c", "serial": "c", "manufacturer": "", "size": null}') -> 'previous')::text,
	'{"size": {"h": null, "w": null}}', 'and back');

SELECT * FROM finish();
ROLLBACK;
