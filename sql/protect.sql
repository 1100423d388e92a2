-- Protecting a table: its key, its guard and its lookup index; what is there already is used, what is in the way goes.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_protect;
SET search_path = pu_protect, public;
\pset format unaligned
\pset tuples_only on
\pset null <null>
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

-- indexes(table): what it has been given to look up keys.
CREATE FUNCTION indexes(target regclass) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = target ORDER BY indexrelid
$$;
-- This transaction's locks on the table
CREATE FUNCTION lock_modes(target regclass) RETURNS SETOF text LANGUAGE sql AS $$
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
SELECT lock_modes('product');
COMMIT;
SELECT xmin = :'trigger_xmin'::xid, oid = :trigger_oid FROM pg_trigger WHERE tgrelid = 'product'::regclass;
SELECT indexes('product');
-- The number of keys that more than one row has, of the key that is asked for, before and after
SELECT product_upsert_unprotect('product');
INSERT INTO product (brand, serial, manufacturer) VALUES ('b', '1', 'm'), ('b', '1', 'm'), ('b', '1', 'm'), ('b', '2', NULL),
	('b', '2', NULL), ('b', '3', 'm'), (NULL, '3', 'm'), ('', '3', 'm');
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
SELECT lock_modes('product');
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
	RETURN QUERY SELECT concat('of ', cardinality(before), ' stay ', count(*))
	  FROM pg_trigger WHERE oid = ANY (before) AND tgrelid = 'guarded'::regclass;
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
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded '
	'FOR EACH ROW WHEN (NEW.price > 0) EXECUTE FUNCTION product_upsert_guard(brand, serial)');
SELECT becomes('CREATE TRIGGER mine BEFORE INSERT OR UPDATE ON guarded ' || :'good');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded '
	'FOR EACH STATEMENT EXECUTE FUNCTION product_upsert_guard(brand, serial)');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded ' || :'other');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded FOR EACH ROW EXECUTE FUNCTION product_upsert_guard()');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded '
	'FOR EACH ROW EXECUTE FUNCTION product_upsert_guard(serial, brand)');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded ' || :'good', 'ALTER TABLE guarded DISABLE TRIGGER mine');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded ' || :'good',
	'ALTER TABLE guarded ENABLE REPLICA TRIGGER mine');
SELECT becomes('CREATE TRIGGER mine AFTER INSERT OR UPDATE ON guarded ' || :'good',
	'ALTER TABLE guarded ENABLE ALWAYS TRIGGER mine');
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
SELECT tgrelid::regclass, tgenabled FROM pg_trigger
 WHERE tgname = 'product_upsert_guard' AND tgrelid::regclass::text LIKE 'guarded%' ORDER BY 1;
-- With nothing to do, it locks nobody out here, either.
BEGIN;
SELECT duplicate_keys FROM product_upsert_protect('guarded', '{brand,serial}');
SELECT lock_modes('guarded');
SELECT lock_modes('guarded_b1');
COMMIT;
DROP TABLE guarded;
-- A constraint trigger that means the same may stay, and be deferred; another cannot be replaced in place.
SELECT becomes('CREATE CONSTRAINT TRIGGER mine AFTER INSERT OR UPDATE ON guarded DEFERRABLE INITIALLY IMMEDIATE ' || :'good');
SELECT becomes('CREATE CONSTRAINT TRIGGER mine AFTER INSERT OR UPDATE ON guarded ' || :'other');
-- Several: one that means the same stays, whatever its name; the others go.
SELECT becomes('CREATE TRIGGER a AFTER INSERT OR UPDATE ON guarded ' || :'other',
	'CREATE TRIGGER b AFTER INSERT OR UPDATE ON guarded ' || :'good');
SELECT becomes('CREATE TRIGGER a AFTER INSERT OR UPDATE ON guarded ' || :'good',
	'CREATE TRIGGER b AFTER INSERT OR UPDATE ON guarded ' || :'good');
SELECT becomes('CREATE TRIGGER a AFTER INSERT OR UPDATE ON guarded ' || :'other',
	'CREATE TRIGGER b AFTER INSERT ON guarded ' || :'other', 'CREATE TRIGGER c BEFORE UPDATE ON guarded ' || :'good');
SELECT becomes('CREATE CONSTRAINT TRIGGER a AFTER INSERT OR UPDATE ON guarded ' || :'other',
	'CREATE TRIGGER b AFTER INSERT ON guarded ' || :'good');
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

DROP SCHEMA pu_protect CASCADE;
