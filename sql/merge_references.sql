-- What references the rows that a merge removes references the row that is kept then. Where that cannot be, the merge stops,
-- tells of it, and nothing at all has changed.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE SCHEMA pu_merge_references;
SET search_path = pu_merge_references, public;
\pset format unaligned
\pset tuples_only on
\pset null NULL
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/merge.sql
\i :abs_srcdir/sql/include/merge_references.sql

-- Every kind of foreign key is repointed before the row goes, whatever it does on delete.
BEGIN;
SELECT key, kept -> 'id', moved, filled FROM merge('product');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT show_references();
ROLLBACK;
BEGIN;
SELECT key, kept -> 'id', moved, filled FROM merge('product', 'newest', dry_run => true);
SELECT key, kept -> 'id', moved, filled FROM merge('product', 'newest');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT show_references();
ROLLBACK;

-- A child that would break a constraint of its own: the merge stops, and says where; nothing has changed.
CREATE TABLE one_each (n int PRIMARY KEY, product int REFERENCES product, lang text,
	CONSTRAINT one_each_of_a_language UNIQUE (product, lang));
INSERT INTO one_each VALUES (1, 1, 'en'), (2, 2, 'de'), (3, 3, 'en');
SELECT * FROM merge('product');
\echo :SQLSTATE
SELECT * FROM merge('product', dry_run => true);
\echo :SQLSTATE
DO $$
DECLARE
	state text;
	broken text;
BEGIN
	PERFORM product_upsert_merge_duplicates('product');
EXCEPTION WHEN unique_violation THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, broken = CONSTRAINT_NAME;
	RAISE INFO '% %', state, broken;
END $$;
SELECT count(*) FROM product;
TABLE one_each;
SELECT show_references();
DELETE FROM one_each WHERE n = 3;
BEGIN;
SELECT key, kept -> 'id', moved FROM merge('product');
TABLE one_each;
ROLLBACK;
DROP TABLE one_each;
CREATE TABLE booked (product int REFERENCES product, during int4range,
	CONSTRAINT booked_once EXCLUDE USING gist (product WITH =, during WITH &&));
INSERT INTO booked VALUES (1, '[1,5)'), (2, '[4,6)');
SELECT * FROM merge('product');
\echo :SQLSTATE
SELECT count(*) FROM product;
TABLE booked;
DROP TABLE booked;
-- A primary key that consists of references
CREATE TABLE tag (product int REFERENCES product ON DELETE CASCADE, tag text, PRIMARY KEY (product, tag));
INSERT INTO tag VALUES (1, 'x'), (2, 'x'), (2, 'y');
SELECT * FROM merge('product');
\echo :SQLSTATE
DELETE FROM tag WHERE product = 1;
BEGIN;
SELECT key, kept -> 'id', moved FROM merge('product');
TABLE tag ORDER BY tag;
ROLLBACK;
-- and are referenced themselves: PostgreSQL's own error, unless the constraints can wait.
CREATE TABLE tagged (product int, tag text, FOREIGN KEY (product, tag) REFERENCES tag ON DELETE CASCADE);
INSERT INTO tagged VALUES (2, 'x');
SELECT * FROM merge('product');
\echo :SQLSTATE
ALTER TABLE tagged DROP CONSTRAINT tagged_product_tag_fkey,
	ADD FOREIGN KEY (product, tag) REFERENCES tag ON DELETE CASCADE DEFERRABLE,
	ADD FOREIGN KEY (product) REFERENCES product DEFERRABLE;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
SELECT key, kept -> 'id', moved FROM merge('product');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT * FROM tagged JOIN tag USING (product, tag);
ROLLBACK;
DROP TABLE tagged, tag;
-- Generated from a reference, and one that is generated itself
CREATE TABLE computed (product int REFERENCES product ON DELETE CASCADE,
	twice int GENERATED ALWAYS AS (product * 2) STORED UNIQUE);
INSERT INTO computed VALUES (2);
BEGIN;
SELECT key, kept -> 'id', moved FROM merge('product');
TABLE computed;
ROLLBACK;
INSERT INTO computed VALUES (1);
SELECT * FROM merge('product');
\echo :SQLSTATE
DROP TABLE computed;
CREATE TABLE computed (base int, product int GENERATED ALWAYS AS (base + 1) STORED REFERENCES product ON DELETE CASCADE);
INSERT INTO computed VALUES (0);
SELECT key, kept -> 'id', moved FROM merge('product', dry_run => true);
INSERT INTO computed VALUES (1);
SELECT * FROM merge('product');
\echo :SQLSTATE
TABLE computed;
DROP TABLE computed;
CREATE TABLE computed (product int GENERATED ALWAYS AS IDENTITY (START 2) REFERENCES product ON DELETE CASCADE, n int);
INSERT INTO computed (n) VALUES (1);
SELECT * FROM merge('product');
\echo :SQLSTATE
DROP TABLE computed;
-- Two foreign keys that share a column
CREATE TABLE twice (n int, tenant int, a int, b int, FOREIGN KEY (tenant, a) REFERENCES product (tenant, id) ON DELETE CASCADE,
	FOREIGN KEY (tenant, b) REFERENCES product (tenant, id) MATCH FULL ON DELETE CASCADE);
INSERT INTO twice VALUES (1, 1, 1, 2), (2, 1, 2, 3), (3, 1, 3, 4), (4, 1, 4, 2);
BEGIN;
SELECT key, kept -> 'id', moved FROM merge('product');
TABLE twice ORDER BY n;
ROLLBACK;
DROP TABLE twice;
-- A CHECK constraint is PostgreSQL's own error.
CREATE TABLE checked (product int REFERENCES product CHECK (product <> 1));
INSERT INTO checked VALUES (2);
SELECT * FROM merge('product');
\echo :SQLSTATE
DROP TABLE checked;
SELECT count(*) FROM product;

-- The row to be kept is null in the referenced column.
INSERT INTO product (id, brand, serial, manufacturer, code) VALUES (5, 'other', '1', 'm', 'c5');
UPDATE by_code SET code = 'c5' WHERE n = 4;
UPDATE product SET code = NULL WHERE id = 4;
SELECT * FROM merge('product');
\echo :SQLSTATE
SELECT id, code FROM product ORDER BY id;
SELECT * FROM show_references() AS r WHERE r LIKE 'by_code%' OR r LIKE 'no_action%';
UPDATE by_code SET code = NULL WHERE n = 4;
-- Not referenced, it is taken over.
BEGIN;
SELECT key, kept -> 'code', moved, filled FROM merge('product') WHERE key LIKE 'other%';
ROLLBACK;
DELETE FROM product WHERE id = 5;

-- Columns of different collations in a foreign key
CREATE TABLE pu_merge_references.code (code text COLLATE "C" PRIMARY KEY, brand text, serial text, manufacturer text);
CREATE TABLE pu_merge_references.coded (code text COLLATE "POSIX" REFERENCES pu_merge_references.code);
INSERT INTO pu_merge_references.code VALUES ('a', 'a', '1', 'm'), ('b', 'a', '1', 'm');
INSERT INTO pu_merge_references.coded VALUES ('b');
SELECT kept -> 'code', references_moved FROM public.product_upsert_merge_duplicates('pu_merge_references.code');
TABLE pu_merge_references.coded;

DROP SCHEMA pu_merge_references CASCADE;
DROP SCHEMA "Odd "" schema" CASCADE;
