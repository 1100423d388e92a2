-- Merging a table that references itself: also among the duplicates, and with references that are part of the key.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_merge_trees;
SET search_path = pu_merge_trees, public;
\pset format unaligned
\pset tuples_only on
\pset null NULL
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/merge.sql

-- A table that references itself: also among the duplicates, and never filled in with a reference to itself
CREATE TABLE tree (id int PRIMARY KEY, brand text, serial text, manufacturer text,
	parent int REFERENCES tree ON DELETE CASCADE, replaces int REFERENCES tree);
INSERT INTO tree VALUES
	(1, 'a', '1', 'm', NULL, NULL), (2, 'a', '1', 'm', 1, 3), (3, 'a', '1', 'm', 2, 3), (4, 'leaf', '1', 'm', 3, 2),
	(5, 'leaf', '2', 'm', 1, 4), (6, 'leaf', '2', 'm', 5, 3);
BEGIN;
SELECT * FROM merge('tree');
TABLE tree ORDER BY id;
ROLLBACK;
BEGIN;
SELECT * FROM merge('tree', 'newest');
TABLE tree ORDER BY id;
ROLLBACK;
-- A value that is no reference to itself is filled in.
UPDATE tree SET parent = 4 WHERE id = 2;
SELECT * FROM merge('tree', max_keys => 1);
TABLE tree ORDER BY id;
DROP TABLE tree;
CREATE TABLE treeless (brand text, serial text, manufacturer text, code int UNIQUE, parent int REFERENCES treeless (code));
INSERT INTO treeless VALUES ('a', '1', 'm', 1, NULL), ('a', '1', 'm', 2, 1);
SELECT * FROM merge('treeless');
\echo :SQLSTATE
DROP TABLE treeless;
-- One whose references are part of the key: rows that reference one of their duplicates in it have another key then.
CREATE TABLE branches (id int PRIMARY KEY, parent int REFERENCES branches, name text);
SELECT duplicate_keys FROM product_upsert_protect('branches', '{parent,name}');
ALTER TABLE branches DISABLE TRIGGER product_upsert_guard;
INSERT INTO branches VALUES (1, 2, 'x'), (2, 2, 'x');
SELECT * FROM product_upsert_merge_duplicates('branches');
\echo :SQLSTATE
TABLE branches ORDER BY id;
-- Others become duplicates: for the next merge, or for the guard to refuse.
TRUNCATE branches;
INSERT INTO branches VALUES (1, NULL, 'x'), (2, NULL, 'x'), (3, 1, 'y'), (4, 2, 'y');
BEGIN;
SELECT key, kept -> 'id', references_moved FROM product_upsert_merge_duplicates('branches');
SELECT key, kept -> 'id', references_moved FROM product_upsert_merge_duplicates('branches');
TABLE branches ORDER BY id;
ROLLBACK;
ALTER TABLE branches ENABLE TRIGGER product_upsert_guard;
SELECT product_upsert_merge_duplicates('branches');
\echo :SQLSTATE
DROP TABLE branches;

DROP SCHEMA pu_merge_trees CASCADE;
