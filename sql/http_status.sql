-- The HTTP status of a call, as PostgREST finds it: in the transaction-local setting response.status, read by the statement that
-- has made the call, or by one after it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_http;
SET search_path = pu_http, public;
\pset format unaligned
\pset tuples_only on
\pset null none

CREATE TABLE product (brand text, serial text, manufacturer text, stock int);
CREATE INDEX ON product (brand, serial, manufacturer);
CREATE TABLE other (LIKE product INCLUDING ALL);

-- Brand "no" is not to be written.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON product FOR EACH ROW WHEN (new.brand = 'no') EXECUTE FUNCTION refuse();

-- A request, and the setting's value later on.
PREPARE request(jsonb) AS
	WITH call AS (SELECT product_upsert($1) AS body)
	SELECT json_agg(body), nullif(current_setting('response.status', true), '') FROM call;
\set status 'SELECT nullif(current_setting(\'response.status\', true), \'\')'

-- Off, as it is by default: nothing is set.
LOAD 'product_upsert';
SHOW product_upsert.http_status;
BEGIN;
EXECUTE request('{"brand": "b", "serial": "1", "manufacturer": "m"}');
SELECT current_setting('response.status', true) IS NULL;
ROLLBACK;

SET product_upsert.http_status = on;

-- An object: 201 if it was created, else 200
EXECUTE request('{"brand": "b", "serial": "1", "manufacturer": "m", "stock": 1}');
EXECUTE request('{"brand": "b", "serial": "1", "manufacturer": "m", "stock": 2}');
EXECUTE request('{"brand": "b", "serial": "1", "manufacturer": "m", "stock": 2}');
EXECUTE request('{"brand": "no", "serial": "1", "manufacturer": "m"}');
ALTER TABLE product DISABLE TRIGGER refuse;
INSERT INTO product VALUES ('no', '2', 'm', 1);
ALTER TABLE product ENABLE TRIGGER refuse;
EXECUTE request('{"brand": "no", "serial": "2", "manufacturer": "m", "stock": 2}');

-- An array: 201 if any of its objects was created
EXECUTE request('[]');
EXECUTE request('[{"brand": "b", "serial": "2", "manufacturer": "m"}]');
EXECUTE request('[{"brand": "b", "serial": "2", "manufacturer": "m", "stock": 1},
	{"brand": "b", "serial": "1", "manufacturer": "m"}, {"brand": "no", "serial": "1", "manufacturer": "m"}]');
EXECUTE request('[{"brand": "b", "serial": "3", "manufacturer": "m"},
	{"brand": "b", "serial": "3", "manufacturer": "m", "stock": 1}]');
EXECUTE request('[{"brand": "b", "serial": "1", "manufacturer": "m"}, {"brand": "b", "serial": "4", "manufacturer": "m"}]');

-- It ends with the transaction, committed or not. What the session had is there again.
BEGIN;
SELECT product_upsert('{"brand": "c", "serial": "1", "manufacturer": "m"}') ->> 'action';
:status;
COMMIT;
:status;
BEGIN;
SELECT product_upsert('{"brand": "c", "serial": "2", "manufacturer": "m"}') ->> 'action';
:status;
ROLLBACK;
:status;
SET response.status = '299';
SELECT product_upsert('{"brand": "c", "serial": "1", "manufacturer": "m"}') ->> 'action';
:status;
RESET response.status;

-- A call that is undone takes its status with it; one that fails sets none.
BEGIN;
SELECT product_upsert('{"brand": "c", "serial": "1", "manufacturer": "m"}') ->> 'action';
SAVEPOINT s;
SELECT product_upsert('{"brand": "c", "serial": "2", "manufacturer": "m"}') ->> 'action';
:status;
ROLLBACK TO s;
:status;
SELECT product_upsert('{"brand": "c", "serial": "2", "manufacturer": "m", "stokc": 1}');
ROLLBACK TO s;
:status;
SELECT product_upsert('{"brand": "c", "serial": "2", "manufacturer": "m"}') ->> 'action';
RELEASE s;
:status;
COMMIT;
CREATE FUNCTION undone(payload jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM product_upsert(payload);
	RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
	RETURN 'undone';
END $$;
BEGIN;
SELECT undone('{"brand": "c", "serial": "3", "manufacturer": "m"}');
:status;
ROLLBACK;

-- The last call counts. Who wants another status sets it after the call.
BEGIN;
SELECT set_config('response.status', '202', true);
SELECT product_upsert('{"brand": "d", "serial": "1", "manufacturer": "m"}') ->> 'action';
:status;
SELECT product_upsert('{"brand": "d", "serial": "1", "manufacturer": "m"}') ->> 'action';
:status;
SELECT product_upsert('{"brand": "d", "serial": "2", "manufacturer": "m"}') ->> 'action';
:status;
SELECT set_config('response.status', '202', true);
:status;
COMMIT;

-- A call that a trigger makes ends before the one that fired the trigger.
CREATE FUNCTION copy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM product_upsert('other', to_jsonb(new));
	RETURN new;
END $$;
CREATE TRIGGER copy BEFORE UPDATE ON product FOR EACH ROW EXECUTE FUNCTION copy();
EXECUTE request('{"brand": "b", "serial": "1", "manufacturer": "m", "stock": 3}');
TABLE other;
DROP TRIGGER copy ON product;

-- Of the extension's functions only product_upsert sets it, in both its forms.
BEGIN;
SELECT product_upsert('other', '{"brand": "e", "serial": "1", "manufacturer": "m"}') ->> 'action';
:status;
SELECT product_upsert_lock('other', '{"brand": "e", "serial": "2", "manufacturer": "m"}');
SELECT * FROM product_upsert_from('product', 'other');
:status;
SELECT product_upsert('other', '{"brand": "e", "serial": "1", "manufacturer": "m", "stock": 1}', '{"stock": null}') ->> 'action';
:status;
COMMIT;

-- The codes that PostgREST makes a status of: PTnnn, and those in its table.
SELECT product_upsert('other', '{"brand": "e", "serial": "1", "manufacturer": "m", "stock": 2}', '{"stock": 5}');
\echo :SQLSTATE
SELECT product_upsert('{"brand": "b"}');
\echo :SQLSTATE
INSERT INTO other SELECT * FROM other WHERE brand = 'e';
SELECT product_upsert('other', '{"brand": "e", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
BEGIN READ ONLY;
SELECT product_upsert('{"brand": "b", "serial": "1", "manufacturer": "m"}');
\echo :SQLSTATE
ROLLBACK;

-- Switched on by a wrapper for the gateway alone, who need not be a superuser
RESET product_upsert.http_status;
CREATE ROLE regress_pu_http;
GRANT USAGE ON SCHEMA pu_http TO regress_pu_http;
GRANT SELECT, INSERT, UPDATE ON product TO regress_pu_http;
CREATE FUNCTION upsert(jsonb) RETURNS jsonb LANGUAGE sql SET product_upsert.http_status = on AS 'SELECT product_upsert($1)';
SET ROLE regress_pu_http;
BEGIN;
SELECT upsert('{"brand": "f", "serial": "1", "manufacturer": "m"}') ->> 'action';
:status;
SELECT product_upsert('{"brand": "f", "serial": "1", "manufacturer": "m"}') ->> 'action';
:status;
ROLLBACK;
RESET ROLE;
DROP OWNED BY regress_pu_http;
DROP ROLE regress_pu_http;

DEALLOCATE request;
DROP SCHEMA pu_http CASCADE;
