\set ECHO none
-- For tests that write with each store in turn and compare.

SET product_upsert.direct_store = on;

-- What triggers did, and one that does.
CREATE TABLE event (n int GENERATED ALWAYS AS IDENTITY, entry text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO event (entry) VALUES (concat_ws(' ', TG_NAME, TG_WHEN, TG_LEVEL, TG_OP, OLD, NEW));
	RETURN NEW;
END $$;

-- writes(table, payloads…): what each of them comes to, one after the other, what triggers noted, and the rows; with
-- each store. A difference between the stores is told.
CREATE FUNCTION writes(target regclass, VARIADIC payloads jsonb[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	setting text;
	payload jsonb;
	outcome text;
	outcomes text[];
	first_outcomes text[];
	message text; detail text; hint text; table_name text; column_name text; constraint_name text; type_name text;
BEGIN
	FOREACH setting IN ARRAY ARRAY['on', 'off'] LOOP
		PERFORM set_config('product_upsert.direct_store', setting, true);
		EXECUTE format('TRUNCATE %s, event RESTART IDENTITY CASCADE', target);
		outcomes := '{}';
		FOREACH payload IN ARRAY payloads LOOP
			BEGIN
				outcome := CASE jsonb_typeof(payload)
					WHEN 'array' THEN product_upsert(target, payload)::text
					ELSE product_upsert(target, '{"brand": "a", "serial": "1", "manufacturer": "m"}' || payload)::text
				END;
				SET CONSTRAINTS ALL IMMEDIATE;
				SET CONSTRAINTS ALL DEFERRED;
			EXCEPTION WHEN OTHERS THEN
				GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
					table_name = TABLE_NAME, column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME,
					type_name = PG_DATATYPE_NAME;
				outcome := concat_ws(' | ', SQLSTATE, message, nullif(detail, ''), nullif(hint, ''),
					nullif(constraint_name, ''), nullif(type_name, ''), nullif(table_name, ''), nullif(column_name, ''));
			END;
			outcomes := outcomes || outcome;
		END LOOP;
		outcomes := outcomes || array(SELECT 'event ' || entry FROM event ORDER BY n);
		EXECUTE format('SELECT $1 || array('
			'SELECT ''row '' || tableoid::regclass || '' '' || t::text FROM %s t ORDER BY 1)', target)
		   INTO outcomes USING outcomes;
		first_outcomes := coalesce(first_outcomes, outcomes);
	END LOOP;
	PERFORM set_config('product_upsert.direct_store', 'on', true);
	IF first_outcomes IS DISTINCT FROM outcomes THEN
		RETURN NEXT 'direct_store makes a difference. With it:';
		RETURN QUERY SELECT unnest(first_outcomes);
		RETURN NEXT 'Without:';
	END IF;
	RETURN QUERY SELECT unnest(outcomes);
END $$;

-- four_writes(table): the calls of four_calls() in helpers.sql, with each store.
CREATE FUNCTION four_writes(target regclass) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(CASE WHEN t LIKE 'row %' THEN t
						   ELSE regexp_replace(t, ', "product": \{.*?\}(?=[,}])', '', 'g') END, E'\n')
	  FROM writes(target,
		'{"price": 1}',
		'{"serial": "2", "manufacturer": null, "price": 1}',
		'{"serial": "2", "manufacturer": null, "price": 2}', '[
		{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1},
		{"brand": "a", "serial": "1", "manufacturer": "m", "price": 2},
		{"brand": "a", "serial": "2", "manufacturer": null, "price": 2},
		{"brand": "b", "serial": "1", "manufacturer": "m", "price": 3}]') AS t
$$;

-- :which names the reason why the table named by :table is written to by SQL statements; says nothing if it is not. It
-- asks with a call that has been made before, so that no statement is prepared then.
\set call 'SELECT product_upsert(:\'table\', \'{"brand": "c", "serial": "1", "manufacturer": "m", "price": 3}\') ->> \'action\';'
\set which 'SET client_min_messages = error; :call SET client_min_messages = debug1; :call SET client_min_messages = warning;'

-- The table that others are made like.
CREATE TABLE plain (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON plain (brand, serial, manufacturer);
\set ECHO all
