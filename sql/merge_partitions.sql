-- Merging partitioned tables, and tables with children: the rows of a key may be in several of them, and references to all
-- or to one of them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_merge_partitions;
SET search_path = pu_merge_partitions, public;
\pset format unaligned
\pset tuples_only on
\pset null NULL
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/merge.sql

-- Partitioned tables: the rows of a key may be in several partitions, and references to all or to one of them.
CREATE TABLE parted (id int, region text, brand text, serial text, manufacturer text, note text) PARTITION BY LIST (region);
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu');
CREATE TABLE parted_us (note text, dropped int, manufacturer text, serial text, brand text, region text, id int);
ALTER TABLE parted_us DROP COLUMN dropped;
ALTER TABLE parted ATTACH PARTITION parted_us FOR VALUES IN ('us');
CREATE TABLE parted_rest PARTITION OF parted DEFAULT;
ALTER TABLE parted ADD UNIQUE (id, region);
CREATE TABLE to_parted (n int, id int, region text, FOREIGN KEY (id, region) REFERENCES parted (id, region) ON DELETE CASCADE);
INSERT INTO parted VALUES (1, 'eu', 'a', '1', 'm', NULL), (2, 'us', 'a', '1', 'm', 'us'), (3, 'us', 'a', '1', 'm', 'later'),
	(4, 'us', 'b', '1', 'm', NULL);
INSERT INTO to_parted VALUES (1, 1, 'eu'), (2, 2, 'us'), (3, 3, 'us'), (4, 4, 'us'), (5, 3, NULL);
-- No unique constraint without nulls: the order is that of the places.
SELECT key, kept, moved, filled FROM merge('parted', dry_run => true);
ALTER TABLE parted ALTER id SET NOT NULL, ALTER region SET NOT NULL;
BEGIN;
SELECT * FROM merge('parted');
SELECT tableoid::regclass, id, note FROM parted ORDER BY id;
TABLE to_parted ORDER BY n;
ROLLBACK;
BEGIN;
SELECT * FROM merge('parted', 'newest');
TABLE to_parted ORDER BY n;
ROLLBACK;
-- One partition alone, which has its own duplicates
BEGIN;
SELECT * FROM merge('parted_us');
TABLE to_parted ORDER BY n;
ROLLBACK;
-- A reference to one partition alone: a row with the same id in another partition is none of its business.
ALTER TABLE parted_us ADD UNIQUE (id);
CREATE TABLE to_us (n int, id int REFERENCES parted_us (id) ON DELETE CASCADE);
INSERT INTO to_us VALUES (1, 3), (2, 4), (3, 2);
INSERT INTO parted VALUES (4, 'eu', 'c', '1', 'm', NULL), (5, 'eu', 'c', '1', 'm', NULL);
SELECT * FROM merge('parted', 'newest', max_keys => 2) WHERE key LIKE '%c%';
TABLE to_us ORDER BY n;
-- and cannot reference the row that would be kept
INSERT INTO parted VALUES (1, 'eu', 'd', '1', 'm', NULL), (6, 'us', 'd', '1', 'm', 'kept?');
INSERT INTO to_us VALUES (6, 6);
SELECT * FROM merge('parted');
\echo :SQLSTATE
SELECT id, region, brand FROM parted ORDER BY id, region;
TABLE to_us ORDER BY n;
SELECT key, kept -> 'id', moved FROM merge('parted', 'newest');
SELECT id, region, brand FROM parted ORDER BY id, region;
TABLE to_parted ORDER BY n;
TABLE to_us ORDER BY n;
DROP TABLE to_us, to_parted, parted;
-- One that references itself, across partitions, by several columns, with a constraint that waits for the end
CREATE TABLE parted (id int, part int, brand text, serial text, manufacturer text, up_id int, up_part int, PRIMARY KEY (id, part),
	FOREIGN KEY (up_id, up_part) REFERENCES parted ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED) PARTITION BY LIST (part);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2);
INSERT INTO parted VALUES
	(1, 1, 'a', '1', 'm', NULL, NULL), (2, 2, 'a', '1', 'm', 1, 1), (3, 1, 'a', '1', 'm', 2, 2), (4, 2, 'b', '1', 'm', 3, 1),
	(5, 1, 'b', '1', 'm', 2, 2);
BEGIN;
SELECT * FROM merge('parted');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT tableoid::regclass, * FROM parted ORDER BY id;
ROLLBACK;
-- In one partition alone, too, a row is not filled in with a reference to itself.
UPDATE parted SET up_id = 1, up_part = 1 WHERE id = 3;
SELECT * FROM merge('parted_1');
SELECT * FROM parted ORDER BY id;
DROP TABLE parted;
-- A row that moves to another partition as it is filled in; the table is protected.
CREATE TABLE moving (id int, brand text, serial text, manufacturer text, region text) PARTITION BY LIST (region);
CREATE TABLE moving_known PARTITION OF moving FOR VALUES IN ('eu', 'us');
CREATE TABLE moving_unknown PARTITION OF moving FOR VALUES IN (NULL);
INSERT INTO moving VALUES (2, 'a', '1', 'm', NULL), (3, 'a', '1', 'm', 'us');
SELECT duplicate_keys FROM product_upsert_protect('moving');
SELECT * FROM merge('moving', dry_run => true);
SELECT * FROM merge('moving', 'newest', dry_run => true);
SELECT key, kept, removed, filled
  FROM merge('moving', CASE WHEN 'moving_known'::regclass::oid < 'moving_unknown'::regclass::oid THEN 'newest' ELSE 'oldest' END);
SELECT tableoid::regclass, * FROM moving;
DROP TABLE moving;

-- Inheritance: the children's rows count, and no foreign key references them.
CREATE TABLE parent (id int PRIMARY KEY, brand text, serial text, manufacturer text, note text);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE to_parent (id int REFERENCES parent ON DELETE CASCADE);
INSERT INTO parent VALUES (1, 'a', '1', 'm'), (2, 'a', '1', 'm');
INSERT INTO child VALUES (2, 'a', '1', 'm', 'child'), (3, 'b', '1', 'm', NULL), (2, 'b', '1', 'm', NULL);
INSERT INTO to_parent VALUES (2);
BEGIN;
SELECT * FROM merge('parent', 'oldest');
SELECT tableoid::regclass, * FROM parent ORDER BY 1, 2;
TABLE to_parent;
ROLLBACK;
-- the row to be kept is in the child
SELECT * FROM merge('parent', 'newest');
\echo :SQLSTATE
SELECT * FROM merge('child');
TABLE to_parent;
SELECT count(*) FROM parent;
DROP TABLE parent, to_parent CASCADE;

DROP SCHEMA pu_merge_partitions CASCADE;
