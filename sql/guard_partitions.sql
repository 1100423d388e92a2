-- What the guard of a partition locks: the tables above it, in each transaction and subtransaction anew.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_guard_partitions;
SET search_path = pu_guard_partitions, public;
\pset format unaligned
\pset tuples_only on

CREATE TABLE product (brand text, serial text, manufacturer text, region text) PARTITION BY LIST (region);
CREATE TABLE product_eu PARTITION OF product FOR VALUES IN ('eu');
CREATE TABLE product_us PARTITION OF product FOR VALUES IN ('us') PARTITION BY LIST (brand);
CREATE TABLE product_us_a PARTITION OF product_us FOR VALUES IN ('a');
SELECT product_upsert_protect('product', ARRAY['brand', 'serial', 'manufacturer']) IS NOT NULL;

CREATE VIEW locked AS
	SELECT relation::regclass, mode FROM pg_locks
	 WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation::regclass::text ~ '^product(_..(_a)?)?$'
	   AND mode = 'RowExclusiveLock' ORDER BY relation::regclass::text;

-- Two rows, two transactions
BEGIN;
INSERT INTO product_us_a VALUES ('a', '1', 'm', 'us'), ('a', '2', 'm', 'us');
TABLE locked;
COMMIT;
BEGIN;
INSERT INTO product_us_a VALUES ('a', '3', 'm', 'us');
TABLE locked;
COMMIT;
-- What a subtransaction has locked goes when it is rolled back.
BEGIN;
SAVEPOINT s;
INSERT INTO product_us_a VALUES ('a', '4', 'm', 'us');
TABLE locked;
ROLLBACK TO s;
TABLE locked;
INSERT INTO product_us_a VALUES ('a', '4', 'm', 'us');
TABLE locked;
COMMIT;
BEGIN;
SAVEPOINT s;
INSERT INTO product_us_a VALUES ('a', '5', 'm', 'us');
ROLLBACK TO s;
RELEASE s;
INSERT INTO product_us_a VALUES ('a', '5', 'm', 'us');
TABLE locked;
COMMIT;
-- Between rows the partition is taken out, and then put elsewhere, by the transaction itself.
BEGIN;
INSERT INTO product_us_a VALUES ('a', '6', 'm', 'us');
ALTER TABLE product_us DETACH PARTITION product_us_a;
CREATE TABLE other (LIKE product) PARTITION BY LIST (region);
ALTER TABLE other ATTACH PARTITION product_us_a FOR VALUES IN ('us');
SELECT product_upsert_protect('other', ARRAY['brand', 'serial', 'manufacturer']) IS NOT NULL;
INSERT INTO product_us_a VALUES ('a', '7', 'm', 'us');
SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'other'::regclass AND mode = 'RowExclusiveLock';
INSERT INTO product_us_a VALUES ('a', '7', 'm', 'us');
\echo :SQLSTATE
ROLLBACK;

SET client_min_messages = error;
DROP SCHEMA pu_guard_partitions CASCADE;
