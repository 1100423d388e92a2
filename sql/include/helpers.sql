\set ECHO none
-- What several test files use, made in the schema that is first in search_path: each file includes this after it has
-- created its own.

-- try(statement): the first value that a SELECT returns, or how many rows another statement has written; or else the
-- error, with what a client is told of it: detail, hint, and the table and constraint.
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	written bigint;
	detail text; hint text; schema_name text; table_name text; constraint_name text;
BEGIN
	IF statement ~ '^\s*SELECT' THEN
		EXECUTE statement INTO result;
		RETURN result;
	END IF;
	EXECUTE statement;
	GET DIAGNOSTICS written = ROW_COUNT;
	RETURN written || ' written';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
		schema_name = SCHEMA_NAME, table_name = TABLE_NAME, constraint_name = CONSTRAINT_NAME;
	RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''), nullif(hint, ''),
		nullif(concat_ws('.', nullif(schema_name, ''), nullif(table_name, ''), nullif(constraint_name, '')), ''));
END $$;

-- may(statement): the first value that the current role gets from it, or the error; nothing is kept.
CREATE FUNCTION may(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE statement INTO result;
	RAISE EXCEPTION USING ERRCODE = 'PU000', MESSAGE = coalesce(result, 'nothing');
EXCEPTION WHEN OTHERS THEN
	RETURN CASE WHEN SQLSTATE = 'PU000' THEN SQLERRM ELSE concat(SQLSTATE, ': ', SQLERRM) END;
END $$;

-- place(statement): its error, and where in the payload or the source that is.
CREATE FUNCTION place(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	context text;
BEGIN
	EXECUTE statement;
	RETURN NEXT 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT;
	RETURN NEXT SQLSTATE || ': ' || SQLERRM;
	RETURN QUERY SELECT line FROM string_to_table(context, E'\n') AS line WHERE line ~ '^(row|column|field|payload) ';
END $$;

-- item(serial, price): a payload.
CREATE FUNCTION item(serial text, price int) RETURNS jsonb LANGUAGE sql RETURN
	jsonb_build_object('brand', 'b', 'serial', serial, 'manufacturer', 'm', 'price', price);

-- four_calls(table): what they come to. The first two create a row each, the third updates one, and the fourth is an
-- array that has all of them again and creates a third row.
CREATE FUNCTION four_calls(target regclass) RETURNS SETOF jsonb LANGUAGE sql VOLATILE AS $$
	SELECT product_upsert(target, '{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1}');
	SELECT product_upsert(target, '{"brand": "a", "serial": "2", "manufacturer": null, "price": 1}');
	SELECT product_upsert(target, '{"brand": "a", "serial": "2", "manufacturer": null, "price": 2}');
	SELECT jsonb_array_elements(product_upsert(target, '[
		{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1},
		{"brand": "a", "serial": "1", "manufacturer": "m", "price": 2},
		{"brand": "a", "serial": "2", "manufacturer": null, "price": 2},
		{"brand": "b", "serial": "1", "manufacturer": "m", "price": 3}]'));
$$;

-- guards(table): its guards as they are.
CREATE FUNCTION guards(target regclass) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', tgenabled, pg_get_triggerdef(oid)) FROM pg_trigger
	 WHERE tgrelid = target AND tgfoid = 'product_upsert_guard'::regproc ORDER BY tgname
$$;

-- This transaction's locks: how many keys of each table, and the strongest lock on it that a writer can have.
CREATE VIEW key_locks AS
SELECT target, count(*) FROM product_upsert_locks WHERE pid = pg_backend_pid() GROUP BY target ORDER BY target::text;
CREATE VIEW table_locks AS
SELECT relation::regclass::text AS target, max(mode) AS mode FROM pg_locks
 WHERE pid = pg_backend_pid() AND locktype = 'relation' AND mode LIKE '%Row%' AND relation > 16384
   AND relation::regclass::text !~ '_idx$|_pkey$|_key$'
 GROUP BY relation ORDER BY 1;
\set ECHO all
