-- Who may see some columns of a table is told of no others, by the functions that return rows.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_columns;
SET search_path = pu_columns, public;
\pset format unaligned
\pset tuples_only on
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

CREATE ROLE regress_pu_user;
GRANT USAGE ON SCHEMA pu_columns TO regress_pu_user;
GRANT SELECT ON key_locks TO regress_pu_user;
CREATE TABLE product (id int PRIMARY KEY, brand text, serial text, manufacturer text, secret text UNIQUE CHECK (secret <> 'x'));
CREATE INDEX ON product (brand, serial, manufacturer);
INSERT INTO product VALUES (1, 'b', '1', 'm', 's1'), (2, 'b', '1', 'm', 's2'), (3, 'b', '2', 'm', 's3');
-- asked(privileges): what the role gets with these alone.
CREATE FUNCTION asked(privileges text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	call text;
BEGIN
	REVOKE ALL ON product FROM regress_pu_user;
	EXECUTE format('GRANT %s ON product TO regress_pu_user', privileges);
	SET LOCAL ROLE regress_pu_user;
	FOREACH call IN ARRAY ARRAY['product_upsert_duplicates(''product'') AS d', 'product_upsert_merge_duplicates(''product'') AS d',
		'product_upsert_protect(''product'') AS d',
		'product_upsert(''product'', ''{"id": 9, "brand": "b", "serial": "2", "manufacturer": "m", "secret": "s1"}'') AS d',
		'product_upsert(''product'', ''{"id": 9, "brand": "b", "serial": "3", "manufacturer": "m", "secret": "x"}'') AS d',
		'product_upsert(''product'', ''{"brand": "b", "serial": "1", "manufacturer": "m"}'') AS d',
		'product_upsert(''product'', ''{"brand": "b", "serial": "2", "manufacturer": "m"}'', ''{"secret": "s"}'') AS d']
	LOOP
		RETURN NEXT split_part(call, '(', 1) || ': ' || pu_columns.try('SELECT d::text FROM ' || call);
	END LOOP;
	RESET ROLE;
END $$;
SELECT asked('SELECT (brand, serial), INSERT, UPDATE, DELETE');
-- Duplicates are told to who may see the key, and what identifies a row.
SELECT asked('SELECT (brand, serial, manufacturer), INSERT, UPDATE, DELETE');
SELECT asked('SELECT (brand, serial, manufacturer, id), INSERT, UPDATE, DELETE');
-- In an error there are the values that were sent, and none that is stored.
SELECT asked('SELECT, INSERT, UPDATE');

-- What a writer can do all the same. He can hold the key of a row that row-level security keeps from him, and is told by the code that
-- there is one, and no more.
ALTER TABLE product ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON product USING (serial <> '2');
SET ROLE regress_pu_user;
SELECT try($$ SELECT product_upsert('product', '{"brand": "b", "serial": "2", "manufacturer": "m"}') $$);
BEGIN;
SELECT product_upsert_lock('product', '{"brand": "b", "serial": "2", "manufacturer": "m"}');
SELECT * FROM key_locks;
COMMIT;
RESET ROLE;
ALTER TABLE product DISABLE ROW LEVEL SECURITY;
-- His settings are in force in a function that runs as its owner, unless it has its own.
CREATE FUNCTION put(fields jsonb) RETURNS jsonb LANGUAGE sql SECURITY DEFINER SET search_path = pu_columns, public, pg_temp AS
	$$ SELECT product_upsert('product', '{"brand": "b", "serial": "2", "manufacturer": "m"}' || fields) -> 'action' $$;
SET ROLE regress_pu_user;
SELECT try($$ SELECT put('{"other": 1}') $$);
SET product_upsert.unknown_fields = ignore;
SELECT try($$ SELECT put('{"other": 1}') $$);
RESET ROLE;
ALTER FUNCTION put SET product_upsert.unknown_fields = error;
SET ROLE regress_pu_user;
SELECT try($$ SELECT put('{"other": 1}') $$);
RESET ROLE;

DROP SCHEMA pu_columns CASCADE;
DROP ROLE regress_pu_user;
