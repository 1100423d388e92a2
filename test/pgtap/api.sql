-- The functions as an application meets them: a product's life from the first request to the last.
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS product_upsert;
SELECT plan(75);

CREATE TABLE product (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	brand text,
	serial text,
	manufacturer text,
	name text,
	price numeric(12, 2) CHECK (price >= 0),
	tags text[] NOT NULL DEFAULT '{}',
	attributes jsonb NOT NULL DEFAULT '{}',
	search text GENERATED ALWAYS AS (lower(name)) STORED,
	updated_at timestamptz NOT NULL DEFAULT '2024-01-01 00:00:00+00'
);
CREATE INDEX ON product (brand, serial, manufacturer);
CREATE FUNCTION pg_temp.row_of(text) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(p) FROM product p WHERE serial = $1 $$;

-- What is there to call
SELECT has_function('product_upsert', ARRAY['jsonb']);
SELECT has_function('product_upsert', ARRAY['regclass', 'jsonb', 'jsonb', 'jsonb', 'name', 'text']);
SELECT has_function('product_upsert_shard',
	ARRAY['regclass', 'anyelement', 'jsonb', 'jsonb', 'jsonb', 'name', 'text']);
SELECT has_function('product_upsert_lock', ARRAY['regclass', 'jsonb']);
SELECT has_view('product_upsert_locks');
SELECT function_returns('product_upsert', ARRAY['jsonb'], 'jsonb');
SELECT function_returns('product_upsert', ARRAY['regclass', 'jsonb', 'jsonb', 'jsonb', 'name', 'text'], 'jsonb');
SELECT volatility_is('product_upsert', ARRAY['jsonb'], 'volatile');
SELECT volatility_is('product_upsert', ARRAY['regclass', 'jsonb', 'jsonb', 'jsonb', 'name', 'text'], 'volatile');
SELECT isnt_strict('product_upsert', ARRAY['jsonb']);
SELECT isnt_definer('product_upsert', ARRAY['jsonb']);
SELECT isnt_definer('product_upsert', ARRAY['regclass', 'jsonb', 'jsonb', 'jsonb', 'name', 'text']);
-- What maps a function of one unnamed json argument to the body of a request finds it.
SELECT is((SELECT proargnames FROM pg_proc WHERE oid = 'product_upsert(jsonb)'::regprocedure), NULL,
	'the one argument is unnamed');

CREATE TEMP TABLE call (n serial, result jsonb);
CREATE FUNCTION pg_temp.upsert(text) RETURNS jsonb LANGUAGE sql AS $$
	INSERT INTO call (result) VALUES (product_upsert(('{"brand": "Acme", "manufacturer": "Acme Inc"}'::jsonb || $1::jsonb)))
		RETURNING result
$$;

-- Created
SELECT is(pg_temp.upsert('{"serial": "1", "name": "Anvil", "price": 10, "tags": ["heavy"]}') ->> 'action', 'created',
	'a new key creates');
SELECT is((SELECT result -> 'product' FROM call WHERE n = 1), pg_temp.row_of('1'), 'the product is the row');
SELECT is((SELECT (result -> 'product')::text FROM call WHERE n = 1), pg_temp.row_of('1')::text, 'spelt as to_jsonb spells it');
SELECT ok((SELECT NOT result ? 'previous' FROM call WHERE n = 1), 'nothing was there before');
SELECT is((SELECT result #>> '{product,search}' FROM call WHERE n = 1), 'anvil', 'generated columns are in it');
SELECT is((SELECT result #> '{product,attributes}' FROM call WHERE n = 1), '{}', 'defaults are in it');
-- Updated
SELECT is(pg_temp.upsert('{"serial": "1", "price": 12.5, "name": "Anvil"}') - 'product',
	'{"action": "updated", "previous": {"price": 10.00}}', 'a change updates, and previous is what changed');
SELECT is((SELECT (result -> 'product')::text FROM call WHERE n = 2), pg_temp.row_of('1')::text, 'the product is the row again');
SELECT is((SELECT result #>> '{product,price}' FROM call WHERE n = 2), '12.50', 'a value is stored as its column has it');
SELECT is((SELECT result #> '{product,tags}' FROM call WHERE n = 2), '["heavy"]', 'a field left out keeps its value');
SELECT is(pg_temp.upsert('{"serial": "1", "name": "Big anvil"}') -> 'previous', '{"name": "Anvil", "search": "anvil"}',
	'previous has generated columns that changed too');
SELECT is(pg_temp.upsert('{"serial": "1", "price": null}') -> 'previous', '{"price": 12.50}', 'null overwrites');
SELECT is(pg_temp.upsert('{"serial": "1", "attributes": {"b": 1, "a": [1, 2]}}') #> '{product,attributes}',
	'{"a": [1, 2], "b": 1}', 'json goes in whole');
-- Unchanged
SELECT is(pg_temp.upsert('{"serial": "1", "name": "Big anvil", "attributes": {"a": [1, 2], "b": 1}}') - 'product',
	'{"action": "unchanged"}', 'what is there already changes nothing');
SELECT is((SELECT (result -> 'product')::text FROM call WHERE n = 6), pg_temp.row_of('1')::text,
	'the product is the row all the same');
SELECT is(product_upsert(pg_temp.row_of('1')) ->> 'action', 'unchanged',
	'the row as it was read changes nothing, with what PostgreSQL generates in it');
SELECT is(product_upsert(pg_temp.row_of('1') || '{"price": 3}') ->> 'action', 'updated', 'and may be altered and sent back');
SELECT throws_ok($$SELECT product_upsert(pg_temp.row_of('1') || '{"id": 99}')$$, '428C9',
	'column "id" can only be updated to DEFAULT', 'but not in what PostgreSQL generates');
SELECT throws_ok($$SELECT product_upsert(pg_temp.row_of('1') || '{"search": "x"}')$$, '428C9',
	'column "search" can only be updated to DEFAULT', 'nor there');
SELECT is((SELECT count(*) FROM product), 1::bigint, 'all that was one row');
SELECT is((SELECT max(id) FROM product), 1::bigint, 'with one id');
SELECT is(product_upsert('{"brand": "Acme", "serial": "2", "manufacturer": "Acme Inc"}') #> '{product,id}', '2',
	'updates took none of the sequence');

-- NULL in the key
SELECT is(product_upsert('{"brand": null, "serial": null, "manufacturer": null, "name": "n"}') ->> 'action', 'created',
	'a key of NULLs');
SELECT is(product_upsert('{"brand": null, "serial": null, "manufacturer": null, "name": "n"}') ->> 'action',
	'unchanged', 'is a key');
SELECT is(product_upsert('{"brand": "", "serial": null, "manufacturer": null, "name": "n"}') ->> 'action', 'created',
	'an empty string is another');

-- An array
SELECT is(product_upsert('[]'), '[]', 'nothing to do');
SELECT is((SELECT jsonb_agg(r -> 'action') FROM jsonb_array_elements(product_upsert('[
	{"brand": "z", "serial": "9", "manufacturer": "m", "name": "a"},
	{"brand": "Acme", "serial": "1", "manufacturer": "Acme Inc"},
	{"brand": "z", "serial": "9", "manufacturer": "m", "name": "b"},
	{"brand": "z", "serial": "9", "manufacturer": "m", "price": 1}]')) AS r),
	'["created", "unchanged", "updated", "updated"]', 'results come in the order of the payload, and a key may come again');
SELECT throws_ok($$SELECT product_upsert('[{"brand": "y", "serial": "1", "manufacturer": "m"},
	{"brand": "y", "serial": "2", "manufacturer": "m", "price": -1}]')$$, '23514', NULL, 'one fails');
SELECT is_empty($$SELECT FROM product WHERE brand = 'y'$$, 'all fail');

-- If-Match
PREPARE if_match (jsonb) AS
	SELECT product_upsert('product', '{"brand": "Acme", "serial": "2", "manufacturer": "Acme Inc", "name": "two"}', $1);
SELECT throws_ok($$EXECUTE if_match ('{"name": "one"}')$$, 'PT412',
	'the stored row of table "product" does not match if_match', 'the row is not what is expected');
SELECT is(pg_temp.row_of('2') -> 'name', 'null', 'nothing is written');
SELECT lives_ok($$EXECUTE if_match ('{"name": null, "id": 2}')$$, 'the row is what is expected');
SELECT is(pg_temp.row_of('2') ->> 'name', 'two', 'the change is written');
SELECT lives_ok($$EXECUTE if_match ('{}')$$, 'the row exists');
SELECT throws_ok($$SELECT product_upsert('product', '{"brand": "Acme", "serial": "3", "manufacturer": "Acme Inc"}', '{}')$$,
	'PT412', NULL, 'the row does not');
SELECT is(pg_temp.row_of('3'), NULL, 'and is not created');
-- A client that reads, alters and writes with what it has read as the condition
SELECT is(product_upsert('product', pg_temp.row_of('2') || '{"price": 5}', pg_temp.row_of('2')) ->> 'action', 'updated',
	'the whole row may be the condition');

-- Errors
SELECT throws_ok($$SELECT product_upsert(NULL)$$, '22004', 'payload must not be null', 'no payload');
SELECT throws_ok($$SELECT product_upsert('"x"')$$, '22023', 'payload must be an object or an array of objects',
	'a payload that is no object');
SELECT throws_ok($$SELECT product_upsert('{"brand": "a", "serial": "1"}')$$, '22023', 'key field "manufacturer" is missing',
	'a part of the key is missing');
SELECT throws_ok($$SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "nmae": "x"}')$$, '42703',
	'field "nmae" is not a column of table "product"', 'a field that is no column');
SELECT throws_ok($$SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "price": "cheap"}')$$, '22P02',
	'invalid input syntax for type numeric: "cheap"', 'no number');
SELECT throws_ok($$SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "price": 1e12}')$$, '22003',
	'numeric field overflow', 'too large a number');
SELECT throws_ok($$SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "tags": null}')$$, '23502', NULL,
	'NULL where there must be a value');
SELECT throws_ok($$SELECT product_upsert('{"brand": "a", "serial": "1", "manufacturer": "m", "updated_at": "soon"}')$$,
	'22007', NULL, 'no time');
SELECT throws_ok($$SELECT product_upsert('pg_catalog.pg_tables', '{}')$$, '42809', NULL, 'no table');
SELECT throws_ok($$SELECT product_upsert('pg_catalog.pg_class', '{}')$$, '42703', NULL, 'no key');
SELECT throws_ok($$SELECT product_upsert('product', '[]', '{}')$$, '22023', NULL, 'if_match with an array');
INSERT INTO product (brand, serial, manufacturer) VALUES ('d', 'd', 'd'), ('d', 'd', 'd');
SELECT throws_ok($$SELECT product_upsert('{"brand": "d", "serial": "d", "manufacturer": "d"}')$$, '21000',
	'more than one row of table "product" has this key', 'a key that is there twice');
SELECT throws_ok($$DO 'BEGIN SET LOCAL transaction_read_only = on; PERFORM product_upsert(''[]''); END'$$, '25006', NULL,
	'a read-only transaction');

-- Settings
SELECT is(current_setting('product_upsert.default_table'), 'product', 'default of product_upsert.default_table');
SELECT is(current_setting('product_upsert.unknown_fields'), 'error', 'default of product_upsert.unknown_fields');
SELECT is(current_setting('product_upsert.max_key_locks'), '256', 'default of product_upsert.max_key_locks');
SELECT is(current_setting('product_upsert.max_waiters'), '0', 'default of product_upsert.max_waiters');
SET LOCAL product_upsert.unknown_fields = ignore;
SELECT is(product_upsert('{"brand": "u", "serial": "1", "manufacturer": "m", "nmae": "x"}') ->> 'action', 'created',
	'unknown fields can be ignored');
RESET product_upsert.unknown_fields;
CREATE TABLE part (brand text, serial text, manufacturer text, UNIQUE (brand, serial, manufacturer));
SELECT set_config('product_upsert.default_table', 'part', true) AS set_table \gset
SELECT is(product_upsert('{"brand": "u", "serial": "1", "manufacturer": "m"}') -> 'product',
	'{"brand": "u", "serial": "1", "manufacturer": "m"}', 'another table can be the one to write to');
SELECT is(product_upsert('{"brand": "u", "serial": "1", "manufacturer": "m"}') ->> 'action', 'unchanged',
	'also with a unique index on the key');

-- The lock
SAVEPOINT before;
SELECT is((SELECT count(*) FROM product_upsert_locks WHERE target = 'pg_namespace'::regclass), 0::bigint,
	'no lock on a table that was not written to');
CREATE FUNCTION pg_temp.locks() RETURNS bigint
	LANGUAGE sql AS $$ SELECT count(*) FROM product_upsert_locks WHERE pid = pg_backend_pid() $$;
SELECT is(pg_temp.locks(), 0::bigint, 'nor on one that this transaction has created, and so has for itself');
SELECT lives_ok($$SELECT product_upsert_lock('product', '{"brand": "l", "serial": "1", "manufacturer": "m"}')$$,
	'a key can be locked by hand');
SELECT is_empty($$SELECT FROM product WHERE brand = 'l'$$, 'that writes nothing');
SELECT throws_ok($$SELECT product_upsert_lock('product', '{"brand": "l"}')$$, '22023', NULL, 'it takes a whole key');

SELECT * FROM finish();
ROLLBACK;
