-- product_upsert_merge_duplicates: one row of all that have the same key. What is kept and what is filled in, whatever may reference
-- the rows that go, what stops it, and that nothing at all has changed then.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE EXTENSION IF NOT EXISTS citext;
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE SCHEMA pu_merge;
SET search_path = pu_merge, public;
\pset format unaligned
\pset tuples_only on
\pset null NULL
\set SHOW_CONTEXT never

-- What a merge returns, without the key's columns in the rows
CREATE FUNCTION merge(target regclass, keep text DEFAULT 'oldest', dry_run boolean DEFAULT false, max_keys integer DEFAULT NULL)
	RETURNS TABLE (key text, kept jsonb, removed text, moved bigint, filled name[]) LANGUAGE sql AS $$
	SELECT (SELECT string_agg(value, '/') FROM jsonb_each_text(m.key)), m.kept - 'brand'::text - 'serial'::text - 'manufacturer'::text,
		   (SELECT string_agg((r - 'brand'::text - 'serial'::text - 'manufacturer'::text)::text, ' ') FROM jsonb_array_elements(m.removed) AS r),
		   m.references_moved, m.filled
	  FROM product_upsert_merge_duplicates(target, keep, dry_run, max_keys) AS m
$$;

-- The oldest or the newest, in the order of the primary key, and what is returned
CREATE TABLE product (id int PRIMARY KEY, brand text, serial text, manufacturer text, price numeric, note text);
INSERT INTO product VALUES
	(10, 'a', '1', 'm', NULL, NULL), (9, 'a', '1', 'm', 1.50, NULL), (100, 'a', '1', 'm', 2, 'from 100'),
	(5, 'b', NULL, '', 1, 'five'), (4, 'b', NULL, '', NULL, 'four'),
	(1, 'single', '1', 'm', NULL, NULL), (2, 'b', NULL, NULL, NULL, NULL), (3, 'b', '', '', NULL, NULL);
BEGIN;
SELECT * FROM product_upsert_merge_duplicates('product') ORDER BY key ->> 'brand';
TABLE product ORDER BY id;
ROLLBACK;
BEGIN;
SELECT * FROM product_upsert_merge_duplicates('product', 'newest') ORDER BY key ->> 'brand';
TABLE product ORDER BY id;
-- Nothing is left to merge.
SELECT * FROM product_upsert_merge_duplicates('product');
SELECT * FROM product_upsert_duplicates('product');
ROLLBACK;

-- dry_run: the same rows, and nothing has changed; no lock is left of it, on a key, a row or the table.
BEGIN;
SELECT * FROM product_upsert_merge_duplicates('product', dry_run => true) ORDER BY key ->> 'brand';
SELECT count(*) FROM product_upsert_locks;
SELECT DISTINCT mode FROM pg_locks WHERE relation = 'product'::regclass ORDER BY mode;
SET LOCAL product_upsert.max_key_locks = 1;
SELECT count(*) FROM product_upsert_merge_duplicates('product', dry_run => true);
SELECT count(*) FROM pg_locks WHERE relation = 'product'::regclass AND mode = 'ShareRowExclusiveLock';
SELECT count(*) FROM product WHERE xmax <> 0 AND pg_xact_status(xmax::text::xid8) IS DISTINCT FROM 'aborted' AND pg_current_xact_id_if_assigned()::xid = xmax;
COMMIT;
TABLE product ORDER BY id;

-- max_keys, in bites
SELECT count(*) FROM product_upsert_merge_duplicates('product', 'oldest', true, 1);
SELECT count(*) FROM product_upsert_merge_duplicates('product', max_keys => 1);
SELECT count(*) FROM product_upsert_duplicates('product');
SELECT count(*) FROM product_upsert_merge_duplicates('product', max_keys => 1);
SELECT count(*) FROM product_upsert_merge_duplicates('product', max_keys => 1);
TABLE product ORDER BY id;

-- What cannot be asked for
SELECT product_upsert_merge_duplicates('product', 'first');
\echo :SQLSTATE
SELECT product_upsert_merge_duplicates('product', NULL);
\echo :SQLSTATE
SELECT product_upsert_merge_duplicates('product', dry_run => NULL);
\echo :SQLSTATE
SELECT product_upsert_merge_duplicates('product', max_keys => 0);
\echo :SQLSTATE
SELECT product_upsert_merge_duplicates('product', max_keys => -1);
\echo :SQLSTATE
CREATE VIEW a_view AS TABLE product;
SELECT product_upsert_merge_duplicates('a_view');
\echo :SQLSTATE
DROP VIEW a_view;
CREATE TABLE keyless (id int);
SELECT product_upsert_merge_duplicates('keyless');
\echo :SQLSTATE
DROP TABLE keyless;

-- The order is that of all columns of the primary key, failing that of another unique constraint without nulls, and
-- failing that of the places.
CREATE TABLE composite (brand text, serial text, manufacturer text, n int, "Day" date, PRIMARY KEY ("Day", n));
INSERT INTO composite VALUES ('a', '1', 'm', 1, '2024-01-02'), ('a', '1', 'm', 3, '2024-01-01'), ('a', '1', 'm', 2, '2024-01-01');
SELECT * FROM merge('composite', dry_run => true);
SELECT * FROM merge('composite', 'newest');
CREATE TABLE unique_only (brand text, serial text, manufacturer text, n int, partial int, nullable int UNIQUE, code text NOT NULL);
ALTER TABLE unique_only ADD UNIQUE (n) DEFERRABLE;
CREATE UNIQUE INDEX ON unique_only (partial) WHERE partial > 0;
CREATE UNIQUE INDEX ON unique_only (lower(code) DESC);
CREATE UNIQUE INDEX ON unique_only (code) INCLUDE (n);
INSERT INTO unique_only VALUES ('a', '1', 'm', 1, 1, 1, 'z'), ('a', '1', 'm', 2, 2, 2, 'y'), ('a', '1', 'm', 3, 3, 3, 'x');
SELECT * FROM merge('unique_only');
CREATE TABLE bare (brand text, serial text, manufacturer text, n int);
INSERT INTO bare VALUES ('a', '1', 'm', 3), ('a', '1', 'm', NULL), ('a', '1', 'm', 3);
SELECT * FROM merge('bare', dry_run => true);
SELECT * FROM merge('bare', 'newest');
TABLE bare;
DROP TABLE composite, unique_only, bare;

-- Nulls are filled from the nearest row first, whatever the type. Columns that are generated or an identity, that are NOT
-- NULL or were dropped are left alone.
CREATE TYPE pair AS (x int, y text);
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE TABLE filled (
	id int PRIMARY KEY, brand text, gone text, serial text, manufacturer text,
	n int, f float8, t text, j json, jb jsonb, x xml, a int[], p pair, e colour, d positive, r int4range, b bytea, pt point, ts timestamptz,
	ip inet, bits bit(3), at text, doubled int GENERATED ALWAYS AS (n * 2) STORED, ident int GENERATED BY DEFAULT AS IDENTITY,
	must int NOT NULL DEFAULT 0, sku text UNIQUE);
ALTER TABLE filled DROP COLUMN gone;
INSERT INTO filled (id, brand, serial, manufacturer, t, at, p, ident, must) VALUES (1, 'a', '1', 'm', '', NULL, NULL, 7, 1);
INSERT INTO filled (id, brand, serial, manufacturer, n, f, t, j, at, sku, must) VALUES (2, 'a', '1', 'm', 2, 'NaN', 'never', 'null', 'nearest', 'S2', 2);
INSERT INTO filled (id, brand, serial, manufacturer, n, j, jb, x, a, p, e, d, r, b, pt, ts, ip, bits, at, sku, must) VALUES
	(3, 'a', '1', 'm', 3, '{"b":1,  "a":2}', 'null', '<x>1</x><y/>', '{1,NULL}', '(,)', 'green', 5, 'empty', '\x00', '(1,2)', '2024-01-01 00:00+00', '10.0.0.1/8', B'101', 'far', 'S3', 3);
SET timezone = 'UTC';
SELECT key, kept, moved, filled FROM merge('filled');
TABLE filled;
TRUNCATE filled;
-- the other way round
INSERT INTO filled (id, brand, serial, manufacturer, n, t, sku) VALUES (1, 'a', '1', 'm', 1, 'far', 'S1'), (2, 'a', '1', 'm', 2, NULL, NULL), (3, 'a', '1', 'm', NULL, NULL, NULL);
SELECT kept ->> 'id', kept ->> 'n', kept ->> 't', kept ->> 'sku', kept ->> 'doubled', filled FROM merge('filled', 'newest');
DROP TABLE filled;

-- A value that is null as a whole differs from a row of nulls, which is a value.
CREATE TABLE rows_of_null (id int PRIMARY KEY, brand text, serial text, manufacturer text, p pair);
INSERT INTO rows_of_null VALUES (1, 'a', '1', 'm', '(,)'), (2, 'a', '1', 'm', '(1,a)'), (3, 'b', '1', 'm', NULL), (4, 'b', '1', 'm', '(,)'), (5, 'b', '1', 'm', '(1,b)');
SELECT * FROM merge('rows_of_null');
DROP TABLE rows_of_null;

-- Keys of other types: equal is what is equal under the column's type and collation. The kept row's spelling stays.
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE typed (id int PRIMARY KEY, num numeric, ci citext, icu text COLLATE ignore_case, name text,
					lowered text GENERATED ALWAYS AS (lower(name)) STORED, note text);
SELECT duplicate_keys FROM product_upsert_protect('typed', '{num}');
INSERT INTO typed VALUES (1, 1.0), (2, 2.00);
ALTER TABLE typed DISABLE TRIGGER product_upsert_guard;
INSERT INTO typed (id, num, note) VALUES (3, 1.00, 'n');
SELECT * FROM product_upsert_merge_duplicates('typed');
TRUNCATE typed;
SELECT duplicate_keys FROM product_upsert_protect('typed', '{ci,icu}');
ALTER TABLE typed DISABLE TRIGGER product_upsert_guard;
INSERT INTO typed (id, ci, icu) VALUES (1, 'Abc', 'äB'), (2, 'aBC', 'ÄB'), (3, 'abc', NULL), (4, 'ABC', NULL), (5, 'abc', 'ab');
SELECT key, kept -> 'id', removed FROM product_upsert_merge_duplicates('typed') ORDER BY kept -> 'id';
TRUNCATE typed;
SELECT duplicate_keys FROM product_upsert_protect('typed', '{lowered}');
ALTER TABLE typed DISABLE TRIGGER product_upsert_guard;
INSERT INTO typed (id, name) VALUES (1, 'A'), (2, 'a'), (3, 'B'), (4, NULL), (5, NULL);
SELECT key, kept -> 'id', kept -> 'name', filled FROM product_upsert_merge_duplicates('typed') ORDER BY kept -> 'id';
DROP TABLE typed;
-- A domain's values are compared in full, also where the name of its base type means one character; and values that a
-- constraint would not let in any more are merged, and filled in, as any others.
CREATE DOMAIN code AS char(5);
CREATE TABLE domains (id int PRIMARY KEY, brand code, serial positive, manufacturer text, old positive);
ALTER DOMAIN positive DROP CONSTRAINT positive_check;
INSERT INTO domains VALUES (1, 'ab', 1, 'm', NULL), (2, 'ab', 1, 'm', -2), (3, 'ax', 1, 'm', NULL), (4, 'ay', 1, 'm', NULL),
	(5, 'b', -1, 'm', -5), (6, 'b', -1, 'm', NULL);
ALTER DOMAIN positive ADD CHECK (value > 0) NOT VALID;
SELECT kept, removed, filled FROM product_upsert_merge_duplicates('domains') ORDER BY kept -> 'id';
SELECT id FROM domains ORDER BY id;
DROP TABLE domains;
DROP DOMAIN code;

-- ------------------------------------------------------------------------------------------------------------------
-- Every kind of foreign key is repointed before the row goes, whatever it does on delete.
TRUNCATE product;
ALTER TABLE product ADD COLUMN tenant int DEFAULT 1, ADD COLUMN code text UNIQUE, ADD UNIQUE (tenant, id);
CREATE TABLE no_action (n int PRIMARY KEY, product int REFERENCES product);
CREATE TABLE restricted (n int PRIMARY KEY, product int REFERENCES product ON DELETE RESTRICT);
CREATE TABLE cascaded (n int PRIMARY KEY, product int REFERENCES product ON DELETE CASCADE);
CREATE TABLE set_null (n int PRIMARY KEY, product int REFERENCES product ON DELETE SET NULL);
CREATE TABLE set_default (n int PRIMARY KEY, product int DEFAULT 4 REFERENCES product ON DELETE SET DEFAULT);
CREATE TABLE deferred (n int PRIMARY KEY, product int REFERENCES product DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE simple (n int PRIMARY KEY, tenant int, product int, FOREIGN KEY (tenant, product) REFERENCES product (tenant, id) ON DELETE CASCADE);
CREATE TABLE "full" (n int PRIMARY KEY, tenant int, product int, FOREIGN KEY (tenant, product) REFERENCES product (tenant, id) MATCH FULL ON DELETE CASCADE);
CREATE TABLE wide (n int PRIMARY KEY, product int8 REFERENCES product ON DELETE CASCADE);
CREATE TABLE narrow (n int PRIMARY KEY, product int2 REFERENCES product ON DELETE CASCADE);
CREATE TABLE by_code (n int PRIMARY KEY, code text COLLATE "POSIX" REFERENCES product (code) ON DELETE CASCADE);
CREATE TABLE parted_child (n int, product int REFERENCES product ON DELETE CASCADE) PARTITION BY LIST (product);
CREATE TABLE parted_child_1 PARTITION OF parted_child FOR VALUES IN (1);
CREATE TABLE parted_child_rest PARTITION OF parted_child DEFAULT;
CREATE TABLE several (n int PRIMARY KEY, first int REFERENCES product ON DELETE CASCADE, second int REFERENCES product ON DELETE SET NULL, third int REFERENCES product);
CREATE TABLE not_valid (n int PRIMARY KEY, product int);
ALTER TABLE not_valid ADD FOREIGN KEY (product) REFERENCES product ON DELETE CASCADE NOT VALID;
CREATE SCHEMA "Odd "" schema";
CREATE TABLE "Odd "" schema"."it's; a ""table""" ("1st %I column" int REFERENCES product ON DELETE CASCADE, "k" int, "select" int REFERENCES product);
-- Not by name: a table that has such a column, and the children of one that references, do not.
CREATE TABLE stranger (n int PRIMARY KEY, product int);
CREATE TABLE heir () INHERITS (cascaded);

INSERT INTO product (id, brand, serial, manufacturer, code) VALUES
	(1, 'a', '1', 'm', 'c1'), (2, 'a', '1', 'm', 'c2'), (3, 'a', '1', 'm', 'c3'), (4, 'other', '1', 'm', 'c4');
INSERT INTO no_action SELECT i, i FROM generate_series(1, 4) i;
INSERT INTO restricted TABLE no_action;
INSERT INTO cascaded TABLE no_action;
INSERT INTO set_null TABLE no_action;
INSERT INTO set_default TABLE no_action;
INSERT INTO deferred TABLE no_action;
INSERT INTO wide TABLE no_action;
INSERT INTO narrow TABLE no_action;
INSERT INTO simple SELECT n, CASE n WHEN 3 THEN NULL ELSE 1 END, product FROM no_action;
INSERT INTO "full" SELECT n, CASE WHEN n <> 3 THEN 1 END, CASE WHEN n <> 3 THEN product END FROM no_action;
INSERT INTO by_code SELECT n, 'c' || n FROM no_action;
INSERT INTO parted_child TABLE no_action;
INSERT INTO several VALUES (1, 1, 2, 3), (2, 4, 4, 2), (3, NULL, 2, NULL);
INSERT INTO not_valid TABLE no_action;
INSERT INTO "Odd "" schema"."it's; a ""table""" VALUES (2, 2, 3);
INSERT INTO stranger TABLE no_action;
INSERT INTO heir VALUES (12, 2);

CREATE VIEW referencing AS
	SELECT 'no_action' AS child, n, product::text FROM no_action UNION ALL SELECT 'restricted', n, product::text FROM restricted
	UNION ALL SELECT 'cascaded', n, product::text FROM ONLY cascaded UNION ALL SELECT 'set_null', n, product::text FROM set_null
	UNION ALL SELECT 'set_default', n, product::text FROM set_default UNION ALL SELECT 'deferred', n, product::text FROM deferred
	UNION ALL SELECT 'wide', n, product::text FROM wide UNION ALL SELECT 'narrow', n, product::text FROM narrow
	UNION ALL SELECT 'simple', n, coalesce(tenant::text, '-') || '.' || product FROM simple
	UNION ALL SELECT 'full', n, coalesce(tenant::text, '-') || '.' || coalesce(product::text, '-') FROM "full"
	UNION ALL SELECT 'by_code', n, code FROM by_code
	UNION ALL SELECT tableoid::regclass::text, n, product::text FROM parted_child
	UNION ALL SELECT 'several', n, concat_ws(' ', coalesce(first::text, '-'), coalesce(second::text, '-'), coalesce(third::text, '-')) FROM several
	UNION ALL SELECT 'not_valid', n, product::text FROM not_valid
	UNION ALL SELECT 'odd', k, concat_ws(' ', "1st %I column", "select") FROM "Odd "" schema"."it's; a ""table"""
	UNION ALL SELECT 'stranger', n, product::text FROM stranger UNION ALL SELECT 'heir', n, product::text FROM heir;
CREATE FUNCTION show_references() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT child || ': ' || string_agg(n || ' -> ' || product, ', ' ORDER BY n) FROM pu_merge.referencing GROUP BY child ORDER BY child COLLATE "C"
$$;
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
CREATE TABLE one_each (n int PRIMARY KEY, product int REFERENCES product, lang text, CONSTRAINT one_each_of_a_language UNIQUE (product, lang));
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
CREATE TABLE booked (product int REFERENCES product, during int4range, CONSTRAINT booked_once EXCLUDE USING gist (product WITH =, during WITH &&));
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
ALTER TABLE tagged DROP CONSTRAINT tagged_product_tag_fkey, ADD FOREIGN KEY (product, tag) REFERENCES tag ON DELETE CASCADE DEFERRABLE,
	ADD FOREIGN KEY (product) REFERENCES product DEFERRABLE;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
SELECT key, kept -> 'id', moved FROM merge('product');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT * FROM tagged JOIN tag USING (product, tag);
ROLLBACK;
DROP TABLE tagged, tag;
-- Generated from a reference, and one that is generated itself
CREATE TABLE computed (product int REFERENCES product ON DELETE CASCADE, twice int GENERATED ALWAYS AS (product * 2) STORED UNIQUE);
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

-- ------------------------------------------------------------------------------------------------------------------
-- Triggers
CREATE FUNCTION veto() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RETURN NULL;
END $$;
CREATE TRIGGER veto BEFORE UPDATE ON cascaded FOR EACH ROW WHEN (OLD.n = 3) EXECUTE FUNCTION veto();
SELECT * FROM merge('product');
\echo :SQLSTATE
SELECT count(*) FROM product;
SELECT * FROM show_references() AS r WHERE r LIKE 'by_code%' OR r LIKE 'cascaded%';
DROP TRIGGER veto ON cascaded;
CREATE TRIGGER veto BEFORE DELETE ON product FOR EACH ROW WHEN (OLD.id = 3) EXECUTE FUNCTION veto();
SELECT * FROM merge('product');
\echo :SQLSTATE
SELECT count(*) FROM product;
DROP TRIGGER veto ON product;
CREATE FUNCTION create_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO pu_merge.product (id, brand, serial, manufacturer) VALUES (OLD.id + 100, OLD.brand, OLD.serial, OLD.manufacturer);
	RETURN NULL;
END $$;
CREATE TRIGGER create_again AFTER DELETE ON product FOR EACH ROW EXECUTE FUNCTION create_again();
-- (They are as any others that come meanwhile: for the next merge.)
BEGIN;
SELECT kept -> 'id', jsonb_array_length(removed) FROM public.product_upsert_merge_duplicates('product');
SELECT id FROM product ORDER BY id;
ROLLBACK;
DROP TRIGGER create_again ON product;
-- What triggers write to the rows meanwhile stays: one of a child to the row it references
CREATE FUNCTION count_references() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE pu_merge.product SET price = coalesce(price, 0) + 1 WHERE id = NEW.product;
	RETURN NULL;
END $$;
CREATE TRIGGER count_references AFTER UPDATE ON cascaded FOR EACH ROW EXECUTE FUNCTION count_references();
BEGIN;
SELECT key, kept -> 'id', kept -> 'price', moved, filled FROM merge('product');
SELECT id, price FROM product ORDER BY id;
ROLLBACK;
DROP TRIGGER count_references ON cascaded;
-- One that takes the kept row away
CREATE FUNCTION delete_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM pu_merge.kept WHERE id = 1;
	RETURN NULL;
END $$;
CREATE TABLE kept (id int PRIMARY KEY, brand text, serial text, manufacturer text);
CREATE TRIGGER delete_kept AFTER DELETE ON kept FOR EACH ROW EXECUTE FUNCTION delete_kept();
INSERT INTO kept VALUES (1, 'a', '1', 'm'), (2, 'a', '1', 'm');
SELECT * FROM public.product_upsert_merge_duplicates('kept');
\echo :SQLSTATE
SELECT count(*) FROM kept;
DROP TABLE kept;
-- Rows that only their place tells from others must stay in it: else the row that is to go is not found, and stays.
CREATE TABLE placed (brand text, serial text, manufacturer text, code int UNIQUE, moved int);
CREATE TABLE to_placed (code int REFERENCES placed (code) ON DELETE CASCADE);
INSERT INTO placed VALUES ('a', '1', 'm', 1), ('a', '1', 'm', 2);
INSERT INTO to_placed VALUES (2);
CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE pu_merge.placed SET moved = 1 WHERE code = NEW.code AND moved IS NULL;
	RETURN NULL;
END $$;
CREATE TRIGGER move AFTER UPDATE ON to_placed FOR EACH ROW EXECUTE FUNCTION move();
SELECT * FROM merge('placed');
\echo :SQLSTATE
TABLE placed;
TABLE to_placed;
DROP TABLE to_placed;
CREATE TRIGGER move AFTER UPDATE ON placed FOR EACH ROW EXECUTE FUNCTION move();
TRUNCATE placed;
INSERT INTO placed VALUES ('a', '1', 'm', NULL), ('a', '1', 'm', 2);
SELECT * FROM merge('placed');
\echo :SQLSTATE
TABLE placed;
DROP TABLE placed;

-- ------------------------------------------------------------------------------------------------------------------
-- Who may
CREATE ROLE regress_pu_merger;
GRANT USAGE ON SCHEMA pu_merge, "Odd "" schema" TO regress_pu_merger;
GRANT SELECT, UPDATE, DELETE ON product TO regress_pu_merger;
SET ROLE regress_pu_merger;
SELECT * FROM merge('product');
\echo :SQLSTATE
RESET ROLE;
GRANT SELECT ON ALL TABLES IN SCHEMA pu_merge, "Odd "" schema" TO regress_pu_merger;
GRANT UPDATE ON ALL TABLES IN SCHEMA pu_merge, "Odd "" schema" TO regress_pu_merger;
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
CREATE FUNCTION pu_merge.to_jsonb(anyelement) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
CREATE FUNCTION pu_merge.never(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR pu_merge.= (leftarg = int, rightarg = int, function = pu_merge.never);
BEGIN;
SET LOCAL search_path = pu_merge, pg_catalog, public;
SELECT key ->> 'brand', kept ->> 'id', references_moved FROM public.product_upsert_merge_duplicates('product');
ROLLBACK;
BEGIN;
SET LOCAL search_path = '';
SELECT key ->> 'brand', kept ->> 'id', references_moved FROM public.product_upsert_merge_duplicates('pu_merge.product');
SELECT id FROM pu_merge.product ORDER BY id;
ROLLBACK;
DROP OPERATOR pu_merge.= (int, int);
DROP FUNCTION pu_merge.never, pu_merge.to_jsonb;
-- With an older snapshot than the lock it would not see all rows of a group.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM public.product_upsert_merge_duplicates('product');
\echo :SQLSTATE
ROLLBACK;
-- What is left out: a trigger that keeps the kept row from being filled in would lose the values of the others.
CREATE TABLE pu_merge.kept (id int PRIMARY KEY, brand text, serial text, manufacturer text, note text);
INSERT INTO pu_merge.kept VALUES (1, 'a', '1', 'm', NULL), (2, 'a', '1', 'm', 'only here');
CREATE FUNCTION pu_merge.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER keep BEFORE UPDATE ON pu_merge.kept FOR EACH ROW EXECUTE FUNCTION pu_merge.keep();
SELECT * FROM public.product_upsert_merge_duplicates('pu_merge.kept');
\echo :SQLSTATE
SELECT id, note FROM pu_merge.kept ORDER BY id;
-- Keys whose text depends on settings
CREATE TABLE pu_merge.exact (id int PRIMARY KEY, real float8, at timestamptz, during interval);
INSERT INTO pu_merge.exact SELECT i, 0.1::float8 + 0.2::float8, '2026-01-02 03:04:05.678901+00', '1 mon -2 days 03:04:05' FROM generate_series(1, 2) AS i;
SELECT duplicate_keys FROM public.product_upsert_protect('pu_merge.exact', '{real,at,during}');
BEGIN;
SET LOCAL extra_float_digits = -3;
SET LOCAL datestyle = 'SQL, DMY';
SET LOCAL intervalstyle = sql_standard;
SET LOCAL timezone = 'Asia/Kolkata';
SELECT kept -> 'id' FROM public.product_upsert_merge_duplicates('pu_merge.exact');
ROLLBACK;
-- What the key is generated from is not filled in.
CREATE TABLE pu_merge.source (id int PRIMARY KEY, a text, b text, ab text GENERATED ALWAYS AS (coalesce(a, '') || coalesce(b, '')) STORED);
INSERT INTO pu_merge.source VALUES (1, 'x', NULL), (2, NULL, 'x');
SELECT duplicate_keys FROM public.product_upsert_protect('pu_merge.source', '{ab}');
SELECT kept, filled FROM public.product_upsert_merge_duplicates('pu_merge.source');
-- Columns of different collations in a foreign key
CREATE TABLE pu_merge.code (code text COLLATE "C" PRIMARY KEY, brand text, serial text, manufacturer text);
CREATE TABLE pu_merge.coded (code text COLLATE "POSIX" REFERENCES pu_merge.code);
INSERT INTO pu_merge.code VALUES ('a', 'a', '1', 'm'), ('b', 'a', '1', 'm');
INSERT INTO pu_merge.coded VALUES ('b');
SELECT kept -> 'code', references_moved FROM public.product_upsert_merge_duplicates('pu_merge.code');
TABLE pu_merge.coded;

-- PL/pgSQL may be told to be strict.
BEGIN;
SET LOCAL plpgsql.extra_errors = 'all';
SELECT key ->> 'brand', kept ->> 'id', references_moved FROM public.product_upsert_merge_duplicates('pu_merge.product');
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
DROP VIEW referencing;
DROP TABLE product, no_action, restricted, heir, cascaded, set_null, set_default, deferred, simple, "full", wide, narrow, by_code, parted_child, several,
	not_valid, stranger CASCADE;
DROP SCHEMA "Odd "" schema" CASCADE;

-- ------------------------------------------------------------------------------------------------------------------
-- A table that references itself: also among the duplicates, and never filled in with a reference to itself
CREATE TABLE tree (id int PRIMARY KEY, brand text, serial text, manufacturer text, parent int REFERENCES tree ON DELETE CASCADE, replaces int REFERENCES tree);
INSERT INTO tree VALUES (1, 'a', '1', 'm', NULL, NULL), (2, 'a', '1', 'm', 1, 3), (3, 'a', '1', 'm', 2, 3), (4, 'leaf', '1', 'm', 3, 2),
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

-- ------------------------------------------------------------------------------------------------------------------
-- Partitioned tables: the rows of a key may be in several partitions, and references to all or to one of them.
CREATE TABLE parted (id int, region text, brand text, serial text, manufacturer text, note text) PARTITION BY LIST (region);
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu');
CREATE TABLE parted_us (note text, dropped int, manufacturer text, serial text, brand text, region text, id int);
ALTER TABLE parted_us DROP COLUMN dropped;
ALTER TABLE parted ATTACH PARTITION parted_us FOR VALUES IN ('us');
CREATE TABLE parted_rest PARTITION OF parted DEFAULT;
ALTER TABLE parted ADD UNIQUE (id, region);
CREATE TABLE to_parted (n int, id int, region text, FOREIGN KEY (id, region) REFERENCES parted (id, region) ON DELETE CASCADE);
INSERT INTO parted VALUES (1, 'eu', 'a', '1', 'm', NULL), (2, 'us', 'a', '1', 'm', 'us'), (3, 'us', 'a', '1', 'm', 'later'), (4, 'us', 'b', '1', 'm', NULL);
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
INSERT INTO parted VALUES (1, 1, 'a', '1', 'm', NULL, NULL), (2, 2, 'a', '1', 'm', 1, 1), (3, 1, 'a', '1', 'm', 2, 2), (4, 2, 'b', '1', 'm', 3, 1),
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
SELECT key, kept, removed, filled FROM merge('moving', CASE WHEN 'moving_known'::regclass::oid < 'moving_unknown'::regclass::oid THEN 'newest' ELSE 'oldest' END);
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

-- ------------------------------------------------------------------------------------------------------------------
-- Names that mean something in the queries that a merge consists of, and names that must be quoted
CREATE TABLE t (t int PRIMARY KEY, k text, r text, o text, c text, g text, n text, p text, s text, d text, gone text, key text, kept text,
	removed text, filled text, ctids text, stored text, duplicate text, "references_moved" text, u text, a text, f text, x text, target text,
	tables text, identity text, c1 text, "%I ""quoted"" 'twice'" text, "select" text, "t.*" text, "Ünï" text);
CREATE TABLE c (c int REFERENCES t ON DELETE CASCADE, k int REFERENCES t, r int, o int, n int, "Select" int REFERENCES t);
SELECT duplicate_keys FROM product_upsert_protect('t', ARRAY['k', 'r', 'key', 'select', '%I "quoted" ''twice''']);
ALTER TABLE t DISABLE TRIGGER product_upsert_guard;
INSERT INTO t (t, k, r, key, "select", "%I ""quoted"" 'twice'") SELECT i, 'k', 'r', 'key', NULL, 'q' FROM generate_series(1, 3) AS i;
UPDATE t SET o = 'o', c = 'c', g = 'g', n = 'n', p = 'p', s = 's', d = 'd', gone = 'gone', kept = 'kept', removed = 'removed', filled = 'filled',
	ctids = 'ctids', stored = 'stored', duplicate = 'duplicate', u = 'u', a = 'a', f = 'f', x = 'x', target = 'target', tables = 'tables',
	identity = 'identity', c1 = 'c1', "t.*" = '*', "Ünï" = 'ü' WHERE t.t = 3;
UPDATE t SET g = 'nearest' WHERE t.t = 2;
INSERT INTO c VALUES (1, 2, 1, 1, 1, 3), (3, NULL, 3, 3, 3, 2);
SELECT * FROM product_upsert_merge_duplicates('t');
SELECT g, n, "Ünï" FROM t;
TABLE c ORDER BY n;
DROP TABLE t, c;
-- Hostile ones
CREATE SCHEMA "pu'; DROP SCHEMA pu_merge; --";
CREATE TABLE "pu'; DROP SCHEMA pu_merge; --"."%s ""x""" ("$1" int PRIMARY KEY, brand text, serial text, manufacturer text, "it's %L" text);
CREATE TABLE "pu'; DROP SCHEMA pu_merge; --"."child'); --" ("$2" int REFERENCES "pu'; DROP SCHEMA pu_merge; --"."%s ""x""");
INSERT INTO "pu'; DROP SCHEMA pu_merge; --"."%s ""x""" VALUES (1, 'a', '1', 'm', NULL), (2, 'a', '1', 'm', NULL), (3, 'q"(,)\', '''', '', 'y'), (4, 'q"(,)\', '''', '', 'x');
INSERT INTO "pu'; DROP SCHEMA pu_merge; --"."child'); --" VALUES (2), (4);
UPDATE "pu'; DROP SCHEMA pu_merge; --"."%s ""x""" SET "it's %L" = E'a\nb\\' WHERE "$1" = 2;
SELECT * FROM product_upsert_merge_duplicates('"pu''; DROP SCHEMA pu_merge; --"."%s ""x"""') ORDER BY kept ->> '$1';
TABLE "pu'; DROP SCHEMA pu_merge; --"."child'); --";
DROP SCHEMA "pu'; DROP SCHEMA pu_merge; --" CASCADE;
-- A temporary table
CREATE TEMPORARY TABLE temporary (id int PRIMARY KEY, brand text, serial text, manufacturer text, note text);
INSERT INTO temporary VALUES (1, 'a', '1', 'm', NULL), (2, 'a', '1', 'm', 'n');
SELECT * FROM merge('temporary');
DROP TABLE temporary;

-- ------------------------------------------------------------------------------------------------------------------
-- More keys than a transaction may lock one by one: it holds the table, and no key. And it tells how far it is.
CREATE TABLE product (id int PRIMARY KEY, brand text, serial text, manufacturer text, note text);
INSERT INTO product SELECT i, 'b', (i % 1001)::text, 'm', CASE WHEN i > 1001 THEN repeat('x', 100) END FROM generate_series(1, 2002) AS i;
CREATE INDEX ON product (brand, serial, manufacturer);
CREATE FUNCTION locks() RETURNS text LANGUAGE sql AS $$
	SELECT count(*) FILTER (WHERE locktype = 'advisory') || ' keys, '
		   || count(*) FILTER (WHERE locktype = 'relation' AND relation = 'product'::regclass AND mode = 'ShareRowExclusiveLock') || ' table'
	  FROM pg_locks WHERE pid = pg_backend_pid()
$$;
SET product_upsert.max_key_locks = 3;
BEGIN;
SELECT count(*) FROM product_upsert_merge_duplicates('product', max_keys => 3);
SELECT locks();
ROLLBACK;
BEGIN;
SELECT count(*) FROM product_upsert_merge_duplicates('product', max_keys => 4);
SELECT locks();
ROLLBACK;
-- What a dry run returns may take more room than there is in memory.
SET client_min_messages = notice;
SET work_mem = '64kB';
SELECT count(*), count(DISTINCT kept ->> 'id'), max(kept ->> 'note') = repeat('x', 100) FROM product_upsert_merge_duplicates('product', dry_run => true);
RESET work_mem;
SET client_min_messages = warning;
SELECT count(*) FROM product;
SELECT locks();
RESET product_upsert.max_key_locks;
-- The guard does not mind a merge, and a merge leaves a protected table protected.
SELECT duplicate_keys FROM product_upsert_protect('product');
BEGIN;
SELECT count(*) FROM product_upsert_merge_duplicates('product', max_keys => 2);
SELECT locks();
SELECT count(*) FROM product;
COMMIT;
SELECT count(*) FROM product_upsert_merge_duplicates('product', max_keys => 100);
SELECT product_upsert('{"brand": "b", "serial": "1", "manufacturer": "m", "note": "n"}') ->> 'action';
INSERT INTO product VALUES (9999, 'b', '1', 'm');
\echo :SQLSTATE
DROP TABLE product;

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
CREATE EXTENSION product_upsert;

DROP SCHEMA "Elsewhere, 2";
DROP SCHEMA pu_merge CASCADE;
DROP EXTENSION btree_gist;
