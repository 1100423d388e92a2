-- What each shard has. Its number is the variable "shard".
CREATE EXTENSION product_upsert;

CREATE TABLE product (
	id bigint GENERATED ALWAYS AS IDENTITY (START :shard INCREMENT 1024) PRIMARY KEY,
	brand text,
	serial text,
	manufacturer text,
	description text,
	stock integer CHECK (stock >= 0)
);
SELECT product_upsert_protect('product');

-- The part of an array that is of this shard.
CREATE FUNCTION upsert_part(places bigint[], payloads jsonb[])
	RETURNS TABLE (place bigint, result jsonb) LANGUAGE sql AS $$
	SELECT places[n], r.result
	  FROM jsonb_array_elements(product_upsert('public.product', to_jsonb(payloads))) WITH ORDINALITY AS r (result, n)
$$;
