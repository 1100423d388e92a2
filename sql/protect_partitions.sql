-- Partitions are protected with their table and never against it, whatever guards they have already. Foreign ones
-- cannot be.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE EXTENSION IF NOT EXISTS file_fdw;
CREATE SCHEMA pu_protect_partitions;
SET search_path = pu_protect_partitions, public;
\pset format unaligned
\pset tuples_only on
\pset null <null>
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

-- Partitions are protected with their table, and cannot be without it.
CREATE TABLE parted (brand text, serial text, region text) PARTITION BY LIST (region);
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu') PARTITION BY LIST (brand);
CREATE TABLE parted_eu_a PARTITION OF parted_eu FOR VALUES IN ('a');
CREATE TABLE parted_us (region text, serial text, brand text);
ALTER TABLE parted ATTACH PARTITION parted_us FOR VALUES IN ('us');
INSERT INTO parted VALUES ('a', '1', 'eu'), ('a', '1', 'us'), ('a', '2', 'us');
SELECT * FROM product_upsert_protect('parted', '{brand,serial}');
SELECT relid, product_upsert_key(relid), product_upsert_lookup_index(relid), guards(relid) FROM pg_partition_tree('parted');
SELECT try($$ SELECT product_upsert_protect('parted_us', '{serial}') $$);
SELECT try($$ SELECT product_upsert_protect('parted_eu_a', '{brand,serial}') $$);
SELECT try($$ SELECT product_upsert_unprotect('parted_eu') $$);
-- Another key for all of them; then for none
SELECT * FROM product_upsert_protect('parted', '{serial}');
SELECT relid, product_upsert_key(relid) FROM pg_partition_tree('parted');
SELECT try($$ INSERT INTO parted_us VALUES ('us', '1', 'b') $$);
CREATE TABLE parted_asia PARTITION OF parted FOR VALUES IN ('asia');
SELECT product_upsert_key('parted_asia');
SELECT product_upsert_unprotect('parted');
SELECT relid, guards(relid) FROM pg_partition_tree('parted');
-- A partition that was protected by itself before its table is
SELECT lookup_index FROM product_upsert_protect('parted_us', '{serial}');
SELECT * FROM product_upsert_protect('parted', '{serial}');
SELECT relid, guards(relid) FROM pg_partition_tree('parted');
SELECT try($$ SELECT product_upsert_unprotect('parted_us') $$);
-- With another key, nothing is done until it is not any more; whatever the trigger is called, and at whatever depth.
SELECT product_upsert_unprotect('parted');
SELECT lookup_index FROM product_upsert_protect('parted_us', '{brand}');
SELECT product_upsert_protect('parted', '{serial}');
\echo :SQLSTATE
SELECT relid, guards(relid) FROM pg_partition_tree('parted');
SELECT product_upsert_key('parted_us');
SELECT product_upsert_unprotect('parted_us');
CREATE TRIGGER mine AFTER INSERT OR UPDATE ON parted_eu_a FOR EACH ROW EXECUTE FUNCTION product_upsert_guard(brand);
SELECT try($$ SELECT product_upsert_protect('parted', '{serial}') $$);
SELECT guards('parted');
DROP TRIGGER mine ON parted_eu_a;
SELECT * FROM product_upsert_protect('parted', '{serial}');
-- The partitions' own copies are no obstacle to another key, but a trigger beside them is.
SELECT duplicate_keys FROM product_upsert_protect('parted', '{brand,serial}');
CREATE TRIGGER mine AFTER INSERT OR UPDATE ON parted_us FOR EACH ROW EXECUTE FUNCTION product_upsert_guard(brand, serial);
SELECT try($$ SELECT product_upsert_protect('parted', '{brand,serial}') $$);
SELECT try($$ SELECT product_upsert_protect('parted', '{brand}') $$);
DROP TABLE parted;

-- Foreign tables cannot be protected, nor can a table that has one as a partition.
CREATE TABLE parted (brand text, serial text, region text) PARTITION BY LIST (region);
CREATE SERVER pu_protect_server FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE parted_away PARTITION OF parted FOR VALUES IN ('away') SERVER pu_protect_server
	OPTIONS (filename '/nowhere');
SELECT try($$ SELECT product_upsert_protect('parted', '{brand}') $$);
SELECT try($$ SELECT product_upsert_protect('parted_away', '{brand}') $$);
SELECT guards('parted');
DROP TABLE parted;
DROP SERVER pu_protect_server;

DROP SCHEMA pu_protect_partitions CASCADE;
