-- Loads into tables that are partitioned, and that have triggers, rules and foreign keys.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_from_targets;
SET search_path = pu_from_targets, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

CREATE TABLE feed (brand text, serial text, manufacturer text, price numeric, stock int);

-- Targets of other kinds: partitioned, by something else than the key
TRUNCATE feed;
INSERT INTO feed VALUES ('a', '1', 'm', 1, 1), ('a', '2', NULL, 2, 2), ('a', '3', 'm', 3, 3);
CREATE TABLE parted (brand text, serial text, manufacturer text, price numeric, stock int) PARTITION BY RANGE (stock);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (2);
CREATE TABLE parted_high (stock int, price numeric, manufacturer text, serial text, brand text);
ALTER TABLE parted ATTACH PARTITION parted_high FOR VALUES FROM (2) TO (10);
CREATE INDEX ON parted (brand, serial, manufacturer);
SELECT * FROM product_upsert_from('feed', 'parted');
UPDATE feed SET stock = 3 - stock WHERE serial IN ('1', '2');
SELECT * FROM product_upsert_from('feed', 'parted');
SELECT tableoid::regclass, brand, serial, manufacturer, stock FROM parted ORDER BY serial;
-- A partition looks in itself alone, and takes what belongs into it.
CREATE VIEW high AS SELECT * FROM feed WHERE stock >= 2;
SELECT * FROM product_upsert_from('high', 'parted_high');
SELECT product_upsert_from('feed', 'parted_high');
\echo :SQLSTATE
-- With triggers: a row that a BEFORE trigger refuses is counted nowhere.
CREATE TABLE triggered (brand text, serial text, manufacturer text, price numeric, stock int);
CREATE INDEX ON triggered (brand, serial, manufacturer);
CREATE TABLE noted (n int GENERATED ALWAYS AS IDENTITY, entry text);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.price := NEW.price + 100;
	RETURN CASE WHEN NEW.serial <> '2' THEN NEW END;
END $$;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO noted (entry) VALUES (concat_ws(' ', TG_OP, TG_LEVEL, NEW.serial, NEW.price, (SELECT count(*) FROM triggered)));
	RETURN NULL;
END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER note AFTER INSERT OR UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION note();
SELECT * FROM product_upsert_from('feed', 'triggered');
SELECT * FROM product_upsert_from('feed', 'triggered');
SELECT entry FROM noted ORDER BY n;
-- With a rule that does something beside
CREATE TABLE ruled (brand text, serial text, manufacturer text, price numeric, stock int);
CREATE INDEX ON ruled (brand, serial, manufacturer);
CREATE RULE also AS ON INSERT TO ruled DO ALSO INSERT INTO noted (entry) VALUES ('rule ' || NEW.serial);
SELECT * FROM product_upsert_from('feed', 'ruled');
SELECT entry FROM noted WHERE entry LIKE 'rule%' ORDER BY n;
-- Foreign keys are checked, for each row at once or at the end.
CREATE TABLE shop (name text PRIMARY KEY);
INSERT INTO shop VALUES ('m');
CREATE TABLE referring (brand text, serial text, manufacturer text REFERENCES shop, price numeric, stock int);
CREATE INDEX ON referring (brand, serial, manufacturer);
SELECT * FROM product_upsert_from('feed', 'referring');
INSERT INTO feed VALUES ('a', '4', 'n', 4, 4);
SELECT place($$SELECT product_upsert_from('feed', 'referring')$$);
ALTER TABLE referring ALTER CONSTRAINT referring_manufacturer_fkey DEFERRABLE INITIALLY DEFERRED;
BEGIN;
SELECT * FROM product_upsert_from('feed', 'referring');
INSERT INTO shop VALUES ('n');
COMMIT;
SELECT count(*) FROM referring;

DROP SCHEMA pu_from_targets CASCADE;
