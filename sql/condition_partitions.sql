-- A key with a condition on a partitioned table whose partitions have their columns in other places: the root's condition
-- counts, for a row in any partition, attached before or after, and for one that moves.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_condition_partitions;
SET search_path = pu_condition_partitions, public;
\pset format unaligned
\pset tuples_only on
\pset null <null>
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

CREATE TABLE item (part int, sku text, price int, gone boolean NOT NULL DEFAULT false) PARTITION BY LIST (part);
CREATE TABLE item_1 PARTITION OF item FOR VALUES IN (1);
CREATE TABLE item_2 (dropped int, gone boolean NOT NULL DEFAULT false, price int, sku text, part int);
ALTER TABLE item_2 DROP COLUMN dropped;
ALTER TABLE item ATTACH PARTITION item_2 FOR VALUES IN (2);
SELECT lookup_index, duplicate_keys FROM product_upsert_protect('item', '{sku}', 'NOT gone AND price IS DISTINCT FROM 0');
CREATE TABLE item_3 (gone boolean NOT NULL, sku text, part int, price int);
ALTER TABLE item ATTACH PARTITION item_3 FOR VALUES IN (3);
SELECT regexp_replace(guards(t::regclass), '.*(ON .*) EXECUTE.*', '\1')
  FROM unnest('{item,item_1,item_2,item_3}'::text[]) AS t;
SELECT indexdef FROM pg_indexes WHERE schemaname = 'pu_condition_partitions' ORDER BY 1;
SELECT product_upsert_condition('item'), product_upsert_condition('item_2'), product_upsert_lookup_index('item_3');
-- Once more, nothing is to be done.
SELECT max(oid) AS before FROM pg_trigger \gset
SELECT duplicate_keys FROM product_upsert_protect('item', '{sku}', 'NOT gone AND price IS DISTINCT FROM 0');
SELECT max(oid) = :before FROM pg_trigger;

INSERT INTO item VALUES (1, 'a', 1, true), (2, 'a', 0, false), (3, 'a', 2, true);
SELECT product_upsert('item', '{"part": 2, "sku": "a", "price": 3}');
SELECT product_upsert('item', '{"part": 1, "sku": "a", "price": 4}');
SELECT product_upsert('item', '{"sku": "a", "gone": true, "price": 5}');
SELECT product_upsert('item', '{"part": 3, "sku": "a", "price": 6, "gone": false}');
SELECT tableoid::regclass, item.* FROM item ORDER BY price;
SELECT try($$ INSERT INTO item VALUES (1, 'a', 7) $$);
SELECT try($$ INSERT INTO item_2 (part, sku, price) VALUES (2, 'a', 7) $$);
SELECT try($$ INSERT INTO item_2 (part, sku, price) VALUES (2, 'a', 0) $$);
SELECT try($$ UPDATE item SET gone = false WHERE price = 1 $$);
SELECT try($$ UPDATE item_2 SET price = 8 WHERE price = 0 $$);
SELECT try($$ SELECT product_upsert('item_1', '{"part": 1, "sku": "a", "price": 9}') $$);
-- Moved, it comes as it goes; on the way, a row can come back.
SELECT try($$ UPDATE item SET part = 2 WHERE price = 6 $$);
SELECT try($$ UPDATE item SET part = 3, gone = false WHERE price = 1 $$);
SELECT try($$ UPDATE item SET part = 3, gone = true WHERE price = 6 $$);
SELECT try($$ UPDATE item SET part = 3, gone = false WHERE price = 1 $$);
SELECT tableoid::regclass, item.* FROM item ORDER BY price;

-- Duplicates in several partitions
ALTER TABLE item DISABLE TRIGGER product_upsert_guard;
INSERT INTO item VALUES (1, 'a', 10), (2, 'a', 11);
ALTER TABLE item ENABLE TRIGGER product_upsert_guard;
SELECT key, copies FROM product_upsert_duplicates('item');
SELECT jsonb_path_query_array(kept, '$.price'), jsonb_path_query_array(removed, '$[*].price') FROM product_upsert_merge_duplicates('item');
SELECT tableoid::regclass, item.* FROM item ORDER BY price;

-- A partition's own guard must agree.
SELECT product_upsert_unprotect('item');
CREATE TRIGGER own AFTER INSERT OR UPDATE ON item_2 FOR EACH ROW WHEN (NOT NEW.gone) EXECUTE FUNCTION product_upsert_guard('sku');
SELECT try($$ SELECT product_upsert_protect('item', '{sku}') $$);
SELECT try($$ SELECT product_upsert_protect('item', '{sku}', 'gone') $$);
SELECT try($$ SELECT duplicate_keys FROM product_upsert_protect('item', '{sku}', 'NOT gone') $$);
SELECT regexp_replace(guards(t::regclass), '.*(ON .*) EXECUTE.*', '\1') FROM unnest('{item,item_1,item_2}'::text[]) AS t;
SELECT try($$ SELECT product_upsert('item', '{"part": 2, "sku": "b", "price": 1}') ->> 'action' $$);
SELECT try($$ SELECT product_upsert('item_2', '{"part": 2, "sku": "b", "price": 2}') ->> 'action' $$);
DROP TRIGGER own ON item_2;
CREATE TRIGGER own AFTER INSERT OR UPDATE ON item_2 FOR EACH ROW WHEN (NEW.price > 0) EXECUTE FUNCTION product_upsert_guard('sku');
SELECT try($$ SELECT product_upsert('item_2', '{"part": 2, "sku": "b", "price": 2}') $$);
DROP TRIGGER own ON item_2;

-- A partial unique index on the root is yielded to.
CREATE TABLE stock (sku text, n int, gone boolean NOT NULL DEFAULT false) PARTITION BY HASH (sku);
CREATE TABLE stock_0 PARTITION OF stock FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE stock_1 PARTITION OF stock FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE UNIQUE INDEX ON stock (sku) WHERE NOT gone;
SELECT lookup_index FROM product_upsert_protect('stock', '{sku}', 'NOT gone');
INSERT INTO stock SELECT n::text, n, true FROM generate_series(1, 4) AS n;
SELECT jsonb_path_query_array(product_upsert('stock', '[{"sku": "1", "n": 5}, {"sku": "2", "n": 5}, {"sku": "1", "n": 6}]'), '$[*].action');
SELECT try($$ INSERT INTO stock VALUES ('1', 7) $$);

DROP SCHEMA pu_condition_partitions CASCADE;
