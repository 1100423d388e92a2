-- Who may merge: what is asked for on the table and on those that reference it, and rows that policies may hide from who
-- merges, which are an error and not half a merge.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_merge_privileges;
SET search_path = pu_merge_privileges, public;
\pset format unaligned
\pset tuples_only on
\pset null NULL
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/merge.sql
\i :abs_srcdir/sql/include/merge_references.sql

CREATE ROLE regress_pu_merger;
GRANT USAGE ON SCHEMA pu_merge_privileges, "Odd "" schema" TO regress_pu_merger;
GRANT SELECT, UPDATE, DELETE ON product TO regress_pu_merger;
SET ROLE regress_pu_merger;
SELECT * FROM merge('product');
\echo :SQLSTATE
RESET ROLE;
GRANT SELECT ON ALL TABLES IN SCHEMA pu_merge_privileges, "Odd "" schema" TO regress_pu_merger;
GRANT UPDATE ON ALL TABLES IN SCHEMA pu_merge_privileges, "Odd "" schema" TO regress_pu_merger;
REVOKE UPDATE ON several FROM regress_pu_merger;
SET ROLE regress_pu_merger;
SELECT * FROM merge('product');
\echo :SQLSTATE
RESET ROLE;
SELECT count(*) FROM product;
GRANT UPDATE (first, second, third) ON several TO regress_pu_merger;
SET ROLE regress_pu_merger;
SELECT key, kept -> 'id', moved FROM merge('product', dry_run => true);
RESET ROLE;
REVOKE DELETE ON product FROM regress_pu_merger;
SET ROLE regress_pu_merger;
SELECT * FROM merge('product');
\echo :SQLSTATE
RESET ROLE;
GRANT DELETE ON product TO regress_pu_merger;
-- Rows that row-level security may hide, in the table or in one that references it: an error, not half a merge
ALTER TABLE product ENABLE ROW LEVEL SECURITY;
CREATE POLICY hide ON product USING (id <> 2);
SET ROLE regress_pu_merger;
SELECT * FROM merge('product');
\echo :SQLSTATE
SELECT * FROM product_upsert_duplicates('product');
\echo :SQLSTATE
RESET ROLE;
ALTER TABLE product DISABLE ROW LEVEL SECURITY;
ALTER TABLE set_null ENABLE ROW LEVEL SECURITY;
CREATE POLICY hide ON set_null USING (n <> 2);
SET ROLE regress_pu_merger;
SELECT * FROM merge('product');
\echo :SQLSTATE
RESET ROLE;
SELECT count(*) FROM product;
-- Whom policies do not bind
SELECT key, kept -> 'id', moved FROM merge('product', dry_run => true);
ALTER TABLE set_null DISABLE ROW LEVEL SECURITY;
DROP OWNED BY regress_pu_merger;
DROP ROLE regress_pu_merger;

DROP SCHEMA pu_merge_privileges CASCADE;
DROP SCHEMA "Odd "" schema" CASCADE;
