-- Which indexes serve a key with a condition, to look it up and to yield to; and what a partial unique index on the key
-- of a table that declares no condition is a sign of.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_condition_indexes;
SET search_path = pu_condition_indexes, public;
\pset format unaligned
\pset tuples_only on
\pset null <null>
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql
SET client_min_messages = error;

CREATE TABLE product (sku text, n int, price int, gone boolean NOT NULL DEFAULT false);
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON product FOR EACH ROW WHEN (NOT NEW.gone AND NEW.n > 0)
	EXECUTE FUNCTION product_upsert_guard('sku');

-- lookup(definition, …): the index that serves if these are all, and whether it finds the one row that counts.
CREATE FUNCTION lookup(VARIADIC definitions text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	definition text;
	result text;
BEGIN
	FOREACH definition IN ARRAY definitions LOOP
		EXECUTE replace(definition, 'ON', 'ON product');
	END LOOP;
	INSERT INTO product VALUES ('a', 1, 0, true), ('a', 0, 1, false), ('a', 2, 2, false), ('a', 3, 3, true);
	result := concat_ws(' ', coalesce(product_upsert_lookup_index('product')::text, 'none'),
		product_upsert('product', '{"sku": "a", "price": 5}') -> 'previous',
		product_upsert('product', '{"sku": "a", "gone": true}') ->> 'action',
		product_upsert('product', '{"sku": "a", "n": 4}') ->> 'action');
	RAISE EXCEPTION USING ERRCODE = 'PU000', MESSAGE = result;
EXCEPTION WHEN SQLSTATE 'PU000' THEN
	RETURN SQLERRM;
END $$;
SELECT lookup('CREATE INDEX whole ON (sku)');
SELECT lookup('CREATE INDEX whole ON USING hash (sku)');
SELECT lookup('CREATE INDEX whole ON (product_upsert_hash(sku))');
SELECT lookup('CREATE INDEX part ON (sku) WHERE NOT gone AND n > 0');
SELECT lookup('CREATE INDEX part ON (sku) WHERE ((NOT gone) AND (n > 0))');
SELECT lookup('CREATE INDEX part ON USING hash (sku) WHERE NOT gone AND n > 0');
SELECT lookup('CREATE INDEX part ON (product_upsert_hash(sku)) WHERE NOT gone AND n > 0');
-- Not one with another predicate, even if that follows from the condition
SELECT lookup('CREATE INDEX other ON (sku) WHERE NOT gone');
SELECT lookup('CREATE INDEX other ON (sku) WHERE n > 0 AND NOT gone');
SELECT lookup('CREATE INDEX other ON (product_upsert_hash(sku)) WHERE NOT gone AND n > 1');
-- Rather one without rows that do not count; an index on the hash above all
SELECT lookup('CREATE INDEX whole ON (sku)', 'CREATE INDEX part ON (sku, price) WHERE NOT gone AND n > 0');
SELECT lookup('CREATE INDEX part ON (sku, price) WHERE NOT gone AND n > 0', 'CREATE INDEX whole ON (sku)');
SELECT lookup('CREATE INDEX part ON (product_upsert_hash(sku)) WHERE NOT gone AND n > 0',
	'CREATE INDEX whole ON (product_upsert_hash(sku))', 'CREATE INDEX columns ON (sku) WHERE NOT gone AND n > 0');
SELECT lookup('CREATE INDEX whole ON (product_upsert_hash(sku))',
	'CREATE INDEX part ON (product_upsert_hash(sku)) WHERE NOT gone AND n > 0');
SELECT lookup('CREATE UNIQUE INDEX part ON (sku) WHERE NOT gone AND n > 0');
-- Without a condition a partial index does not serve at all.
DROP TRIGGER guard ON product;
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION product_upsert_guard('sku');
CREATE INDEX part ON product (sku) WHERE NOT gone AND n > 0;
SELECT product_upsert_lookup_index('product');
-- protect makes one that does, for the condition and for none.
SELECT lookup_index FROM product_upsert_protect('product', '{sku}', 'NOT gone AND n > 1');
SELECT lookup_index FROM product_upsert_protect('product', '{sku}', 'NOT gone AND n > 0');
SELECT lookup_index FROM product_upsert_protect('product', '{sku}');

-- Unique indexes. What refuses a row that does not count refuses it to a call as well, and not for ever.
CREATE TABLE item (sku text, price int, gone boolean NOT NULL DEFAULT false);
CREATE UNIQUE INDEX item_whole ON item (sku);
SELECT product_upsert_protect('item', '{sku}', 'NOT gone');
INSERT INTO item VALUES ('a', 1, true), ('b', 1, false);
SELECT try($$ SELECT product_upsert('item', '{"sku": "a", "price": 2}') $$);
SELECT try($$ SELECT product_upsert('item', '{"sku": "b", "price": 2}') $$);
SELECT try($$ SELECT product_upsert('item', '[{"sku": "c", "price": 2}, {"sku": "a", "price": 3}]') $$);
SELECT try($$ SELECT product_upsert('item', '{"sku": "c", "price": 4}') $$);
SELECT * FROM item ORDER BY sku;
DROP INDEX item_whole;
CREATE UNIQUE INDEX item_part ON item (sku) WHERE NOT gone;
SELECT try($$ SELECT product_upsert('item', '{"sku": "a", "price": 2}') $$);
SELECT try($$ INSERT INTO item VALUES ('a', 3, false) $$);
SELECT try($$ INSERT INTO item VALUES ('a', 3, true) $$);
SELECT try($$ UPDATE item SET gone = false WHERE sku = 'a' $$);
SELECT * FROM item ORDER BY sku, price;
-- A trigger has put the key in: it is that index, or the guard, which has noticed.
CREATE FUNCTION insert_same() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO item VALUES (NEW.sku, 99, NEW.price = 1);
	RETURN NEW;
END $$;
CREATE TRIGGER same BEFORE INSERT ON item FOR EACH ROW WHEN (NEW.price <> 99) EXECUTE FUNCTION insert_same();
SELECT try($$ SELECT product_upsert('item', '{"sku": "d", "price": 1}') $$);
SELECT try($$ SELECT product_upsert('item', '{"sku": "e", "price": 2}') $$);
SELECT * FROM item WHERE sku IN ('d', 'e') ORDER BY sku, price;

-- AFTER triggers: what they make of a row that counts is in the result, and it must be there; of another it is not.
CREATE TABLE noted (sku text, price int, gone boolean NOT NULL DEFAULT false);
SELECT product_upsert_protect('noted', '{sku}', 'NOT gone');
CREATE FUNCTION alter_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE noted SET price = price + 1, gone = gone OR price = 10 WHERE sku = NEW.sku AND gone = NEW.gone;
	RETURN NULL;
END $$;
CREATE TRIGGER z_alter AFTER INSERT OR UPDATE ON noted FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION alter_row();
SELECT try($$ SELECT product_upsert('noted', '{"sku": "a", "price": 1}') $$);
SELECT try($$ SELECT product_upsert('noted', '{"sku": "a", "price": 10}') $$);
SELECT try($$ SELECT product_upsert('noted', '{"sku": "b", "price": 10}') $$);
SELECT try($$ SELECT product_upsert('noted', '{"sku": "a", "gone": true}') $$);
SELECT try($$ SELECT product_upsert('noted', '{"sku": "a", "gone": false}') $$);
SELECT * FROM noted ORDER BY sku, price;
-- A BEFORE trigger that takes the row out
CREATE FUNCTION go() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.gone := true; RETURN NEW; END';
CREATE TRIGGER a_go BEFORE INSERT OR UPDATE ON noted FOR EACH ROW WHEN (NEW.price < 0) EXECUTE FUNCTION go();
SELECT try($$ SELECT product_upsert('noted', '{"sku": "c", "price": -1}') $$);
SELECT try($$ SELECT product_upsert('noted', '{"sku": "a", "price": -1}') $$);

-- Undeclared: a call warns once, with what to run, and merging is refused, until that is run.
SET client_min_messages = warning;
CREATE TABLE "Its" (brand text, "ser'ial" text, price int, deleted_at date);
CREATE UNIQUE INDEX live ON "Its" (brand, "ser'ial") WHERE deleted_at IS NULL AND price > 0;
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON "Its" FOR EACH ROW EXECUTE FUNCTION product_upsert_guard('brand', 'ser''ial');
CREATE INDEX ON "Its" (brand, "ser'ial");
INSERT INTO "Its" VALUES ('a', '1', 1, '2024-01-01');
SELECT product_upsert('"Its"', '{"brand": "a", "ser''ial": "1", "price": 2}') ->> 'action';
ANALYZE "Its";
SELECT product_upsert('"Its"', '{"brand": "a", "ser''ial": "1", "price": 3}') ->> 'action';
ALTER TABLE "Its" DISABLE TRIGGER guard;
INSERT INTO "Its" VALUES ('a', '1', 4);
SELECT try($$ SELECT product_upsert_merge_duplicates('"Its"') $$);
SELECT substring(try($$ SELECT product_upsert_merge_duplicates('"Its"') $$), 'SELECT .*\)(?=;)') AS hint \gset
:hint;
SELECT try($$ SELECT product_upsert_merge_duplicates('"Its"') $$);
SELECT product_upsert('"Its"', '{"brand": "a", "ser''ial": "1", "price": 5}');
SELECT * FROM "Its" ORDER BY price;
-- A load warns, too.
CREATE TABLE second (sku text, price int, gone boolean);
CREATE UNIQUE INDEX ON second (sku) WHERE NOT gone;
CREATE INDEX ON second (sku);
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON second FOR EACH ROW EXECUTE FUNCTION product_upsert_guard('sku');
CREATE TABLE source AS SELECT 'a' AS sku;
SELECT created FROM product_upsert_from('source', 'second');
-- No such sign: an index on other columns, or with a predicate on the key alone, or that is not unique
CREATE TABLE third (sku text, price int, gone boolean);
CREATE UNIQUE INDEX ON third (sku, price) WHERE NOT gone;
CREATE UNIQUE INDEX ON third (sku) WHERE sku > 'a';
CREATE INDEX ON third (sku) WHERE NOT gone;
CREATE INDEX ON third (sku);
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON third FOR EACH ROW EXECUTE FUNCTION product_upsert_guard('sku');
SELECT product_upsert('third', '{"sku": "a"}') ->> 'action';

DROP SCHEMA pu_condition_indexes CASCADE;
