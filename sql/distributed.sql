-- A table that Citus distributes is a name under which its rows are not: whatever is asked of it, is refused. Here a table that
-- is where the catalog of Citus would be stands for that, so nothing is distributed; all that Citus does besides is to
-- invalidate the relation cache entry of a table that it comes or ceases to distribute.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_distributed;
SET search_path = pu_distributed, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

CREATE TABLE product (brand text, serial text, manufacturer text, stock int);
CREATE INDEX ON product (brand, serial, manufacturer);
CREATE TABLE product_102008 (LIKE product INCLUDING ALL);
CREATE TABLE feed AS SELECT 'a' AS brand, '1' AS serial, 'm' AS manufacturer;
\set one '{"brand": "a", "serial": "1", "manufacturer": "m", "stock": 1}'

-- Tables of that name in other schemas make no difference, be they first on the path or temporary. Nor does what anybody can
-- call as the catalog of TimescaleDB is called.
CREATE TABLE pg_dist_partition (logicalrelid regclass);
CREATE TEMPORARY TABLE pg_dist_partition (logicalrelid regclass);
INSERT INTO pu_distributed.pg_dist_partition VALUES ('product');
INSERT INTO pg_temp.pg_dist_partition VALUES ('product');
CREATE SCHEMA _timescaledb_catalog
	CREATE TABLE hypertable (schema_name name, table_name name);
INSERT INTO _timescaledb_catalog.hypertable VALUES ('pu_distributed', 'product');
SELECT product_upsert('product', :'one') ->> 'action';
SELECT * FROM product_upsert_protect('product');
INSERT INTO product VALUES ('b', '1', 'm', 0);
SELECT product_upsert_unprotect('product');
DROP SCHEMA _timescaledb_catalog CASCADE;

-- Without a list of tables it is not the catalog of Citus.
SET allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid text);
INSERT INTO pg_catalog.pg_dist_partition VALUES ('product');
SELECT product_upsert('product', :'one') ->> 'action';
DROP TABLE pg_catalog.pg_dist_partition;

-- distribute(), undistribute(): a table, as Citus does it.
CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass NOT NULL, partmethod "char" NOT NULL);
CREATE FUNCTION distribute(target regclass) RETURNS void LANGUAGE sql SET allow_system_table_mods = on AS $$
	INSERT INTO pg_catalog.pg_dist_partition VALUES (target, 'h');
	UPDATE pg_catalog.pg_class SET relname = relname WHERE oid = target;
$$;
CREATE FUNCTION undistribute(target regclass) RETURNS void LANGUAGE sql SET allow_system_table_mods = on AS $$
	DELETE FROM pg_catalog.pg_dist_partition WHERE logicalrelid = target;
	UPDATE pg_catalog.pg_class SET relname = relname WHERE oid = target;
$$;
RESET allow_system_table_mods;

-- What was known of the table before does not count.
SELECT product_upsert('product', :'one') ->> 'action';
SELECT distribute('product');
SELECT product_upsert('product', :'one');
\echo :SQLSTATE
\set VERBOSITY sqlstate
SET product_upsert.default_table = 'product';
SELECT product_upsert(:'one');
SELECT product_upsert('product', format('[%s]', :'one')::jsonb);
SELECT product_upsert('product', '[]');
SELECT product_upsert_from('feed', 'product');
SELECT product_upsert_lock('product', :'one');
SELECT product_upsert_protect('product');
SELECT product_upsert_protect('product', '{brand}');
SELECT * FROM product_upsert_duplicates('product');
SELECT * FROM product_upsert_merge_duplicates('product');
SELECT * FROM product_upsert_merge_duplicates('product', dry_run => true);
SELECT product_upsert_key('product');
SELECT product_upsert_lookup_index('product');
SELECT count(*) FROM product;

-- Nor does a guard that is there already let anything in.
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION product_upsert_guard();
INSERT INTO product VALUES ('c', '1', 'm', 0);
UPDATE product SET brand = 'c';
SELECT product_upsert_unprotect('product');
INSERT INTO product VALUES ('c', '1', 'm', 0);
DELETE FROM product WHERE brand = 'c';

-- A partitioned table is distributed with its partitions; the rows of one that is not yet are the whole's.
CREATE TABLE parted (LIKE product) PARTITION BY LIST (brand);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('a');
SELECT product_upsert_protect('parted');
INSERT INTO parted VALUES ('a', '1', 'm', 0);
SELECT distribute('parted');
SELECT product_upsert('parted', :'one');
INSERT INTO parted VALUES ('a', '2', 'm', 0);
INSERT INTO parted_a VALUES ('a', '2', 'm', 0);
SELECT undistribute('parted');
INSERT INTO parted_a VALUES ('a', '2', 'm', 0);

-- A table that is not distributed, such as a shard, serves as ever; a distributed one can be a load's source.
SELECT product_upsert('product_102008', :'one') ->> 'action';
SELECT product_upsert_protect('product_102008');
SELECT product_upsert('product_102008', :'one') ->> 'action';
SELECT * FROM product_upsert_from('product', 'product_102008');

-- So does one that Citus has given back.
SELECT undistribute('product');
SELECT product_upsert('product', :'one') ->> 'action';
SELECT * FROM product_upsert_protect('product');

SET allow_system_table_mods = on;
DROP TABLE pg_catalog.pg_dist_partition;
RESET allow_system_table_mods;
DROP SCHEMA pu_distributed CASCADE;
