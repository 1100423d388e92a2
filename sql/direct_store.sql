-- Which store serves which table, and that nobody can tell but by the time it takes: everything here is done
-- with direct_store on and off, and must come to the same.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE SCHEMA pu_direct;
SET search_path = pu_direct, public;
SET product_upsert.direct_store = on;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

-- what triggers did
CREATE TABLE event (n int GENERATED ALWAYS AS IDENTITY, entry text);

-- Sends the payloads one after the other, with each store; returns what each came to, what triggers noted, and
-- the rows. A difference between the stores is told.
CREATE FUNCTION writes(target regclass, VARIADIC payloads jsonb[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	setting text;
	payload jsonb;
	outcome text;
	outcomes text[];
	first_outcomes text[];
	message text; detail text; hint text; table_name text; column_name text; constraint_name text; type_name text;
BEGIN
	FOREACH setting IN ARRAY ARRAY['on', 'off'] LOOP
		PERFORM set_config('product_upsert.direct_store', setting, true);
		EXECUTE format('TRUNCATE %s, event RESTART IDENTITY CASCADE', target);
		outcomes := '{}';
		FOREACH payload IN ARRAY payloads LOOP
			BEGIN
				outcome := CASE jsonb_typeof(payload)
					WHEN 'array' THEN product_upsert(target, payload)::text
					ELSE product_upsert(target, '{"brand": "a", "serial": "1", "manufacturer": "m"}' || payload)::text
				END;
				SET CONSTRAINTS ALL IMMEDIATE;
				SET CONSTRAINTS ALL DEFERRED;
			EXCEPTION WHEN OTHERS THEN
				GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
					table_name = TABLE_NAME, column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME, type_name = PG_DATATYPE_NAME;
				outcome := concat_ws(' | ', SQLSTATE, message, nullif(detail, ''), nullif(hint, ''), nullif(constraint_name, ''), nullif(type_name, ''),
					nullif(table_name, ''), nullif(column_name, ''));
			END;
			outcomes := outcomes || outcome;
		END LOOP;
		outcomes := outcomes || array(SELECT 'event ' || entry FROM event ORDER BY n);
		EXECUTE format('SELECT $1 || array(SELECT ''row '' || tableoid::regclass || '' '' || t::text FROM %s t ORDER BY 1)', target)
		   INTO outcomes USING outcomes;
		first_outcomes := coalesce(first_outcomes, outcomes);
	END LOOP;
	PERFORM set_config('product_upsert.direct_store', 'on', true);
	IF first_outcomes IS DISTINCT FROM outcomes THEN
		RETURN NEXT 'direct_store makes a difference. With it:';
		RETURN QUERY SELECT unnest(first_outcomes);
		RETURN NEXT 'Without:';
	END IF;
	RETURN QUERY SELECT unnest(outcomes);
END $$;

-- Two rows are created, one is updated, and a batch has all of them again: the same kind of outcome for all.
CREATE FUNCTION try(target regclass) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(CASE WHEN t LIKE 'row %' THEN t ELSE regexp_replace(t, ', "product": \{.*?\}(?=[,}])', '', 'g') END, E'\n')
	  FROM writes(target, '{"price": 1}', '{"serial": "2", "manufacturer": null, "price": 1}', '{"serial": "2", "manufacturer": null, "price": 2}', '[
		{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1},
		{"brand": "a", "serial": "1", "manufacturer": "m", "price": 2},
		{"brand": "a", "serial": "2", "manufacturer": null, "price": 2},
		{"brand": "b", "serial": "1", "manufacturer": "m", "price": 3}]') AS t
$$;
-- Names the reason why the table named by :table is written to by SQL statements; says nothing if it is not. It
-- asks with a call that has been made before, so that no statement is prepared then.
\set call 'SELECT product_upsert(:\'table\', \'{"brand": "c", "serial": "1", "manufacturer": "m", "price": 3}\') ->> \'action\';'
\set which 'SET client_min_messages = error; :call SET client_min_messages = debug1; :call SET client_min_messages = warning;'

-- Tables that are written to directly: plain, unlogged, temporary
CREATE TABLE plain (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON plain (brand, serial, manufacturer);
SELECT try('plain');
\set table plain
:which
CREATE UNLOGGED TABLE unlogged (LIKE plain INCLUDING ALL);
SELECT try('unlogged');
\set table unlogged
:which
CREATE TEMP TABLE temporary (LIKE plain INCLUDING ALL);
SELECT try('temporary');
\set table temporary
:which
-- The setting
SET product_upsert.direct_store = off;
\set table plain
:which
SET product_upsert.direct_store = on;

-- Partitioned: by SQL statements; a partition by itself: directly
CREATE TABLE parted (brand text, serial text, manufacturer text, price int) PARTITION BY RANGE (price);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE INDEX ON parted (brand, serial, manufacturer);
SELECT try('parted');
\set table parted
:which
SELECT try('part');
\set table part
:which
SELECT writes('part', '{"price": 10}', '{"price": 1}', '{"price": 10}', '{}');
-- where the partition has columns of its own order and of its own
CREATE TABLE odd_part (price int, gone text, manufacturer text, serial text, brand text);
ALTER TABLE odd_part DROP gone;
ALTER TABLE parted ATTACH PARTITION odd_part FOR VALUES FROM (10) TO (20);
SELECT writes('odd_part', '{"price": 10}', '{"price": 11}', '{"price": 9}', '{"price": 20}', '{"brand": "b"}');
\set table part
:which
-- and where its CHECK constraints forbid the same
ALTER TABLE part ADD CHECK (price < 8);
SELECT writes('part', '{"price": 9}', '{"price": 11}', '{"price": 1}', '{"price": 9}', '{"price": 11}');
ALTER TABLE part DROP CONSTRAINT part_price_check;
-- A partition that has been detached is bound no longer.
ALTER TABLE parted DETACH PARTITION part;
SELECT writes('part', '{"price": 10}', '{"price": 11}');
ALTER TABLE parted ATTACH PARTITION part FOR VALUES FROM (0) TO (12);
\echo :SQLSTATE
TRUNCATE part;
ALTER TABLE parted ATTACH PARTITION part FOR VALUES FROM (0) TO (10);
SELECT writes('part', '{"price": 10}');

-- Inheritance: a parent by SQL statements, a child directly; a parent that has lost its last child as well,
-- once that is known
CREATE TABLE parent (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON parent (brand, serial, manufacturer);
\set table parent
:which
CREATE TABLE child (extra text DEFAULT 'x') INHERITS (parent);
CREATE INDEX ON child (brand, serial, manufacturer);
:which
\set table child
:which
SELECT try('child');
DROP TABLE child;
ANALYZE parent;
\set table parent
:which

-- Rules
CREATE TABLE ruled (LIKE plain INCLUDING ALL);
CREATE RULE note AS ON UPDATE TO ruled DO ALSO INSERT INTO event (entry) VALUES ('rule ' || NEW.price);
SELECT try('ruled');
\set table ruled
:which

-- Triggers: for each row, directly; what there is to do for each statement, by SQL statements
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO event (entry) VALUES (concat_ws(' ', TG_NAME, TG_WHEN, TG_LEVEL, TG_OP, OLD, NEW));
	RETURN NEW;
END $$;
CREATE FUNCTION note_old() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO event (entry) SELECT concat_ws(' ', TG_NAME, TG_OP, 'from', o) FROM o;
	RETURN NULL;
END $$;
CREATE FUNCTION note_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO event (entry) SELECT concat_ws(' ', TG_NAME, TG_OP, 'to', n) FROM n;
	RETURN NULL;
END $$;
CREATE TABLE triggered (LIKE plain INCLUDING ALL);
\set table triggered
CREATE TRIGGER before_row BEFORE INSERT OR UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER after_row AFTER INSERT OR UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER delete_row AFTER DELETE ON triggered FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER delete_statement BEFORE DELETE ON triggered FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE TRIGGER delete_old AFTER DELETE ON triggered REFERENCING OLD TABLE AS o FOR EACH STATEMENT EXECUTE FUNCTION note_old();
CREATE TRIGGER truncate_statement AFTER TRUNCATE ON triggered FOR EACH STATEMENT EXECUTE FUNCTION note();
SELECT try('triggered');
:which
CREATE TRIGGER s BEFORE INSERT ON triggered FOR EACH STATEMENT EXECUTE FUNCTION note();
:which
SELECT writes('triggered', '{"price": 1}', '{"price": 2}');
DROP TRIGGER s ON triggered;
CREATE TRIGGER s AFTER INSERT ON triggered FOR EACH STATEMENT EXECUTE FUNCTION note();
:which
SELECT writes('triggered', '{"price": 1}', '{"price": 2}');
DROP TRIGGER s ON triggered;
CREATE TRIGGER s BEFORE UPDATE ON triggered FOR EACH STATEMENT EXECUTE FUNCTION note();
:which
SELECT writes('triggered', '{"price": 1}', '{"price": 2}');
DROP TRIGGER s ON triggered;
CREATE TRIGGER s AFTER UPDATE ON triggered FOR EACH STATEMENT EXECUTE FUNCTION note();
:which
SELECT writes('triggered', '{"price": 1}', '{"price": 2}');
DROP TRIGGER s ON triggered;
CREATE TRIGGER s AFTER INSERT ON triggered REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION note_new();
:which
SELECT writes('triggered', '{"price": 1}', '{"price": 2}');
DROP TRIGGER s ON triggered;
CREATE TRIGGER s AFTER UPDATE ON triggered REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION note_new();
:which
SELECT writes('triggered', '{"price": 1}', '{"price": 2}');
DROP TRIGGER s ON triggered;
CREATE TRIGGER s AFTER UPDATE ON triggered REFERENCING OLD TABLE AS o FOR EACH ROW EXECUTE FUNCTION note_old();
:which
SELECT writes('triggered', '{"price": 1}', '{"price": 2}');
DROP TRIGGER s ON triggered;
:which

-- Row-level security: by SQL statements where it applies
CREATE ROLE regress_pu_owner;
CREATE ROLE regress_pu_user;
CREATE ROLE regress_pu_bypass BYPASSRLS;
GRANT USAGE ON SCHEMA pu_direct TO regress_pu_owner, regress_pu_user, regress_pu_bypass;
CREATE TABLE secured (LIKE plain INCLUDING ALL);
ALTER TABLE secured OWNER TO regress_pu_owner;
GRANT SELECT, INSERT, UPDATE ON secured TO regress_pu_user, regress_pu_bypass;
CREATE POLICY cheap ON secured USING (price < 10);
\set table secured
SET ROLE regress_pu_user;
:which
RESET ROLE;
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
:which
SET ROLE regress_pu_user;
:which
SELECT product_upsert('secured', '{"brand": "c", "serial": "1", "manufacturer": "m", "price": 11}');
\echo :SQLSTATE
SET row_security = off;
SELECT product_upsert('secured', '{"brand": "c", "serial": "1", "manufacturer": "m", "price": 11}');
\echo :SQLSTATE
RESET row_security;
SET ROLE regress_pu_bypass;
:which
SET ROLE regress_pu_owner;
:which
ALTER TABLE secured FORCE ROW LEVEL SECURITY;
:which
RESET ROLE;
ALTER TABLE secured DISABLE ROW LEVEL SECURITY;
SET ROLE regress_pu_user;
:which
RESET ROLE;

-- The index: a btree, valid, of all rows, that begins with the columns of the key, compared as the key is
CREATE TABLE indexed (brand text, serial text, manufacturer text, price int);
\set table indexed
:which
CREATE INDEX i ON indexed (brand, serial);
:which
DROP INDEX i;
CREATE INDEX i ON indexed USING hash (brand);
:which
DROP INDEX i;
CREATE INDEX i ON indexed (brand, serial, manufacturer) WHERE price IS NULL;
:which
SELECT try('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed (brand, serial, price, manufacturer);
:which
SELECT try('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed (brand, serial) INCLUDE (manufacturer);
:which
SELECT try('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed (brand, lower(serial), serial, manufacturer);
:which
DROP INDEX i;
CREATE INDEX i ON indexed USING gist (brand, serial, manufacturer);
:which
SELECT try('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed USING brin (brand, serial, manufacturer);
:which
DROP INDEX i;
-- These serve, in any order, any direction, and with more behind them.
CREATE INDEX i ON indexed (manufacturer, brand, serial);
:which
SELECT try('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed (serial DESC NULLS LAST, manufacturer NULLS FIRST, brand DESC);
:which
SELECT try('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed (brand, serial, manufacturer, price, lower(brand));
:which
SELECT try('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed (brand, serial, manufacturer) INCLUDE (price);
:which
SELECT try('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed (brand text_pattern_ops, serial, manufacturer);
:which
SELECT try('indexed');
DROP INDEX i;
CREATE INDEX i ON indexed (brand, brand text_pattern_ops, serial, manufacturer, serial DESC, brand COLLATE "C");
:which
SELECT try('indexed');
DROP INDEX i;
-- The one with the fewest columns is searched.
CREATE INDEX wide ON indexed (brand, serial, manufacturer, price);
CREATE INDEX narrow ON indexed (brand, serial, manufacturer);
CREATE INDEX wide_too ON indexed (brand, serial, manufacturer, price);
SELECT pg_stat_reset_single_table_counters(i::regclass) FROM (VALUES ('wide'), ('narrow'), ('wide_too')) AS i (i);
BEGIN;
SELECT product_upsert('indexed', '{"brand": "n", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT i, pg_stat_get_xact_numscans(i::regclass) FROM (VALUES ('wide'), ('narrow'), ('wide_too')) AS i (i);
COMMIT;
DROP INDEX wide, narrow, wide_too;
-- One of another collation does not: there, other strings are equal. Nor one of another idea of equality.
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE INDEX i ON indexed (brand COLLATE ignore_case, serial, manufacturer);
:which
SELECT writes('indexed', '{"price": 1}', '{"brand": "A", "price": 2}');
DROP INDEX i;
CREATE INDEX i ON indexed (brand COLLATE "C", serial, manufacturer);
:which
DROP INDEX i;
CREATE TABLE collated (brand text COLLATE ignore_case, serial text, manufacturer text COLLATE "C", price int);
CREATE INDEX i ON collated (brand, serial, manufacturer);
\set table collated
:which
SELECT writes('collated', '{"price": 1}', '{"brand": "A", "price": 2}', '{"manufacturer": "M", "price": 3}');
DROP INDEX i;
CREATE INDEX i ON collated (brand COLLATE "default", serial, manufacturer);
:which
SELECT writes('collated', '{"price": 1}', '{"brand": "A", "price": 2}');
DROP INDEX i;
CREATE TYPE amount AS (n numeric);
CREATE TABLE composed (brand amount, serial text, manufacturer text, price int);
CREATE INDEX i ON composed (brand record_image_ops, serial, manufacturer);
\set composed 'SELECT product_upsert(\'composed\', \'[{"brand": {"n": 1.0}, "serial": "1", "manufacturer": "m"}, {"brand": {"n": 1.00}, "serial": "1", "manufacturer": "m"}]\') -> 1 ->> \'action\';'
SET client_min_messages = error;
:composed
SET client_min_messages = debug1;
:composed
SET client_min_messages = warning;
DROP INDEX i;
CREATE INDEX i ON composed (brand, serial, manufacturer, brand record_image_ops);
:composed
DROP INDEX i;
-- One that is not valid does not serve: it may lack rows.
CREATE TABLE unfinished (LIKE plain);
INSERT INTO unfinished VALUES ('a', '1', 'm', 1), ('a', '2', 'm', 1), ('b', '1', 'm', 1), ('b', '1', 'm', 1);
\set VERBOSITY sqlstate
CREATE UNIQUE INDEX CONCURRENTLY i ON unfinished (brand, serial, manufacturer);
\set VERBOSITY default
SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass;
\set table unfinished
:which
SELECT product_upsert('unfinished', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}') ->> 'action';
DELETE FROM unfinished WHERE brand = 'b';
REINDEX INDEX i;
:which
DROP INDEX i;

-- The table is one of the heap's: another access method may mean other things by a tuple.
CREATE ACCESS METHOD pu_heap TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE other_method (LIKE plain INCLUDING ALL) USING pu_heap;
SELECT try('other_method');
\set table other_method
:which
DROP TABLE other_method;
DROP ACCESS METHOD pu_heap;

-- Columns: dropped ones, ones with a default that rows do not have yet
CREATE TABLE evolved (gone1 text, brand text, serial text, gone2 int NOT NULL, manufacturer text, gone3 numeric[]);
CREATE INDEX ON evolved (brand, serial, manufacturer);
INSERT INTO evolved VALUES (repeat('x', 1000), 'a', '1', 1, 'm', '{1,2}');
ALTER TABLE evolved DROP gone1, DROP gone2, DROP gone3;
ALTER TABLE evolved ADD price int DEFAULT 7, ADD note text DEFAULT 'note', ADD at date DEFAULT '2024-01-01', ADD none int, ADD many int[] DEFAULT '{1,2}';
\set table evolved
SELECT product_upsert('evolved', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 7, "note": "note"}');
SELECT product_upsert('evolved', '{"brand": "a", "serial": "1", "manufacturer": "m", "note": null, "none": 1}');
SELECT * FROM evolved;
-- The update leaves behind what was in the dropped columns, as any UPDATE does.
SELECT pg_column_size(e) < 200 AS dropped_values_are_gone FROM evolved AS e;
SELECT writes('evolved', '{}', '{"price": null}', '{"at": null, "many": [3]}', '[{"brand": "b", "serial": "1", "manufacturer": "m", "none": 3}]');
:which

-- defaults: constants, expressions, of the column and of its domain, serial, both kinds of identity
CREATE SEQUENCE counter;
CREATE DOMAIN code AS text DEFAULT 'code' CHECK (value <> 'bad');
CREATE DOMAIN must AS int NOT NULL;
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE DOMAIN amount2 AS numeric(6, 2) CHECK (value < 1000);
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE TABLE defaults (
	brand text, serial text, manufacturer text,
	constant int DEFAULT 5, expression int DEFAULT 2 + nextval('counter')::int % 1, volatile bigint DEFAULT nextval('counter') - nextval('counter'), who name DEFAULT current_user,
	code code, other_code code DEFAULT 'other', positive positive, amount amount2 DEFAULT 1.005, amounts amount2[] DEFAULT '{1.005}', colour colour DEFAULT 'red', colours colour[],
	short varchar(3) DEFAULT 'abc', padded char(4) DEFAULT 'x', at timestamp(0) DEFAULT '2024-01-01 00:00:00.7',
	sid serial, ida int GENERATED ALWAYS AS IDENTITY, idd int GENERATED BY DEFAULT AS IDENTITY (START 100),
	price int
);
CREATE INDEX ON defaults (brand, serial, manufacturer);
\set table defaults
:which
SELECT writes('defaults', '{}', '{"serial": "2"}', '{"serial": "3", "constant": null, "who": null, "code": null, "sid": 7, "idd": 7, "colour": null}',
	'{"price": 1}', '{"price": 1}', '[{"brand": "b", "serial": "1", "manufacturer": "m"}, {"brand": "b", "serial": "2", "manufacturer": "m", "short": "x"}]');
-- what they refuse, and that nothing else comes of it
SELECT writes('defaults', '{"code": "bad"}', '{"positive": 0}', '{"amount": 1000}', '{"amount": 999.999}', '{"short": "abcd"}', '{"short": "abc  "}', '{"colour": "blue"}', '{"sid": null}', '{"idd": null}', '{"ida": 7}', '{"amounts": [1, 1000]}',
	'{"price": 1}', '{"code": "bad"}', '{"ida": 7}', '{"sid": null, "price": 2}', '{"short": "ab"}');
ALTER TABLE defaults ADD must must DEFAULT 1;
ALTER TABLE defaults ALTER must DROP DEFAULT;
SELECT writes('defaults', '{"price": 1}', '{"must": 1}', '{"must": null}', '{"must": 2}', '{"price": 3}');

-- generated columns; each row of a batch gives other columns
CREATE TABLE generated (
	brand text, serial text, manufacturer text, a int, b int, c text,
	twice int GENERATED ALWAYS AS (a * 2) STORED, total int GENERATED ALWAYS AS (a + b) STORED CHECK (total < 100), shout text GENERATED ALWAYS AS (CASE WHEN tableoid <> 0 THEN upper(c) END) STORED NOT NULL
);
CREATE INDEX ON generated (brand, serial, manufacturer);
\set batch '[{"brand": "a", "serial": "1", "manufacturer": "m", "a": 1, "b": 1, "c": "x"}, {"brand": "a", "serial": "1", "manufacturer": "m", "b": 2}, {"brand": "a", "serial": "1", "manufacturer": "m", "c": "y"}, {"brand": "a", "serial": "2", "manufacturer": "m", "a": 5, "c": "z"}, {"brand": "a", "serial": "1", "manufacturer": "m", "a": 3}, {"brand": "a", "serial": "1", "manufacturer": "m", "a": 4, "b": 5, "c": "x"}, {"brand": "a", "serial": "3", "manufacturer": "m", "c": "w"}, {"brand": "a", "serial": "2", "manufacturer": "m", "b": 6}, {"brand": "a", "serial": "3", "manufacturer": "m", "a": 7, "c": "v"}]'
SELECT writes('generated', :'batch', '{"a": 9}', '{"twice": 18}', '{"twice": 19}', '{"serial": "4", "twice": 1, "c": "x"}', '{"a": 60, "b": 50}', '{"c": null}', '{"serial": "5"}', '{"serial": "5", "c": "x", "a": 60, "b": 50}');
-- with triggers for the generated columns, which fire if what they are generated from is set
CREATE TRIGGER t1 AFTER UPDATE OF twice ON generated FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER t2 AFTER UPDATE OF total ON generated FOR EACH ROW WHEN (OLD.total IS DISTINCT FROM NEW.total) EXECUTE FUNCTION note();
CREATE TRIGGER t3 AFTER UPDATE OF c ON generated FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER t4 AFTER INSERT ON generated FOR EACH ROW WHEN (NEW.twice > 4) EXECUTE FUNCTION note();
SELECT writes('generated', :'batch');
-- A BEFORE trigger may change what they are generated from.
CREATE FUNCTION add_one() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.a := NEW.a + 1;
	RETURN NEW;
END $$;
CREATE TRIGGER b1 BEFORE INSERT OR UPDATE OF twice ON generated FOR EACH ROW EXECUTE FUNCTION add_one();
CREATE TRIGGER b2 BEFORE UPDATE OF c ON generated FOR EACH ROW EXECUTE FUNCTION note();
SELECT writes('generated', :'batch');

-- A key that is generated as a whole: a row that was created with some columns is updated with the very same.
CREATE TABLE all_generated (b text, s text, m text, price int, brand text GENERATED ALWAYS AS (lower(b)) STORED, serial text GENERATED ALWAYS AS (lower(s)) STORED, manufacturer text GENERATED ALWAYS AS (lower(m)) STORED);
CREATE INDEX ON all_generated (brand, serial, manufacturer);
CREATE TRIGGER t1 AFTER UPDATE OF price ON all_generated FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER t2 AFTER UPDATE OF brand ON all_generated FOR EACH ROW EXECUTE FUNCTION note();
SELECT writes('all_generated', '[{"b": "A", "s": "1", "m": "M", "price": 1}, {"b": "a", "s": "1", "m": "M", "price": 2}, {"b": "B", "s": "1", "m": "M", "price": 1}]');

-- large values, which are stored elsewhere or compressed; they stay where they are as long as they are not set
CREATE TABLE large (brand text, serial text, manufacturer text, price int, body text, other text, doc jsonb);
ALTER TABLE large ALTER body SET STORAGE EXTERNAL;
CREATE INDEX ON large (brand, serial, manufacturer);
\set table large
:which
SELECT DISTINCT left(t, 100), length(t) FROM writes('large', jsonb_build_object('body', repeat('b', 10000), 'other', repeat('o', 100000), 'doc', jsonb_build_array(repeat('d', 100000))),
	'{"price": 1}', jsonb_build_object('body', repeat('b', 10000), 'price', 1), jsonb_build_object('body', repeat('c', 10000)), jsonb_build_object('doc', jsonb_build_array(repeat('d', 100000)), 'other', 'o')) AS t ORDER BY 1, 2;
SELECT md5(body), md5(other), md5(doc::text) FROM large;

-- Constraints: CHECK, NOT NULL, both; of the columns, of the table, not valid
CREATE TABLE checked (brand text, serial text NOT NULL, manufacturer text, price int CONSTRAINT low CHECK (price < 10), note text NOT NULL DEFAULT '', CONSTRAINT unlike CHECK (note <> brand));
CREATE INDEX ON checked (brand, serial, manufacturer);
\set table checked
:which
SELECT writes('checked', '{"price": 10}', '{"serial": null}', '{"note": "a"}', '{"note": null}', '{"price": 1}', '{"price": 10}', '{"note": null}', '{"note": "a"}', '{"price": null}');
CREATE TABLE only_check (LIKE plain INCLUDING ALL, CHECK (price < 10));
SELECT writes('only_check', '{"price": 10}', '{"price": 9}', '{"price": 11}');
CREATE TABLE only_not_null (LIKE plain INCLUDING ALL);
ALTER TABLE only_not_null ALTER price SET NOT NULL;
SELECT writes('only_not_null', '{}', '{"price": 9}', '{"price": null}');
-- unique constraints: on the key, on other columns, put off, of expressions, of some rows; and exclusion
CREATE TABLE uniques (brand text, serial text, manufacturer text, price int, sku text CONSTRAINT sku UNIQUE, slot int CONSTRAINT slot UNIQUE DEFERRABLE INITIALLY DEFERRED, span int4range, CONSTRAINT key UNIQUE (brand, serial, manufacturer), CONSTRAINT apart EXCLUDE USING gist (span WITH &&), CONSTRAINT apart_later EXCLUDE USING gist (brand WITH <>, slot WITH =) DEFERRABLE INITIALLY DEFERRED);
CREATE UNIQUE INDEX same_letters ON uniques (lower(sku));
CREATE UNIQUE INDEX one_dear ON uniques ((price > 100)) WHERE price > 100;
\set table uniques
:which
SELECT writes('uniques', '{"sku": "s", "slot": 1, "span": "[1,5)"}', '{"serial": "2", "sku": "s"}', '{"serial": "2", "sku": "S"}', '{"serial": "2", "slot": 1}', '{"serial": "2", "span": "[4,6)"}', '{"serial": "2", "price": 101}', '{"price": 102}',
	'{"serial": "2", "sku": "t", "slot": 2, "span": "[5,6)"}', '{"sku": "t"}', '{"sku": "T"}', '{"slot": 2}', '{"span": "[4,6)"}', '{"brand": "b", "slot": 2}', '{"price": 103}', '{"price": 1}', '{"price": 104}',
	'[{"brand": "a", "serial": "1", "manufacturer": "m", "slot": 2}, {"brand": "a", "serial": "2", "manufacturer": "m", "slot": 1}]',
	'[{"brand": "c", "serial": "1", "manufacturer": "m", "slot": 7}, {"brand": "c", "serial": "2", "manufacturer": "m", "slot": 7}]',
	'{"manufacturer": null, "sku": "n"}', '{"manufacturer": null, "sku": "n2"}');
-- The indexes have every row.
SET enable_seqscan = off;
SELECT serial FROM uniques WHERE sku = 'n2';
SELECT serial FROM uniques WHERE lower(sku) = 'n2';
SELECT serial FROM uniques WHERE slot = 1;
SELECT serial, price FROM uniques WHERE (price > 100) AND price > 100;
SELECT serial FROM uniques WHERE span && '[2,3)';
RESET enable_seqscan;
-- A key whose constraint is put off: it does not yield, and is told at the end.
CREATE TABLE deferred_key (LIKE plain, CONSTRAINT later UNIQUE (brand, serial, manufacturer) DEFERRABLE INITIALLY DEFERRED);
\set table deferred_key
:which
SELECT try('deferred_key');
-- foreign keys from the table, to it, and to itself
CREATE TABLE maker (name text PRIMARY KEY);
INSERT INTO maker VALUES ('one'), ('two');
CREATE TABLE referring (brand text, serial text, manufacturer text, price int, id int UNIQUE DEFAULT 1, maker text CONSTRAINT known REFERENCES maker, later text CONSTRAINT known_later REFERENCES maker DEFERRABLE INITIALLY DEFERRED, parent int CONSTRAINT family REFERENCES referring (id) ON UPDATE CASCADE);
CREATE INDEX ON referring (brand, serial, manufacturer);
CREATE TABLE referred (id int CONSTRAINT referred_to REFERENCES referring (id) ON UPDATE CASCADE);
\set table referring
:which
SELECT writes('referring', '{"maker": "three"}', '{"later": "three"}', '{"parent": 7}', '{"maker": "one", "later": "two", "parent": 1}', '{"maker": "three"}', '{"later": "three"}', '{"parent": 7}', '{"id": 2}', '{"maker": null, "later": null}');
INSERT INTO referred VALUES (2);
SELECT product_upsert('referring', '{"brand": "a", "serial": "1", "manufacturer": "m", "id": 3}') ->> 'action';
SELECT referred.id, parent FROM referred, referring;

-- Published, with no replica identity: no update
CREATE TABLE published (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON published (brand, serial, manufacturer);
SET client_min_messages = error;
CREATE PUBLICATION regress_pu_publication FOR TABLE published;
SET client_min_messages = warning;
SELECT writes('published', '{"price": 1}', '{"price": 1}', '{"price": 2}');
\set table published
:which
ALTER TABLE published REPLICA IDENTITY FULL;
SELECT writes('published', '{"price": 1}', '{"price": 2}');
ALTER PUBLICATION regress_pu_publication SET TABLE published WHERE (price > 0);
ALTER TABLE published REPLICA IDENTITY DEFAULT;
SELECT writes('published', '{"price": 1}', '{"price": 2}');
DROP PUBLICATION regress_pu_publication;

DROP SCHEMA pu_direct CASCADE;
DROP OWNED BY regress_pu_owner, regress_pu_user, regress_pu_bypass;
DROP ROLE regress_pu_owner, regress_pu_user, regress_pu_bypass;
