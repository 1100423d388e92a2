-- What both servers need: the table, and for the role that they connect as no more than its rights on it.
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

-- For PostgREST: the status is 201 if a product was created.
ALTER ROLE web SET product_upsert.http_status = on;
ALTER ROLE web SET lock_timeout = '2s';

-- For PostGraphile: it shows no functions of extensions, nor more than one of a name.
CREATE SCHEMA api;
CREATE FUNCTION api.upsert_product(payload jsonb) RETURNS jsonb
    LANGUAGE sql AS 'SELECT public.product_upsert(payload)';
GRANT USAGE ON SCHEMA api TO web;
