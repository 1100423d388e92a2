-- The key locks: what takes them, who sees them, how long they are held, and the budget beyond which the
-- table is locked as a whole.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_lock;
SET search_path = pu_lock, public;
\pset format unaligned
\pset tuples_only on

CREATE TABLE product (brand text, serial text, manufacturer text, stock int);
CREATE INDEX ON product (brand, serial, manufacturer);
CREATE TABLE part (LIKE product INCLUDING ALL);

-- This transaction's locks: how many keys of each table, and the strongest on the table as a whole
CREATE VIEW locks AS
SELECT k.target, k.keys, l.mode
  FROM (VALUES ('product'::regclass), ('part')) AS t (target)
	   CROSS JOIN LATERAL (SELECT t.target, count(*) AS keys FROM pg_locks
		WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND classid = t.target AND objsubid = 20565
		  AND mode = 'ExclusiveLock' AND granted) AS k
	   LEFT JOIN LATERAL (SELECT max(mode) AS mode FROM pg_locks
		WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation = t.target AND mode LIKE '%Row%') AS l ON true;
CREATE FUNCTION payload(serial int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('brand', 'b', 'serial', serial::text, 'manufacturer', 'm')
$$;
CREATE FUNCTION payload(first int, last int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_agg(payload(i)) FROM generate_series(first, last) AS i
$$;

-- An upsert holds the key's lock until the transaction ends.
BEGIN;
SELECT product_upsert(payload(1)) ->> 'action';
SELECT * FROM locks;
-- The same key again takes nothing more, another key another lock, another table's key another.
SELECT product_upsert(payload(1)) ->> 'action';
SELECT product_upsert(payload(2)) ->> 'action';
SELECT product_upsert('part', payload(1)) ->> 'action';
SELECT * FROM locks;
COMMIT;
SELECT * FROM locks;

-- By hand: the very same lock, and nothing is written. Fields that are not the key's are read, and not used.
BEGIN;
SELECT product_upsert_lock('product', payload(1) || '{"stock": 5}');
SELECT * FROM locks;
SELECT product_upsert(payload(1)) ->> 'action';
SELECT * FROM locks;
SELECT product_upsert_lock('product', payload(8));
SELECT product_upsert_lock('product', payload(7, 9));
SELECT * FROM locks;
SELECT count(*) FROM product WHERE serial IN ('7', '8', '9') OR stock = 5;
ROLLBACK;
SELECT * FROM locks;
SELECT product_upsert_lock('product', '{"brand": "b", "serial": "1"}');
\echo :SQLSTATE
SELECT product_upsert_lock('product', '{"brand": "b", "serial": "1", "manufacturer": "m", "stok": 1}');
\echo :SQLSTATE
SELECT product_upsert_lock('product', '[]');

-- A savepoint that is rolled back frees what it locked; one that is released does not.
BEGIN;
SELECT product_upsert(payload(1)) ->> 'action';
SAVEPOINT s1;
SELECT product_upsert(payload(2)) ->> 'action';
SELECT * FROM locks;
ROLLBACK TO s1;
SELECT * FROM locks;
SAVEPOINT s2;
SELECT product_upsert(payload(3)) ->> 'action';
RELEASE s2;
SELECT * FROM locks;
ROLLBACK TO s1;
SELECT * FROM locks;
COMMIT;

-- The view: table, hash, and who has the lock
BEGIN;
SELECT product_upsert(payload(1)) ->> 'action';
SELECT product_upsert('part', payload(1)) ->> 'action';
SELECT target, granted, pid = pg_backend_pid(), prepared_transaction IS NULL, usename = session_user, duration >= '0',
	query LIKE 'SELECT target, granted,%'
  FROM product_upsert_locks ORDER BY target::text;
SELECT count(DISTINCT key_hash), min(key_hash) >= 0 FROM product_upsert_locks;
SELECT k.key_hash = l.objid::bigint FROM product_upsert_locks k JOIN pg_locks l ON l.classid = k.target
   AND l.locktype = 'advisory';
-- From the hash to the row, and from a payload to the hash
SELECT p.brand, p.serial, p.manufacturer
  FROM product p JOIN product_upsert_locks l ON l.target = 'product'::regclass
   AND l.key_hash = product_upsert_hash(p.brand, p.serial, p.manufacturer) & 4294967295;
SELECT l.target
  FROM jsonb_populate_record(NULL::product, payload(1)) p
	   JOIN product_upsert_locks l ON l.key_hash = product_upsert_hash(p.brand, p.serial, p.manufacturer) & 4294967295
 ORDER BY 1;
-- Other advisory locks are not in it.
SELECT pg_advisory_xact_lock(1), pg_advisory_xact_lock('product'::regclass::oid::int, 2);
SELECT count(*) FROM product_upsert_locks;
COMMIT;
SELECT count(*) FROM product_upsert_locks;
-- The budget is by transaction. A batch within it takes key locks, one beyond it the table.
SET product_upsert.max_key_locks = 3;
BEGIN;
SELECT jsonb_array_length(product_upsert(payload(1, 3)));
SELECT * FROM locks;
COMMIT;
BEGIN;
SELECT jsonb_array_length(product_upsert(payload(1, 4)));
SELECT * FROM locks;
-- With the table locked, further calls need no key locks, and other tables still do.
SELECT product_upsert(payload(5)) ->> 'action';
SELECT jsonb_array_length(product_upsert('part', payload(1, 3)));
SELECT * FROM locks;
COMMIT;
-- Single calls beyond it lock the table if that is free, as it is here.
BEGIN;
SELECT count(product_upsert(payload(i))) FROM generate_series(1, 3) AS i;
SELECT * FROM locks;
SELECT product_upsert(payload(4)) ->> 'action';
SELECT * FROM locks;
ROLLBACK;
-- It counts keys, not calls.
BEGIN;
SELECT count(product_upsert(payload(i % 3))) FROM generate_series(1, 30) AS i;
SELECT * FROM locks;
ROLLBACK;
-- It counts the keys of all tables.
BEGIN;
SELECT jsonb_array_length(product_upsert(payload(1, 2)));
SELECT jsonb_array_length(product_upsert('part', payload(1, 2)));
SELECT * FROM locks;
ROLLBACK;
-- What a savepoint's rollback freed counts no longer, nor what an earlier transaction held.
BEGIN;
SELECT product_upsert(payload(1)) ->> 'action';
SAVEPOINT s;
SELECT jsonb_array_length(product_upsert(payload(2, 3)));
ROLLBACK TO s;
SELECT jsonb_array_length(product_upsert(payload(4, 5)));
SELECT * FROM locks;
-- What was released does.
SAVEPOINT s2;
RELEASE s2;
SELECT product_upsert(payload(6)) ->> 'action';
SELECT * FROM locks;
ROLLBACK;
BEGIN;
SAVEPOINT s1;
SAVEPOINT s2;
SELECT jsonb_array_length(product_upsert(payload(1, 3)));
RELEASE s2;
RELEASE s1;
SELECT * FROM locks;
SELECT product_upsert(payload(4)) ->> 'action';
SELECT * FROM locks;
ROLLBACK;
-- Many levels
DO $$
BEGIN
	PERFORM product_upsert(payload(1));
	BEGIN
		BEGIN
			BEGIN
				BEGIN
					PERFORM product_upsert(payload(2));
					RAISE division_by_zero;
				EXCEPTION WHEN division_by_zero THEN
					PERFORM product_upsert(payload(3));
				END;
				PERFORM product_upsert(payload(4));
				RAISE division_by_zero;
			EXCEPTION WHEN division_by_zero THEN
				PERFORM product_upsert(payload(5));
			END;
		END;
	END;
	RAISE INFO '%', (SELECT locks FROM locks WHERE target = 'product'::regclass);
	PERFORM product_upsert(payload(6));
	RAISE INFO '%', (SELECT locks FROM locks WHERE target = 'product'::regclass);
	PERFORM product_upsert(payload(7));
	RAISE INFO '%', (SELECT locks FROM locks WHERE target = 'product'::regclass);
END $$;
-- The smallest budget
SET product_upsert.max_key_locks = 1;
BEGIN;
SELECT product_upsert(payload(1, 1)) -> 0 ->> 'action';
SELECT * FROM locks;
SELECT product_upsert(payload(2, 2)) -> 0 ->> 'action';
SELECT * FROM locks;
ROLLBACK;
-- A lock on the whole table that the transaction holds anyway makes key locks needless.
BEGIN;
LOCK TABLE product IN SHARE ROW EXCLUSIVE MODE;
SELECT product_upsert(payload(1)) ->> 'action';
SELECT keys FROM locks;
ROLLBACK;
BEGIN;
LOCK TABLE product IN ACCESS EXCLUSIVE MODE;
SELECT product_upsert(payload(94)) ->> 'action';
SELECT keys FROM locks;
ROLLBACK;
BEGIN;
LOCK TABLE product IN SHARE MODE;
SELECT product_upsert(payload(1)) ->> 'action';
SELECT keys FROM locks;
ROLLBACK;
-- Beyond the budget, a partition's call locks the root.
CREATE TABLE parted (brand text, serial text, manufacturer text) PARTITION BY LIST (brand);
CREATE TABLE parted_b PARTITION OF parted FOR VALUES IN ('b');
CREATE INDEX ON parted (brand);
BEGIN;
SELECT jsonb_array_length(product_upsert('parted_b', payload(1, 2)));
SELECT relation::regclass, mode FROM pg_locks WHERE pid = pg_backend_pid() AND mode = 'ShareRowExclusiveLock';
SELECT count(*) FROM product_upsert_locks;
ROLLBACK;
-- The default
RESET product_upsert.max_key_locks;
BEGIN;
SELECT jsonb_array_length(product_upsert(payload(1, 256)));
SELECT * FROM locks;
ROLLBACK;
BEGIN;
SELECT jsonb_array_length(product_upsert(payload(1, 257)));
SELECT * FROM locks;
ROLLBACK;

-- Hashes spread: a thousand keys of three fields that differ little have a thousand locks.
CREATE TABLE numbered (brand int, serial int, manufacturer int);
CREATE INDEX ON numbered (brand, serial, manufacturer);
SET product_upsert.max_key_locks = 1000;
BEGIN;
SELECT product_upsert_lock('numbered', (
	SELECT jsonb_agg(jsonb_build_object('brand', a, 'serial', b, 'manufacturer', c))
	  FROM generate_series(1, 10) a, generate_series(1, 10) b, generate_series(1, 10) c));
SELECT count(*) FROM product_upsert_locks;
ROLLBACK;

DROP SCHEMA pu_lock CASCADE;
