-- What a merge refuses, tells of, and leaves no other way to: keys that have no order, tables with deleted rows, references
-- that would be lost, children without an index, locks in a cursor; and that it prepares each statement once.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_merge_safety;
SET search_path = pu_merge_safety, public;
\pset format unaligned
\pset tuples_only on
\pset null NULL
\set SHOW_CONTEXT never

-- Keys of types that have an equality and a hash, and no order
CREATE TABLE unordered (id int PRIMARY KEY, x xid, c cid, a aclitem, note text);
SELECT duplicate_keys FROM product_upsert_protect('unordered', '{x,c,a}');
ALTER TABLE unordered DISABLE TRIGGER ALL;
INSERT INTO unordered VALUES
	(1, '5', '6', '=r/pg_monitor', NULL), (2, '5', '6', '=r/pg_monitor', 'two'), (3, '5', '7', '=r/pg_monitor', NULL),
	(4, NULL, '7', NULL, NULL), (5, NULL, '7', NULL, 'five');
SELECT key, kept -> 'id' AS kept, filled FROM product_upsert_merge_duplicates('unordered') ORDER BY kept -> 'id';
SELECT id, note FROM unordered ORDER BY id;
DROP TABLE unordered;

-- A unique index that holds for some of the rows is the sign that others do not count: their key may be that of one that does.
CREATE TABLE product (id int PRIMARY KEY, brand text, serial text, manufacturer text, deleted_at date);
INSERT INTO product VALUES (1, 'a', '1', 'm', '2024-01-01'), (2, 'a', '1', 'm', NULL);
CREATE UNIQUE INDEX live ON product (manufacturer, serial, brand) INCLUDE (id) WHERE deleted_at IS NULL;
SELECT product_upsert_merge_duplicates('product');
\echo :SQLSTATE
TABLE product ORDER BY id;
DROP INDEX live;
-- Not so if the condition is about the key alone, or the index has other columns.
CREATE UNIQUE INDEX ON product (brand, serial, manufacturer) WHERE serial > '1';
CREATE UNIQUE INDEX ON product (brand, serial, manufacturer, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX ON product (brand, serial) WHERE deleted_at IS NULL;
CREATE INDEX ON product (brand, serial, manufacturer) WHERE deleted_at IS NULL;
SELECT kept -> 'id' FROM product_upsert_merge_duplicates('product', dry_run => true);
DROP TABLE product;
-- Partitions have indexes of their own, and their columns elsewhere.
CREATE TABLE parted (brand text, serial text, manufacturer text, deleted_at date, part int) PARTITION BY LIST (part);
CREATE TABLE parted_1 (part int, deleted_at date, manufacturer text, serial text, brand text);
ALTER TABLE parted ATTACH PARTITION parted_1 FOR VALUES IN (1);
CREATE UNIQUE INDEX live ON parted_1 (brand, serial, manufacturer) WHERE deleted_at IS NULL;
INSERT INTO parted VALUES ('a', '1', 'm', NULL, 1), ('a', '1', 'm', '2024-01-01', 1);
SELECT product_upsert_merge_duplicates('parted');
\echo :SQLSTATE
SELECT count(*) FROM parted;
DROP TABLE parted;

-- What references a row through a child of the table is found as well, and not deleted with it.
CREATE TABLE parent (id int PRIMARY KEY, brand text, serial text, manufacturer text);
CREATE TABLE child (own int UNIQUE, PRIMARY KEY (id)) INHERITS (parent);
CREATE TABLE to_child (child int REFERENCES child ON DELETE CASCADE);
INSERT INTO parent VALUES (1, 'a', '1', 'm');
INSERT INTO child VALUES (2, 'a', '1', 'm', 20), (3, 'a', '1', 'm', 30);
INSERT INTO to_child VALUES (3);
SELECT product_upsert_merge_duplicates('parent');
\echo :SQLSTATE
TABLE to_child;
BEGIN;
SELECT kept -> 'id', references_moved FROM product_upsert_merge_duplicates('child');
TABLE to_child;
ROLLBACK;
CREATE TABLE to_own (own int REFERENCES child (own) ON DELETE CASCADE);
SELECT product_upsert_merge_duplicates('parent');
\echo :SQLSTATE
SELECT count(*) FROM parent;
DROP TABLE parent, child, to_child, to_own;

-- A trigger that lets another row reference one which goes, where that was looked for before
CREATE TABLE product (id int PRIMARY KEY, brand text, serial text, manufacturer text, note text, twin int REFERENCES product);
CREATE TABLE a_picture (n int, product int REFERENCES product ON DELETE CASCADE);
CREATE TABLE b_line (n int, product int REFERENCES product);
INSERT INTO product VALUES (1, 'a', '1', 'm'), (2, 'a', '1', 'm'), (3, 'a', '1', 'm');
INSERT INTO b_line VALUES (1, 2);
CREATE FUNCTION add_picture() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO pu_merge_safety.a_picture VALUES (1, OLD.product);
	RETURN NULL;
END $$;
CREATE TRIGGER add_picture AFTER UPDATE ON b_line FOR EACH ROW EXECUTE FUNCTION add_picture();
SELECT product_upsert_merge_duplicates('product');
\echo :SQLSTATE
SELECT count(*) FROM product;
DROP TRIGGER add_picture ON b_line;
-- A trigger that writes to the other rows when one goes: all of them go at once.
CREATE FUNCTION write_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE pu_merge_safety.product SET note = concat(note, 'without ', OLD.id, ';') WHERE brand = OLD.brand;
	RETURN NULL;
END $$;
CREATE TRIGGER write_note AFTER DELETE ON product FOR EACH ROW EXECUTE FUNCTION write_note();
UPDATE product SET note = 'three' WHERE id = 3;
BEGIN;
-- (So the note is not null any more when it would be filled in.)
SELECT kept -> 'note', jsonb_array_length(removed), references_moved, filled FROM product_upsert_merge_duplicates('product');
SELECT id, note FROM product;
ROLLBACK;
DROP TRIGGER write_note ON product;

-- A child without an index to find the referencing rows by, unless all of it is on one page
CREATE FUNCTION notices() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL client_min_messages = notice;
	PERFORM public.product_upsert_merge_duplicates('pu_merge_safety.product', dry_run => true);
	SET LOCAL client_min_messages = warning;
END $$;
SELECT notices();
INSERT INTO b_line SELECT n, 2 FROM generate_series(1, 1000) AS n;
SELECT notices();
CREATE INDEX ON b_line (n, product);
CREATE INDEX ON b_line ((product + 0));
CREATE INDEX ON b_line (product) WHERE n > 1;
SELECT notices();
CREATE INDEX ON b_line (product, n) WHERE product IS NOT NULL;
SELECT notices();
-- Of several columns, all must be in front, in any order; for a partitioned table, CONCURRENTLY would not do.
ALTER TABLE product ADD COLUMN "Tenant" text COLLATE "C" DEFAULT 't', ADD UNIQUE ("Tenant", id);
CREATE TABLE "C line" (n int, "Tenant" text COLLATE "POSIX", product int,
	FOREIGN KEY ("Tenant", product) REFERENCES product ("Tenant", id))
	PARTITION BY LIST (n);
CREATE TABLE c_line_0 PARTITION OF "C line" DEFAULT;
INSERT INTO "C line" SELECT n, 't', 3 FROM generate_series(1, 1000) AS n;
CREATE INDEX ON "C line" (product);
CREATE INDEX ON "C line" (product, "Tenant");
SELECT notices();
CREATE INDEX ON "C line" (product, "Tenant" COLLATE "C");
SELECT notices();
-- Where no index on the columns could serve, none is asked for.
ALTER TABLE product ADD COLUMN number numeric UNIQUE;
CREATE TABLE e_line (number int REFERENCES product (number));
INSERT INTO e_line SELECT NULL FROM generate_series(1, 1000);
SELECT notices();
DROP TABLE e_line, "C line";

-- Each statement is prepared once, however many keys and rows there are.
INSERT INTO product SELECT n, 'b', (n % 4)::text, 'm', CASE WHEN n > 17 THEN 'note ' || n END FROM generate_series(10, 21) AS n;
INSERT INTO b_line SELECT n, n FROM generate_series(10, 21) AS n;
SET client_min_messages = debug1;
SELECT kept -> 'id', jsonb_array_length(removed), references_moved, filled
  FROM product_upsert_merge_duplicates('product', dry_run => true);
SET client_min_messages = warning;

-- More keys than there is memory for
SET product_upsert.max_key_locks = 2000;
SET work_mem = '64kB';
BEGIN;
INSERT INTO product SELECT n, 'c', (n % 1500)::text, repeat('m', 100) FROM generate_series(10001, 13000) AS n;
SELECT count(*), count(DISTINCT key), min((kept ->> 'id')::int)
  FROM product_upsert_merge_duplicates('product') WHERE key ->> 'brand' = 'c';
SELECT count(*) FROM product WHERE brand = 'c';
ROLLBACK;
RESET work_mem;
RESET product_upsert.max_key_locks;

-- In a cursor: a later FETCH that fails takes nothing of it back, if that is in a savepoint, so the locks must stay.
CREATE FUNCTION locks() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', coalesce(relation::regclass::text, 'key'), mode)
	  FROM pg_locks
	 WHERE pid = pg_backend_pid() AND (locktype = 'advisory'
			OR relation IN ('product'::regclass, 'a_picture'::regclass, 'b_line'::regclass))
	 ORDER BY 1
$$;
BEGIN;
DECLARE merging CURSOR FOR
	SELECT kept -> 'id', 1 / ((kept ->> 'id')::int - 12) FROM product_upsert_merge_duplicates('product', max_keys => 2) AS m;
FETCH merging;
SAVEPOINT one;
FETCH merging;
ROLLBACK TO one;
SELECT locks();
SELECT count(*) FROM product;
ROLLBACK;

DROP SCHEMA pu_merge_safety CASCADE;
