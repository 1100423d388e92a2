-- Prints how many seconds a subscription takes to apply what has been written to the table "subscribed.product" of another
-- database of the same server. The database "subscriber" has that table too. Variables:
--
--   feed    a file with the rows that are written
--   rows    how many it has
--   stored  how many are to be stored afterwards
SET client_min_messages = warning;

DROP PUBLICATION IF EXISTS products;
CREATE PUBLICATION products FOR TABLE subscribed.product;
\o /dev/null
SELECT pg_create_logical_replication_slot('products', 'pgoutput');
SELECT set_config('bench.rows', :'rows', false);
\o
CREATE TEMPORARY TABLE feed (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, LIKE subscribed.product);
ALTER TABLE feed DROP COLUMN id;
COPY feed (brand, serial, manufacturer, description, price, stock, category, released) FROM :'feed';
ANALYZE feed;

DO $$
BEGIN
	FOR i IN 0..(current_setting('bench.rows')::integer - 1) / 1000 LOOP
		INSERT INTO subscribed.product (brand, serial, manufacturer, description, price, stock, category, released)
		SELECT brand, serial, manufacturer, description, price, stock, category, released
		  FROM feed
		 WHERE number BETWEEN i * 1000 + 1 AND (i + 1) * 1000;
		COMMIT;
	END LOOP;
END
$$;

SELECT max(id) AS last_id, format('dbname=%s user=%s host=%s', current_database(), current_user, :'HOST') AS publisher
  FROM subscribed.product \gset

\connect subscriber
SET client_min_messages = warning;
CREATE SUBSCRIPTION products CONNECTION :'publisher' PUBLICATION products
	WITH (slot_name = products, create_slot = false, copy_data = false, enabled = false);
\o /dev/null
SELECT set_config('bench.stored', :'stored', false), set_config('bench.last_id', :'last_id', false);
\o

SELECT clock_timestamp() AS begin \gset
ALTER SUBSCRIPTION products ENABLE;
DO $$
BEGIN
	WHILE NOT EXISTS (SELECT FROM subscribed.product WHERE id = current_setting('bench.last_id')::bigint) LOOP
		PERFORM pg_sleep(0.002);
	END LOOP;
END
$$;
SELECT extract(epoch FROM clock_timestamp() - :'begin');

DO $$
BEGIN
	ASSERT (SELECT count(*) FROM subscribed.product) = current_setting('bench.stored')::bigint;
END
$$;
ALTER SUBSCRIPTION products DISABLE;
DROP SUBSCRIPTION products;
