-- The settings: defaults, bounds, and what they do.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_settings;
SET search_path = pu_settings, public;
\pset format unaligned
\pset tuples_only on

-- The library is loaded by the first call, or by hand.
LOAD 'product_upsert';
SELECT name, vartype, context, boot_val, min_val, max_val, enumvals, reset_val = setting AS at_default
  FROM pg_settings WHERE name LIKE 'product\_upsert.%' ORDER BY name;

-- max_key_locks
SET product_upsert.max_key_locks = 1;
SHOW product_upsert.max_key_locks;
SET product_upsert.max_key_locks = 2147483647;
SHOW product_upsert.max_key_locks;
SET product_upsert.max_key_locks = 0;
\echo :SQLSTATE
SET product_upsert.max_key_locks = 2147483648;
\echo :SQLSTATE
SET product_upsert.max_key_locks = -1;
\echo :SQLSTATE
SET product_upsert.max_key_locks = 'many';
\echo :SQLSTATE
RESET product_upsert.max_key_locks;

-- max_waiters
SET product_upsert.max_waiters = 0;
SHOW product_upsert.max_waiters;
SET product_upsert.max_waiters = 2147483647;
SHOW product_upsert.max_waiters;
SET product_upsert.max_waiters = -1;
\echo :SQLSTATE
SET product_upsert.max_waiters = 2147483648;
\echo :SQLSTATE
RESET product_upsert.max_waiters;

-- unknown_fields
SET product_upsert.unknown_fields = ignore;
SHOW product_upsert.unknown_fields;
SET product_upsert.unknown_fields = error;
SET product_upsert.unknown_fields = warn;
\echo :SQLSTATE
SHOW product_upsert.unknown_fields;
RESET product_upsert.unknown_fields;

-- There is no other.
SET product_upsert.tabel = 'product';
\echo :SQLSTATE

-- table: found through search_path when the function is called. Its name is a word of SQL's, to be quoted.
CREATE TABLE product (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON product (brand);
CREATE TABLE "Other Product" (LIKE product INCLUDING ALL);
CREATE SCHEMA pu_settings_2;
CREATE TABLE pu_settings_2.product (LIKE product INCLUDING ALL, second int);
\set payload '{"brand": "a", "serial": "1", "manufacturer": "m"}'
SELECT product_upsert(:'payload');
SET search_path = pu_settings_2, pu_settings, public;
SELECT product_upsert(:'payload');
SET search_path = pu_settings, public;
SET product_upsert.default_table = 'pu_settings_2.product';
SELECT product_upsert(:'payload');
SET product_upsert.default_table = '"Other Product"';
SELECT product_upsert(:'payload') ->> 'action';
SET product_upsert.default_table = 'pu_settings."Other Product"';
SELECT product_upsert(:'payload') ->> 'action';
SET product_upsert.default_table = 'Product';
SELECT product_upsert(:'payload') ->> 'action';
-- A temporary table comes first, as it does in every statement.
RESET product_upsert.default_table;
CREATE TEMP TABLE product (LIKE pu_settings.product INCLUDING ALL);
SELECT product_upsert(:'payload') ->> 'action';
DROP TABLE pg_temp.product;
SELECT product_upsert(:'payload') ->> 'action';
-- Names of nothing, and no names
SET product_upsert.default_table = 'no_such_table';
SELECT product_upsert(:'payload');
\echo :SQLSTATE
SET product_upsert.default_table = 'no_such_schema.product';
SELECT product_upsert(:'payload');
\echo :SQLSTATE
SET product_upsert.default_table = 'other_database.public.product';
SELECT product_upsert(:'payload');
\echo :SQLSTATE
SET product_upsert.default_table = '';
SELECT product_upsert(:'payload');
\echo :SQLSTATE
SET product_upsert.default_table = 'a b';
SELECT product_upsert(:'payload');
\echo :SQLSTATE
SET product_upsert.default_table = 'product; DROP TABLE product';
SELECT product_upsert(:'payload');
\echo :SQLSTATE
-- A number is the name of a table, not its OID.
SELECT set_config('product_upsert.default_table', 'product'::regclass::oid::text, false) IS NOT NULL;
\set VERBOSITY sqlstate
SELECT product_upsert(:'payload');
\set VERBOSITY default
SET product_upsert.default_table = DEFAULT;
SHOW product_upsert.default_table;

-- They may be set for a transaction, a function, a role, a database.
BEGIN;
SET LOCAL product_upsert.default_table = 'no_such_table';
SAVEPOINT s;
SELECT product_upsert(:'payload');
\echo :SQLSTATE
ROLLBACK;
SELECT product_upsert(:'payload') ->> 'action';
CREATE FUNCTION to_second(jsonb) RETURNS jsonb LANGUAGE sql
	SET product_upsert.default_table = 'pu_settings_2.product' SET product_upsert.unknown_fields = ignore
	AS 'SELECT product_upsert($1)';
SELECT to_second('{"brand": "a", "serial": "2", "manufacturer": "m", "unknown": true}') -> 'product' ? 'second';
CREATE ROLE regress_pu_setting;
ALTER ROLE regress_pu_setting SET product_upsert.default_table = 'shop.product';
SELECT rolconfig FROM pg_roles WHERE rolname = 'regress_pu_setting';
DROP ROLE regress_pu_setting;

-- Set before the library is loaded, they count when it is; what is no setting is then removed.
\connect
SET client_min_messages = warning;
SET search_path = pu_settings, public;
SET product_upsert.default_table = 'pu_settings_2.product';
SET product_upsert.max_waiters = -5;
SET product_upsert.tabel = 'product';
SELECT product_upsert(:'payload') -> 'product' ? 'second';
SHOW product_upsert.max_waiters;
SHOW product_upsert.tabel;
\echo :SQLSTATE

DROP SCHEMA pu_settings, pu_settings_2 CASCADE;
