-- What each shard has, for psql: its number is the variable "shard", and there are as many as "partitions" says.
CREATE EXTENSION product_upsert;

-- No two shards give the same id, as long as there are no more than 1,024 of them.
SELECT :shard + 1 AS first \gset

-- The fence refuses what is for another shard, so that a router with a wrong map cannot create a product twice.
CREATE TABLE product (
	id bigint GENERATED ALWAYS AS IDENTITY (START :first INCREMENT 1024) PRIMARY KEY,
	brand text,
	serial text,
	manufacturer text,
	description text,
	stock integer CHECK (stock >= 0),
	CONSTRAINT fence CHECK (product_upsert_hash(brand, serial, manufacturer) & (:partitions - 1) = :shard)
);

-- The guard, and an index on the hash of the key.
SELECT product_upsert_protect('product');

-- The part of an array that is of this shard.
CREATE FUNCTION upsert_part(places bigint[], payloads jsonb[], if_match jsonb, on_create jsonb, newer_by name, on_error text)
	RETURNS TABLE (place bigint, result jsonb) LANGUAGE sql AS $$
	SELECT places[n], r.result
	  FROM jsonb_array_elements(product_upsert('public.product', to_jsonb(payloads), if_match, on_create, newer_by, on_error))
		   WITH ORDINALITY AS r (result, n)
$$;

-- As whom the routers come.
GRANT SELECT, INSERT, UPDATE ON product TO writer;
