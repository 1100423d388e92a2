-- What the servers need: the table, and a role to connect as that may do no more than write to it.
CREATE EXTENSION product_upsert;

CREATE TABLE product (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    brand text,
    serial text,
    manufacturer text,
    price numeric,
    stock integer DEFAULT 0,
    barcode text UNIQUE
);
CREATE INDEX ON product (brand, serial, manufacturer);

CREATE ROLE web LOGIN;
GRANT SELECT, INSERT, UPDATE ON product TO web;

-- A setting of the role that a server connects as holds for all its calls. (PostgREST also looks at those of the role that
-- it changes to, but not at one that the server does not know before the first call, which loads the library.)
ALTER ROLE web SET product_upsert.http_status = on;
ALTER ROLE web SET lock_timeout = '5s';

-- For PostGraphile: it shows no functions of extensions, nor more than one of a name.
CREATE SCHEMA api;
CREATE FUNCTION api.upsert_product(payload jsonb) RETURNS jsonb
    LANGUAGE sql AS 'SELECT public.product_upsert(payload)';
GRANT USAGE ON SCHEMA api TO web;
