-- What each router has, for psql: the variables shard0 to shard3 are connection strings without a user.
-- A router holds no rows. The extension is there for product_upsert_hash() alone, in a schema of its own, as the
-- functions below have the name of the extension's.
CREATE EXTENSION plproxy;
CREATE SCHEMA engine;
CREATE EXTENSION product_upsert SCHEMA engine;

-- The map: partition N has the keys whose hash has N in its lower two bits.
CREATE SERVER products FOREIGN DATA WRAPPER plproxy
	OPTIONS (p0 :'shard0', p1 :'shard1', p2 :'shard2', p3 :'shard3');

-- Who may call, and as whom that is on the shards. A password would be an option here too: everybody can read the server's.
GRANT USAGE ON FOREIGN SERVER products TO app;
CREATE USER MAPPING FOR app SERVER products OPTIONS (user 'writer');

-- What is no product has a hash as well: its shard says what is wrong with it.
CREATE FUNCTION route(payload jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN engine.product_upsert_hash(payload ->> 'brand', payload ->> 'serial', payload ->> 'manufacturer');

CREATE FUNCTION upsert_one(hash bigint, payload jsonb, if_match jsonb, on_create jsonb, newer_by name, on_error text)
	RETURNS jsonb LANGUAGE plproxy AS $$
	CLUSTER 'products';
	RUN ON hash;
	SELECT public.product_upsert('public.product', payload, if_match, on_create, newer_by, on_error);
$$;

CREATE FUNCTION upsert_parts(hashes bigint[], places bigint[], payloads jsonb[], if_match jsonb, on_create jsonb,
							 newer_by name, on_error text)
	RETURNS TABLE (place bigint, result jsonb) LANGUAGE plproxy AS $$
	CLUSTER 'products';
	SPLIT hashes, places, payloads;
	RUN ON hashes;
	SELECT place, result FROM public.upsert_part(places, payloads, if_match, on_create, newer_by, on_error);
$$;

-- The parts of the array are done by all shards at once, so their results come in any order. Each brings its place along.
CREATE FUNCTION upsert_array(payloads jsonb, if_match jsonb, on_create jsonb, newer_by name, on_error text)
	RETURNS jsonb LANGUAGE sql
BEGIN ATOMIC
	SELECT coalesce(jsonb_agg(p.result ORDER BY p.place), '[]')
	  FROM (SELECT array_agg(route(payload)) AS hashes, array_agg(place) AS places, array_agg(payload) AS payloads
			  FROM jsonb_array_elements(payloads) WITH ORDINALITY AS e (payload, place)) AS a,
		   upsert_parts(a.hashes, a.places, a.payloads, if_match, on_create, newer_by, on_error) AS p
	 WHERE a.hashes IS NOT NULL;
END;

-- product_upsert, but for its target: each shard has one. Without a subquery, so that a call is inlined where it is written.
CREATE FUNCTION product_upsert(payload jsonb, if_match jsonb DEFAULT NULL, on_create jsonb DEFAULT NULL,
							   newer_by name DEFAULT NULL, on_error text DEFAULT 'stop') RETURNS jsonb LANGUAGE sql
	RETURN CASE jsonb_typeof(payload)
		   WHEN 'array' THEN upsert_array(payload, if_match, on_create, newer_by, on_error)
		   ELSE upsert_one(route(payload), payload, if_match, on_create, newer_by, on_error) END;
