-- Partitioned tables, which are written to directly, partition by partition: all is done with direct_store on and off,
-- and must come to the same. Here: where a row is looked for and where it goes, and the partitions' own ways.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_partitions;
SET search_path = pu_partitions, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/both_stores.sql

-- The key does not tell the partition: it is looked for in all of them. By list, with one for NULL, and a default one
CREATE TABLE by_region (brand text, serial text, manufacturer text, region text, price int) PARTITION BY LIST (region);
CREATE INDEX ON by_region (brand, serial, manufacturer);
CREATE TABLE region_eu PARTITION OF by_region FOR VALUES IN ('eu', 'uk');
CREATE TABLE region_null PARTITION OF by_region FOR VALUES IN (NULL, 'us');
\set table by_region
:which
SELECT writes('by_region', '{"region": "eu", "price": 1}', '{"price": 2}', '{"region": "uk", "price": 3}', '{"serial": "2"}',
	'{"serial": "2", "region": "us", "price": 4}', '{"region": "mars"}', '{"serial": "3", "region": "mars"}',
	'{"region": null, "price": 5}', '{"region": "uk"}', '{"serial": null, "manufacturer": null, "region": "eu"}',
	'{"serial": null, "manufacturer": null, "region": "uk", "price": 6}');
-- No partition takes the row: all fields of the error
SELECT product_upsert('by_region', '{"brand": "a", "serial": "9", "manufacturer": "m", "region": "mars", "price": 1}');
\echo :SQLSTATE
CREATE TABLE region_rest PARTITION OF by_region DEFAULT;
SELECT writes('by_region', '{"region": "mars", "price": 1}', '{"price": 2}', '{"region": "venus", "price": 3}',
	'{"region": "eu", "price": 4}', '{"region": "mars", "price": 5}', '{"region": "us"}');
-- The same key in two partitions
INSERT INTO by_region VALUES ('dup', '1', 'm', 'eu', 1), ('dup', '1', 'm', 'mars', 2);
SELECT product_upsert('by_region', '{"brand": "dup", "serial": "1", "manufacturer": "m", "price": 1}');
\echo :SQLSTATE
SET product_upsert.direct_store = off;
SELECT product_upsert('by_region', '{"brand": "dup", "serial": "1", "manufacturer": "m", "price": 1}');
SET product_upsert.direct_store = on;

-- The key has the partition column, and yet the same key may be in several: they are not those of equal values.
CREATE EXTENSION IF NOT EXISTS citext;
CREATE TABLE by_case (brand citext, serial text, manufacturer text, price int) PARTITION BY LIST (brand text_ops);
CREATE TABLE by_case_upper PARTITION OF by_case FOR VALUES IN ('A');
CREATE TABLE by_case_lower PARTITION OF by_case FOR VALUES IN ('a');
CREATE INDEX ON by_case (brand, serial, manufacturer);
SELECT writes('by_case', '{"brand": "A", "price": 1}', '{"brand": "a", "price": 2}', '{"brand": "A"}');
DROP TABLE by_case;
DROP EXTENSION citext;

-- The key tells the partition: by hash, where NULL is a value as any other
CREATE TABLE by_hash (brand text, serial text, manufacturer text, price int) PARTITION BY HASH (serial, brand);
CREATE INDEX ON by_hash (brand, serial, manufacturer);
CREATE TABLE hash_0 PARTITION OF by_hash FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE hash_1 PARTITION OF by_hash FOR VALUES WITH (MODULUS 3, REMAINDER 1);
\set table by_hash
SELECT four_writes('by_hash');
CREATE TABLE hash_2 PARTITION OF by_hash FOR VALUES WITH (MODULUS 6, REMAINDER 2);
CREATE TABLE hash_5 PARTITION OF by_hash FOR VALUES WITH (MODULUS 6, REMAINDER 5);
SELECT four_writes('by_hash');
:which
SELECT writes('by_hash', '{"serial": null}', '{"serial": "2"}', '{"serial": "3"}', '{"serial": "4"}', '{"serial": null, "price": 1}',
	'{"brand": null, "serial": null}', '{"brand": null, "serial": null, "price": 2}', '{"serial": "4", "price": 3}');
-- by ranges of two columns, where only the default partition takes a NULL
CREATE TABLE by_range (brand text, serial text, manufacturer text, price int) PARTITION BY RANGE (brand, serial);
CREATE INDEX ON by_range (brand, serial, manufacturer);
CREATE TABLE range_low PARTITION OF by_range FOR VALUES FROM (MINVALUE, MINVALUE) TO ('b', '5');
CREATE TABLE range_high PARTITION OF by_range FOR VALUES FROM ('b', '5') TO ('d', MAXVALUE);
SELECT writes('by_range', '{}', '{"price": 1}', '{"brand": "b", "serial": "49"}', '{"brand": "b", "serial": "5"}',
	'{"brand": "d", "serial": "zz"}', '{"brand": "e"}', '{"serial": null}', '{"brand": null}');
CREATE TABLE range_rest PARTITION OF by_range DEFAULT;
SELECT writes('by_range', '{"brand": "e"}', '{"brand": "e", "price": 1}', '{"serial": null}', '{"serial": null, "price": 2}',
	'{"brand": null}', '{"brand": null, "price": 3}', '{"brand": "d", "serial": "zz"}');
-- An array
SELECT writes('by_range', '[{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1},
	{"brand": "e", "serial": "1", "manufacturer": "m", "price": 2}, {"brand": "a", "serial": "1", "manufacturer": "m", "price": 3},
	{"brand": "b", "serial": "7", "manufacturer": "m", "price": 4}, {"brand": "e", "serial": "1", "manufacturer": "m", "price": 5}]');

-- By an expression: new rows go by statements, and what is found is updated directly.
CREATE TABLE by_expression (brand text, serial text, manufacturer text, price int) PARTITION BY LIST (lower(brand));
CREATE INDEX ON by_expression (brand, serial, manufacturer);
CREATE TABLE expression_a PARTITION OF by_expression FOR VALUES IN ('a');
CREATE TABLE expression_rest PARTITION OF by_expression DEFAULT;
\set table by_expression
:which
SELECT writes('by_expression', '{"price": 1}', '{"brand": "A"}', '{"price": 2}', '{"brand": "A", "price": 3}', '{"brand": "b"}');

-- Partitions below partitions, of mixed kinds: the key tells the first level and the third, not the second
CREATE TABLE deep (brand text, serial text, manufacturer text, region text, price int) PARTITION BY HASH (brand);
CREATE TABLE deep_0 PARTITION OF deep FOR VALUES WITH (MODULUS 2, REMAINDER 0) PARTITION BY LIST (region);
CREATE TABLE deep_1 (price int, gone int, region text, brand text, serial text, manufacturer text) PARTITION BY LIST (region);
ALTER TABLE deep_1 DROP gone;
ALTER TABLE deep ATTACH PARTITION deep_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE deep_0_eu PARTITION OF deep_0 FOR VALUES IN ('eu') PARTITION BY RANGE (serial);
CREATE TABLE deep_0_rest PARTITION OF deep_0 DEFAULT;
CREATE TABLE deep_1_eu (manufacturer text, serial text, brand text, region text, price int) PARTITION BY RANGE (serial);
ALTER TABLE deep_1 ATTACH PARTITION deep_1_eu FOR VALUES IN ('eu');
CREATE TABLE deep_1_us PARTITION OF deep_1 FOR VALUES IN ('us');
CREATE TABLE deep_0_eu_1 PARTITION OF deep_0_eu FOR VALUES FROM (MINVALUE) TO ('5');
CREATE TABLE deep_0_eu_5 PARTITION OF deep_0_eu FOR VALUES FROM ('5') TO (MAXVALUE);
CREATE TABLE deep_1_eu_1 PARTITION OF deep_1_eu FOR VALUES FROM (MINVALUE) TO ('5');
CREATE TABLE deep_1_eu_rest (region text, price int, serial text, manufacturer text, brand text);
ALTER TABLE deep_1_eu ATTACH PARTITION deep_1_eu_rest DEFAULT;
CREATE INDEX ON deep (brand, serial, manufacturer);
\set table deep
SELECT product_upsert('deep', '{"brand": "c", "serial": "1", "manufacturer": "m", "region": "eu", "price": 3}') ->> 'action';
:which
SELECT writes('deep', '{"region": "eu"}', '{"price": 1}', '{"region": "us", "price": 2}', '{"region": "eu", "price": 3}',
	'{"brand": "b", "region": "eu"}', '{"brand": "b", "price": 1}', '{"brand": "b", "region": "us", "price": 2}', '{"brand": "b", "region": "eu"}',
	'{"brand": "c", "region": "eu"}', '{"brand": "c", "region": "us", "price": 2}', '{"brand": "c", "region": "eu"}',
	'{"serial": "6", "region": "eu"}', '{"serial": "6", "price": 1}', '{"brand": "b", "serial": "6", "region": "eu"}',
	'{"brand": "b", "serial": "6", "price": 1}', '{"brand": "b", "serial": "6", "region": "us"}',
	'{"serial": null, "region": "eu"}', '{"brand": "b", "serial": null, "region": "eu"}', '{"brand": "b", "region": "asia"}');

-- The key and the partitions have each an idea of its own of what is equal: then a key may be in any of them.
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE spelled (brand text COLLATE ignore_case, serial text, manufacturer text, price int) PARTITION BY LIST (brand COLLATE "C");
CREATE INDEX ON spelled (brand, serial, manufacturer);
CREATE TABLE spelled_lower PARTITION OF spelled FOR VALUES IN ('a');
CREATE TABLE spelled_upper PARTITION OF spelled FOR VALUES IN ('A');
\set table spelled
SELECT writes('spelled', '{"price": 1}', '{"brand": "A", "price": 2}', '{"brand": "A", "serial": "2", "price": 3}', '{"serial": "2", "price": 4}');
-- and where they share it, it may not.
CREATE TABLE same_spelling (brand text COLLATE ignore_case, serial text, manufacturer text, price int) PARTITION BY LIST (brand);
CREATE INDEX ON same_spelling (brand, serial, manufacturer);
CREATE TABLE same_spelling_a PARTITION OF same_spelling FOR VALUES IN ('A');
CREATE TABLE same_spelling_b PARTITION OF same_spelling FOR VALUES IN ('b');
SELECT writes('same_spelling', '{"price": 1}', '{"brand": "A", "price": 2}', '{"brand": "B", "price": 3}', '{"brand": "b", "price": 4}');
-- Likewise by an operator class of another family: text_pattern_ops has the equality of bytes.
CREATE TABLE by_pattern (brand text COLLATE ignore_case, serial text, manufacturer text, price int)
	PARTITION BY RANGE (brand COLLATE "C" text_pattern_ops);
CREATE INDEX ON by_pattern (brand, serial, manufacturer);
CREATE TABLE pattern_upper PARTITION OF by_pattern FOR VALUES FROM (MINVALUE) TO ('a');
CREATE TABLE pattern_lower PARTITION OF by_pattern FOR VALUES FROM ('a') TO (MAXVALUE);
SELECT writes('by_pattern', '{"brand": "A", "price": 1}', '{"price": 2}', '{"serial": "2"}', '{"brand": "A", "serial": "2", "price": 3}');
-- Numbers that are equal, but look different
CREATE TABLE numbers (brand numeric, serial float8, manufacturer text, price int) PARTITION BY HASH (brand, serial);
CREATE INDEX ON numbers (brand, serial, manufacturer);
CREATE TABLE numbers_0 PARTITION OF numbers FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE numbers_1 PARTITION OF numbers FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT writes('numbers', '{"brand": 1.0, "serial": 0}', '{"brand": 1.000, "serial": -0.0, "price": 1}', '{"brand": 2, "serial": "NaN"}',
	'{"brand": 2.0, "serial": "NaN", "price": 2}', '{"brand": "NaN", "serial": 1}', '{"brand": "NaN", "serial": 1, "price": 3}');

-- What a partition has of its own: defaults and identity do not count, NOT NULL and CHECK do; errors are in the
-- columns of the root.
CREATE TABLE own (id int GENERATED BY DEFAULT AS IDENTITY, brand text, serial text, manufacturer text, price int DEFAULT 7, note text,
	twice int GENERATED ALWAYS AS (price * 2) STORED) PARTITION BY LIST (brand);
CREATE TABLE own_a (twice int GENERATED ALWAYS AS (price * 2) STORED, note text DEFAULT 'never', price int DEFAULT 1, gone int,
	manufacturer text, serial text, brand text, id int NOT NULL);
ALTER TABLE own_a DROP gone, ADD CONSTRAINT cheap CHECK (price < 50), ALTER manufacturer SET NOT NULL;
CREATE TABLE own_b PARTITION OF own FOR VALUES IN ('b');
ALTER TABLE own ATTACH PARTITION own_a FOR VALUES IN ('a');
ALTER TABLE own_b ALTER price SET DEFAULT 2, ADD CHECK (note <> 'no');
CREATE INDEX ON own (brand, serial, manufacturer);
SELECT writes('own', '{}', '{"serial": "2"}', '{"price": 50}', '{"price": 49}', '{"serial": "3", "price": 51, "note": "x"}', '{"manufacturer": null}',
	'{"brand": "b"}', '{"brand": "b", "note": "no"}', '{"brand": "b", "serial": "2", "note": "no"}', '{"brand": "b", "note": "yes", "price": 60}',
	'{"brand": "b", "id": null}', '{"brand": "a", "twice": 98}', '{"brand": "a", "twice": 1}');
-- A column that the partition alone generates, as PostgreSQL 15 allows: it depends on what each row names.
SELECT current_setting('server_version_num')::int < 160000 AS allowed \gset
CREATE TABLE sums (brand text, serial text, manufacturer text, price int, other int, note text, total int) PARTITION BY LIST (brand);
CREATE TABLE sums_a (brand text, serial text, manufacturer text, price int, other int, note text,
	total int GENERATED ALWAYS AS (price + other) STORED);
CREATE TABLE sums_like (LIKE sums);
ALTER TABLE sums_like ALTER total SET DEFAULT 0;
\if :allowed
ALTER TABLE sums ATTACH PARTITION sums_a FOR VALUES IN ('a');
\else
ALTER TABLE sums ATTACH PARTITION sums_like FOR VALUES IN ('a');
\endif
CREATE INDEX ON sums (brand, serial, manufacturer);
INSERT INTO sums (brand, serial, manufacturer, price, other) VALUES ('a', '1', 'm', 1, 1);
SELECT product_upsert('sums', '[{"brand": "a", "serial": "1", "manufacturer": "m", "note": "n"},
	{"brand": "a", "serial": "1", "manufacturer": "m", "price": 4}, {"brand": "a", "serial": "1", "manufacturer": "m", "other": 5}]') ->> 'x';
SELECT total IS NOT DISTINCT FROM CASE WHEN :'allowed' THEN 9 END FROM sums;
-- A partition whose column order is that of the root, but for a column that both have dropped
CREATE TABLE dropped (brand text, gone int, serial text, manufacturer text, price int) PARTITION BY LIST (brand);
CREATE TABLE dropped_a PARTITION OF dropped FOR VALUES IN ('a');
ALTER TABLE dropped DROP gone, ADD extra text DEFAULT 'x';
CREATE TABLE dropped_b PARTITION OF dropped FOR VALUES IN ('b');
CREATE INDEX ON dropped (brand, serial, manufacturer);
SELECT writes('dropped', '{"price": 1}', '{"price": 2}', '{"brand": "b", "price": 1}', '{"brand": "b", "extra": "y"}');
-- A value that a row has since before its column was added is found, carried on and moved.
CREATE TABLE grown (brand text, serial text, manufacturer text, price int) PARTITION BY LIST (price);
CREATE TABLE grown_1 PARTITION OF grown FOR VALUES IN (1);
CREATE TABLE grown_2 (price int, manufacturer text, serial text, brand text);
ALTER TABLE grown ATTACH PARTITION grown_2 FOR VALUES IN (2);
CREATE INDEX ON grown (brand, serial, manufacturer);
INSERT INTO grown VALUES ('a', '1', 'm', 1), ('a', '2', 'm', 2), ('a', '3', 'm', 1);
ALTER TABLE grown ADD note text DEFAULT 'before', ADD other int;
SELECT product_upsert('grown', '[{"brand": "a", "serial": "1", "manufacturer": "m", "other": 1},
	{"brand": "a", "serial": "2", "manufacturer": "m", "other": 2}, {"brand": "a", "serial": "3", "manufacturer": "m", "price": 2}]') -> -1;
SELECT tableoid::regclass, * FROM grown ORDER BY serial;
-- Long values, stored out of line, stay where they are, and move with their row.
SELECT regexp_replace(w, '[0-9a-f]{99,}', 'long') FROM writes('grown',
	jsonb_build_object('price', 1, 'note', (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 300) n)),
	'{"other": 1}', '{"price": 2}', '{"other": 2}') AS w;
SELECT tableoid::regclass, length(note), other FROM grown;

-- What speaks against a partition, the call that meets it finds out, and the next one knows. It serves again as soon
-- as that has changed.
CREATE TABLE mixed (brand text, serial text, manufacturer text, price int, id int GENERATED ALWAYS AS IDENTITY) PARTITION BY LIST (brand);
CREATE TABLE mixed_a PARTITION OF mixed FOR VALUES IN ('a');
CREATE TABLE mixed_b PARTITION OF mixed FOR VALUES IN ('b', 'c');
CREATE INDEX ON mixed_a (brand, serial, manufacturer);
\set table mixed
:which
SELECT writes('mixed', '{"brand": "b"}', '{}', '{"brand": "b", "price": 1}', '{"price": 2}');
:which
CREATE INDEX mixed_key ON mixed_b (price, brand, serial, manufacturer);
SELECT writes('mixed', '{"brand": "b"}');
:which
DROP INDEX mixed_key;
CREATE INDEX mixed_key ON mixed_b (brand, serial, manufacturer) WHERE price > 0;
SELECT writes('mixed', '{"brand": "b"}');
:which
DROP INDEX mixed_key;
CREATE INDEX mixed_key ON mixed_b USING hash (brand);
SELECT writes('mixed', '{"brand": "b"}');
:which
CREATE INDEX ON mixed_b (manufacturer, serial, brand, price);
SELECT writes('mixed', '{"brand": "b"}', '{"brand": "b", "price": 1}');
:which
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE mixed_d PARTITION OF mixed FOR VALUES IN ('d') SERVER nowhere;
SELECT product_upsert('mixed', '{"brand": "d", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
:which
DROP FOREIGN TABLE mixed_d;
:which
CREATE ACCESS METHOD as_heap TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE mixed_d PARTITION OF mixed FOR VALUES IN ('d') USING as_heap;
CREATE INDEX ON mixed_d (brand, serial, manufacturer);
SELECT writes('mixed', '{"brand": "d"}', '{"brand": "d", "price": 1}');
SELECT product_upsert('mixed', '{"brand": "d", "serial": "1", "manufacturer": "m"}') ->> 'action';
:which
DROP TABLE mixed_d;
DROP ACCESS METHOD as_heap;
DROP FOREIGN DATA WRAPPER nowhere CASCADE;
-- Defaults are evaluated once, whatever partition takes the row.
CREATE TABLE counted (brand text, serial text, manufacturer text, price int, id int GENERATED ALWAYS AS IDENTITY) PARTITION BY LIST (price);
CREATE TABLE counted_1 PARTITION OF counted FOR VALUES IN (1);
CREATE TABLE counted_2 PARTITION OF counted FOR VALUES IN (2);
CREATE INDEX ON counted_1 (brand, serial, manufacturer);
SET client_min_messages = error;
SELECT product_upsert('counted', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 2}') -> 'product' -> 'id';
SELECT product_upsert('counted', '{"brand": "a", "serial": "2", "manufacturer": "m", "price": 1}') -> 'product' -> 'id';
SET client_min_messages = warning;

-- Many partitions
CREATE TABLE many (brand text, serial text, manufacturer text, price int) PARTITION BY LIST (price);
DO $$ BEGIN FOR i IN 0..199 LOOP EXECUTE format('CREATE TABLE many_%s PARTITION OF many FOR VALUES IN (%s)', i, i); END LOOP; END $$;
CREATE INDEX ON many (brand, serial, manufacturer);
SELECT r ->> 'action', count(*) FROM jsonb_array_elements(product_upsert('many',
	(SELECT jsonb_agg(jsonb_build_object('brand', 'a', 'serial', n, 'manufacturer', 'm', 'price', n % 200)) FROM generate_series(1, 250) n))) AS r
 GROUP BY 1 ORDER BY 1;
SELECT r ->> 'action', count(*) FROM jsonb_array_elements(product_upsert('many',
	(SELECT jsonb_agg(jsonb_build_object('brand', 'a', 'serial', n, 'manufacturer', 'm', 'price', (n + 1) % 200)) FROM generate_series(1, 30) n))) AS r
 GROUP BY 1;
SELECT count(*), count(DISTINCT serial), count(DISTINCT tableoid), count(*) FILTER (WHERE price = (serial::int + 1) % 200) FROM many;
\set table many
:which

DROP SCHEMA pu_partitions CASCADE;
