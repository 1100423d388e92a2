-- Constraints and unique indexes beside a call: those on the key yield to an update, the violation of any other is an
-- error, whenever it is checked.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE SCHEMA pu_tables_constraints;
SET search_path = pu_tables_constraints, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

CREATE TABLE plain (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON plain (brand, serial, manufacturer);

-- A unique index on the key: of PostgreSQL's default kind, of columns in another order, a primary key,
-- one that includes other columns, and one for which NULL equals NULL, as it does for us.
CREATE TABLE with_unique (brand text, serial text, manufacturer text, price int, UNIQUE (brand, serial, manufacturer));
SELECT four_calls('with_unique') ->> 'action';
CREATE TABLE with_order (LIKE plain, UNIQUE (manufacturer, brand, serial) INCLUDE (price));
SELECT four_calls('with_order') ->> 'action';
CREATE TABLE with_primary (price int, brand text, serial text, manufacturer text, PRIMARY KEY (brand, serial, manufacturer));
SELECT product_upsert('with_primary', '{"brand": "a", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT product_upsert('with_primary', '{"brand": "a", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT product_upsert('with_primary', '{"brand": "a", "serial": "1", "manufacturer": null}');
\echo :SQLSTATE
CREATE TABLE with_nulls (LIKE plain, UNIQUE NULLS NOT DISTINCT (brand, serial, manufacturer));
SELECT four_calls('with_nulls') ->> 'action';

-- Unique indexes that are not what the key is: they do not get in the way, and their violation is an error.
CREATE TABLE with_partial (LIKE plain);
CREATE UNIQUE INDEX ON with_partial (brand, serial, manufacturer) WHERE price > 0;
CREATE INDEX ON with_partial (brand);
SELECT four_calls('with_partial') ->> 'action';
CREATE TABLE with_deferrable (LIKE plain, UNIQUE (brand, serial, manufacturer) DEFERRABLE INITIALLY DEFERRED);
SELECT four_calls('with_deferrable') ->> 'action';
CREATE TABLE with_fewer (LIKE plain, CONSTRAINT fewer UNIQUE (brand, serial));
SELECT product_upsert('with_fewer', '{"brand": "a", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT product_upsert('with_fewer', '{"brand": "a", "serial": "1", "manufacturer": "n"}');
\echo :SQLSTATE
CREATE TABLE with_expression (LIKE plain);
CREATE UNIQUE INDEX same_letters ON with_expression (lower(brand), serial, manufacturer);
CREATE INDEX ON with_expression (brand);
SELECT product_upsert('with_expression', '{"brand": "a", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT product_upsert('with_expression', '{"brand": "A", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
CREATE TABLE with_collation (LIKE plain);
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE UNIQUE INDEX same_word ON with_collation (brand COLLATE ignore_case, serial, manufacturer);
CREATE INDEX ON with_collation (serial);
SELECT product_upsert('with_collation', '{"brand": "a", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT product_upsert('with_collation', '{"brand": "A", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
-- Both: the key's own yields to an update, the other is an error.
CREATE TABLE with_both (LIKE plain, sku text CONSTRAINT one_sku UNIQUE, UNIQUE (brand, serial, manufacturer));
SELECT product_upsert('with_both', '{"brand": "a", "serial": "1", "manufacturer": "m", "sku": "s"}') ->> 'action';
SELECT product_upsert('with_both', '{"brand": "b", "serial": "1", "manufacturer": "m", "sku": "s"}');
\echo :SQLSTATE
-- exclusion constraints
CREATE TABLE with_exclusion (LIKE plain,
	CONSTRAINT no_overlap EXCLUDE USING gist (brand WITH =, int4range(price, price + 10) WITH &&));
CREATE INDEX ON with_exclusion (brand);
SELECT product_upsert('with_exclusion', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}') ->> 'action';
SELECT product_upsert('with_exclusion', '{"brand": "a", "serial": "2", "manufacturer": "m", "price": 5}');
\echo :SQLSTATE
-- foreign keys, in both directions, and deferred
CREATE TABLE maker (name text PRIMARY KEY);
CREATE TABLE with_fk (LIKE plain INCLUDING ALL, id int PRIMARY KEY DEFAULT 1,
	maker text REFERENCES maker DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE review (product int REFERENCES with_fk ON UPDATE CASCADE);
BEGIN;
SELECT product_upsert('with_fk', '{"brand": "a", "serial": "1", "manufacturer": "m", "maker": "later"}') ->> 'action';
INSERT INTO maker VALUES ('later');
COMMIT;
INSERT INTO review VALUES (1);
SELECT product_upsert('with_fk', '{"brand": "a", "serial": "1", "manufacturer": "m", "id": 2}') ->> 'action';
TABLE review;
BEGIN;
SELECT product_upsert('with_fk', '{"brand": "a", "serial": "1", "manufacturer": "m", "maker": "never"}') ->> 'action';
COMMIT;
\echo :SQLSTATE

-- A deferrable constraint on the key, beside an index that is in force at once
CREATE TABLE with_deferred (LIKE plain, UNIQUE (brand, serial, manufacturer) DEFERRABLE);
CREATE UNIQUE INDEX ON with_deferred (brand, serial, manufacturer);
SELECT four_calls('with_deferred') ->> 'action';

DROP SCHEMA pu_tables_constraints CASCADE;
