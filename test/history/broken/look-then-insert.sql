-- The function that applications write: it looks, then inserts or updates. Two that look at the same time both find
-- nothing. It has the signature of the extension's, and takes and returns the same.

CREATE TABLE item_bare (
	brand text,
	serial text,
	manufacturer text,
	version text
);
CREATE INDEX ON item_bare (brand, serial, manufacturer);

CREATE FUNCTION product_upsert(target regclass, payload jsonb, if_match jsonb DEFAULT NULL) RETURNS jsonb
	LANGUAGE plpgsql AS $$
DECLARE
	given CONSTANT item_bare := jsonb_populate_record(NULL::item_bare, payload);
	found_version text;
BEGIN
	SELECT version INTO found_version
	  FROM item_bare
	 WHERE brand IS NOT DISTINCT FROM given.brand AND serial IS NOT DISTINCT FROM given.serial
	   AND manufacturer IS NOT DISTINCT FROM given.manufacturer;
	IF NOT FOUND THEN
		INSERT INTO item_bare (brand, serial, manufacturer, version)
		VALUES (given.brand, given.serial, given.manufacturer, given.version);
		RETURN jsonb_build_object('action', 'created', 'product', jsonb_build_object('version', given.version));
	END IF;
	IF found_version = given.version THEN
		RETURN jsonb_build_object('action', 'unchanged', 'product', jsonb_build_object('version', given.version));
	END IF;
	UPDATE item_bare SET version = given.version
	 WHERE brand IS NOT DISTINCT FROM given.brand AND serial IS NOT DISTINCT FROM given.serial
	   AND manufacturer IS NOT DISTINCT FROM given.manufacturer;
	RETURN jsonb_build_object('action', 'updated', 'product', jsonb_build_object('version', given.version),
							  'previous', jsonb_build_object('version', found_version));
END
$$;
