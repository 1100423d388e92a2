-- Values that count only if the row is created.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_on_create;
SET search_path = pu_on_create, public;
\pset format unaligned
\pset tuples_only on
\i sql/include/helpers.sql

CREATE TABLE product (
	brand text,
	serial text,
	manufacturer text,
	price numeric CHECK (price > 0),
	stock int DEFAULT 7,
	source text,
	tags text[],
	twice int GENERATED ALWAYS AS (stock * 2) STORED
);
CREATE INDEX ON product (brand, serial, manufacturer);

-- They go before the payload's and the defaults when the row is created, and do not count when it is there.
SELECT product_upsert('product', item('1', 5), on_create => '{"price": 1, "source": "api", "tags": ["new", null]}');
SELECT product_upsert('product', item('1', 5), on_create => '{"price": 2, "source": "other"}');
SELECT product_upsert('product', item('1', 5), on_create => '{"price": 2, "source": "other"}') ->> 'action';
-- The key alone gets the row, or creates it. A null is a value, unlike a field that is not there.
SELECT product_upsert('product', item('2', 0) - 'price', on_create => '{"stock": null, "source": "key"}');
SELECT product_upsert('product', item('2', 0) - 'price', on_create => '{"stock": 3, "source": "later"}');
-- None, and nothing in it
SELECT product_upsert('product', item('3', 1), on_create => NULL) ->> 'action';
SELECT product_upsert('product', item('4', 1), on_create => '{}') ->> 'action';

-- Each element that is created; a key that comes again finds what was created.
SELECT r - 'product', r -> 'product' ->> 'price', r -> 'product' ->> 'source' FROM jsonb_array_elements(product_upsert('product',
	jsonb_build_array(item('1', 6), item('5', 6), item('5', 7), item('6', 8)), on_create => '{"price": 1, "source": "batch"}')) r;
SELECT product_upsert('product', '[]', on_create => '{"price": 1}');

-- With if_match there is nothing to create.
SELECT try($$ SELECT product_upsert('product', item('7', 1), '{}', '{"source": "never"}') $$);
SELECT product_upsert('product', item('6', 9), '{"price": 1}', '{"source": "never"}') -> 'previous';

-- A load
CREATE VIEW feed AS SELECT 'b' AS brand, n::text AS serial, 'm' AS manufacturer, 3 AS price FROM generate_series(6, 8) n;
SELECT * FROM product_upsert_from('feed', 'product', on_create => '{"price": 4, "source": "load"}');
CREATE VIEW payloads AS SELECT jsonb_agg(item(n::text, 3)) FROM generate_series(8, 10) n;
SELECT * FROM product_upsert_from('payloads', 'product', '{"price": 4, "source": "payloads"}');
SELECT serial, price, source FROM product WHERE serial::int > 4 ORDER BY serial::int;

-- What it must be: also if the row is there, and whatever is done with a payload's unknown fields
SET product_upsert.unknown_fields = ignore;
SELECT try(format('SELECT product_upsert(''product'', item(''1'', 5), on_create => %L)', o)),
	(SELECT array_agg(p) FROM place(format('SELECT product_upsert(''product'', item(''1'', 5), on_create => %L)', o)) p)
  FROM unnest(ARRAY['[]', 'null', '"price"', '{"serial": "1"}', '{"stokc": 1}', '{"stock": "few"}', '{"source": 1, "stock": {}}']) o;
SELECT try($$ SELECT product_upsert_from('feed', 'product', '{"manufacturer": "m"}') $$),
	(SELECT array_agg(p) FROM place($$ SELECT product_upsert_from('feed', 'product', '{"stock": "few"}') $$) p);
RESET product_upsert.unknown_fields;
-- What the table refuses
SELECT try(format('SELECT product_upsert(''product'', item(''x'', 5), on_create => %L)', o)),
	try(format('SELECT product_upsert(''product'', item(''1'', 5), on_create => %L) ->> ''action''', o))
  FROM unnest(ARRAY['{"price": 0}', '{"twice": 4}']) o;

-- It is converted once a call, not once a row.
CREATE SEQUENCE conversion;
CREATE DOMAIN counted AS int CHECK (VALUE + nextval('pu_on_create.conversion') > 0);
CREATE TABLE counting (brand text, serial text, manufacturer text, price int, n counted);
CREATE INDEX ON counting (brand, serial, manufacturer);
SELECT nextval('conversion');
SELECT jsonb_array_length(product_upsert('counting', (SELECT jsonb_agg(item(n::text, 1)) FROM generate_series(1, 5) n), on_create => '{"n": 1}'));
SELECT nextval('conversion');

-- A column that the key is generated from is part of the key.
CREATE TABLE generated (raw text, brand text GENERATED ALWAYS AS (lower(raw)) STORED, serial text, manufacturer text);
CREATE INDEX ON generated (brand, serial, manufacturer);
SELECT try($$ SELECT product_upsert('generated', '{"raw": "A", "serial": "1", "manufacturer": "m"}', on_create => '{"raw": "B"}') $$);

-- Its columns need INSERT, but not UPDATE, also if the row is there.
CREATE ROLE regress_pu_on_create;
GRANT USAGE ON SCHEMA pu_on_create TO regress_pu_on_create;
GRANT SELECT, INSERT (brand, serial, manufacturer, price, source), UPDATE (price) ON product TO regress_pu_on_create;
GRANT UPDATE, SELECT ON generated TO regress_pu_on_create;
SET ROLE regress_pu_on_create;
SELECT may($$ SELECT product_upsert('product', item('new', 1), on_create => '{"source": "s"}') ->> 'action' $$);
SELECT may($$ SELECT product_upsert('product', item('1', 1), on_create => '{"source": "s"}') ->> 'action' $$);
SELECT may($$ SELECT product_upsert('product', item('1', 1) || '{"source": "s"}') ->> 'action' $$);
SELECT may($$ SELECT product_upsert('product', item('1', 1), on_create => '{"stock": 1}') ->> 'action' $$);
RESET ROLE;
DROP OWNED BY regress_pu_on_create;
DROP ROLE regress_pu_on_create;

-- A partitioned table, where rows go by what is given on create
CREATE TABLE parted (LIKE product INCLUDING ALL) PARTITION BY LIST (source);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('a');
CREATE TABLE parted_b PARTITION OF parted FOR VALUES IN ('b');
SELECT product_upsert('parted', item('1', 5) || '{"source": "a"}', on_create => '{"source": "b"}') ->> 'action';
SELECT product_upsert('parted', item('1', 5), on_create => '{"source": "a"}') ->> 'action';
SELECT tableoid::regclass FROM parted;

DROP SCHEMA pu_on_create CASCADE;
