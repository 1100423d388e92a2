-- What protecting does to a table is done as by the commands of SQL: by whom they may be given, with their event triggers,
-- and with the functions that are meant, not others of their names.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_commands;
SET search_path = pu_commands, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

-- called(relation): what a table's triggers and an index's expressions call
CREATE FUNCTION called(relation regclass) RETURNS SETOF regprocedure LANGUAGE sql AS $$
	SELECT tgfoid FROM pg_trigger WHERE tgrelid = relation
	UNION ALL
	SELECT refobjid FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = relation AND refclassid = 'pg_proc'::regclass
$$;

-- Somebody else has put functions into the extension's schema that fit the call better than ours.
CREATE ROLE regress_pu_intruder;
GRANT CREATE ON SCHEMA public TO regress_pu_intruder;
SET ROLE regress_pu_intruder;
CREATE FUNCTION public.product_upsert_hash(text, text, text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
	'BEGIN RAISE WARNING ''% runs what the intruder wrote'', current_user; RETURN 1; END';
CREATE FUNCTION public.product_upsert_hash(text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
	'BEGIN RAISE WARNING ''% runs what the intruder wrote'', current_user; RETURN 1; END';
RESET ROLE;
CREATE TABLE product (brand text, serial text, manufacturer text);
INSERT INTO product VALUES ('b', '1', 'm'), ('b', '2', 'm');
SELECT * FROM product_upsert_protect('product');
SELECT called('product');
SELECT called('product_product_upsert_hash_idx');
INSERT INTO product VALUES ('b', '1', 'm');
\echo :SQLSTATE
SELECT * FROM product_upsert_protect('product', '{serial}');
SELECT called('product_product_upsert_hash_idx1');
SET ROLE regress_pu_intruder;
CREATE FUNCTION public.product_upsert_guard(text) RETURNS bigint LANGUAGE sql AS 'SELECT 1';
RESET ROLE;
SELECT * FROM product_upsert_protect('product', '{serial, brand}');
DROP TABLE product;
CREATE TABLE parted (brand text, serial text, manufacturer text, region text) PARTITION BY LIST (region);
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu') PARTITION BY LIST (brand);
CREATE TABLE parted_eu_b PARTITION OF parted_eu FOR VALUES IN ('b');
CREATE TABLE parted_us (region text, serial text, brand text, dropped text, manufacturer text);
ALTER TABLE parted_us DROP dropped;
ALTER TABLE parted ATTACH PARTITION parted_us FOR VALUES IN ('us');
INSERT INTO parted VALUES ('b', '1', 'm', 'eu'), ('b', '2', 'm', 'us');
SELECT * FROM product_upsert_protect('parted');
SELECT relid, called(relid) FROM pg_partition_tree('parted');
SELECT relid, called(relid) FROM pg_partition_tree('parted_product_upsert_hash_idx');
SELECT relid, pg_get_indexdef(relid) FROM pg_partition_tree('parted_product_upsert_hash_idx');
INSERT INTO parted_us VALUES ('us', '1', 'b', 'm');
\echo :SQLSTATE
DROP TABLE parted;
DROP FUNCTION product_upsert_hash(text, text, text), product_upsert_hash(text), product_upsert_guard(text);
REVOKE CREATE ON SCHEMA public FROM regress_pu_intruder;

-- The columns' collations are the expression's, as by CREATE INDEX: the statements of other tables than plain ones look
-- for the very expression.
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE collated (a text COLLATE "C", b text COLLATE "C", c text COLLATE ignore_case, n int);
CREATE INDEX same ON collated (product_upsert_hash(a, b));
CREATE INDEX several ON collated (product_upsert_hash(a, c, n));
CREATE INDEX none ON collated (product_upsert_hash(n));
CREATE FUNCTION expression(index regclass) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(indexprs::text, ':location -?\d+', '', 'g') FROM pg_index WHERE indexrelid = index
$$;
-- made(key, index): does protect make an index on the expression of that one?
CREATE FUNCTION made(key name[], same regclass) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	expected text := expression(same);
	index regclass;
BEGIN
	EXECUTE format('DROP INDEX %s', same);
	SELECT lookup_index INTO index FROM product_upsert_protect('collated', key);
	RETURN expression(index) = expected;
END $$;
SELECT made('{a,b}', 'same'), made('{a,c,n}', 'several'), made('{n}', 'none');
DROP TABLE collated;

-- Event triggers see what they would see of the commands.
CREATE TABLE seen (n int GENERATED ALWAYS AS IDENTITY, what text);
CREATE FUNCTION see() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	IF tg_event = 'ddl_command_start' THEN
		INSERT INTO pu_commands.seen (what) VALUES (concat_ws(' ', tg_event, tg_tag));
	ELSIF tg_event = 'sql_drop' THEN
		INSERT INTO pu_commands.seen (what)
		SELECT concat_ws(' ', tg_event, tg_tag, object_type, object_identity) FROM pg_event_trigger_dropped_objects();
	ELSE
		INSERT INTO pu_commands.seen (what)
		SELECT concat_ws(' ', tg_event, tg_tag, command_tag, object_type, object_identity) FROM pg_event_trigger_ddl_commands();
	END IF;
END $$;
CREATE FUNCTION seen() RETURNS SETOF text LANGUAGE sql AS $$
	WITH gone AS (DELETE FROM pu_commands.seen RETURNING *) SELECT what FROM gone ORDER BY n
$$;
CREATE TABLE product (brand text, serial text, manufacturer text);
CREATE EVENT TRIGGER pu_start ON ddl_command_start EXECUTE FUNCTION see();
CREATE EVENT TRIGGER pu_end ON ddl_command_end EXECUTE FUNCTION see();
CREATE EVENT TRIGGER pu_drop ON sql_drop EXECUTE FUNCTION see();
SELECT count(*) FROM product_upsert_protect('product');
SELECT seen();
ALTER TABLE product DISABLE TRIGGER product_upsert_guard;
SELECT count(*) FROM seen();
SELECT count(*) FROM product_upsert_protect('product');
SELECT seen();
SELECT product_upsert_unprotect('product');
SELECT seen();
-- With nothing to do there is nothing to see.
SELECT product_upsert_unprotect('product');
SELECT seen();
-- The commands themselves
CREATE TRIGGER product_upsert_guard AFTER INSERT OR UPDATE ON product FOR EACH ROW
	EXECUTE FUNCTION product_upsert_guard(brand, serial, manufacturer);
CREATE INDEX ON product (product_upsert_hash(brand, serial, manufacturer));
SELECT seen();
ALTER TABLE product DISABLE TRIGGER product_upsert_guard;
SELECT count(*) FROM seen();
ALTER TABLE product ENABLE TRIGGER product_upsert_guard;
SELECT seen();
DROP TRIGGER product_upsert_guard ON product;
SELECT seen();
-- One may forbid them. Afterwards the next ones are as ever.
CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no % here'', tg_tag; END';
CREATE EVENT TRIGGER pu_forbid ON ddl_command_start WHEN tag IN ('CREATE TRIGGER', 'DROP TRIGGER') EXECUTE FUNCTION forbid();
SELECT try($$ SELECT product_upsert_protect('product') $$);
ALTER EVENT TRIGGER pu_forbid DISABLE;
SELECT count(*) FROM product_upsert_protect('product');
ALTER EVENT TRIGGER pu_forbid ENABLE;
SELECT try($$ SELECT product_upsert_unprotect('product') $$);
DROP EVENT TRIGGER pu_forbid;
DROP EVENT TRIGGER pu_start;
DROP EVENT TRIGGER pu_end;
DROP EVENT TRIGGER pu_drop;
DROP TABLE product;

-- Who may: for each step, who may give the command.
CREATE ROLE regress_pu_table_owner;
CREATE ROLE regress_pu_member IN ROLE regress_pu_table_owner;
CREATE ROLE regress_pu_other;
CREATE SCHEMA pu_owned AUTHORIZATION regress_pu_table_owner;
GRANT USAGE ON SCHEMA pu_commands, pu_owned TO regress_pu_table_owner, regress_pu_other;
CREATE TABLE pu_owned.product (brand text, serial text, manufacturer text);
ALTER TABLE pu_owned.product OWNER TO regress_pu_table_owner;
GRANT SELECT ON pu_owned.product TO regress_pu_other;
SET ROLE regress_pu_other;
SELECT try($$ SELECT product_upsert_protect('pu_owned.product') $$);
RESET ROLE;
-- The owner needs CREATE on the schema for the index, and EXECUTE on the guard.
REVOKE CREATE ON SCHEMA pu_owned FROM regress_pu_table_owner;
SET ROLE regress_pu_table_owner;
SELECT try($$ SELECT product_upsert_protect('pu_owned.product') $$);
RESET ROLE;
GRANT CREATE ON SCHEMA pu_owned TO regress_pu_table_owner;
REVOKE EXECUTE ON FUNCTION product_upsert_guard FROM PUBLIC;
SET ROLE regress_pu_table_owner;
SELECT try($$ SELECT product_upsert_protect('pu_owned.product') $$);
RESET ROLE;
GRANT EXECUTE ON FUNCTION product_upsert_guard TO PUBLIC;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'pu_owned.product'::regclass;
SELECT count(*) FROM pg_index WHERE indrelid = 'pu_owned.product'::regclass;
-- A member of the owner is as good.
SET ROLE regress_pu_member;
SELECT try($$ SELECT p.lookup_index FROM product_upsert_protect('pu_owned.product') AS p $$);
RESET ROLE;
SELECT relowner::regrole FROM pg_class WHERE oid = 'pu_owned.product_product_upsert_hash_idx'::regclass;
-- TRIGGER lets one replace the guard, but not enable or drop one.
GRANT TRIGGER ON pu_owned.product TO regress_pu_other;
ALTER TABLE pu_owned.product DISABLE TRIGGER product_upsert_guard;
SET ROLE regress_pu_other;
SELECT try($$ SELECT product_upsert_protect('pu_owned.product') $$);
SELECT try($$ SELECT product_upsert_unprotect('pu_owned.product') $$);
RESET ROLE;
DROP TRIGGER product_upsert_guard ON pu_owned.product;
SET ROLE regress_pu_other;
SELECT try($$ SELECT p.lookup_index FROM product_upsert_protect('pu_owned.product') AS p $$);
RESET ROLE;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'pu_owned.product'::regclass;

-- When: not in a read-only transaction, unless there is nothing to do; nor while the table is in use.
BEGIN READ ONLY;
SELECT count(*) FROM product_upsert_protect('pu_owned.product');
SAVEPOINT s;
SELECT product_upsert_unprotect('pu_owned.product');
\echo :SQLSTATE
ROLLBACK TO s;
SELECT product_upsert_protect('pu_owned.product', '{serial}');
\echo :SQLSTATE
ROLLBACK;
INSERT INTO pu_owned.product VALUES ('b', '1', 'm');
SELECT product_upsert_protect('pu_owned.product', '{serial}') FROM pu_owned.product;
\echo :SQLSTATE
SELECT product_upsert_key('pu_owned.product');

-- What cannot have a key, whatever it lets one do with it
CREATE VIEW view AS SELECT * FROM pu_owned.product;
CREATE SEQUENCE sequence;
SELECT try($$ SELECT product_upsert_protect('view') $$);
SELECT try($$ SELECT product_upsert_protect('sequence', '{last_value}') $$);
SELECT try($$ SELECT product_upsert_protect('pg_class', '{relname}') $$);
SELECT try($$ SELECT product_upsert_protect(0) $$);
SELECT try($$ SELECT product_upsert_protect(1) $$);
SELECT try($$ SELECT product_upsert_unprotect(1) $$);

DROP SCHEMA pu_commands, pu_owned CASCADE;
DROP OWNED BY regress_pu_intruder, regress_pu_table_owner, regress_pu_other;
DROP ROLE regress_pu_intruder, regress_pu_member, regress_pu_table_owner, regress_pu_other;
