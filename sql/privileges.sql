-- Who may do what: an upsert asks for what INSERT ... ON CONFLICT DO UPDATE ... RETURNING asks for, whatever it
-- then does, so that the answer tells nothing about the data.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_privileges;
SET search_path = pu_privileges, public;
\pset format unaligned
\pset tuples_only on
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

CREATE ROLE regress_pu_owner;
CREATE ROLE regress_pu_user;
GRANT ALL ON SCHEMA pu_privileges TO regress_pu_owner;
CREATE TABLE product (
	id int GENERATED ALWAYS AS IDENTITY,
	brand text,
	serial text,
	manufacturer text,
	price int,
	secret text
);
CREATE INDEX ON product (brand, serial, manufacturer);
ALTER TABLE product OWNER TO regress_pu_owner;
INSERT INTO product (brand, serial, manufacturer, price, secret) VALUES ('stored', '1', 'm', 5, 'hidden');
\set update '{"brand": "stored", "serial": "1", "manufacturer": "m", "price": 6}'
\set same '{"brand": "stored", "serial": "1", "manufacturer": "m"}'
\set create '{"brand": "new", "serial": "1", "manufacturer": "m", "price": 6}'

-- What the calls come to that update, find nothing to change, create, and do two at once.
CREATE FUNCTION may_upsert(target text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT kind || ': '
		|| may(format('SELECT product_upsert(%L::oid::regclass, %L) #>> %L', target::regclass::oid, payload, path))
	  FROM (VALUES
		('update', '{action}', '{"brand": "stored", "serial": "1", "manufacturer": "m", "price": 6}'),
		('same', '{action}', '{"brand": "stored", "serial": "1", "manufacturer": "m", "price": 5}'),
		('key', '{action}', '{"brand": "stored", "serial": "1", "manufacturer": "m"}'),
		('create', '{action}', '{"brand": "new", "serial": "1", "manufacturer": "m", "price": 6}'),
		('batch', '{1,action}', '[{"brand": "new", "serial": "1", "manufacturer": "m"},
			{"brand": "stored", "serial": "1", "manufacturer": "m", "price": 6}]')
	  ) AS calls (kind, path, payload)
$$;
SELECT 'product'::regclass::oid AS product \gset

-- Nothing but the schema: no.
GRANT USAGE ON SCHEMA pu_privileges TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT may_upsert('product');
RESET ROLE;
-- Each of what it takes, without the others
GRANT SELECT ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT may_upsert('product');
RESET ROLE;
GRANT INSERT ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT may_upsert('product');
RESET ROLE;
REVOKE INSERT ON product FROM regress_pu_user;
GRANT UPDATE ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT may_upsert('product');
RESET ROLE;
REVOKE SELECT ON product FROM regress_pu_user;
GRANT INSERT ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT may_upsert('product');
RESET ROLE;
-- SELECT on columns is not enough: the whole row is returned.
GRANT SELECT (id, brand, serial, manufacturer, price) ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT may_upsert('product');
RESET ROLE;
REVOKE SELECT (id, brand, serial, manufacturer, price) ON product FROM regress_pu_user;
-- All that it takes
GRANT SELECT ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT may_upsert('product');
RESET ROLE;
-- Not without the schema, also when the table is named by its OID
REVOKE USAGE ON SCHEMA pu_privileges FROM regress_pu_user;
SET ROLE regress_pu_user;
SELECT product_upsert(:product::regclass, :'update');
\echo :SQLSTATE
SELECT product_upsert(:product::regclass, '[]');
\echo :SQLSTATE
SELECT product_upsert_lock(:product::regclass, :'update');
\echo :SQLSTATE
SET product_upsert.default_table = 'pu_privileges.product';
SELECT product_upsert(:'update');
\echo :SQLSTATE
RESET product_upsert.default_table;
RESET ROLE;
GRANT USAGE ON SCHEMA pu_privileges TO regress_pu_user;

-- Column by column: INSERT on all that is given, UPDATE on what of it is not the key
REVOKE ALL ON product FROM regress_pu_user;
GRANT SELECT, INSERT (brand, serial, manufacturer, price) ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT may_upsert('product');
RESET ROLE;
GRANT UPDATE (price) ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT may_upsert('product');
SELECT product_upsert('{"brand": "stored", "serial": "1", "manufacturer": "m", "price": 6, "secret": "told"}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "stored", "serial": "1", "manufacturer": "m", "secret": "hidden"}');
\echo :SQLSTATE
SELECT product_upsert('[{"brand": "stored", "serial": "1", "manufacturer": "m"},
	{"brand": "stored", "serial": "1", "manufacturer": "m", "secret": "hidden"}]');
\echo :SQLSTATE
RESET ROLE;
REVOKE INSERT (price) ON product FROM regress_pu_user;
SET ROLE regress_pu_user;
SELECT may_upsert('product');
RESET ROLE;
-- The answer depends on no data: what is refused is refused for rows that are there and rows that are not.
GRANT INSERT (price) ON product TO regress_pu_user;
REVOKE UPDATE (price) ON product FROM regress_pu_user;
SET ROLE regress_pu_user;
SELECT may(format('SELECT product_upsert(%L)', :'create')) = may(format('SELECT product_upsert(%L)', :'update'));
-- if_match asks for nothing more than SELECT.
SELECT may(format('SELECT product_upsert(%L, %L, %L) ->> %L', 'product', :'same', '{"secret": "hidden", "price": 5}', 'action'));
RESET ROLE;

-- An identity column may be sent back unaltered by who may not update it; it needs INSERT, as in SQL.
GRANT INSERT, UPDATE (price) ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT may($$SELECT product_upsert('{"brand": "stored", "serial": "1", "manufacturer": "m", "id": 1, "price": 8}')
	->> 'action'$$);
RESET ROLE;

-- Values of rows that are there do not appear in messages.
REVOKE ALL ON product FROM regress_pu_user;
ALTER TABLE product ADD CONSTRAINT one_price UNIQUE (price), ADD CONSTRAINT low CHECK (price < 100);
GRANT INSERT (brand, serial, manufacturer, price), UPDATE (price) ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT product_upsert(:'update');
\echo :SQLSTATE
SELECT product_upsert(:'create');
\echo :SQLSTATE
RESET ROLE;

-- The lock alone: who may write to the table in any way may take it.
SET ROLE regress_pu_user;
SELECT may(format('SELECT product_upsert_lock(%L, %L)', 'product', :'same'));
RESET ROLE;
REVOKE ALL ON product FROM regress_pu_user;
GRANT SELECT ON product TO regress_pu_user;
SET ROLE regress_pu_user;
SELECT may(format('SELECT product_upsert_lock(%L, %L)', 'product', :'same'));
RESET ROLE;
-- The lock of the whole table, which stands in for more key locks than a transaction may hold, asks for what LOCK
-- TABLE asks for; who has less goes on with key locks.
REVOKE ALL ON product FROM regress_pu_user;
GRANT SELECT, INSERT, UPDATE (price) ON product TO regress_pu_user;
SET product_upsert.max_key_locks = 1;
CREATE VIEW own_locks AS SELECT locktype, mode, count(*) FROM pg_locks
 WHERE pid = pg_backend_pid() AND (locktype = 'advisory' OR relation = 'product'::regclass AND mode = 'ShareRowExclusiveLock')
 GROUP BY 1, 2;
GRANT SELECT ON own_locks TO regress_pu_user;
\set two '[{"brand": "two", "serial": "1", "manufacturer": "m"}, {"brand": "two", "serial": "2", "manufacturer": "m"}]'
BEGIN;
SET LOCAL ROLE regress_pu_user;
SELECT jsonb_array_length(product_upsert(:'two'));
SELECT * FROM own_locks ORDER BY 1;
SELECT product_upsert(:'same') ->> 'action';
SELECT * FROM own_locks ORDER BY 1;
ROLLBACK;
GRANT UPDATE ON product TO regress_pu_user;
BEGIN;
SET LOCAL ROLE regress_pu_user;
SELECT jsonb_array_length(product_upsert(:'two'));
SELECT * FROM own_locks ORDER BY 1;
ROLLBACK;
RESET product_upsert.max_key_locks;

-- A function of its owner's rights
CREATE FUNCTION set_price(serial text, price int) RETURNS text
	LANGUAGE sql SECURITY DEFINER SET search_path = pu_privileges, public AS $$
	SELECT product_upsert('product',
		jsonb_build_object('brand', 'stored', 'serial', serial, 'manufacturer', 'm', 'price', price)) ->> 'action'
			|| ' by ' || current_user
$$;
ALTER FUNCTION set_price OWNER TO regress_pu_owner;
SET ROLE regress_pu_user;
SELECT set_price('1', 7);
SELECT current_user;
RESET ROLE;

-- The key is looked up with the owner's rights, and the caller is back in its own before anything else runs:
-- triggers and defaults see the caller.
REVOKE ALL ON product FROM regress_pu_user;
GRANT SELECT, INSERT, UPDATE ON product TO regress_pu_user;
ALTER TABLE product ALTER secret SET DEFAULT current_user;
CREATE FUNCTION tell_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING '% by %', TG_OP, current_user;
	RETURN NEW;
END $$;
CREATE TRIGGER tell BEFORE INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION tell_user();
SET ROLE regress_pu_user;
SELECT product_upsert('{"brand": "by", "serial": "1", "manufacturer": "m", "price": 8}') -> 'product' -> 'secret';
SELECT product_upsert('{"brand": "by", "serial": "1", "manufacturer": "m", "price": 9}') ->> 'action';
SELECT current_user;
-- Also after an error in the midst of the call.
\set SHOW_CONTEXT never
SELECT product_upsert('{"brand": "by", "serial": "1", "manufacturer": "m", "price": 100}');
\echo :SQLSTATE
SELECT current_user;
RESET ROLE;

-- Nothing that the caller defines runs with the owner's rights.
CREATE SCHEMA regress_pu_caller AUTHORIZATION regress_pu_user;
SET ROLE regress_pu_user;
CREATE FUNCTION regress_pu_caller.texteq(text, text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'texteq of the caller runs as %', current_user;
	RETURN true;
END $$;
CREATE OPERATOR regress_pu_caller.= (LEFTARG = text, RIGHTARG = text, FUNCTION = regress_pu_caller.texteq);
SET search_path = regress_pu_caller, pg_catalog, pu_privileges, public;
SELECT product_upsert('{"brand": "by", "serial": "1", "manufacturer": "m", "price": 9}') ->> 'action';
SELECT product_upsert('{"brand": "by", "serial": "2", "manufacturer": "m", "price": 10}') ->> 'action';
RESET search_path;
RESET ROLE;
SET search_path = pu_privileges, public;

-- Everyone may call the functions and look at the view.
SELECT has_function_privilege('regress_pu_user', 'product_upsert(jsonb)', 'EXECUTE'),
	has_function_privilege('regress_pu_user', 'product_upsert(regclass, jsonb, jsonb, jsonb, name, text)', 'EXECUTE'),
	has_function_privilege('regress_pu_user', 'product_upsert_lock(regclass, jsonb)', 'EXECUTE'),
	has_table_privilege('regress_pu_user', 'product_upsert_locks', 'SELECT'),
	has_table_privilege('regress_pu_user', 'product_upsert_locks', 'INSERT');

DROP SCHEMA regress_pu_caller CASCADE;
DROP SCHEMA pu_privileges CASCADE;
DROP OWNED BY regress_pu_owner, regress_pu_user;
DROP ROLE regress_pu_owner, regress_pu_user;
