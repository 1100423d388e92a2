-- Merging whatever the names are: of columns that mean something in the queries that a merge consists of, of tables and
-- schemas that must be quoted, and of the extension's schema.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_merge_names;
SET search_path = pu_merge_names, public;
\pset format unaligned
\pset tuples_only on
\pset null NULL
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/merge.sql

-- Names that mean something in the queries that a merge consists of, and names that must be quoted
CREATE TABLE t (t int PRIMARY KEY, k text, r text, o text, c text, g text, n text, p text, s text, d text, gone text, key text,
	kept text, removed text, filled text, ctids text, stored text, duplicate text, "references_moved" text, u text, a text,
	f text, x text, target text, tables text, identity text, c1 text, "%I ""quoted"" 'twice'" text, "select" text, "t.*" text,
	"Ünï" text);
CREATE TABLE c (c int REFERENCES t ON DELETE CASCADE, k int REFERENCES t, r int, o int, n int, "Select" int REFERENCES t);
SELECT duplicate_keys FROM product_upsert_protect('t', ARRAY['k', 'r', 'key', 'select', '%I "quoted" ''twice''']);
ALTER TABLE t DISABLE TRIGGER product_upsert_guard;
INSERT INTO t (t, k, r, key, "select", "%I ""quoted"" 'twice'")
	SELECT i, 'k', 'r', 'key', NULL, 'q' FROM generate_series(1, 3) AS i;
UPDATE t SET o = 'o', c = 'c', g = 'g', n = 'n', p = 'p', s = 's', d = 'd', gone = 'gone', kept = 'kept', removed = 'removed',
	filled = 'filled', ctids = 'ctids', stored = 'stored', duplicate = 'duplicate', u = 'u', a = 'a', f = 'f', x = 'x',
	target = 'target', tables = 'tables', identity = 'identity', c1 = 'c1', "t.*" = '*', "Ünï" = 'ü' WHERE t.t = 3;
UPDATE t SET g = 'nearest' WHERE t.t = 2;
INSERT INTO c VALUES (1, 2, 1, 1, 1, 3), (3, NULL, 3, 3, 3, 2);
SELECT * FROM product_upsert_merge_duplicates('t');
SELECT g, n, "Ünï" FROM t;
TABLE c ORDER BY n;
DROP TABLE t, c;
-- Hostile ones
CREATE SCHEMA "pu'; DROP SCHEMA pu_merge_names; --";
CREATE TABLE "pu'; DROP SCHEMA pu_merge_names; --"."%s ""x""" ("$1" int PRIMARY KEY, brand text, serial text, manufacturer text,
	"it's %L" text);
CREATE TABLE "pu'; DROP SCHEMA pu_merge_names; --"."child'); --"
	("$2" int REFERENCES "pu'; DROP SCHEMA pu_merge_names; --"."%s ""x""");
INSERT INTO "pu'; DROP SCHEMA pu_merge_names; --"."%s ""x""" VALUES
	(1, 'a', '1', 'm', NULL), (2, 'a', '1', 'm', NULL), (3, 'q"(,)\', '''', '', 'y'), (4, 'q"(,)\', '''', '', 'x');
INSERT INTO "pu'; DROP SCHEMA pu_merge_names; --"."child'); --" VALUES (2), (4);
UPDATE "pu'; DROP SCHEMA pu_merge_names; --"."%s ""x""" SET "it's %L" = E'a\nb\\' WHERE "$1" = 2;
SELECT * FROM product_upsert_merge_duplicates('"pu''; DROP SCHEMA pu_merge_names; --"."%s ""x"""') ORDER BY kept ->> '$1';
TABLE "pu'; DROP SCHEMA pu_merge_names; --"."child'); --";
DROP SCHEMA "pu'; DROP SCHEMA pu_merge_names; --" CASCADE;

-- Wherever the extension is
CREATE SCHEMA "Elsewhere, 2";
DROP EXTENSION product_upsert;
CREATE EXTENSION product_upsert SCHEMA "Elsewhere, 2";
CREATE TABLE product (id int PRIMARY KEY, brand text, serial text, manufacturer text, parent int REFERENCES product);
INSERT INTO product VALUES (1, 'a', '1', 'm', NULL), (2, 'a', '1', 'm', 1);
SELECT duplicate_keys FROM "Elsewhere, 2".product_upsert_protect('product');
SELECT key, copies, rows FROM "Elsewhere, 2".product_upsert_duplicates('product');
SELECT * FROM "Elsewhere, 2".product_upsert_merge_duplicates('product');
DROP TABLE product;
DROP EXTENSION product_upsert;

DROP SCHEMA "Elsewhere, 2";
DROP SCHEMA pu_merge_names CASCADE;
