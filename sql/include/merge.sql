\set ECHO none
-- For tests of merges.

-- merge(table, …): what product_upsert_merge_duplicates returns, without the key's columns in the rows
CREATE FUNCTION merge(target regclass, keep text DEFAULT 'oldest', dry_run boolean DEFAULT false, max_keys integer DEFAULT NULL)
	RETURNS TABLE (key text, kept jsonb, removed text, moved bigint, filled name[]) LANGUAGE sql AS $$
	SELECT (SELECT string_agg(value, '/') FROM jsonb_each_text(m.key)),
		   m.kept - 'brand'::text - 'serial'::text - 'manufacturer'::text,
		   (SELECT string_agg((r - 'brand'::text - 'serial'::text - 'manufacturer'::text)::text, ' ')
			  FROM jsonb_array_elements(m.removed) AS r),
		   m.references_moved, m.filled
	  FROM product_upsert_merge_duplicates(target, keep, dry_run, max_keys) AS m
$$;
\set ECHO all
