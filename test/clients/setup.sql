-- What the clients talk about.
CREATE EXTENSION product_upsert;

CREATE TABLE product (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    brand text,
    serial text,
    manufacturer text,
    price numeric,
    stock bigint DEFAULT 0
);

CREATE INDEX ON product (brand, serial, manufacturer);

-- How many prepared statements of the session call product_upsert?
CREATE FUNCTION prepared() RETURNS integer LANGUAGE sql AS $$
    SELECT count(*)::integer FROM pg_prepared_statements WHERE statement LIKE '%product_upsert(%'
$$;

-- True as soon as two sessions wait for a key, false if they do not within some seconds.
CREATE FUNCTION both_wait() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    give_up CONSTANT timestamptz := clock_timestamp() + interval '5 s';
BEGIN
    WHILE (SELECT count(*) FROM product_upsert_locks WHERE NOT granted) < 2 LOOP
        IF clock_timestamp() > give_up THEN
            RETURN false;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN true;
END
$$;
