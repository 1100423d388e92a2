-- From four partitions to eight, and partition 4 from shard0 to a shard of its own on another server, while everybody
-- writes. For psql: the variables shard0 to shard4, router1 and router2 are connection strings; the database of shard4 is
-- empty. README.md says why the steps are in this order, and what callers see between them.
\set ON_ERROR_STOP on

-- 1. Each new partition is where the one is that it comes out of: routers with the old map and with the new one agree.
\connect :router1
ALTER SERVER products OPTIONS (ADD p4 :'shard0', ADD p5 :'shard1', ADD p6 :'shard2', ADD p7 :'shard3');
\connect :router2
ALTER SERVER products OPTIONS (ADD p4 :'shard0', ADD p5 :'shard1', ADD p6 :'shard2', ADD p7 :'shard3');

-- 2. The new shard gets all rows of the old one, and goes on getting them. No router knows it yet.
\connect :shard0
CREATE PUBLICATION moving FOR TABLE product;
\connect :shard4
\set shard 4
\set partitions 8
\ir shard.sql
ALTER TABLE product DROP CONSTRAINT fence;
\set from 'user=postgres ' :shard0
CREATE SUBSCRIPTION moving CONNECTION :'from' PUBLICATION moving;
DO $$
BEGIN
	WHILE EXISTS (SELECT FROM pg_subscription_rel WHERE srsubstate <> 'r') LOOP
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$;

-- 3. From here on nobody writes what is in partition 4: such calls fail. This waits for the writes that have begun.
\connect :shard0
ALTER TABLE product DROP CONSTRAINT fence,
	ADD CONSTRAINT fence CHECK (product_upsert_hash(brand, serial, manufacturer) & 7 = 0) NOT VALID;

-- 4. All that was written before has arrived.
DO $$
DECLARE
	fenced CONSTANT pg_lsn := pg_current_wal_insert_lsn();
BEGIN
	WHILE (SELECT confirmed_flush_lsn >= fenced FROM pg_replication_slots WHERE slot_name = 'moving') IS NOT TRUE LOOP
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$;

-- 5. Nothing arrives any more, and the new shard takes what is in partition 4, and nothing else.
\connect :shard4
DROP SUBSCRIPTION moving;
ALTER TABLE product
	ADD CONSTRAINT fence CHECK (product_upsert_hash(brand, serial, manufacturer) & 7 = 4) NOT VALID;

-- 6. The old shard forgets it, before any router asks the new one.
\connect :shard0
DROP PUBLICATION moving;
DELETE FROM product WHERE product_upsert_hash(brand, serial, manufacturer) & 7 <> 0;

-- 7. The new map: each router that has it serves partition 4 again.
\connect :router1
ALTER SERVER products OPTIONS (SET p4 :'shard4');
\connect :router2
ALTER SERVER products OPTIONS (SET p4 :'shard4');

-- 8. What was copied but not moved. Nobody misses it meanwhile.
\connect :shard4
DELETE FROM product WHERE product_upsert_hash(brand, serial, manufacturer) & 7 <> 4;
ALTER TABLE product VALIDATE CONSTRAINT fence;
\connect :shard0
ALTER TABLE product VALIDATE CONSTRAINT fence;
