-- What each router has. It holds no rows: the extension is there for product_upsert_hash() alone, in a schema of its own,
-- as the router's product_upsert(jsonb) has the name of the extension's.
CREATE EXTENSION plproxy;
CREATE SCHEMA engine;
CREATE EXTENSION product_upsert SCHEMA engine;

-- One key is one hash on every router. PL/Proxy takes as many of its lower bits as it has partitions for.
CREATE FUNCTION route(payload jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN engine.product_upsert_hash(payload ->> 'brand', payload ->> 'serial', payload ->> 'manufacturer');

CREATE FUNCTION upsert_one(hash bigint, payload jsonb, if_match jsonb) RETURNS jsonb LANGUAGE plproxy AS $$
	CLUSTER 'products';
	RUN ON hash;
	SELECT public.product_upsert('public.product', payload, if_match);
$$;

-- The results come from the shards in any order, so each brings the place of its payload along.
CREATE FUNCTION upsert_parts(hashes bigint[], places bigint[], payloads jsonb[])
	RETURNS TABLE (place bigint, result jsonb) LANGUAGE plproxy AS $$
	CLUSTER 'products';
	SPLIT hashes, places, payloads;
	RUN ON hashes;
	SELECT place, result FROM public.upsert_part(places, payloads);
$$;

CREATE FUNCTION upsert_array(payloads jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT coalesce(jsonb_agg(p.result ORDER BY p.place), '[]')
	  FROM (SELECT array_agg(route(payload)) AS hashes, array_agg(place) AS places, array_agg(payload) AS payloads
			  FROM jsonb_array_elements(payloads) WITH ORDINALITY AS e (payload, place)) AS a,
		   upsert_parts(a.hashes, a.places, a.payloads) AS p
	 WHERE a.hashes IS NOT NULL
$$;

-- Without a subquery, so that it is inlined where it is called.
CREATE FUNCTION product_upsert(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT CASE jsonb_typeof(payload) WHEN 'array' THEN upsert_array(payload)
		   ELSE upsert_one(route(payload), payload, NULL) END
$$;

CREATE FUNCTION product_upsert(payload jsonb, if_match jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT upsert_one(route(payload), payload, if_match)
$$;
