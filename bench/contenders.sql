-- The contenders' statements, each below its name: KIND.CONTENDER, where the kind is single, batch, bulk, copy or tables.
-- With an option it is KIND.CONTENDER.OPTION. A contender that has to be told whether the product is new has a second one for that, KIND.CONTENDER.new.
--
-- $1 to $8 are the product's fields: brand, serial, manufacturer, description, price, stock, category,
-- released. A lone $1 is the product as JSON, or an array of products.

-- name: setup

CREATE EXTENSION product_upsert;
CREATE EXTENSION pg_prewarm;

-- As applications write it. It finds "product" through search_path, as all others do.
CREATE FUNCTION upsert_product(a_brand text, a_serial text, a_manufacturer text, a_description text,
							   a_price numeric, a_stock integer, a_category text, a_released date)
	RETURNS jsonb
	LANGUAGE plpgsql AS $$
DECLARE
	stored_id bigint;
	result jsonb;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws('|', a_brand, a_serial, a_manufacturer), 0));

	SELECT id INTO stored_id
	  FROM product
	 WHERE brand = a_brand AND serial = a_serial AND manufacturer = a_manufacturer;

	IF FOUND THEN
		UPDATE product
		   SET description = a_description, price = a_price, stock = a_stock,
			   category = a_category, released = a_released
		 WHERE id = stored_id
		RETURNING to_jsonb(product) INTO result;
	ELSE
		INSERT INTO product (brand, serial, manufacturer, description, price, stock, category, released)
		VALUES (a_brand, a_serial, a_manufacturer, a_description, a_price, a_stock, a_category, a_released)
		RETURNING to_jsonb(product) INTO result;
	END IF;

	RETURN result;
END
$$;

-- name: single.product_upsert

SELECT product_upsert($1)

-- name: single.conflict_id

INSERT INTO product (brand, serial, manufacturer, description, price, stock, category, released)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (brand, serial, manufacturer) DO UPDATE
SET description = EXCLUDED.description, price = EXCLUDED.price, stock = EXCLUDED.stock,
	category = EXCLUDED.category, released = EXCLUDED.released
RETURNING id

-- name: single.conflict_row

INSERT INTO product (brand, serial, manufacturer, description, price, stock, category, released)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (brand, serial, manufacturer) DO UPDATE
SET description = EXCLUDED.description, price = EXCLUDED.price, stock = EXCLUDED.stock,
	category = EXCLUDED.category, released = EXCLUDED.released
RETURNING to_jsonb(product)

-- name: single.conflict_json

INSERT INTO product (brand, serial, manufacturer, description, price, stock, category, released)
SELECT brand, serial, manufacturer, description, price, stock, category, released
  FROM jsonb_populate_record(NULL::product, $1)
ON CONFLICT (brand, serial, manufacturer) DO UPDATE
SET description = EXCLUDED.description, price = EXCLUDED.price, stock = EXCLUDED.stock,
	category = EXCLUDED.category, released = EXCLUDED.released
RETURNING to_jsonb(product)

-- name: single.merge

MERGE INTO product AS p
USING (SELECT $1::text AS brand, $2::text AS serial, $3::text AS manufacturer, $4::text AS description,
			  $5::numeric AS price, $6::integer AS stock, $7::text AS category, $8::date AS released) AS s
   ON p.brand = s.brand AND p.serial = s.serial AND p.manufacturer = s.manufacturer
WHEN MATCHED THEN
	UPDATE SET description = s.description, price = s.price, stock = s.stock,
			   category = s.category, released = s.released
WHEN NOT MATCHED THEN
	INSERT (brand, serial, manufacturer, description, price, stock, category, released)
	VALUES (s.brand, s.serial, s.manufacturer, s.description, s.price, s.stock, s.category, s.released)

-- name: single.plpgsql

SELECT upsert_product($1, $2, $3, $4, $5, $6, $7, $8)

-- name: single.plain

UPDATE product
   SET description = $4, price = $5, stock = $6, category = $7, released = $8
 WHERE brand = $1 AND serial = $2 AND manufacturer = $3

-- name: single.plain.new

INSERT INTO product (brand, serial, manufacturer, description, price, stock, category, released)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: batch.product_upsert

SELECT product_upsert($1)

-- name: batch.product_upsert.stop

SELECT product_upsert('product', $1, on_error => 'stop')

-- name: batch.product_upsert.report

SELECT product_upsert('product', $1, on_error => 'report')

-- name: batch.conflict_json

INSERT INTO product (brand, serial, manufacturer, description, price, stock, category, released)
SELECT brand, serial, manufacturer, description, price, stock, category, released
  FROM jsonb_populate_recordset(NULL::product, $1)
ON CONFLICT (brand, serial, manufacturer) DO UPDATE
SET description = EXCLUDED.description, price = EXCLUDED.price, stock = EXCLUDED.stock,
	category = EXCLUDED.category, released = EXCLUDED.released
RETURNING to_jsonb(product)

-- name: batch.merge

MERGE INTO product AS p
USING jsonb_populate_recordset(NULL::product, $1) AS s
   ON p.brand = s.brand AND p.serial = s.serial AND p.manufacturer = s.manufacturer
WHEN MATCHED THEN
	UPDATE SET description = s.description, price = s.price, stock = s.stock,
			   category = s.category, released = s.released
WHEN NOT MATCHED THEN
	INSERT (brand, serial, manufacturer, description, price, stock, category, released)
	VALUES (s.brand, s.serial, s.manufacturer, s.description, s.price, s.stock, s.category, s.released)

-- name: batch.plain

UPDATE product AS p
   SET description = s.description, price = s.price, stock = s.stock,
	   category = s.category, released = s.released
  FROM jsonb_populate_recordset(NULL::product, $1) AS s
 WHERE p.brand = s.brand AND p.serial = s.serial AND p.manufacturer = s.manufacturer

-- name: batch.plain.new

INSERT INTO product (brand, serial, manufacturer, description, price, stock, category, released)
SELECT brand, serial, manufacturer, description, price, stock, category, released
  FROM jsonb_populate_recordset(NULL::product, $1)

-- name: bulk.product_upsert

SELECT created, updated, unchanged FROM product_upsert_from('feed', 'product')

-- name: bulk.product_upsert.rejects

SELECT created, updated, unchanged, rejected FROM product_upsert_from('feed', 'product', rejects => 'rejected')

-- name: bulk.conflict_id

INSERT INTO product (brand, serial, manufacturer, description, price, stock, category, released)
SELECT brand, serial, manufacturer, description, price, stock, category, released
  FROM feed
ON CONFLICT (brand, serial, manufacturer) DO UPDATE
SET description = EXCLUDED.description, price = EXCLUDED.price, stock = EXCLUDED.stock,
	category = EXCLUDED.category, released = EXCLUDED.released

-- name: bulk.merge

MERGE INTO product AS p
USING feed AS s
   ON p.brand = s.brand AND p.serial = s.serial AND p.manufacturer = s.manufacturer
WHEN MATCHED THEN
	UPDATE SET description = s.description, price = s.price, stock = s.stock,
			   category = s.category, released = s.released
WHEN NOT MATCHED THEN
	INSERT (brand, serial, manufacturer, description, price, stock, category, released)
	VALUES (s.brand, s.serial, s.manufacturer, s.description, s.price, s.stock, s.category, s.released)

-- name: bulk.plain

UPDATE product AS p
   SET description = s.description, price = s.price, stock = s.stock,
	   category = s.category, released = s.released
  FROM feed AS s
 WHERE p.brand = s.brand AND p.serial = s.serial AND p.manufacturer = s.manufacturer

-- name: bulk.plain.new

INSERT INTO product (brand, serial, manufacturer, description, price, stock, category, released)
SELECT brand, serial, manufacturer, description, price, stock, category, released
  FROM feed

-- name: copy.plain

COPY product (brand, serial, manufacturer, description, price, stock, category, released) FROM '@directory@/copy.tsv'

-- name: tables.product_upsert

SELECT product_upsert('product_%1$s', $1)

-- name: tables.product_upsert.values

'{"brand": "Brand 01", "serial": "SN-1", "manufacturer": "Maker 01", "description": "Part", "price": 100.00, "stock": 1, "category": "Category 01", "released": "2001-02-02"}'

-- name: tables.conflict_row

INSERT INTO product_%1$s (brand, serial, manufacturer, description, price, stock, category, released)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (brand, serial, manufacturer) DO UPDATE
SET description = EXCLUDED.description, price = EXCLUDED.price, stock = EXCLUDED.stock,
	category = EXCLUDED.category, released = EXCLUDED.released
RETURNING to_jsonb(product_%1$s)

-- name: tables.conflict_row.values

'Brand 01', 'SN-1', 'Maker 01', 'Part', 100.00, 1, 'Category 01', '2001-02-02'
