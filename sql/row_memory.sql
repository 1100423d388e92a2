-- What is looked up for a row and kept must last as long as it is kept: in a call for many rows each row's memory is
-- given up before the next one's turn. Each of these tables has things that the executor, a trigger or a
-- conversion looks up once and keeps.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_row_memory;
SET search_path = pu_row_memory, public;
-- Freed memory has led to loops without end.
SET statement_timeout = '2min';
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

-- load(target): 2,000 rows created in one array, updated in another, then in a load from a view of rows and in
-- one from a view of payloads.
CREATE TABLE numbers AS SELECT i FROM generate_series(1, 2000) AS i;
CREATE TABLE template (brand text, serial text, manufacturer text, price int);
CREATE VIEW template_rows AS SELECT 'b' AS brand, 's' || i AS serial, 'm' AS manufacturer, i + 10 AS price FROM numbers;
CREATE VIEW payloads AS SELECT to_jsonb(r) || '{"price": 3}' AS payload FROM template_rows AS r;
CREATE FUNCTION elements(price int) RETURNS jsonb LANGUAGE sql STABLE AS $$
	SELECT jsonb_agg(to_jsonb(r) || jsonb_build_object('price', r.price + elements.price) ORDER BY r.price)
	  FROM template_rows AS r
$$;
CREATE FUNCTION load(target regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	created bigint;
	updated bigint;
	loaded record;
	payloads record;
BEGIN
	SELECT count(*) INTO created FROM jsonb_path_query(product_upsert(target, elements(0)), '$[*] ? (@.action == "created")');
	SELECT count(*) INTO updated FROM jsonb_path_query(product_upsert(target, elements(1)), '$[*] ? (@.action == "updated")');
	SELECT * INTO loaded FROM product_upsert_from('template_rows', target);
	SELECT * INTO payloads FROM product_upsert_from('payloads', target);
	RETURN format('%s created, %s updated, %s by rows, %s by payloads', created, updated, loaded.updated, payloads.updated);
END $$;

-- Functions with each way of being called: of the owner's, with settings, in SQL, in PL/pgSQL. What the last one calls is
-- qualified: PostgreSQL 17 and later build indexes with a search_path of their own.
CREATE FUNCTION of_owner(text) RETURNS text LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER AS $$ BEGIN RETURN lower($1); END $$;
CREATE FUNCTION with_settings(text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog AS $$ BEGIN RETURN lower($1); END $$;
CREATE FUNCTION in_sql(text) RETURNS text
	LANGUAGE sql IMMUTABLE SET work_mem = '1MB' AS $$ SELECT 'not the last'; SELECT lower($1) $$;
CREATE FUNCTION plain(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN lower($1); END $$;
CREATE FUNCTION same(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT pu_row_memory.of_owner($1) || pu_row_memory.with_settings($1) || pu_row_memory.in_sql($1) || pu_row_memory.plain($1) $$;

-- BEFORE triggers, with WHEN and without
CREATE FUNCTION before_of_owner() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	new.fired := new.fired + 1;
	RETURN new;
END $$;
CREATE FUNCTION before_with_settings() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog SET work_mem = '1MB' AS $$
BEGIN
	new.fired := new.fired + 1;
	RETURN new;
END $$;
CREATE TABLE before_triggers (LIKE template, fired int DEFAULT 0);
CREATE INDEX ON before_triggers (brand, serial, manufacturer);
CREATE TRIGGER a BEFORE INSERT OR UPDATE ON before_triggers FOR EACH ROW EXECUTE FUNCTION before_of_owner();
CREATE TRIGGER b BEFORE INSERT OR UPDATE ON before_triggers FOR EACH ROW WHEN (of_owner(new.brand) = in_sql(new.brand))
	EXECUTE FUNCTION before_with_settings();
CREATE TRIGGER c BEFORE UPDATE OF price ON before_triggers FOR EACH ROW WHEN (old.price IS DISTINCT FROM new.price)
	EXECUTE FUNCTION before_of_owner();
SELECT load('before_triggers');
SELECT fired, count(*) FROM before_triggers GROUP BY fired;

-- AFTER triggers, also deferred
CREATE TABLE log (name text, tg_op text);
CREATE FUNCTION after_of_owner() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	INSERT INTO log VALUES (tg_table_name || '.' || tg_name, tg_op);
	RETURN NULL;
END $$;
CREATE FUNCTION after_with_settings() RETURNS trigger LANGUAGE plpgsql SET search_path = pu_row_memory SET work_mem = '1MB' AS $$
BEGIN
	INSERT INTO log VALUES (tg_table_name || '.' || tg_name, tg_op);
	RETURN NULL;
END $$;
CREATE TABLE after_triggers (LIKE template);
CREATE INDEX ON after_triggers (brand, serial, manufacturer);
CREATE TRIGGER a AFTER INSERT OR UPDATE ON after_triggers FOR EACH ROW EXECUTE FUNCTION after_of_owner();
CREATE TRIGGER b AFTER INSERT OR UPDATE ON after_triggers FOR EACH ROW WHEN (same(new.brand) = 'bbbb')
	EXECUTE FUNCTION after_with_settings();
CREATE CONSTRAINT TRIGGER c AFTER INSERT OR UPDATE ON after_triggers DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	EXECUTE FUNCTION after_of_owner();
SELECT load('after_triggers');
SELECT name, tg_op, count(*) FROM log GROUP BY name, tg_op ORDER BY name, tg_op;
TRUNCATE log;

-- Triggers of other tables, to which a foreign key's action writes
CREATE TABLE referenced (LIKE template, code text UNIQUE GENERATED ALWAYS AS (serial || '/' || price) STORED);
CREATE INDEX ON referenced (brand, serial, manufacturer);
CREATE TABLE follows (code text REFERENCES referenced (code) ON UPDATE CASCADE, fired int DEFAULT 0);
CREATE TABLE lets_go (code text REFERENCES referenced (code) ON UPDATE SET NULL);
SELECT product_upsert('referenced', elements(10)) IS NOT NULL;
INSERT INTO follows SELECT code FROM referenced;
INSERT INTO lets_go SELECT code FROM referenced;
CREATE TRIGGER a AFTER UPDATE ON follows FOR EACH ROW EXECUTE FUNCTION after_of_owner();
CREATE TRIGGER b AFTER UPDATE ON follows FOR EACH ROW WHEN (of_owner(new.code) <> '') EXECUTE FUNCTION after_with_settings();
CREATE TRIGGER c BEFORE UPDATE ON follows FOR EACH ROW EXECUTE FUNCTION before_with_settings();
CREATE TRIGGER a AFTER UPDATE ON lets_go FOR EACH ROW EXECUTE FUNCTION after_with_settings();
SELECT load('referenced');
SELECT name, tg_op, count(*) FROM log GROUP BY name, tg_op ORDER BY name, tg_op;
SELECT fired, count(*) FROM follows JOIN referenced USING (code) GROUP BY fired;
TRUNCATE log;

-- Expressions: defaults, generated columns, checks, indexes, an exclusion constraint
CREATE TABLE expressions (LIKE template, note text DEFAULT of_owner('N') || with_settings('N') || in_sql('N'),
	generated text GENERATED ALWAYS AS (same(brand) || price) STORED,
	CHECK (of_owner(serial) = with_settings(serial)), CHECK (same(manufacturer) = 'mmmm'),
	EXCLUDE (hashtext(same(serial)) WITH =, serial WITH =));
CREATE INDEX ON expressions (brand, serial, manufacturer);
CREATE UNIQUE INDEX ON expressions (same(serial)) WHERE of_owner(brand) = with_settings(brand) AND same(brand) = 'bbbb';
CREATE INDEX ON expressions USING gin (to_tsvector('simple', same(note)));
CREATE INDEX ON expressions USING brin (plain(serial));
CREATE INDEX ON expressions USING hash (of_owner(serial));
SELECT load('expressions');
SELECT note, generated, count(*) FROM expressions GROUP BY note, generated;

-- A key that is generated, of a domain and of a composite type, with a unique index to yield to
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN word AS text CHECK (of_owner(VALUE) = with_settings(VALUE)) CHECK (same(VALUE) <> '');
CREATE DOMAIN checked_pair AS pair CHECK (same((VALUE).b) <> '');
CREATE TABLE keys (brand word, serial text, manufacturer text, price int,
	maker text GENERATED ALWAYS AS (same(manufacturer)) STORED,
	words word[] DEFAULT '{x,y}', c checked_pair DEFAULT '(1,x)', r int4range);
CREATE UNIQUE INDEX ON keys (brand, serial, maker);
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON keys FOR EACH ROW
	EXECUTE FUNCTION product_upsert_guard('brand', 'serial', 'maker');
SELECT load('keys');
SELECT count(*)
  FROM jsonb_path_query(product_upsert('keys',
	(SELECT jsonb_agg(e || '{"words": ["p", "q"], "c": {"a": 2, "b": "y"}, "r": "[1,5)"}')
	  FROM jsonb_array_elements(elements(5)) AS e)), '$[*] ? (@.action == "updated")');
SELECT maker, words, c, r, count(*) FROM keys GROUP BY maker, words, c, r;

-- A partition as the target, and the guard of the whole, that looks for each row and shares what it looks with
CREATE TABLE parted (LIKE template, CHECK (same(brand) = 'bbbb')) PARTITION BY LIST (of_owner(manufacturer));
CREATE TABLE part PARTITION OF parted FOR VALUES IN ('m');
CREATE TABLE other_part PARTITION OF parted DEFAULT;
CREATE INDEX ON parted (brand, serial, manufacturer);
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON parted FOR EACH ROW EXECUTE FUNCTION product_upsert_guard();
CREATE TRIGGER a AFTER INSERT OR UPDATE ON part FOR EACH ROW EXECUTE FUNCTION after_of_owner();
SELECT load('part');
SELECT load('parted');
SELECT name, tg_op, count(*) FROM log GROUP BY name, tg_op ORDER BY name, tg_op;
TRUNCATE log;
CREATE TABLE guarded (a pair, b word, c text[], price int);
CREATE INDEX ON guarded (a, b, c);
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON guarded FOR EACH ROW EXECUTE FUNCTION product_upsert_guard('a', 'b', 'c');
CREATE TRIGGER log AFTER INSERT OR UPDATE ON guarded FOR EACH ROW EXECUTE FUNCTION after_with_settings();
INSERT INTO guarded SELECT row(i, 'x')::pair, 'b', ARRAY[i::text], i FROM numbers;
UPDATE guarded SET c = c || 'y'::text, price = price + 1;
INSERT INTO guarded SELECT row(i, 'x')::pair, 'b', ARRAY[i::text, 'y'], i FROM numbers WHERE i = 1000;
SELECT name, tg_op, count(*) FROM log GROUP BY name, tg_op ORDER BY name, tg_op;

-- A domain's check that makes a call for a row with the same domain: what conversions keep is in use.
CREATE TABLE nested (brand text, serial text, manufacturer text);
CREATE INDEX ON nested (brand, serial, manufacturer);
CREATE FUNCTION calls(text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	before text := $1 || '';
BEGIN
	IF $1 LIKE 'outer%' THEN
		PERFORM product_upsert('pu_row_memory.nested', jsonb_build_object(
			'brand', 'inner' || repeat('i', 1000), 'serial', 's', 'manufacturer', 'm',
			'words', ARRAY['inner' || repeat('i', 1000)]));
	END IF;
	RETURN $1 IS NOT DISTINCT FROM before;
END $$;
CREATE DOMAIN calling AS text CHECK (calls(VALUE || repeat('v', 20000))) CHECK (calls(upper(lower(VALUE)) || VALUE));
ALTER TABLE nested ALTER brand TYPE calling, ADD COLUMN words calling[];
SELECT jsonb_array_length(product_upsert('nested', (SELECT jsonb_agg(jsonb_build_object(
	'brand', 'outer' || i, 'serial', 's', 'manufacturer', 'm', 'words', ARRAY['outer' || i, 'outer']))
	  FROM generate_series(1, 100) AS i)));
SELECT left(brand, 5), count(*) FROM nested GROUP BY 1 ORDER BY 1;

-- The same with the domain below a range type: the check must go on with its own value after the call.
CREATE TABLE bounded (brand text, serial text, manufacturer text);
CREATE INDEX ON bounded (brand, serial, manufacturer);
CREATE FUNCTION calls(int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF $1 >= 100 THEN
		PERFORM product_upsert('pu_row_memory.bounded',
			'{"brand": "inner", "serial": "s", "manufacturer": "m", "span": "[1,2]"}');
	END IF;
	RETURN true;
END $$;
CREATE DOMAIN bound AS int CHECK (calls(VALUE) AND VALUE < 100);
CREATE TYPE bounds AS RANGE (subtype = bound);
ALTER TABLE bounded ADD COLUMN span bounds;
SELECT product_upsert('bounded', '{"brand": "outer", "serial": "s", "manufacturer": "m", "span": "[200,300]"}');
SELECT brand, span FROM bounded;

-- Memory does not grow with the rows of a load: not where an index compares composite values either.
CREATE TABLE memory (rows bigint, bytes bigint);
CREATE SEQUENCE measured;
CREATE FUNCTION measure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF nextval('measured') % 5000 = 0 THEN
		INSERT INTO memory SELECT currval('measured'), sum(used_bytes) FROM pg_backend_memory_contexts
		 WHERE name LIKE 'product_upsert %' OR name = 'ExecutorState';
	END IF;
	RETURN NULL;
END $$;
CREATE TABLE loaded (a pair, b text, c int, price int, fired int DEFAULT 0,
	g int GENERATED ALWAYS AS (c + 1) STORED, CHECK (c > 0));
CREATE UNIQUE INDEX ON loaded (a, b, g);
CREATE INDEX ON loaded (price);
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON loaded FOR EACH ROW EXECUTE FUNCTION product_upsert_guard('a', 'b', 'g');
CREATE TRIGGER a BEFORE INSERT OR UPDATE ON loaded FOR EACH ROW EXECUTE FUNCTION before_with_settings();
CREATE TRIGGER measure AFTER INSERT OR UPDATE ON loaded FOR EACH ROW EXECUTE FUNCTION measure();
CREATE VIEW many AS SELECT row(i, 'x')::pair AS a, 'b' AS b, i AS c, i % 100 AS price FROM generate_series(1, 10000) AS i;
SELECT * FROM product_upsert_from('many', 'loaded');
CREATE OR REPLACE VIEW many AS SELECT row(i, 'x')::pair AS a, 'b' AS b, i AS c, i % 100 + 1 AS price
  FROM generate_series(1, 10000) AS i;
SELECT * FROM product_upsert_from('many', 'loaded');
SELECT max(bytes) - min(bytes) < 300000 FROM memory WHERE rows <= 10000;
SELECT max(bytes) - min(bytes) < 300000 FROM memory WHERE rows > 10000;

-- Elements that wait for their turn take memory for what they give, however wide the table is.
CREATE FUNCTION waiting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF new.serial = '1' THEN
		INSERT INTO memory SELECT 1, used_bytes FROM pg_backend_memory_contexts WHERE name = 'product_upsert call';
	END IF;
	RETURN NULL;
END $$;
CREATE TABLE wide (brand text, serial text, manufacturer text, maker text GENERATED ALWAYS AS (same(manufacturer)) STORED);
DO $$
BEGIN
	EXECUTE (SELECT format('ALTER TABLE wide %s', string_agg(format('ADD c%s int', i), ', ')) FROM generate_series(1, 1500) AS i);
END $$;
CREATE INDEX ON wide (brand, serial, manufacturer);
CREATE TRIGGER waiting BEFORE INSERT ON wide FOR EACH ROW EXECUTE FUNCTION waiting();
CREATE FUNCTION bytes_per_element(fields text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	payload jsonb;
BEGIN
	EXECUTE format('SELECT jsonb_agg(jsonb_build_object('
		'''brand'', ''b'', ''serial'', i::text, ''manufacturer'', ''m'', %s)) FROM numbers', fields) INTO payload;
	TRUNCATE memory;
	PERFORM product_upsert('wide', payload);
	RETURN (SELECT bytes FROM memory) / jsonb_array_length(payload);
END $$;
SELECT bytes_per_element($$'c7', i$$) < 1000;
-- also where elements have different fields
SELECT bytes_per_element($$'c' || i % 1500 + 1, i$$) < 1000;
-- A generated key is computed for each of them.
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON wide FOR EACH ROW
	EXECUTE FUNCTION product_upsert_guard('brand', 'serial', 'maker');
CREATE INDEX ON wide (brand, serial, maker);
SELECT bytes_per_element($$'c7', i$$) < 1000;

SET client_min_messages = error;
DROP SCHEMA pu_row_memory CASCADE;
