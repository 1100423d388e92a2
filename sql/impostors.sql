-- A function that somebody else has created under the name of one that we use. A more exact signature makes PostgreSQL
-- take it, where it looks by name. The look-up of a key runs as the table's owner, and so would the impostor.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_impostors;
SET search_path = pu_impostors, public;
\pset format unaligned
\pset tuples_only on

CREATE ROLE regress_pu_owner;
CREATE ROLE regress_pu_user;
GRANT USAGE ON SCHEMA pu_impostors TO PUBLIC;

-- The key is looked up by its hash.
CREATE TABLE parted (brand text, serial text, manufacturer text, price int) PARTITION BY LIST (brand);
CREATE TABLE parted_b PARTITION OF parted FOR VALUES IN ('b');
CREATE TABLE plain (brand text, serial text, manufacturer text, price int);
SELECT lookup_index FROM product_upsert_protect('parted');
SELECT lookup_index FROM product_upsert_protect('plain');
ALTER TABLE parted OWNER TO regress_pu_owner;
ALTER TABLE parted_b OWNER TO regress_pu_owner;
ALTER TABLE plain OWNER TO regress_pu_owner;
GRANT ALL ON parted, plain TO regress_pu_user;

CREATE FUNCTION public.product_upsert_hash(text, text, text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RAISE WARNING 'the impostor runs as %', current_user;
	RETURN 0;
END $$;
SET ROLE regress_pu_user;
SELECT product_upsert(target, '{"brand": "b", "serial": "1", "manufacturer": "m", "price": 1}') ->> 'action'
  FROM unnest(ARRAY['parted', 'plain']::regclass[]) AS target;
SELECT product_upsert(target, '{"brand": "b", "serial": "1", "manufacturer": "m", "price": 2}') ->> 'action'
  FROM unnest(ARRAY['parted', 'plain']::regclass[]) AS target;
INSERT INTO parted VALUES ('b', '1', 'm', 3);
INSERT INTO plain VALUES ('b', '1', 'm', 3);
-- Nor may everybody choose to have a plain table looked up by statements.
SET product_upsert.direct_store = off;
RESET ROLE;

DROP FUNCTION public.product_upsert_hash(text, text, text);
DROP SCHEMA pu_impostors CASCADE;
DROP ROLE regress_pu_owner, regress_pu_user;
