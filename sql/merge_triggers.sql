-- Triggers meanwhile, of the table that is merged and of those that reference it: what they write stays, and the merge stops if
-- they keep a row where it is, or take away the one that is kept.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_merge_triggers;
SET search_path = pu_merge_triggers, public;
\pset format unaligned
\pset tuples_only on
\pset null NULL
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/merge.sql
\i :abs_srcdir/sql/include/merge_references.sql

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
	INSERT INTO pu_merge_triggers.product (id, brand, serial, manufacturer)
		VALUES (OLD.id + 100, OLD.brand, OLD.serial, OLD.manufacturer);
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
	UPDATE pu_merge_triggers.product SET price = coalesce(price, 0) + 1 WHERE id = NEW.product;
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
	DELETE FROM pu_merge_triggers.kept WHERE id = 1;
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
	UPDATE pu_merge_triggers.placed SET moved = 1 WHERE code = NEW.code AND moved IS NULL;
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

-- What is left out: a trigger that keeps the kept row from being filled in would lose the values of the others.
CREATE TABLE pu_merge_triggers.kept (id int PRIMARY KEY, brand text, serial text, manufacturer text, note text);
INSERT INTO pu_merge_triggers.kept VALUES (1, 'a', '1', 'm', NULL), (2, 'a', '1', 'm', 'only here');
CREATE FUNCTION pu_merge_triggers.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER keep BEFORE UPDATE ON pu_merge_triggers.kept FOR EACH ROW EXECUTE FUNCTION pu_merge_triggers.keep();
SELECT * FROM public.product_upsert_merge_duplicates('pu_merge_triggers.kept');
\echo :SQLSTATE
SELECT id, note FROM pu_merge_triggers.kept ORDER BY id;

DROP SCHEMA pu_merge_triggers CASCADE;
DROP SCHEMA "Odd "" schema" CASCADE;
