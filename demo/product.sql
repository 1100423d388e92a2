-- The table that both ways write to: no unique constraint on the key, an index to look it up.
CREATE TABLE product (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	brand text,
	serial text,
	manufacturer text,
	description text,
	stock integer
);

CREATE INDEX ON product (brand, serial, manufacturer);
