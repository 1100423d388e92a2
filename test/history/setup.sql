-- The tables that a history is made with: all have the same columns. Those whose names end in _bare are not
-- protected: only calls of product_upsert write to them, plain UPDATEs that keep the key, and deletes under its lock.

CREATE EXTENSION IF NOT EXISTS product_upsert;

-- version: unique for each write. before: what a plain UPDATE found. shelf: what moves a row to another partition.
CREATE TABLE item (
	brand text,
	serial text,
	manufacturer text,
	version text,
	before text,
	shelf integer NOT NULL DEFAULT 0,
	note text
);
CREATE TABLE item_bare (LIKE item INCLUDING DEFAULTS);

-- The partition column is not in the key: no unique index could keep it.
CREATE TABLE item_by_shelf (LIKE item INCLUDING DEFAULTS) PARTITION BY LIST (shelf);
CREATE TABLE item_by_shelf_0 PARTITION OF item_by_shelf FOR VALUES IN (0);
CREATE TABLE item_by_shelf_1 PARTITION OF item_by_shelf FOR VALUES IN (1);
CREATE TABLE item_by_shelf_else PARTITION OF item_by_shelf DEFAULT;
CREATE TABLE item_by_shelf_bare (LIKE item INCLUDING DEFAULTS) PARTITION BY LIST (shelf);
CREATE TABLE item_by_shelf_bare_0 PARTITION OF item_by_shelf_bare FOR VALUES IN (0);
CREATE TABLE item_by_shelf_bare_else PARTITION OF item_by_shelf_bare DEFAULT;

-- The partition column is in the key.
CREATE TABLE item_by_brand (LIKE item INCLUDING DEFAULTS) PARTITION BY HASH (brand);
CREATE TABLE item_by_brand_0 PARTITION OF item_by_brand FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE item_by_brand_1 PARTITION OF item_by_brand FOR VALUES WITH (MODULUS 2, REMAINDER 1);

CREATE INDEX ON item (brand, serial, manufacturer);
CREATE INDEX ON item_bare (brand, serial, manufacturer);
CREATE INDEX ON item_by_shelf (brand, serial, manufacturer);
CREATE INDEX ON item_by_shelf_bare (brand, serial, manufacturer);
CREATE INDEX ON item_by_brand (brand, serial, manufacturer);

-- A plain INSERT that a query can call, such as one in a cursor. It tells what it did as product_upsert does.
CREATE FUNCTION item_insert(target regclass, payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %s (brand, serial, manufacturer, version, shelf) SELECT brand, serial, manufacturer,'
				   ' version, coalesce(shelf, 0) FROM jsonb_populate_record(NULL::item, $1)', target) USING payload;
	RETURN jsonb_build_object('action', 'created', 'product', payload);
END
$$;

SELECT product_upsert_protect('item');
SELECT product_upsert_protect('item_by_shelf');
SELECT product_upsert_protect('item_by_brand');
