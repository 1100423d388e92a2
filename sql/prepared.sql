-- A prepared transaction holds its key locks until it is committed, and the view tells its name.
-- (prepared_1.out is for a server that allows no prepared transactions.)
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_prepared;
SET search_path = pu_prepared, public;
\pset format unaligned
\pset tuples_only on

SELECT current_setting('max_prepared_transactions')::int = 0 AS off \gset
\if :off
DROP SCHEMA pu_prepared CASCADE;
\quit
\endif

CREATE TABLE product (brand text, serial text, manufacturer text, stock int);
CREATE INDEX ON product (brand, serial, manufacturer);
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION product_upsert_guard();
\set payload '{"brand": "a", "serial": "1", "manufacturer": "m", "stock": 1}'

BEGIN;
SELECT product_upsert(:'payload') ->> 'action';
SAVEPOINT s;
SELECT product_upsert('{"brand": "a", "serial": "2", "manufacturer": "m"}') ->> 'action';
PREPARE TRANSACTION 'regress pu 1';
-- A second one has its own name.
BEGIN;
SELECT product_upsert('{"brand": "a", "serial": "3", "manufacturer": "m"}') ->> 'action';
PREPARE TRANSACTION 'regress pu 2';
SELECT target, granted, pid, prepared_transaction, usename, duration >= '0' AS duration, query
  FROM product_upsert_locks ORDER BY prepared_transaction;
SET lock_timeout = '10ms';
SELECT product_upsert(:'payload');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "a", "serial": "4", "manufacturer": "m"}') ->> 'action';
-- Who waits in vain is told for which key, if he may read it: one of several, the guard's, one to be merged.
SELECT product_upsert('product', '[{"brand": "a", "serial": "4", "manufacturer": "m"},
	{"brand": "a", "serial": "3", "manufacturer": "m"}]');
SET session_replication_role = replica;
INSERT INTO product VALUES ('a', '3', 'm'), ('a', '3', 'm');
RESET session_replication_role;
SELECT * FROM product_upsert_merge_duplicates('product');
DELETE FROM product WHERE serial = '3';
CREATE ROLE pu_prepared_writer;
GRANT USAGE ON SCHEMA pu_prepared TO pu_prepared_writer;
GRANT INSERT ON product TO pu_prepared_writer;
INSERT INTO product VALUES ('a', '1', 'm');
SET ROLE pu_prepared_writer;
INSERT INTO product VALUES ('a', '1', 'm');
RESET ROLE;
COMMIT PREPARED 'regress pu 1';
SELECT product_upsert(:'payload') ->> 'action';
ROLLBACK PREPARED 'regress pu 2';
SELECT count(*) FROM product_upsert_locks;
SELECT * FROM product ORDER BY serial;

DROP SCHEMA pu_prepared CASCADE;
DROP ROLE pu_prepared_writer;
