-- Every kind of table that can be written to, and what else happens as a row is written: triggers, rules,
-- constraints.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE EXTENSION IF NOT EXISTS file_fdw;
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE SCHEMA pu_tables;
SET search_path = pu_tables, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

-- Creates two rows and updates one, then tells what a batch came to that has all of them again.
CREATE FUNCTION try(target regclass) RETURNS SETOF jsonb LANGUAGE sql VOLATILE AS $$
	SELECT product_upsert(target, '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}');
	SELECT product_upsert(target, '{"brand": "a", "serial": "2", "manufacturer": null, "price": 1}');
	SELECT product_upsert(target, '{"brand": "a", "serial": "2", "manufacturer": null, "price": 2}');
	SELECT jsonb_array_elements(product_upsert(target, '[
		{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1},
		{"brand": "a", "serial": "1", "manufacturer": "m", "price": 2},
		{"brand": "a", "serial": "2", "manufacturer": null, "price": 2},
		{"brand": "b", "serial": "1", "manufacturer": "m", "price": 3}]'));
$$;

-- plain, unlogged, temporary
CREATE TABLE plain (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON plain (brand, serial, manufacturer);
SELECT try('plain');
CREATE UNLOGGED TABLE unlogged (LIKE plain INCLUDING ALL);
SELECT try('unlogged');
CREATE TEMP TABLE temporary (LIKE plain INCLUDING ALL);
SELECT try('temporary');
CREATE TEMP TABLE on_commit (LIKE plain INCLUDING ALL) ON COMMIT DELETE ROWS;
SELECT try('on_commit');
SELECT try('on_commit');

-- partitioned by a column of the key, by one that is not, and by none that is given
CREATE TABLE by_brand (brand text, serial text, manufacturer text, price int) PARTITION BY LIST (brand);
CREATE TABLE by_brand_a PARTITION OF by_brand FOR VALUES IN ('a');
CREATE TABLE by_brand_rest PARTITION OF by_brand DEFAULT;
CREATE INDEX ON by_brand (brand, serial, manufacturer);
SELECT try('by_brand');
SELECT tableoid::regclass, * FROM by_brand ORDER BY 1, 2, 3;

CREATE TABLE by_price (brand text, serial text, manufacturer text, price int) PARTITION BY RANGE (price);
CREATE TABLE by_price_1 PARTITION OF by_price FOR VALUES FROM (0) TO (2);
CREATE TABLE by_price_2 PARTITION OF by_price FOR VALUES FROM (2) TO (10);
CREATE INDEX ON by_price (brand, serial, manufacturer);
-- Where the key tells the partition, the others are left alone: they are not locked, and may be foreign.
CREATE TABLE shelf (brand text, serial text, manufacturer text, price int) PARTITION BY LIST (brand);
CREATE SERVER shelf_server FOREIGN DATA WRAPPER file_fdw;
CREATE INDEX ON shelf (brand, serial, manufacturer);
\set ECHO none
SELECT format('CREATE TABLE shelf_%s PARTITION OF shelf FOR VALUES IN (%1$L)', n) FROM generate_series(1, 9) AS n \gexec
\set ECHO all
CREATE TABLE shelf_null PARTITION OF shelf FOR VALUES IN (NULL);
CREATE FOREIGN TABLE shelf_away PARTITION OF shelf FOR VALUES IN ('away') SERVER shelf_server OPTIONS (filename '/nowhere');
SET plan_cache_mode = force_custom_plan;
BEGIN;
SELECT product_upsert('shelf', jsonb_build_object('brand', '7', 'serial', 1, 'manufacturer', NULL, 'price', price)) ->> 'action'
  FROM generate_series(1, 3) AS price;
SELECT DISTINCT relation::regclass FROM pg_locks WHERE relation::regclass::text ~ '^shelf[a-z_0-9]*$' AND relation::regclass::text !~ 'idx' ORDER BY 1;
COMMIT;
RESET plan_cache_mode;
SELECT product_upsert('shelf', jsonb_build_object('brand', NULL, 'serial', 1, 'manufacturer', 'm', 'price', price)) ->> 'action'
  FROM generate_series(1, 2) AS price;
SELECT * FROM shelf WHERE brand IS NULL OR brand = '7' ORDER BY brand;
-- A row moves to another partition as its price changes, and is no second row.
SELECT try('by_price');
SELECT tableoid::regclass, * FROM by_price ORDER BY 2, 3, 4;
SELECT product_upsert('by_price', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 10}');
\echo :SQLSTATE
SELECT product_upsert('by_price', '{"brand": "a", "serial": "9", "manufacturer": "m"}');
\echo :SQLSTATE

CREATE SEQUENCE by_day_id;
CREATE TABLE by_day (id bigint DEFAULT nextval('by_day_id'), brand text, serial text, manufacturer text, price int, day date DEFAULT '2024-01-01') PARTITION BY RANGE (day);
CREATE TABLE by_day_2024 PARTITION OF by_day FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY HASH (id);
CREATE TABLE by_day_2024_0 PARTITION OF by_day_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE by_day_2024_1 PARTITION OF by_day_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
-- A partition may have its columns in another order.
CREATE TABLE by_day_2025 (price int, gone text, day date, manufacturer text, serial text, brand text, id bigint NOT NULL);
ALTER TABLE by_day_2025 DROP COLUMN gone;
ALTER TABLE by_day ATTACH PARTITION by_day_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE INDEX ON by_day (brand, serial, manufacturer);
SELECT try('by_day') -> 'action';
SELECT product_upsert('by_day', '{"brand": "a", "serial": "1", "manufacturer": "m", "day": "2025-05-05"}');
SELECT product_upsert('by_day', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 9}');
SELECT product_upsert('by_day', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 9}') ->> 'action';
SELECT tableoid::regclass, brand, serial, manufacturer, price, day FROM by_day ORDER BY 2, 3, 4;

-- straight into a partition: its own columns, its constraint, and the key locks of the root
BEGIN;
SELECT product_upsert('by_day_2025', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 8}');
SELECT classid::regclass FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT product_upsert('by_day_2024_0', '{"brand": "p", "serial": "1", "manufacturer": "m", "id": 1000, "day": "2024-02-02"}') ->> 'action';
SELECT DISTINCT classid::regclass FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
COMMIT;
SELECT product_upsert('by_day_2025', '{"brand": "q", "serial": "1", "manufacturer": "m", "id": 1, "day": "2024-05-05"}');
\echo :SQLSTATE
SELECT product_upsert('by_day_2025', '{"brand": "a", "serial": "1", "manufacturer": "m", "day": "2024-05-05"}');
\echo :SQLSTATE

-- A unique index on a partitioned table has the partition column; it is not the key's.
CREATE TABLE by_id (id int DEFAULT 1, brand text, serial text, manufacturer text, price int, UNIQUE (id, brand, serial, manufacturer)) PARTITION BY LIST (id);
CREATE TABLE by_id_1 PARTITION OF by_id FOR VALUES IN (1);
CREATE INDEX ON by_id (brand);
SELECT try('by_id') ->> 'action';
-- One on a table partitioned by the key is.
CREATE TABLE by_key (brand text, serial text, manufacturer text, price int, UNIQUE (serial, manufacturer, brand)) PARTITION BY HASH (brand, serial, manufacturer);
CREATE TABLE by_key_0 PARTITION OF by_key FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE by_key_1 PARTITION OF by_key FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT try('by_key') ->> 'action';

-- inheritance: a row of a child is a row of its parent, is updated where it is, and shows the parent's columns
CREATE TABLE parent (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON parent (brand);
CREATE TABLE child (extra text DEFAULT 'x') INHERITS (parent);
CREATE INDEX ON child (brand);
INSERT INTO child VALUES ('a', '1', 'm', 0);
SELECT try('parent');
SELECT tableoid::regclass, * FROM parent ORDER BY 2, 3, 4;
SELECT * FROM child;
SELECT product_upsert('child', '{"brand": "a", "serial": "1", "manufacturer": "m", "extra": "y"}');

-- A unique index on the key: of PostgreSQL's default kind, of columns in another order, a primary key,
-- one that includes other columns, and one for which NULL equals NULL, as it does for us.
CREATE TABLE with_unique (brand text, serial text, manufacturer text, price int, UNIQUE (brand, serial, manufacturer));
SELECT try('with_unique') ->> 'action';
CREATE TABLE with_order (LIKE plain, UNIQUE (manufacturer, brand, serial) INCLUDE (price));
SELECT try('with_order') ->> 'action';
CREATE TABLE with_primary (price int, brand text, serial text, manufacturer text, PRIMARY KEY (brand, serial, manufacturer));
SELECT product_upsert('with_primary', '{"brand": "a", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT product_upsert('with_primary', '{"brand": "a", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT product_upsert('with_primary', '{"brand": "a", "serial": "1", "manufacturer": null}');
\echo :SQLSTATE
CREATE TABLE with_nulls (LIKE plain, UNIQUE NULLS NOT DISTINCT (brand, serial, manufacturer));
SELECT try('with_nulls') ->> 'action';

-- Unique indexes that are not what the key is: they do not get in the way, and their violation is an error.
CREATE TABLE with_partial (LIKE plain);
CREATE UNIQUE INDEX ON with_partial (brand, serial, manufacturer) WHERE price > 0;
CREATE INDEX ON with_partial (brand);
SELECT try('with_partial') ->> 'action';
CREATE TABLE with_deferrable (LIKE plain, UNIQUE (brand, serial, manufacturer) DEFERRABLE INITIALLY DEFERRED);
SELECT try('with_deferrable') ->> 'action';
CREATE TABLE with_fewer (LIKE plain, CONSTRAINT fewer UNIQUE (brand, serial));
SELECT product_upsert('with_fewer', '{"brand": "a", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT product_upsert('with_fewer', '{"brand": "a", "serial": "1", "manufacturer": "n"}');
\echo :SQLSTATE
CREATE TABLE with_expression (LIKE plain);
CREATE UNIQUE INDEX same_letters ON with_expression (lower(brand), serial, manufacturer);
CREATE INDEX ON with_expression (brand);
SELECT product_upsert('with_expression', '{"brand": "a", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT product_upsert('with_expression', '{"brand": "A", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
CREATE TABLE with_collation (LIKE plain);
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE UNIQUE INDEX same_word ON with_collation (brand COLLATE ignore_case, serial, manufacturer);
CREATE INDEX ON with_collation (serial);
SELECT product_upsert('with_collation', '{"brand": "a", "serial": "1", "manufacturer": "m"}') ->> 'action';
SELECT product_upsert('with_collation', '{"brand": "A", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
-- Both: the key's own yields to an update, the other is an error.
CREATE TABLE with_both (LIKE plain, sku text CONSTRAINT one_sku UNIQUE, UNIQUE (brand, serial, manufacturer));
SELECT product_upsert('with_both', '{"brand": "a", "serial": "1", "manufacturer": "m", "sku": "s"}') ->> 'action';
SELECT product_upsert('with_both', '{"brand": "b", "serial": "1", "manufacturer": "m", "sku": "s"}');
\echo :SQLSTATE
-- exclusion constraints
CREATE TABLE with_exclusion (LIKE plain, CONSTRAINT no_overlap EXCLUDE USING gist (brand WITH =, int4range(price, price + 10) WITH &&));
CREATE INDEX ON with_exclusion (brand);
SELECT product_upsert('with_exclusion', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}') ->> 'action';
SELECT product_upsert('with_exclusion', '{"brand": "a", "serial": "2", "manufacturer": "m", "price": 5}');
\echo :SQLSTATE
-- foreign keys, in both directions, and deferred
CREATE TABLE maker (name text PRIMARY KEY);
CREATE TABLE with_fk (LIKE plain INCLUDING ALL, id int PRIMARY KEY DEFAULT 1, maker text REFERENCES maker DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE review (product int REFERENCES with_fk ON UPDATE CASCADE);
BEGIN;
SELECT product_upsert('with_fk', '{"brand": "a", "serial": "1", "manufacturer": "m", "maker": "later"}') ->> 'action';
INSERT INTO maker VALUES ('later');
COMMIT;
INSERT INTO review VALUES (1);
SELECT product_upsert('with_fk', '{"brand": "a", "serial": "1", "manufacturer": "m", "id": 2}') ->> 'action';
TABLE review;
BEGIN;
SELECT product_upsert('with_fk', '{"brand": "a", "serial": "1", "manufacturer": "m", "maker": "never"}') ->> 'action';
COMMIT;
\echo :SQLSTATE

-- BEFORE triggers may alter the row; the result shows it.
CREATE TABLE triggered (brand text, serial text, manufacturer text, price int, note text, updates int DEFAULT 0);
CREATE INDEX ON triggered (brand, serial, manufacturer);
CREATE FUNCTION alter_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.note := TG_OP;
	IF TG_OP = 'UPDATE' THEN
		NEW.updates := OLD.updates + 1;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER a_alter BEFORE INSERT OR UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION alter_row();
SELECT try('triggered');
-- They may refuse it.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RETURN NULL;
END $$;
CREATE TRIGGER b_refuse BEFORE INSERT OR UPDATE ON triggered FOR EACH ROW WHEN (NEW.price = 0) EXECUTE FUNCTION refuse();
SELECT product_upsert('triggered', '{"brand": "r", "serial": "1", "manufacturer": "m", "price": 0}');
SELECT product_upsert('triggered', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 0}');
SELECT jsonb_array_elements(product_upsert('triggered', '[
	{"brand": "r", "serial": "1", "manufacturer": "m", "price": 0},
	{"brand": "r", "serial": "1", "manufacturer": "m", "price": 1}]'));
-- They may undo the change; what was written is the row's new version, and nothing is different in it.
CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RETURN OLD;
END $$;
CREATE TRIGGER c_undo BEFORE UPDATE ON triggered FOR EACH ROW WHEN (NEW.price = 99) EXECUTE FUNCTION undo();
SELECT product_upsert('triggered', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 99}');
-- They must not alter the key: the row would not be found under the key that is locked.
CREATE FUNCTION alter_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.serial := upper(NEW.serial);
	RETURN NEW;
END $$;
CREATE TRIGGER d_key BEFORE INSERT OR UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION alter_key();
SELECT product_upsert('triggered', '{"brand": "k", "serial": "x", "manufacturer": "m"}');
\echo :SQLSTATE
SELECT product_upsert('triggered', '{"brand": "k", "serial": "X", "manufacturer": "m"}') ->> 'action';
CREATE FUNCTION drop_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.manufacturer := NULL;
	RETURN NEW;
END $$;
CREATE TRIGGER e_key BEFORE UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION drop_key();
SELECT product_upsert('triggered', '{"brand": "k", "serial": "X", "manufacturer": "m", "price": 5}');
\echo :SQLSTATE
SELECT * FROM triggered WHERE brand = 'k';
-- A refusal beside a unique index on the key, which could be the reason as well
CREATE TABLE refused (LIKE plain, UNIQUE (brand, serial, manufacturer));
CREATE TRIGGER refuse BEFORE INSERT ON refused FOR EACH ROW EXECUTE FUNCTION refuse();
SELECT product_upsert('refused', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}');

-- Who does not take the lock may get there first. With a unique index on the key its row is then updated; but not if
-- that was a trigger of the table, as the row would not have come there without the call.
CREATE TABLE overtaken (LIKE plain, UNIQUE (brand, serial, manufacturer));
CREATE FUNCTION overtake() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		INSERT INTO overtaken VALUES (NEW.brand, NEW.serial, NEW.manufacturer, 0);
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER overtake BEFORE INSERT ON overtaken FOR EACH ROW EXECUTE FUNCTION overtake();
SELECT product_upsert('overtaken', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}');
SELECT product_upsert('overtaken', '{"brand": "a", "serial": "2", "manufacturer": "m", "price": 0}');
TABLE overtaken;

-- AFTER triggers, statement triggers and transition tables see each written row once, and no unwritten one.
CREATE TABLE watched (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON watched (brand, serial, manufacturer);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_LEVEL = 'ROW' THEN
		RAISE WARNING '% % row % -> %', TG_WHEN, TG_OP, OLD, NEW;
	ELSE
		RAISE WARNING '% % statement', TG_WHEN, TG_OP;
	END IF;
	RETURN NULL;
END $$;
CREATE FUNCTION watch_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'inserted: %', (SELECT jsonb_agg(n) FROM n);
	RETURN NULL;
END $$;
CREATE FUNCTION watch_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'updated: % -> %', (SELECT jsonb_agg(o) FROM o), (SELECT jsonb_agg(n) FROM n);
	RETURN NULL;
END $$;
CREATE TRIGGER a AFTER INSERT OR UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION watch();
CREATE TRIGGER b BEFORE INSERT OR UPDATE ON watched FOR EACH STATEMENT EXECUTE FUNCTION watch();
CREATE TRIGGER c AFTER INSERT ON watched REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION watch_inserted();
CREATE TRIGGER d AFTER UPDATE ON watched REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION watch_updated();
SELECT product_upsert('watched', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}') ->> 'action';
SELECT product_upsert('watched', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}') ->> 'action';
SELECT product_upsert('watched', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 2}') ->> 'action';
-- Triggers for columns fire when the column is set.
CREATE TRIGGER e BEFORE UPDATE OF brand ON watched FOR EACH STATEMENT EXECUTE FUNCTION watch();
SELECT product_upsert('watched', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 3}') ->> 'action';

-- The result is the row as it is after AFTER triggers, even those that alter it once more.
CREATE TABLE touched (LIKE plain INCLUDING ALL);
ALTER TABLE touched ADD COLUMN touches int DEFAULT 0;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE touched SET touches = touches + 1 WHERE serial = NEW.serial AND pg_trigger_depth() = 1;
	RETURN NULL;
END $$;
CREATE TRIGGER touch AFTER INSERT OR UPDATE ON touched FOR EACH ROW EXECUTE FUNCTION touch();
SELECT product_upsert('touched', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}');
SELECT product_upsert('touched', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 2}');
TABLE touched;
-- also where the trigger is a partition's own, and where a foreign key is what alters the row
CREATE TABLE touched_parts (LIKE touched) PARTITION BY LIST (brand);
CREATE TABLE touched_part PARTITION OF touched_parts DEFAULT;
CREATE INDEX ON touched_parts (brand, serial, manufacturer);
CREATE FUNCTION touch_part() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE touched_part SET touches = 42 WHERE serial = NEW.serial AND pg_trigger_depth() = 1;
	RETURN NULL;
END $$;
CREATE TRIGGER touch AFTER INSERT OR UPDATE ON touched_part FOR EACH ROW EXECUTE FUNCTION touch_part();
SELECT product_upsert('touched_parts', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}');
CREATE TABLE family (brand text, serial text, manufacturer text, id int UNIQUE, parent int REFERENCES family (id) ON UPDATE CASCADE);
CREATE INDEX ON family (brand, serial, manufacturer);
SELECT product_upsert('family', '{"brand": "a", "serial": "1", "manufacturer": "m", "id": 1, "parent": 1}') ->> 'action';
SELECT product_upsert('family', '{"brand": "a", "serial": "1", "manufacturer": "m", "id": 2}');
-- A trigger that takes the row away, or gives it another key, is refused: the next call would create it again.
CREATE FUNCTION consume() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM touched WHERE serial = NEW.serial;
	RETURN NULL;
END $$;
CREATE TRIGGER touch_and_go AFTER INSERT ON touched FOR EACH ROW EXECUTE FUNCTION consume();
SELECT product_upsert('touched', '{"brand": "a", "serial": "2", "manufacturer": "m", "price": 1}');
\echo :SQLSTATE
CREATE OR REPLACE FUNCTION consume() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE touched SET brand = upper(brand) WHERE serial = NEW.serial;
	RETURN NULL;
END $$;
SELECT product_upsert('touched', '{"brand": "a", "serial": "2", "manufacturer": "m", "price": 1}');
\echo :SQLSTATE
TABLE touched;
-- So is one that gives it a key that a unique index has.
CREATE TABLE shouted (LIKE plain, UNIQUE (brand, serial, manufacturer));
INSERT INTO shouted VALUES ('A', '1', 'm', 1);
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.brand := upper(NEW.brand);
	RETURN NEW;
END $$;
CREATE TRIGGER shout BEFORE INSERT ON shouted FOR EACH ROW EXECUTE FUNCTION shout();
SET statement_timeout = '10s';
SELECT product_upsert('shouted', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}');
\echo :SQLSTATE
RESET statement_timeout;
-- A deferrable constraint on the key, beside an index that is in force at once
CREATE TABLE with_deferred (LIKE plain, UNIQUE (brand, serial, manufacturer) DEFERRABLE);
CREATE UNIQUE INDEX ON with_deferred (brand, serial, manufacturer);
SELECT try('with_deferred') ->> 'action';

-- rules beside the write
CREATE TABLE ruled (LIKE plain INCLUDING ALL);
CREATE TABLE log (entry text);
CREATE RULE log_insert AS ON INSERT TO ruled DO ALSO INSERT INTO log VALUES ('insert ' || NEW.serial);
CREATE RULE log_update AS ON UPDATE TO ruled DO ALSO INSERT INTO log VALUES ('update ' || NEW.serial);
SELECT try('ruled') ->> 'action';
TABLE log;
-- also where there is a unique index on the key
CREATE TABLE ruled_unique (LIKE plain, UNIQUE (brand, serial, manufacturer));
CREATE RULE log_insert AS ON INSERT TO ruled_unique DO ALSO INSERT INTO log VALUES ('unique');
SELECT try('ruled_unique') ->> 'action';
SELECT count(*) FROM log WHERE entry = 'unique';
-- A rule instead of the write has nothing to return, or not the row.
CREATE TABLE ruled_out (LIKE plain INCLUDING ALL);
CREATE RULE nothing AS ON INSERT TO ruled_out DO INSTEAD NOTHING;
SELECT product_upsert('ruled_out', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
DROP RULE nothing ON ruled_out;
CREATE RULE elsewhere AS ON UPDATE TO ruled_out DO INSTEAD UPDATE plain SET price = NEW.price RETURNING plain.*;
SELECT product_upsert('ruled_out', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE

-- dropped columns, columns that were added later, a column of the key added later
CREATE TABLE evolved (gone1 int, brand text, gone2 text, serial text, price int);
INSERT INTO evolved VALUES (1, 'a', 'x', '1', 5);
ALTER TABLE evolved DROP COLUMN gone1, DROP COLUMN gone2, ADD COLUMN manufacturer text DEFAULT 'm', ADD COLUMN added int DEFAULT 42;
CREATE INDEX ON evolved (brand);
SELECT try('evolved');

-- The table changes between calls of one session.
SELECT product_upsert('evolved', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 3}') ->> 'action';
ALTER TABLE evolved ALTER price TYPE numeric(8, 2);
SELECT product_upsert('evolved', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 3.5}');
ALTER TABLE evolved RENAME price TO cost;
SELECT product_upsert('evolved', '{"brand": "a", "serial": "1", "manufacturer": "m", "cost": 4}') -> 'previous';
ALTER TABLE evolved RENAME TO renamed;
SELECT product_upsert('renamed', '{"brand": "a", "serial": "1", "manufacturer": "m", "cost": 5}') -> 'previous';
CREATE SCHEMA pu_tables_2;
ALTER TABLE renamed SET SCHEMA pu_tables_2;
SELECT product_upsert('pu_tables_2.renamed', '{"brand": "a", "serial": "1", "manufacturer": "m", "cost": 6}') -> 'previous';
ALTER SCHEMA pu_tables_2 RENAME TO pu_tables_3;
SELECT product_upsert('pu_tables_3.renamed', '{"brand": "a", "serial": "1", "manufacturer": "m", "cost": 7}') -> 'previous';
ALTER TABLE pu_tables_3.renamed DROP COLUMN manufacturer;
SELECT product_upsert('pu_tables_3.renamed', '{"brand": "a", "serial": "1", "manufacturer": "m", "cost": 8}');
\echo :SQLSTATE
ALTER TABLE pu_tables_3.renamed ADD COLUMN manufacturer text DEFAULT 'm';
SELECT product_upsert('pu_tables_3.renamed', '{"brand": "a", "serial": "1", "manufacturer": "m", "cost": 8}') -> 'previous';
DROP TABLE pu_tables_3.renamed;
CREATE TABLE pu_tables_3.renamed (manufacturer text, serial int, brand text, cost text);
CREATE INDEX ON pu_tables_3.renamed (brand);
SELECT product_upsert('pu_tables_3.renamed', '{"brand": "a", "serial": 1, "manufacturer": "m", "cost": "much"}');
DROP SCHEMA pu_tables_3 CASCADE;
-- A unique index comes and goes.
SELECT product_upsert('plain', '{"brand": "u", "serial": "1", "manufacturer": "m"}') ->> 'action';
ALTER TABLE plain ADD CONSTRAINT plain_key UNIQUE (brand, serial, manufacturer);
SELECT product_upsert('plain', '{"brand": "u", "serial": "2", "manufacturer": "m"}') ->> 'action';
ALTER TABLE plain DROP CONSTRAINT plain_key;
SELECT product_upsert('plain', '{"brand": "u", "serial": "3", "manufacturer": "m"}') ->> 'action';
-- So does an attribute of a column's type.
CREATE TYPE size AS (w int, h int);
CREATE TABLE sized (brand text, serial text, manufacturer text, size size);
CREATE INDEX ON sized (brand);
SELECT product_upsert('sized', '{"brand": "a", "serial": "1", "manufacturer": "m", "size": {"w": 1, "h": 2}}') -> 'product' -> 'size';
ALTER TYPE size ADD ATTRIBUTE d int;
SELECT product_upsert('sized', '{"brand": "a", "serial": "1", "manufacturer": "m", "size": {"w": 1, "h": 2, "d": 3}}');
ALTER TYPE size DROP ATTRIBUTE w;
SELECT product_upsert('sized', '{"brand": "a", "serial": "1", "manufacturer": "m", "size": {"h": 3, "d": 3}}');

-- odd names: quotes, upper case, characters beyond ASCII, SQL's words, and what a query might call things itself
CREATE SCHEMA "PU ""tables"".x";
CREATE TABLE "PU ""tables"".x"."Product; DROP" (
	brand text, serial text, manufacturer text,
	r int, r_ int, "R" int, new int, old int, excluded int, "select" int, "$1" int,
	"a""b" int, "a'b" int, "a\b" int, "größe" int, "产品" int, "🛒" int, " " int, "a.b" int, "Product; DROP" int, "123" int,
	a23456789012345678901234567890123456789012345678901234567890123 int
);
CREATE INDEX ON "PU ""tables"".x"."Product; DROP" (brand);
SELECT product_upsert('"PU ""tables"".x"."Product; DROP"', (
	SELECT jsonb_object_agg(attname, attnum) FROM pg_attribute
	 WHERE attrelid = '"PU ""tables"".x"."Product; DROP"'::regclass AND attnum > 0));
SELECT product_upsert('"PU ""tables"".x"."Product; DROP"', (
	SELECT jsonb_object_agg(attname, CASE WHEN attnum > 3 THEN attnum + 100 ELSE attnum END) FROM pg_attribute
	 WHERE attrelid = '"PU ""tables"".x"."Product; DROP"'::regclass AND attnum > 0)) -> 'previous';
DROP SCHEMA "PU ""tables"".x" CASCADE;
-- A table may be called as the name that a query gives it.
CREATE TABLE r (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON r (brand);
SELECT try('r') ->> 'action';

-- many columns
DO $$
BEGIN
	EXECUTE 'CREATE TABLE wide (brand text, serial text, manufacturer text, '
		|| (SELECT string_agg(format('c%s int', i), ', ') FROM generate_series(1, 1500) i) || ')';
	CREATE INDEX ON wide (brand);
END $$;
SELECT r ->> 'action', (SELECT count(*) FROM jsonb_object_keys(r -> 'product')), r -> 'product' -> 'c1500'
  FROM product_upsert('wide', (SELECT '{"brand": "a", "serial": "1", "manufacturer": "m"}' || jsonb_object_agg('c' || i, i) FROM generate_series(1, 1500) i)) r;
SELECT r ->> 'action', (SELECT count(*) FROM jsonb_object_keys(r -> 'previous')), r -> 'product' -> 'c1499', r -> 'previous' -> 'c1499'
  FROM product_upsert('wide', (SELECT '{"brand": "a", "serial": "1", "manufacturer": "m"}' || jsonb_object_agg('c' || i, -i) FROM generate_series(1, 1500) i)) r;
SELECT product_upsert('wide', '{"brand": "a", "serial": "1", "manufacturer": "m", "c777": 7}') -> 'previous';
-- More shapes of payload than plans are kept
DO $$
BEGIN
	EXECUTE 'CREATE TABLE shapes (brand text, serial text, manufacturer text, '
		|| (SELECT string_agg(format('c%s int', i), ', ') FROM generate_series(1, 100) i) || ')';
	CREATE INDEX ON shapes (brand);
END $$;
SELECT r ->> 'action', count(*)
  FROM generate_series(0, 2) AS turn, generate_series(1, 100) AS i,
	   product_upsert('shapes', jsonb_build_object('brand', 'a', 'serial', '1', 'manufacturer', 'm', 'c' || i, turn)) AS r
 GROUP BY 1 ORDER BY 1;
SELECT count(*) BETWEEN 1 AND 64 AS plans_kept FROM pg_backend_memory_contexts WHERE name = 'CachedPlanSource' AND ident LIKE '%pu_tables.shapes%';
-- More tables than are remembered
DO $$
DECLARE
	actions text;
BEGIN
	FOR i IN 1 .. 150 LOOP
		EXECUTE format('CREATE TABLE many_%s (brand text, serial text, manufacturer text, n int)', i);
		EXECUTE format('CREATE INDEX ON many_%s (brand)', i);
	END LOOP;
	FOR turn IN 1 .. 2 LOOP
		actions := '';
		FOR i IN 1 .. 150 LOOP
			actions := actions || left(product_upsert(format('many_%s', i), jsonb_build_object('brand', 'a', 'serial', '1', 'manufacturer', 'm', 'n', turn)) ->> 'action', 1);
		END LOOP;
		RAISE INFO '%', actions;
	END LOOP;
END $$;

SELECT count(*) BETWEEN 100 AND 128 AS tables_remembered FROM pg_backend_memory_contexts WHERE name = 'product_upsert target';
-- Nothing else is left of the calls.
SELECT name FROM pg_backend_memory_contexts WHERE name LIKE 'product_upsert%' AND name NOT IN ('product_upsert target', 'product_upsert targets', 'product_upsert statement');

-- Relations that are no tables
CREATE VIEW a_view AS SELECT * FROM plain;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM plain;
CREATE SEQUENCE a_sequence;
CREATE INDEX an_index ON plain (price);
CREATE TYPE a_type AS (brand text, serial text, manufacturer text);
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE a_foreign_table (brand text, serial text, manufacturer text, price int) SERVER files OPTIONS (program 'echo f,1,m,1', format 'csv');
SELECT product_upsert('a_view', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
SELECT product_upsert('a_matview', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
SELECT product_upsert('a_sequence', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
\set VERBOSITY sqlstate
SELECT product_upsert('an_index', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
SELECT product_upsert('a_type', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\set VERBOSITY default
SELECT product_upsert('a_foreign_table', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
SELECT product_upsert_lock('a_view', '{"brand": "a", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
-- A row that is found in a foreign partition, or in a foreign child, was read as the table's owner: nothing of it is told,
-- whatever there would be to do with it.
CREATE TABLE partly_foreign (brand text, serial text, manufacturer text, price int) PARTITION BY LIST (brand);
CREATE TABLE here PARTITION OF partly_foreign FOR VALUES IN ('a', 'b');
CREATE FOREIGN TABLE there PARTITION OF partly_foreign FOR VALUES IN ('f') SERVER files OPTIONS (program 'echo f,1,m,1', format 'csv');
CREATE INDEX ON here (brand);
SET client_min_messages = error;
SELECT product_upsert('partly_foreign', '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}') ->> 'action';
SELECT product_upsert('partly_foreign', '{"brand": "f", "serial": "1", "manufacturer": "m", "price": 1}');
\echo :SQLSTATE
SELECT product_upsert('partly_foreign', '{"brand": "f", "serial": "1", "manufacturer": "m", "price": 2}');
\echo :SQLSTATE
SELECT product_upsert('partly_foreign', '{"brand": "f", "serial": "1", "manufacturer": "m"}', '{"price": 3}');
\echo :SQLSTATE
SELECT product_upsert('partly_foreign', '[{"brand": "b", "serial": "1", "manufacturer": "m"}, {"brand": "f", "serial": "1", "manufacturer": "m"}]');
\echo :SQLSTATE
CREATE TABLE some_foreign AS SELECT 'f' AS brand, '1' AS serial, 'm' AS manufacturer;
SELECT product_upsert_from('some_foreign', 'partly_foreign');
\echo :SQLSTATE
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT product_upsert('partly_foreign', '{"brand": "f", "serial": "1", "manufacturer": "m", "price": 1}');
\echo :SQLSTATE
ROLLBACK;
ALTER FOREIGN TABLE there OPTIONS (SET program 'echo f,1,m,1; echo f,1,m,1');
SELECT product_upsert('partly_foreign', '{"brand": "f", "serial": "1", "manufacturer": "m", "price": 1}');
\echo :SQLSTATE
ALTER FOREIGN TABLE there OPTIONS (SET program 'echo f,1,m,1');
SELECT product_upsert('partly_foreign', '{"brand": "f", "serial": "2", "manufacturer": "m", "price": 2}');
\echo :SQLSTATE
CREATE FOREIGN TABLE foreign_child () INHERITS (plain) SERVER files OPTIONS (program 'echo g,1,m,1', format 'csv');
SELECT product_upsert('plain', '{"brand": "g", "serial": "1", "manufacturer": "m", "price": 2}');
\echo :SQLSTATE
SELECT product_upsert('plain', '{"brand": "g", "serial": "1", "manufacturer": "m", "price": 1}');
\echo :SQLSTATE
-- Nor does the guard of a table that got a foreign partition after it was protected.
CREATE TABLE by_region (brand text, region text) PARTITION BY LIST (region);
CREATE TABLE by_region_here PARTITION OF by_region FOR VALUES IN ('here');
SELECT lookup_index FROM product_upsert_protect('by_region', '{brand}');
CREATE FOREIGN TABLE by_region_there (brand text, region text) SERVER files OPTIONS (program 'echo secret,there', format 'csv');
ALTER TABLE by_region ATTACH PARTITION by_region_there FOR VALUES IN ('there');
INSERT INTO by_region VALUES ('secret', 'here');
\echo :SQLSTATE
INSERT INTO by_region VALUES ('other', 'here');
DROP FOREIGN TABLE foreign_child;
SET client_min_messages = warning;

DROP SERVER files CASCADE;
DROP SCHEMA pu_tables CASCADE;
