-- Protecting a table: its key, its guard and its lookup index; what is there already is used, what is in the way goes.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE EXTENSION IF NOT EXISTS citext;
CREATE EXTENSION IF NOT EXISTS file_fdw;
CREATE SCHEMA pu_protect;
SET search_path = pu_protect, public;
\pset format unaligned
\pset tuples_only on
\pset null <null>
\set SHOW_CONTEXT never

-- guards(table): its guards as they are; indexes(table): what it has been given to look up keys.
CREATE FUNCTION guards(target regclass) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', tgenabled, pg_get_triggerdef(oid)) FROM pg_trigger
	 WHERE tgrelid = target AND tgfoid = 'product_upsert_guard'::regproc ORDER BY tgname
$$;
CREATE FUNCTION indexes(target regclass) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = target ORDER BY indexrelid
$$;
-- try(statement): its first value, or the error with its hint.
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	hint text;
BEGIN
	IF statement ~ '^ *SELECT' THEN
		EXECUTE statement INTO result;
	ELSE
		EXECUTE statement;
	END IF;
	RETURN coalesce(result, 'done');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(hint, ''));
END $$;
-- This transaction's locks on the table
CREATE FUNCTION table_locks(target regclass) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT DISTINCT mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation = target ORDER BY 1
$$;

-- By default the key is brand, serial and manufacturer.
CREATE TABLE product (id int GENERATED ALWAYS AS IDENTITY, brand text, serial text, manufacturer text, price int);
SELECT product_upsert_key('product'), product_upsert_lookup_index('product');
SELECT * FROM product_upsert_protect('product');
SELECT guards('product');
SELECT indexes('product');
SELECT product_upsert_key('product'), product_upsert_lookup_index('product');
-- Again: nothing is done, so nobody who writes is kept waiting.
SELECT xmin, oid FROM pg_trigger WHERE tgrelid = 'product'::regclass \gset trigger_
BEGIN;
SELECT * FROM product_upsert_protect('product');
SELECT * FROM product_upsert_protect('product', '{brand,serial,manufacturer}');
SELECT table_locks('product');
COMMIT;
SELECT xmin = :'trigger_xmin'::xid, oid = :trigger_oid FROM pg_trigger WHERE tgrelid = 'product'::regclass;
SELECT indexes('product');
-- The number of keys that more than one row has, of the key that is asked for, before and after
SELECT product_upsert_unprotect('product');
INSERT INTO product (brand, serial, manufacturer) VALUES ('b', '1', 'm'), ('b', '1', 'm'), ('b', '1', 'm'), ('b', '2', NULL), ('b', '2', NULL), ('b', '3', 'm'), (NULL, '3', 'm'), ('', '3', 'm');
SELECT * FROM product_upsert_protect('product');
SELECT * FROM product_upsert_protect('product');
-- Another key in one call: the same trigger, and an index if none serves. The old index stays.
SELECT xmin, oid FROM pg_trigger WHERE tgrelid = 'product'::regclass \gset trigger_
SELECT * FROM product_upsert_protect('product', '{serial,brand}');
SELECT guards('product');
SELECT indexes('product');
SELECT product_upsert_key('product'), product_upsert_lookup_index('product');
SELECT oid = :trigger_oid, count(*) OVER () FROM pg_trigger WHERE tgrelid = 'product'::regclass;
SELECT * FROM product_upsert_protect('product', '{manufacturer,serial,brand}');
SELECT product_upsert_key('product'), product_upsert_lookup_index('product');
SELECT * FROM product_upsert_protect('product', '{serial}');
SELECT try($$ INSERT INTO product (brand, serial) VALUES ('x', '3') $$);
SELECT try($$ SELECT product_upsert('{"serial": "4", "brand": "first"}') ->> 'action' $$);
SELECT try($$ SELECT product_upsert('{"serial": "4", "brand": "second"}') ->> 'action' $$);
SELECT try($$ SELECT product_upsert('{"brand": "second"}') ->> 'action' $$);
SELECT try($$ SELECT product_upsert('{"serial": "3", "brand": "second"}') ->> 'action' $$);
-- Undone: all of it, also in the session that did it.
BEGIN;
SELECT lookup_index FROM product_upsert_protect('product', '{id}');
SELECT product_upsert_key('product');
ROLLBACK;
SELECT product_upsert_key('product'), product_upsert_lookup_index('product');
-- Unprotected: the guard goes, the index stays. Once more does no harm.
SELECT product_upsert_unprotect('product');
SELECT guards('product');
SELECT count(*) FROM pg_index WHERE indrelid = 'product'::regclass;
SELECT product_upsert_key('product');
SELECT try($$ INSERT INTO product (brand, serial, manufacturer) VALUES ('b', '3', 'm') $$);
BEGIN;
SELECT product_upsert_unprotect('product');
SELECT table_locks('product');
COMMIT;
DROP TABLE product;

-- The index: one that has the whole key in front, in whatever order, or a hash index on a column of it is used.
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE FUNCTION serves(definition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found regclass;
	protected regclass;
BEGIN
	CREATE TABLE indexed (brand text, serial text, manufacturer text, price int);
	IF definition <> '' THEN
		EXECUTE format(definition, 'indexed');
	END IF;
	found := product_upsert_lookup_index('indexed');
	SELECT lookup_index INTO protected FROM product_upsert_protect('indexed');
	definition := format('%s: %s, then %s (%s)', definition, coalesce(found::text, 'none'), protected,
						 (SELECT count(*) FROM pg_index WHERE indrelid = 'indexed'::regclass));
	DROP TABLE indexed;
	RETURN definition;
END $$;
SELECT serves('CREATE INDEX i ON %s (brand, serial, manufacturer)');
SELECT serves('CREATE INDEX i ON %s (manufacturer, brand DESC NULLS FIRST, serial)');
SELECT serves('CREATE INDEX i ON %s (serial, manufacturer, brand, price)');
SELECT serves('CREATE UNIQUE INDEX i ON %s (serial, manufacturer, brand) INCLUDE (price)');
SELECT serves('CREATE INDEX i ON %s (brand text_pattern_ops, serial, manufacturer)');
SELECT serves('ALTER TABLE %s ADD CONSTRAINT i PRIMARY KEY (brand, serial, manufacturer)');
SELECT serves('CREATE INDEX i ON %s USING hash (serial)');
SELECT serves('CREATE INDEX i ON %s (product_upsert_hash(brand, serial, manufacturer))');
SELECT serves('CREATE UNIQUE INDEX i ON %s (product_upsert_hash(brand, serial, manufacturer) DESC) INCLUDE (price)');
-- These are not enough.
SELECT serves('');
SELECT serves('CREATE INDEX i ON %s (brand, serial)');
SELECT serves('CREATE INDEX i ON %s (brand, price, serial, manufacturer)');
SELECT serves('CREATE INDEX i ON %s (price, brand, serial, manufacturer)');
SELECT serves('CREATE INDEX i ON %s (lower(brand), serial, manufacturer)');
SELECT serves('CREATE INDEX i ON %s (brand, serial) INCLUDE (manufacturer)');
SELECT serves('CREATE INDEX i ON %s (brand, serial, manufacturer) WHERE price > 0');
SELECT serves('CREATE INDEX i ON %s (brand, serial COLLATE ignore_case, manufacturer)');
SELECT serves('CREATE INDEX i ON %s (brand, serial COLLATE "C", manufacturer)');
SELECT serves('CREATE INDEX i ON %s USING hash (serial) WHERE price > 0');
SELECT serves('CREATE INDEX i ON %s USING hash (serial COLLATE ignore_case)');
SELECT serves('CREATE INDEX i ON %s USING hash (lower(serial))');
SELECT serves('CREATE INDEX i ON %s USING hash (price)');
SELECT serves('CREATE INDEX i ON %s USING brin (brand, serial, manufacturer)');
SELECT serves('CREATE INDEX i ON %s (product_upsert_hash(brand, manufacturer, serial))');
SELECT serves('CREATE INDEX i ON %s (product_upsert_hash(brand, serial, manufacturer)) WHERE price > 0');
-- Nor is one that is not valid: here what a failed CREATE INDEX CONCURRENTLY has left.
CREATE TABLE product (brand text, serial text, manufacturer text);
INSERT INTO product VALUES ('b', '1', 'm'), ('b', '1', 'm');
\set VERBOSITY terse
CREATE UNIQUE INDEX CONCURRENTLY invalid ON product (brand, serial, manufacturer);
\set VERBOSITY default
SELECT indisvalid FROM pg_index WHERE indrelid = 'product'::regclass;
SELECT * FROM product_upsert_protect('product');
DROP TABLE product;
-- A hash index serves beside others, and is used to find rows.
CREATE TABLE product (brand text, serial text, manufacturer text);
CREATE INDEX ON product (brand);
CREATE INDEX ON product USING hash (serial);
SELECT * FROM product_upsert_protect('product');
INSERT INTO product SELECT 'b', n, 'm' FROM generate_series(1, 1000) AS n;
BEGIN;
SELECT seq_scan AS before FROM pg_stat_xact_user_tables WHERE relid = 'product'::regclass \gset
INSERT INTO product VALUES ('b', '1001', 'm');
SELECT seq_scan - :before AS scans FROM pg_stat_xact_user_tables WHERE relid = 'product'::regclass;
COMMIT;
SELECT try($$ INSERT INTO product VALUES ('b', '500', 'm') $$);
DROP TABLE product;
-- A value that is too long for a btree
CREATE TABLE product (brand text, "Serial no" text, price int);
INSERT INTO product SELECT 'b', string_agg(md5(n::text), '') FROM generate_series(1, 1000) AS n;
SELECT * FROM product_upsert_protect('product', ARRAY['Serial no', 'brand']);
SELECT indexes('product');
SELECT try($$ INSERT INTO product SELECT brand, "Serial no" FROM product $$) LIKE '23505 | %';
SELECT product_upsert(to_jsonb(p) || '{"price": 1}') ->> 'action' FROM product p;
DROP TABLE product;
-- A type that can be hashed and not ordered
CREATE TABLE product (owner xid, number int);
SELECT * FROM product_upsert_protect('product', '{owner,number}');
INSERT INTO product VALUES ('1', 1);
SELECT try($$ INSERT INTO product VALUES ('1', 1) $$);
DROP TABLE product;

-- What there is of guards: one that does what it should stays, any other is replaced.
CREATE FUNCTION becomes(VARIADIC definitions text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	definition text;
	before oid[];
BEGIN
	CREATE TABLE guarded (brand text, serial text, price int);
	CREATE INDEX ON guarded (brand, serial);
	FOREACH definition IN ARRAY definitions LOOP
		EXECUTE definition;
	END LOOP;
	before := ARRAY(SELECT oid FROM pg_trigger WHERE tgrelid = 'guarded'::regclass);
	PERFORM product_upsert_protect('guarded', '{brand,serial}');
	RETURN QUERY SELECT guards('guarded');
	RETURN QUERY SELECT concat('of ', cardinality(before), ' stay ', count(*)) FROM pg_trigger WHERE oid = ANY (before) AND tgrelid = 'guarded'::regclass;
	IF NOT try('INSERT INTO guarded VALUES (''a'', ''1''), (''a'', ''1'')') LIKE '23505 |%' THEN
		RETURN NEXT 'It does not work.';
	END IF;
	PERFORM product_upsert_unprotect('guarded');
	RETURN QUERY SELECT guards('guarded');
	DROP TABLE guarded;
END $$;
\set good 'FOR EACH ROW EXECUTE FUNCTION product_upsert_guard(brand, serial)'
\set other 'FOR EACH ROW EXECUTE FUNCTION product_upsert_guard(serial)'
SELECT becomes('CREATE TRIGGER "Mine" AFTER INSERT OR UPDATE ON guarded ' || :'good');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT ON guarded ' || :'good');
SELECT becomes('CREATE TRIGGER mine AFTER UPDATE ON guarded ' || :'good');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE OR DELETE ON guarded ' || :'good');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE OF brand ON guarded ' || :'good');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded FOR EACH ROW WHEN (NEW.price > 0) EXECUTE FUNCTION product_upsert_guard(brand, serial)');
SELECT becomes('CREATE TRIGGER mine BEFORE INSERT OR UPDATE ON guarded ' || :'good');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded FOR EACH STATEMENT EXECUTE FUNCTION product_upsert_guard(brand, serial)');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded ' || :'other');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded FOR EACH ROW EXECUTE FUNCTION product_upsert_guard()');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded FOR EACH ROW EXECUTE FUNCTION product_upsert_guard(serial, brand)');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded ' || :'good', 'ALTER TABLE guarded DISABLE TRIGGER mine');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded ' || :'good', 'ALTER TABLE guarded ENABLE REPLICA TRIGGER mine');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded ' || :'good', 'ALTER TABLE guarded ENABLE ALWAYS TRIGGER mine');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded ' || :'other', 'ALTER TABLE guarded DISABLE TRIGGER mine');
-- A partition's copy of it may be disabled by itself, at any depth.
CREATE TABLE guarded (brand text, serial text) PARTITION BY LIST (brand);
CREATE TABLE guarded_a PARTITION OF guarded FOR VALUES IN ('a');
CREATE TABLE guarded_b PARTITION OF guarded FOR VALUES IN ('b') PARTITION BY LIST (serial);
CREATE TABLE guarded_b1 PARTITION OF guarded_b FOR VALUES IN ('1');
SELECT duplicate_keys FROM product_upsert_protect('guarded', '{brand,serial}');
ALTER TABLE guarded_b1 DISABLE TRIGGER product_upsert_guard;
SELECT duplicate_keys FROM product_upsert_protect('guarded', '{brand,serial}');
INSERT INTO guarded VALUES ('b', '1');
SELECT left(try($$ INSERT INTO guarded VALUES ('b', '1') $$), 5);
SELECT tgrelid::regclass, tgenabled FROM pg_trigger WHERE tgname = 'product_upsert_guard' AND tgrelid::regclass::text LIKE 'guarded%' ORDER BY 1;
-- With nothing to do, it locks nobody out here, either.
BEGIN;
SELECT duplicate_keys FROM product_upsert_protect('guarded', '{brand,serial}');
SELECT table_locks('guarded');
SELECT table_locks('guarded_b1');
COMMIT;
DROP TABLE guarded;
-- A constraint trigger that means the same may stay, and be deferred; another cannot be replaced in place.
SELECT becomes('CREATE CONSTRAINT TRIGGER mine AFTER INSERT OR UPDATE ON guarded DEFERRABLE INITIALLY IMMEDIATE ' || :'good');
SELECT becomes('CREATE CONSTRAINT TRIGGER mine AFTER INSERT OR UPDATE ON guarded ' || :'other');
-- Several: one that means the same stays, whatever its name; the others go.
SELECT becomes('CREATE TRIGGER a AFTER INSERT OR UPDATE ON guarded ' || :'other', 'CREATE TRIGGER b AFTER INSERT OR UPDATE ON guarded ' || :'good');
SELECT becomes('CREATE TRIGGER a AFTER INSERT OR UPDATE ON guarded ' || :'good', 'CREATE TRIGGER b AFTER INSERT OR UPDATE ON guarded ' || :'good');
SELECT becomes('CREATE TRIGGER a AFTER INSERT OR UPDATE ON guarded ' || :'other', 'CREATE TRIGGER b AFTER INSERT ON guarded ' || :'other', 'CREATE TRIGGER c BEFORE UPDATE ON guarded ' || :'good');
SELECT becomes('CREATE CONSTRAINT TRIGGER a AFTER INSERT OR UPDATE ON guarded ' || :'other', 'CREATE TRIGGER b AFTER INSERT ON guarded ' || :'good');
-- A trigger of another function is none of its business.
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE guarded (brand text, serial text);
CREATE TRIGGER product_upsert AFTER INSERT ON guarded FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT lookup_index FROM product_upsert_protect('guarded', '{brand}');
SELECT tgname FROM pg_trigger WHERE tgrelid = 'guarded'::regclass ORDER BY 1;
SELECT product_upsert_unprotect('guarded');
SELECT tgname FROM pg_trigger WHERE tgrelid = 'guarded'::regclass ORDER BY 1;
-- It stays, also if it has the very name that the guard is to have.
ALTER TRIGGER product_upsert ON guarded RENAME TO product_upsert_guard;
SELECT try($$ SELECT product_upsert_protect('guarded', '{brand}') $$);
SELECT tgname, tgfoid::regproc FROM pg_trigger WHERE tgrelid = 'guarded'::regclass;
DROP TABLE guarded;
-- So it does in a partition.
CREATE TABLE guarded (brand text, serial text) PARTITION BY LIST (brand);
CREATE TABLE guarded_a PARTITION OF guarded FOR VALUES IN ('a');
CREATE TRIGGER product_upsert_guard AFTER INSERT ON guarded_a FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT try($$ SELECT product_upsert_protect('guarded', '{brand}') $$);
SELECT tgname, tgfoid::regproc FROM pg_trigger WHERE tgrelid = 'guarded_a'::regclass;
DROP TABLE guarded;

-- Names of all kinds, of the table and of the columns
CREATE SCHEMA "Pu ""protect""";
CREATE TABLE "Pu ""protect"""."The 'table'" ("a""b" text, "c'd" text, "e\f" text, "g,h" text, "Käse" text, "SELECT" text, "%I %s" text, " " text, "$1" text, t text, k text);
SELECT * FROM product_upsert_protect('"Pu ""protect"""."The ''table''"', ARRAY['a"b', 'c''d', 'e\f', 'g,h', 'Käse', 'SELECT', '%I %s', ' ', '$1', 't', 'k']);
SELECT guards('"Pu ""protect"""."The ''table''"');
SELECT product_upsert_key('"Pu ""protect"""."The ''table''"');
SELECT xmin FROM pg_trigger WHERE tgrelid = '"Pu ""protect"""."The ''table''"'::regclass \gset trigger_
SELECT * FROM product_upsert_protect('"Pu ""protect"""."The ''table''"', ARRAY['a"b', 'c''d', 'e\f', 'g,h', 'Käse', 'SELECT', '%I %s', ' ', '$1', 't', 'k']);
SELECT xmin = :'trigger_xmin'::xid FROM pg_trigger WHERE tgrelid = '"Pu ""protect"""."The ''table''"'::regclass;
INSERT INTO "Pu ""protect"""."The 'table'" VALUES ('1', '2', '3', '4', '5', '6', '7', '8', '9', '10', NULL);
SELECT try($$ INSERT INTO "Pu ""protect"""."The 'table'" SELECT * FROM "Pu ""protect"""."The 'table'" $$);
\set VERBOSITY verbose
SELECT product_upsert('"Pu ""protect"""."The ''table''"', to_jsonb(x)) ->> 'action' FROM "Pu ""protect"""."The 'table'" x;
\set VERBOSITY default
SELECT key, copies, rows FROM product_upsert_duplicates('"Pu ""protect"""."The ''table''"');
ALTER TABLE "Pu ""protect"""."The 'table'" DISABLE TRIGGER ALL;
INSERT INTO "Pu ""protect"""."The 'table'" SELECT * FROM "Pu ""protect"""."The 'table'";
SELECT key, copies, rows FROM product_upsert_duplicates('"Pu ""protect"""."The ''table''"');
SELECT product_upsert_unprotect('"Pu ""protect"""."The ''table''"');
SELECT guards('"Pu ""protect"""."The ''table''"');
DROP SCHEMA "Pu ""protect""" CASCADE;

-- One column, and as many as there may be
SELECT format('CREATE TABLE wide (%s)', string_agg(format('c%s int', n), ', ' ORDER BY n)) FROM generate_series(1, 40) AS n \gexec
SELECT array_agg('c' || n ORDER BY n) AS columns FROM generate_series(1, 32) AS n \gset
SELECT array_agg('c' || n ORDER BY n) AS too_many FROM generate_series(1, 33) AS n \gset
SELECT * FROM product_upsert_protect('wide', '{c40}');
SELECT lookup_index IS NOT NULL, duplicate_keys FROM product_upsert_protect('wide', :'columns');
SELECT cardinality(product_upsert_key('wide'));
INSERT INTO wide (c1, c32) VALUES (1, 1), (1, 2), (2, 1);
SELECT left(try($$ INSERT INTO wide (c1, c32) VALUES (1, 1) $$), 5);
\set VERBOSITY sqlstate
SELECT product_upsert_protect('wide', :'too_many');
\set VERBOSITY default
SELECT try($$ SELECT product_upsert_protect('wide', '{}') $$);
SELECT try($$ SELECT product_upsert_protect('wide', '{{c1,c2},{c3,c4}}') $$);
SELECT try($$ SELECT product_upsert_protect('wide', '{c1,c2,c1}') $$);
SELECT try($$ SELECT product_upsert_protect('wide', '{c1,c41}') $$);
SELECT try($$ SELECT product_upsert_protect('wide', '{C1}') $$);
SELECT try($$ SELECT product_upsert_protect('wide', '{ctid}') $$);
SELECT try($$ SELECT product_upsert_protect('wide') $$);
ALTER TABLE wide DROP c39;
SELECT try($$ SELECT product_upsert_protect('wide', '{........pg.dropped.39........}') $$);
SELECT try($$ SELECT product_upsert_protect('wide', '{NULL}') $$);
SELECT try($$ SELECT product_upsert_protect('wide', ARRAY['c1', NULL]) $$);
SELECT try($$ SELECT product_upsert_protect('wide', NULL) $$);
SELECT try($$ SELECT product_upsert_protect(NULL) $$);
SELECT try($$ SELECT product_upsert_unprotect(NULL) $$);
SELECT try($$ SELECT product_upsert_key(NULL) $$);
SELECT try($$ SELECT product_upsert_lookup_index(NULL) $$);
SELECT try($$ SELECT product_upsert_key(0) $$);
SELECT try($$ SELECT product_upsert_key(1) $$);
SELECT cardinality(product_upsert_key('wide'));
DROP TABLE wide;
-- Columns that cannot be in a key, and relations that cannot have one
CREATE TABLE product (place point, document json, brand text, serial text, manufacturer text);
SELECT try($$ SELECT product_upsert_protect('product', '{brand,place}') $$);
SELECT try($$ SELECT product_upsert_protect('product', '{document}') $$);
SELECT guards('product');
CREATE VIEW view AS SELECT brand, serial, manufacturer FROM product;
CREATE MATERIALIZED VIEW materialized AS SELECT brand, serial, manufacturer FROM product;
CREATE TYPE composite AS (brand text, serial text, manufacturer text);
CREATE SEQUENCE sequence;
CREATE INDEX index ON product (brand);
SELECT relation, left(try(format('SELECT product_upsert_protect(%L)', relation)), 5) FROM unnest('{view,materialized,composite}'::text[]) AS relation;
SELECT relation, left(try(format('SELECT product_upsert_key(%L)', relation)), 5) FROM unnest('{view,materialized,composite,sequence,index}'::text[]) AS relation;
SELECT relation, left(try(format('SELECT product_upsert_lookup_index(%L)', relation)), 5) FROM unnest('{view,materialized,composite,sequence,index}'::text[]) AS relation;
DROP VIEW view;
DROP MATERIALIZED VIEW materialized;
DROP TYPE composite;
DROP SEQUENCE sequence;
DROP TABLE product;

-- Partitions are protected with their table, and cannot be without it.
CREATE TABLE parted (brand text, serial text, region text) PARTITION BY LIST (region);
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu') PARTITION BY LIST (brand);
CREATE TABLE parted_eu_a PARTITION OF parted_eu FOR VALUES IN ('a');
CREATE TABLE parted_us (region text, serial text, brand text);
ALTER TABLE parted ATTACH PARTITION parted_us FOR VALUES IN ('us');
INSERT INTO parted VALUES ('a', '1', 'eu'), ('a', '1', 'us'), ('a', '2', 'us');
SELECT * FROM product_upsert_protect('parted', '{brand,serial}');
SELECT relid, product_upsert_key(relid), product_upsert_lookup_index(relid), guards(relid) FROM pg_partition_tree('parted');
SELECT try($$ SELECT product_upsert_protect('parted_us', '{serial}') $$);
SELECT try($$ SELECT product_upsert_protect('parted_eu_a', '{brand,serial}') $$);
SELECT try($$ SELECT product_upsert_unprotect('parted_eu') $$);
-- Another key for all of them; then for none
SELECT * FROM product_upsert_protect('parted', '{serial}');
SELECT relid, product_upsert_key(relid) FROM pg_partition_tree('parted');
SELECT try($$ INSERT INTO parted_us VALUES ('us', '1', 'b') $$);
CREATE TABLE parted_asia PARTITION OF parted FOR VALUES IN ('asia');
SELECT product_upsert_key('parted_asia');
SELECT product_upsert_unprotect('parted');
SELECT relid, guards(relid) FROM pg_partition_tree('parted');
-- A partition that was protected by itself before its table is
SELECT lookup_index FROM product_upsert_protect('parted_us', '{serial}');
SELECT * FROM product_upsert_protect('parted', '{serial}');
SELECT relid, guards(relid) FROM pg_partition_tree('parted');
SELECT try($$ SELECT product_upsert_unprotect('parted_us') $$);
-- With another key, nothing is done until it is not any more; whatever the trigger is called, and at whatever depth.
SELECT product_upsert_unprotect('parted');
SELECT lookup_index FROM product_upsert_protect('parted_us', '{brand}');
SELECT product_upsert_protect('parted', '{serial}');
\echo :SQLSTATE
SELECT relid, guards(relid) FROM pg_partition_tree('parted');
SELECT product_upsert_key('parted_us');
SELECT product_upsert_unprotect('parted_us');
CREATE TRIGGER mine AFTER INSERT OR UPDATE ON parted_eu_a FOR EACH ROW EXECUTE FUNCTION product_upsert_guard(brand);
SELECT try($$ SELECT product_upsert_protect('parted', '{serial}') $$);
SELECT guards('parted');
DROP TRIGGER mine ON parted_eu_a;
SELECT * FROM product_upsert_protect('parted', '{serial}');
-- The partitions' own copies are no obstacle to another key, but a trigger beside them is.
SELECT duplicate_keys FROM product_upsert_protect('parted', '{brand,serial}');
CREATE TRIGGER mine AFTER INSERT OR UPDATE ON parted_us FOR EACH ROW EXECUTE FUNCTION product_upsert_guard(brand, serial);
SELECT try($$ SELECT product_upsert_protect('parted', '{brand,serial}') $$);
SELECT try($$ SELECT product_upsert_protect('parted', '{brand}') $$);
DROP TABLE parted;

-- Foreign tables cannot be protected, nor can a table that has one as a partition.
CREATE TABLE parted (brand text, serial text, region text) PARTITION BY LIST (region);
CREATE SERVER pu_protect_server FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE parted_away PARTITION OF parted FOR VALUES IN ('away') SERVER pu_protect_server OPTIONS (filename '/nowhere');
SELECT try($$ SELECT product_upsert_protect('parted', '{brand}') $$);
SELECT try($$ SELECT product_upsert_protect('parted_away', '{brand}') $$);
SELECT guards('parted');
DROP TABLE parted;
DROP SERVER pu_protect_server;

-- Who may: the owner. The key and its index are no secret.
CREATE ROLE regress_pu_owner;
CREATE ROLE regress_pu_user;
GRANT USAGE, CREATE ON SCHEMA pu_protect TO regress_pu_owner, regress_pu_user;
CREATE TABLE product (brand text, serial text, manufacturer text, secret text);
INSERT INTO product VALUES ('b', '1', 'm'), ('b', '1', 'm');
ALTER TABLE product OWNER TO regress_pu_owner;
GRANT SELECT, INSERT, UPDATE, DELETE ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT try($$ SELECT product_upsert_protect('product') $$);
RESET ROLE;
GRANT TRIGGER ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT try($$ SELECT product_upsert_protect('product') $$);
RESET ROLE;
SELECT guards('product');
SET ROLE regress_pu_owner;
SELECT * FROM product_upsert_protect('product');
SET ROLE regress_pu_user;
-- With nothing to do, nothing is asked for but to read the table.
SELECT * FROM product_upsert_protect('product');
SELECT try($$ SELECT product_upsert_protect('product', '{serial}') $$);
SELECT try($$ SELECT product_upsert_unprotect('product') $$);
SELECT product_upsert_key('product'), product_upsert_lookup_index('product');
RESET ROLE;
-- Duplicates are counted, and listed, for who may see all of them, or not at all.
REVOKE SELECT ON product FROM regress_pu_user;
SET ROLE regress_pu_user;
SELECT try($$ SELECT product_upsert_protect('product') $$);
SELECT try($$ SELECT product_upsert_duplicates('product') $$);
RESET ROLE;
GRANT SELECT ON product TO regress_pu_user;
ALTER TABLE product ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON product USING (secret IS NOT NULL);
SET ROLE regress_pu_user;
SELECT try($$ SELECT product_upsert_protect('product') $$);
SELECT try($$ SELECT product_upsert_duplicates('product') $$);
SET ROLE regress_pu_owner;
SELECT * FROM product_upsert_protect('product');
RESET ROLE;
DROP TABLE product;
DROP OWNED BY regress_pu_owner, regress_pu_user;
DROP ROLE regress_pu_owner, regress_pu_user;

-- What search_path has in front is not what is called.
CREATE SCHEMA pu_decoy;
CREATE FUNCTION pu_decoy.product_upsert_guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''decoy''; END';
CREATE FUNCTION pu_decoy.product_upsert_lookup_index(regclass) RETURNS regclass LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''decoy''; END';
CREATE FUNCTION pu_decoy.product_upsert_key(regclass) RETURNS name[] LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''decoy''; END';
CREATE FUNCTION pu_decoy.format(text, VARIADIC "any") RETURNS text LANGUAGE internal AS 'text_format';
CREATE FUNCTION pu_decoy.count() RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''decoy''; END';
CREATE FUNCTION pu_decoy.decoy(name, name) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''decoy''; END';
CREATE OPERATOR pu_decoy.= (LEFTARG = name, RIGHTARG = name, FUNCTION = pu_decoy.decoy);
CREATE TABLE pu_decoy.pg_trigger ();
CREATE TABLE pu_decoy.pg_attribute ();
CREATE TABLE product (brand text, serial text, manufacturer text);
INSERT INTO product VALUES ('b', '1', 'm'), ('b', '1', 'm');
SET search_path = pu_decoy, pg_catalog, pu_protect, public;
SELECT * FROM public.product_upsert_protect('product');
SELECT * FROM public.product_upsert_protect('product', '{serial}');
SELECT * FROM public.product_upsert_duplicates('product');
INSERT INTO product VALUES ('b', '1', 'm');
\echo :SQLSTATE
SELECT public.product_upsert_unprotect('product');
SET search_path = pu_protect, public;
DROP TABLE product;
DROP SCHEMA pu_decoy CASCADE;

-- The extension in another schema
DROP EXTENSION product_upsert CASCADE;
CREATE SCHEMA "Pu Home";
CREATE EXTENSION product_upsert SCHEMA "Pu Home";
CREATE TABLE product (brand text, serial text, manufacturer text);
INSERT INTO product VALUES ('b', '1', 'm');
SELECT * FROM "Pu Home".product_upsert_protect('product', '{serial}');
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'product'::regclass;
SELECT "Pu Home".product_upsert('{"serial": "1"}') ->> 'action';
INSERT INTO product VALUES ('b', '1', 'm');
\echo :SQLSTATE
SELECT * FROM "Pu Home".product_upsert_protect('product', '{brand,serial}');
SELECT * FROM "Pu Home".product_upsert_duplicates('product');
-- It cannot go while tables are protected; or only with their guards.
\set VERBOSITY terse
DROP EXTENSION product_upsert;
\set VERBOSITY default
\echo :SQLSTATE
DROP EXTENSION product_upsert CASCADE;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'product'::regclass;
INSERT INTO product VALUES ('b', '1', 'm');
CREATE EXTENSION product_upsert SCHEMA public;
SELECT product_upsert_key('product');
DROP TABLE product;

-- The declared key by type: what is equal under the column's type and collation is one row, for the guard and for
-- product_upsert; under the key's own order, which here is not that of the columns.
CREATE TYPE colour AS ENUM ('red', 'Red');
CREATE TYPE pair AS (x numeric, y text);
CREATE DOMAIN code AS citext CHECK (value <> '');
-- by_type(type, value, same value, other value)
CREATE FUNCTION by_type(type text, value jsonb, same jsonb, other jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('CREATE TABLE typed (n int, k %s, tenant int)', type);
	PERFORM product_upsert_protect('typed', '{tenant,k}');
	SELECT string_agg(product_upsert('typed', jsonb_build_object('n', n, 'k', v, 'tenant', tenant)) ->> 'action', ' ' ORDER BY n)
	  INTO result
	  FROM (VALUES (1, value, 1), (2, same, 1), (3, other, 1), (4, same, 2), (5, other, 2), (6, null, 2), (7, 'null'::jsonb, 2)) AS v (n, v, tenant);
	result := concat_ws(' | ', type, result,
		left(try(format('INSERT INTO typed SELECT * FROM jsonb_populate_record(NULL::typed, %L)', jsonb_build_object('k', same, 'tenant', 1))), 5),
		left(try('UPDATE typed SET tenant = 1 WHERE n = 4'), 5),
		left(try('UPDATE typed SET tenant = 3 WHERE n = 4'), 5));
	DROP TABLE typed;
	RETURN result;
END $$;
SELECT by_type('text', '"a"', '"a"', '"A"');
SELECT by_type('citext', '"Abc"', '"aBC"', '"abd"');
SELECT by_type('code', '"Abc"', '"aBC"', '"abd"');
SELECT by_type('char(5)', '"a"', '"a  "', '"b"');
SELECT by_type('numeric', '1.0', '1.00', '2');
SELECT by_type('uuid', '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"', '"{A0EEBC999C0B4EF8BB6D6BB9BD380A11}"', '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12"');
SELECT by_type('colour', '"red"', '"red"', '"Red"');
SELECT by_type('numeric[]', '[1.0, null]', '[1, null]', '[1]');
SELECT by_type('pair', '{"x": 1.0, "y": "a"}', '{"x": 1, "y": "a"}', '{"x": 1}');
SELECT by_type('jsonb', '{"a": 1.0}', '{"a": 1.00}', '{"a": 2}');
SELECT by_type('timestamptz', '"2024-01-01 00:00:00+00"', '"2024-01-01 01:00:00+01"', '"2024-01-01 01:00:00+00"');
SELECT by_type('numrange', '"[1.0,3)"', '"[1,3.0)"', '"empty"');
SELECT by_type('text COLLATE ignore_case', '"abc"', '"ABC"', '"äbc"');

DROP SCHEMA pu_protect CASCADE;
DROP SCHEMA "Pu Home" CASCADE;
