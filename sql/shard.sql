-- A shard of a table that Citus distributes is upserted into through the table; where there is no Citus, that is refused. What it
-- does with Citus is in test/t/citus_shards.pl and example/citus.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_shard;
SET search_path = pu_shard, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

CREATE TABLE product (brand text, serial text, manufacturer text, stock int);
CREATE INDEX ON product (brand, serial, manufacturer);
\set one '{"brand": "a", "serial": "1", "manufacturer": "m", "stock": 1}'

-- A table like others, and a value or a payload that is none.
SELECT product_upsert_shard('product', '1'::text, :'one');
\echo :SQLSTATE
SELECT product_upsert_shard('product', NULL::text, :'one');
\echo :SQLSTATE
SELECT product_upsert_shard('product', '1'::text, NULL);
\echo :SQLSTATE

-- What is distributed by hash, as the catalog has it, is so by Citus alone: who makes himself a table and a function of those
-- names does not get to have the function called.
SET allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass NOT NULL, partmethod "char" NOT NULL, partkey text);
CREATE FUNCTION pg_catalog.get_shard_id_for_distribution_column(regclass, "any") RETURNS bigint
	LANGUAGE internal AS 'pg_num_nulls';
INSERT INTO pg_catalog.pg_dist_partition VALUES ('product', 'n', NULL);
UPDATE pg_catalog.pg_class SET relname = relname WHERE oid = 'product'::regclass;
SELECT product_upsert_shard('product', '1'::text, :'one');
UPDATE pg_catalog.pg_dist_partition SET partmethod = 'h', partkey =
	'{VAR :varno 1 :varattno 2 :vartype 25 :vartypmod -1 :varcollid 100 :varlevelsup 0 :varnosyn 1 :varattnosyn 2 :location -1}';
SELECT product_upsert_shard('product', '1'::text, :'one');
\echo :SQLSTATE
DROP TABLE pg_catalog.pg_dist_partition;
DROP FUNCTION pg_catalog.get_shard_id_for_distribution_column(regclass, "any");
RESET allow_system_table_mods;

SELECT count(*) FROM product;
DROP SCHEMA pu_shard CASCADE;
