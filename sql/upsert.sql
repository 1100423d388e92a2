-- What one object does: creates a row, updates it, or finds that there is nothing to write.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_upsert;
SET search_path = pu_upsert, public;
\pset format unaligned
\pset tuples_only on

CREATE TABLE product (
	id bigint GENERATED ALWAYS AS IDENTITY,
	brand text,
	serial text,
	manufacturer text,
	name text,
	price numeric,
	stock int NOT NULL DEFAULT 7,
	colours text[] DEFAULT '{grey}'
);
CREATE INDEX product_key ON product (brand, serial, manufacturer);

-- Created: what is absent takes the column's default, what is null is NULL.
SELECT product_upsert('{"brand": "Acme", "serial": "1", "manufacturer": "Acme Inc", "name": "Anvil", "price": 12.50}');
SELECT product_upsert('{"brand": "Acme", "serial": "2", "manufacturer": "Acme Inc", "colours": null}');
TABLE product ORDER BY id;

-- Updated: what is absent stays as it is; previous holds what changed and nothing else.
SELECT product_upsert('{"brand": "Acme", "serial": "1", "manufacturer": "Acme Inc", "price": 13, "name": "Anvil"}');
SELECT product_upsert('{"brand": "Acme", "serial": "1", "manufacturer": "Acme Inc", "stock": 0, "colours": ["red", null]}');

-- Absent is not null: null overwrites.
SELECT product_upsert('{"brand": "Acme", "serial": "1", "manufacturer": "Acme Inc", "name": null, "price": null}');
-- The old value was NULL: previous says so.
SELECT product_upsert('{"brand": "Acme", "serial": "1", "manufacturer": "Acme Inc", "name": "Anvil", "price": 1.5}');
-- '' is not null either.
SELECT product_upsert('{"brand": "Acme", "serial": "1", "manufacturer": "Acme Inc", "name": ""}');

-- Unchanged: every given value is stored already, to the byte.
SELECT product_upsert('{"brand": "Acme", "serial": "1", "manufacturer": "Acme Inc", "price": 1.5, "stock": 0}');
SELECT product_upsert('{"brand": "Acme", "serial": "1", "manufacturer": "Acme Inc"}');
-- The product, sent back as it was received, changes nothing.
SELECT product_upsert(product_upsert('{"brand": "Acme", "serial": "1", "manufacturer": "Acme Inc"}') -> 'product') ->> 'action';
-- 1.5 and 1.50 are the same number, and not the same value.
SELECT product_upsert('{"brand": "Acme", "serial": "1", "manufacturer": "Acme Inc", "price": 1.50}');
-- A number without a sign is the same when it comes again, also with the bit that would be the sign.
CREATE TABLE unsigned (brand text, serial text, manufacturer text, o oid, x xid);
CREATE INDEX ON unsigned (brand, serial, manufacturer);
SELECT product_upsert('unsigned', '{"brand": "a", "serial": "1", "manufacturer": "m", "o": 4294967295, "x": "4294967294"}')
	->> 'action';
SELECT product_upsert('unsigned', '{"brand": "a", "serial": "1", "manufacturer": "m", "o": 4294967295, "x": "4294967294"}')
	->> 'action';
DROP TABLE unsigned;

-- Unchanged writes nothing: no transaction number, no row version, no trigger.
CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING '% % %', TG_WHEN, TG_OP, TG_LEVEL;
	RETURN NEW;
END $$;
CREATE TRIGGER say_row BEFORE INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION say();
CREATE TRIGGER say_statement BEFORE INSERT OR UPDATE ON product FOR EACH STATEMENT EXECUTE FUNCTION say();
BEGIN;
SELECT ctid AS old_ctid, xmin AS old_xmin FROM product WHERE serial = '1' \gset
SELECT product_upsert('{"brand": "Acme", "serial": "1", "manufacturer": "Acme Inc", "stock": 0}') ->> 'action';
SELECT pg_current_xact_id_if_assigned() IS NULL AS nothing_written;
SELECT ctid = :'old_ctid' AND xmin = :'old_xmin' AS same_version FROM product WHERE serial = '1';
-- The same with a change.
SELECT product_upsert('{"brand": "Acme", "serial": "1", "manufacturer": "Acme Inc", "stock": 1}') ->> 'action';
SELECT pg_current_xact_id_if_assigned() IS NULL AS nothing_written;
SELECT ctid = :'old_ctid' OR xmin = :'old_xmin' AS same_version FROM product WHERE serial = '1';
COMMIT;
DROP TRIGGER say_row ON product;
DROP TRIGGER say_statement ON product;

-- Only a create takes a value of the sequence.
SELECT last_value FROM product_id_seq;
SELECT product_upsert('{"brand": "Acme", "serial": "3", "manufacturer": "Acme Inc"}') -> 'product' -> 'id';

-- NULL is a value in the key: it equals NULL, and neither '' nor anything else.
SELECT product_upsert('{"brand": "Acme", "serial": null, "manufacturer": null, "stock": 1}');
SELECT product_upsert('{"brand": "Acme", "serial": null, "manufacturer": null, "stock": 2}');
SELECT product_upsert('{"brand": "Acme", "serial": "", "manufacturer": null, "stock": 3}');
SELECT product_upsert('{"brand": "Acme", "serial": null, "manufacturer": "", "stock": 4}');
SELECT product_upsert('{"brand": null, "serial": null, "manufacturer": null, "stock": 5}');
SELECT product_upsert('{"brand": null, "serial": null, "manufacturer": null, "stock": 5}');
SELECT product_upsert('{"brand": "null", "serial": null, "manufacturer": null, "stock": 6}') ->> 'action';
SELECT count(*) FROM product WHERE stock BETWEEN 2 AND 6;

-- The key's fields do not run together: ('ab', 'c') is not ('a', 'bc').
SELECT product_upsert('{"brand": "ab", "serial": "c", "manufacturer": "-"}') ->> 'action';
SELECT product_upsert('{"brand": "a", "serial": "bc", "manufacturer": "-"}') ->> 'action';
SELECT product_upsert('{"brand": "c", "serial": "ab", "manufacturer": "-"}') ->> 'action';

-- Key values may be longer than any index takes.
DROP INDEX product_key;
CREATE INDEX product_key ON product USING hash (serial);
SELECT product_upsert(jsonb_build_object('brand', 'long', 'serial', repeat('x', 100000) || '1', 'manufacturer', '')) ->> 'action';
SELECT product_upsert(jsonb_build_object('brand', 'long', 'serial', repeat('x', 100000) || '2', 'manufacturer', '')) ->> 'action';
SELECT product_upsert(jsonb_build_object('brand', 'long', 'serial', repeat('x', 100000) || '1', 'manufacturer', '')) ->> 'action';

-- A long value is stored and compared like any other.
SELECT product_upsert(jsonb_build_object('brand', 'long', 'serial', '3', 'manufacturer', '', 'name', repeat('y', 200000)))
	->> 'action';
SELECT product_upsert(jsonb_build_object('brand', 'long', 'serial', '3', 'manufacturer', '', 'name', repeat('y', 200000)))
	->> 'action';
SELECT length(product_upsert(jsonb_build_object(
	'brand', 'long', 'serial', '3', 'manufacturer', '', 'name', repeat('y', 199999))) -> 'previous' ->> 'name');

-- A numeric key: the stored spelling stays, in the row and in the result.
CREATE TABLE part (brand numeric, serial numeric, manufacturer numeric, note text);
CREATE INDEX ON part (brand);
SELECT product_upsert('part', '{"brand": 1.0, "serial": 2, "manufacturer": 3, "note": "a"}');
SELECT product_upsert('part', '{"brand": 1.00, "serial": 2.0, "manufacturer": 3.000, "note": "b"}');
SELECT product_upsert('part', '{"brand": 1, "serial": 2.0, "manufacturer": 3.000, "note": "b"}');
TABLE part;

-- Named arguments, a cast of the name, and an OID all name the table.
SELECT product_upsert(target => 'part', payload => '{"brand": 1, "serial": 2, "manufacturer": 3}') ->> 'action';
SELECT product_upsert('pu_upsert.part'::regclass, '{"brand": 1, "serial": 2, "manufacturer": 3}', if_match => NULL) ->> 'action';
SELECT product_upsert('part'::regclass::oid, '{"brand": 1, "serial": 2, "manufacturer": 3}') ->> 'action';

-- More than one row has the key already: nothing is written.
INSERT INTO part VALUES (1.000, 2, 3, 'b');
SELECT product_upsert('part', '{"brand": 1, "serial": 2, "manufacturer": 3, "note": "c"}');
\echo :SQLSTATE
SELECT product_upsert('part', '{"brand": 1, "serial": 2, "manufacturer": 3}');
\echo :SQLSTATE
TABLE part;

DROP SCHEMA pu_upsert CASCADE;
