-- An index on the hash of the key: what product_upsert_hash() returns, and that the index is used as one on the key's
-- columns would be, also for keys that have the same hash.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_key_hash;
SET search_path = pu_key_hash, public;
\pset format unaligned
\pset tuples_only on
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

-- Indexes store these values: they must never change. (They are those of little-endian machines.)
SELECT product_upsert_hash('b'::text, '1'::text, 'm'::text), product_upsert_hash(NULL::text),
	product_upsert_hash(1, 'x'::text, NULL::date);
-- Each value counts at its place, and NULL is no other value.
SELECT count(DISTINCT hash) FROM (VALUES
	(product_upsert_hash('ab'::text, 'c'::text)), (product_upsert_hash('a'::text, 'bc'::text)),
	(product_upsert_hash('c'::text, 'ab'::text)),
	(product_upsert_hash('ab'::text, NULL::text)), (product_upsert_hash(NULL::text, 'ab'::text)),
	(product_upsert_hash('ab'::text, ''::text)),
	(product_upsert_hash('ab'::text)), (product_upsert_hash(NULL::text, NULL::text))) AS v (hash);
-- What is equal has the same hash.
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE DOMAIN code AS char(5);
SELECT product_upsert_hash(1.0) = product_upsert_hash(1.00), product_upsert_hash('a'::char(5)) = product_upsert_hash('a'::code),
	product_upsert_hash('A'::text COLLATE ignore_case) = product_upsert_hash('a'::text COLLATE ignore_case),
	product_upsert_hash('A'::text) = product_upsert_hash('a'::text),
	product_upsert_hash(1.0, 'a'::text) = product_upsert_hash(1.0, 'A'::text COLLATE ignore_case);
-- Each argument has its own collation, and each call its own types.
CREATE TABLE collated (a text COLLATE "C", b text COLLATE ignore_case);
INSERT INTO collated VALUES ('A', 'A'), ('A', 'a'), ('a', 'A');
SELECT a, count(DISTINCT product_upsert_hash(a, b)), count(DISTINCT product_upsert_hash(b, a))
  FROM collated GROUP BY a ORDER BY a;
SELECT count(DISTINCT product_upsert_hash(a, b)), count(DISTINCT product_upsert_hash(b, a)) FROM collated;
DROP TABLE collated;
SELECT try($$ SELECT product_upsert_hash(point(1, 1)) $$);
SELECT try($$ SELECT product_upsert_hash('untyped') $$);
SELECT try($$ SELECT product_upsert_hash(VARIADIC ARRAY[1, 2]) $$);
SELECT try($$ SELECT product_upsert_hash() $$);
-- An operator does not tell it what it is applied to.
CREATE OPERATOR @# (RIGHTARG = "any", FUNCTION = product_upsert_hash);
SELECT try($$ SELECT @# n FROM generate_series(1, 1) AS n $$);
DROP OPERATOR @# (NONE, "any");

-- It finds rows, whatever kind of table that is, and whoever looks: no table is read from end to end.
-- unnamed(serial, price): a payload whose key has a NULL.
CREATE FUNCTION unnamed(serial text, price int) RETURNS jsonb LANGUAGE sql RETURN
	jsonb_build_object('brand', 'b', 'serial', serial, 'manufacturer', NULL, 'price', price);
CREATE TABLE plain (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, brand text, serial text, manufacturer text, price int);
CREATE TABLE parted (id int GENERATED ALWAYS AS IDENTITY, brand text, serial text, manufacturer text, price int)
	PARTITION BY HASH (id);
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
-- Its columns are elsewhere.
CREATE TABLE parted_1 (price int, gone int, manufacturer text, serial text, id int NOT NULL, brand text);
ALTER TABLE parted_1 DROP COLUMN gone;
ALTER TABLE parted ATTACH PARTITION parted_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE PROCEDURE go(target regclass) LANGUAGE plpgsql AS $$
DECLARE
	scans CONSTANT text := 'SELECT sum(pg_stat_get_xact_numscans(t)) '
		'FROM (SELECT $1 UNION SELECT relid FROM pg_partition_tree($1)) AS u (t)';
	before bigint;
	after bigint;
	result text;
BEGIN
	EXECUTE format('INSERT INTO %s (brand, serial, price) SELECT %L, n, n FROM generate_series(1, 1000) AS n', target, 'b');
	COMMIT;
	EXECUTE scans INTO before USING target;
	result := concat_ws(' ', result, product_upsert(target, unnamed('500', 0)) -> 'previous');
	result := concat_ws(' ', result, product_upsert(target, unnamed('500', 0)) ->> 'action');
	result := concat_ws(' ', result, product_upsert(target, unnamed('new', 0)) ->> 'action');
	EXECUTE format('INSERT INTO %s (brand, serial) VALUES (%L, %L)', target, 'b', 'newer');
	result := concat_ws(' ', result, try(format('INSERT INTO %s (brand, serial) VALUES (%L, %L)', target, 'b', 'new')));
	EXECUTE scans INTO after USING target;
	RAISE INFO '%: % with % scans', target, result, after - before;
END $$;
SELECT product_upsert_protect('plain'), product_upsert_protect('parted');
CALL go('plain');
CALL go('parted');
SET product_upsert.direct_store = off;
TRUNCATE plain;
CALL go('plain');
RESET product_upsert.direct_store;
-- As does a merge: one scan finds the duplicates.
ALTER TABLE plain DISABLE TRIGGER ALL;
INSERT INTO plain (brand, serial) SELECT 'b', n FROM generate_series(1, 3) AS n;
ALTER TABLE plain ENABLE TRIGGER ALL;
ANALYZE plain;
BEGIN;
SELECT pg_stat_get_xact_numscans('plain'::regclass) AS before \gset
SELECT key ->> 'serial', kept ->> 'price' FROM product_upsert_merge_duplicates('plain') ORDER BY 1;
SELECT pg_stat_get_xact_numscans('plain'::regclass) - :before <= 2;
COMMIT;
DROP TABLE plain, parted;

-- Keys of any length
CREATE TABLE product (brand text, serial text, manufacturer text, price int);
SELECT product_upsert_protect('product');
CREATE VIEW long AS SELECT string_agg(md5(n::text), '') AS serial FROM generate_series(1, 1000) AS n;
SELECT product_upsert(unnamed(serial, 1)) ->> 'action', product_upsert(unnamed(serial, 1)) ->> 'action',
	product_upsert(unnamed(serial || 'x', 1)) ->> 'action' FROM long;
SELECT try($$ INSERT INTO product SELECT 'b', serial FROM long $$) ~ '^23505 ';
DROP TABLE product;

-- Keys with the same hash are different keys: here all have the same.
CREATE TYPE serial_number;
\set VERBOSITY terse
SET client_min_messages = error;
CREATE FUNCTION read(cstring) RETURNS serial_number LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION write(serial_number) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
SET client_min_messages = warning;
\set VERBOSITY default
CREATE TYPE serial_number (INPUT = read, OUTPUT = write, LIKE = int);
CREATE FUNCTION same(serial_number, serial_number) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'int4eq';
CREATE FUNCTION hash(serial_number) RETURNS int LANGUAGE sql IMMUTABLE RETURN 7;
CREATE FUNCTION hash(serial_number, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE RETURN 7;
CREATE OPERATOR = (LEFTARG = serial_number, RIGHTARG = serial_number, FUNCTION = same, HASHES);
CREATE OPERATOR CLASS all_alike DEFAULT FOR TYPE serial_number USING hash AS
	OPERATOR 1 =, FUNCTION 1 hash(serial_number), FUNCTION 2 (serial_number, serial_number) hash(serial_number, bigint);
CREATE TABLE product (brand text, serial serial_number, manufacturer text, price int);
SELECT product_upsert_protect('product');
CREATE FUNCTION calls() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT product_upsert(format('{"brand": "b", "serial": %s, "manufacturer": "m", "price": %s}', n, price)::jsonb) ->> 'action'
	  FROM (VALUES (1, 1), (2, 2), (3, 3), (2, 2), (3, 4), (1, 1)) AS v (n, price)
	UNION ALL SELECT try($q$ INSERT INTO product VALUES ('b', '4', 'm') $q$)
	UNION ALL SELECT try($q$ INSERT INTO product VALUES ('b', '3', 'm') $q$)
	UNION ALL SELECT try($q$ UPDATE product SET serial = '1' WHERE serial = '2' $q$)
	UNION ALL SELECT try($q$ UPDATE product SET serial = '5' WHERE serial = '2' $q$)
	UNION ALL SELECT try($q$ SELECT string_agg(concat(serial, ': ', price), ', ' ORDER BY serial::text) FROM product $q$)
$$;
SELECT count(DISTINCT product_upsert_hash('b'::text, n::text::serial_number, 'm'::text)) FROM generate_series(1, 3) AS n;
SELECT calls();
TRUNCATE product;
SET product_upsert.direct_store = off;
SELECT calls();
RESET product_upsert.direct_store;
DROP TABLE product;

-- Others may have the function's name, or call it with what is not the key.
CREATE FUNCTION product_upsert_hash(text, text, text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 7; END';
CREATE TABLE product (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON product (pu_key_hash.product_upsert_hash(brand, serial, manufacturer));
SELECT product_upsert_lookup_index('product');
DROP FUNCTION product_upsert_hash(text, text, text) CASCADE;
CREATE INDEX ON product (product_upsert_hash(brand, serial));
CREATE INDEX ON product (product_upsert_hash(serial, brand, manufacturer));
CREATE INDEX ON product (product_upsert_hash(brand, serial, manufacturer, price));
CREATE INDEX ON product (product_upsert_hash(brand, serial, lower(manufacturer)));
CREATE INDEX ON product (product_upsert_hash(brand, serial, 'm'::text));
CREATE INDEX ON product (abs(product_upsert_hash(brand, serial, manufacturer)));
CREATE INDEX ON product (price, product_upsert_hash(brand, serial, manufacturer));
CREATE INDEX ON product (product_upsert_hash(brand, serial, manufacturer)) WHERE price > 0;
CREATE INDEX ON product USING hash (product_upsert_hash(brand, serial, manufacturer));
SELECT product_upsert_lookup_index('product');
CREATE INDEX columns ON product (brand, serial, manufacturer);
SELECT product_upsert_lookup_index('product');
-- One on the hash is taken before one on the columns, whichever came first.
CREATE INDEX hash ON product (product_upsert_hash(brand, serial, manufacturer) DESC, price);
SELECT product_upsert_lookup_index('product');
DROP INDEX columns;
CREATE INDEX columns ON product (brand, serial, manufacturer);
SELECT product_upsert_lookup_index('product');
DROP INDEX columns;
SELECT product_upsert_lookup_index('product');
DROP INDEX hash;
SELECT product_upsert_lookup_index('product');
DROP TABLE product;

DROP SCHEMA pu_key_hash CASCADE;
