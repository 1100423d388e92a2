-- Prints by how many bytes the memory of a session grows while it calls once for each of many tables. Variables:
--
--   tables     how many of product_1, product_2 and so on, which are empty before and afterwards
--   statement  what is prepared for each: a format, with the table's number
--   values     what it is executed with
--
-- A statement that has been called a few times has a plan that is kept: here it has from the first.
SET plan_cache_mode = force_generic_plan;

SELECT sum(total_bytes) AS before FROM pg_backend_memory_contexts \gset

\o /dev/null
SELECT format('PREPARE call_%1$s AS ' || :'statement', i) FROM generate_series(1, :tables) AS i \gexec
SELECT format('EXECUTE call_%s(%s)', i, :'values') FROM generate_series(1, :tables) AS i \gexec
\o

SELECT sum(total_bytes) - :before FROM pg_backend_memory_contexts;

\o /dev/null
SELECT set_config('bench.tables', :'tables', false);
\o

DO $$
DECLARE
	stored bigint;
BEGIN
	FOR i IN 1..current_setting('bench.tables')::integer LOOP
		EXECUTE format('DELETE FROM product_%s', i);
		GET DIAGNOSTICS stored = ROW_COUNT;
		ASSERT stored = 1, format('%s rows in product_%s', stored, i);
	END LOOP;
END
$$;
