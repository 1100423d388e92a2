-- A merge in its session: in transactions that may not write or are of another isolation level, with search_paths and
-- settings of all kinds, and with other tables, or the same one altered, before it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_merge_session;
SET search_path = pu_merge_session, public;
\pset format unaligned
\pset tuples_only on
\pset null NULL
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/merge.sql
\i :abs_srcdir/sql/include/merge_references.sql

-- In a transaction that may not write
BEGIN READ ONLY;
SELECT * FROM merge('product');
\echo :SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT * FROM merge('product', dry_run => true);
\echo :SQLSTATE
ROLLBACK;
-- search_path is of no account, nor are objects that stand in the way.
CREATE FUNCTION pu_merge_session.to_jsonb(anyelement) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
CREATE FUNCTION pu_merge_session.never(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR pu_merge_session.= (leftarg = int, rightarg = int, function = pu_merge_session.never);
BEGIN;
SET LOCAL search_path = pu_merge_session, pg_catalog, public;
SELECT key ->> 'brand', kept ->> 'id', references_moved FROM public.product_upsert_merge_duplicates('product');
ROLLBACK;
BEGIN;
SET LOCAL search_path = '';
SELECT key ->> 'brand', kept ->> 'id', references_moved FROM public.product_upsert_merge_duplicates('pu_merge_session.product');
SELECT id FROM pu_merge_session.product ORDER BY id;
ROLLBACK;
DROP OPERATOR pu_merge_session.= (int, int);
DROP FUNCTION pu_merge_session.never, pu_merge_session.to_jsonb;
-- With an older snapshot than the lock it would not see all rows of a group.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM public.product_upsert_merge_duplicates('product');
\echo :SQLSTATE
ROLLBACK;

-- PL/pgSQL may be told to be strict.
BEGIN;
SET LOCAL plpgsql.extra_errors = 'all';
SELECT key ->> 'brand', kept ->> 'id', references_moved FROM public.product_upsert_merge_duplicates('pu_merge_session.product');
ROLLBACK;

-- Two tables in one session, and one that is altered in between
CREATE TABLE item (id bigint PRIMARY KEY, brand int, serial date, manufacturer boolean, extra point);
INSERT INTO item VALUES (1, 1, '2024-01-01', NULL, NULL), (2, 1, '2024-01-01', NULL, '(1,2)');
BEGIN;
SELECT * FROM merge('item');
SELECT key, kept -> 'id', moved FROM merge('product');
ROLLBACK;
SELECT * FROM merge('item', dry_run => true);
ALTER TABLE item DROP COLUMN extra, ALTER COLUMN brand TYPE text USING 'b' || brand, ADD COLUMN more jsonb;
UPDATE item SET more = '{}' WHERE id = 2;
SELECT * FROM merge('item', dry_run => true);
ALTER TABLE item DROP CONSTRAINT item_pkey, ALTER COLUMN id DROP NOT NULL;
UPDATE item SET id = NULL WHERE id = 1;
SELECT * FROM merge('item');
DROP TABLE item;

DROP SCHEMA pu_merge_session CASCADE;
DROP SCHEMA "Odd "" schema" CASCADE;
