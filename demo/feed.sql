-- The feed: every product comes two to four times, its repeats close to each other, as when a client
-- sends again what it thinks was lost, or two suppliers report one sale; else in random order. The
-- order is that of a hash, so it is the same each time.
--
-- The stock is made up, all else is in pci.ids: the first two requests for a product are equal, the
-- others report one piece less.
CREATE TABLE source (brand text, serial text, manufacturer text, description text);

\copy source FROM pstdin

CREATE TABLE feed (
	n integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	brand text,
	serial text,
	manufacturer text,
	description text,
	stock integer,
	payload jsonb
);

CREATE FUNCTION pick(serial text, purpose text, choices integer) RETURNS integer
	LANGUAGE sql IMMUTABLE
	RETURN abs(hashtextextended(serial || purpose, 0) % choices);

WITH shuffled AS (
	SELECT *, row_number() OVER (ORDER BY pick(serial, 'place', 2000000000), serial) AS place
	FROM source
), repeated AS (
	SELECT *, 2 + pick(serial, 'stock', 500) - copy / 3 AS stock,
		place * 3 + pick(serial, 'sent' || copy, 12) AS sent
	FROM shuffled, generate_series(1, 2 + pick(serial, 'copies', 3)) AS copy
)
INSERT INTO feed (brand, serial, manufacturer, description, stock, payload)
SELECT brand, serial, manufacturer, description, stock,
	jsonb_build_object('brand', brand, 'serial', serial, 'manufacturer', manufacturer,
					   'description', description, 'stock', stock)
FROM repeated
ORDER BY sent, serial, copy;

-- A client takes the next request by taking the next number.
CREATE SEQUENCE feed_next;

ANALYZE feed;
