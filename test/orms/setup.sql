-- What the ORMs write to: a protected table, without a unique index on its key.
CREATE EXTENSION product_upsert;

CREATE TABLE product (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    brand text,
    serial text,
    manufacturer text,
    stock integer DEFAULT 0
);

DO $$ BEGIN PERFORM product_upsert_protect('product'); END $$;

-- True as soon as two sessions wait for a lock, false if they do not within some seconds.
CREATE FUNCTION both_wait() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    give_up CONSTANT timestamptz := clock_timestamp() + interval '10 s';
BEGIN
    WHILE (SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted) < 2 LOOP
        IF clock_timestamp() > give_up THEN
            RETURN false;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN true;
END
$$;
