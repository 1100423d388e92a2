-- As whom the owner's code runs, and by which search_path: what a table's owner has written (triggers, defaults, checks,
-- indexes, policies) runs in a call as in a plain statement, as who calls; what is evaluated to look up a key or to protect
-- a table runs as the owner, by a search_path that nobody else has chosen.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_roles;
SET search_path = pu_roles, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

CREATE ROLE regress_pu_owner;
CREATE ROLE regress_pu_writer;
GRANT USAGE, CREATE ON SCHEMA pu_roles TO regress_pu_owner, regress_pu_writer;
SET ROLE regress_pu_owner;
-- note(object, value): the value; it is noted as whom that runs.
CREATE FUNCTION note(object text, value text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM set_config('pu_roles.' || object, current_user || ' ' || current_setting('search_path'), false);
	RETURN value;
END $$;
CREATE FUNCTION note_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pu_roles.note(lower(TG_WHEN), '');
	RETURN NEW;
END $$;
CREATE DOMAIN noted AS text CHECK (pu_roles.note('domain_check', value) = value);
CREATE TABLE plain (
	brand text, serial text, manufacturer text,
	price text CHECK (pu_roles.note('check', price) = price),
	maker noted,
	defaulted text DEFAULT pu_roles.note('default', 'd'),
	generated text GENERATED ALWAYS AS (pu_roles.note('generated', price)) STORED
);
CREATE INDEX ON plain (brand, serial, manufacturer);
CREATE INDEX ON plain (pu_roles.note('index_expression', price)) WHERE pu_roles.note('index_predicate', price) = price;
CREATE TABLE guarded (LIKE plain INCLUDING ALL);
SELECT lookup_index FROM product_upsert_protect('guarded');
CREATE TABLE policed (LIKE plain INCLUDING ALL);
ALTER TABLE policed ENABLE ROW LEVEL SECURITY;
CREATE POLICY noted ON policed USING (pu_roles.note('using', price) = price) WITH CHECK (pu_roles.note('with_check', price) = price);
CREATE TABLE parted (LIKE plain INCLUDING ALL) PARTITION BY LIST (brand);
CREATE TABLE parted_b PARTITION OF parted FOR VALUES IN ('b');
DO $$
DECLARE
	target text;
BEGIN
	FOREACH target IN ARRAY ARRAY['plain', 'guarded', 'policed', 'parted'] LOOP
		EXECUTE format('CREATE TRIGGER before BEFORE INSERT OR UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION note_trigger()', target);
		EXECUTE format('CREATE TRIGGER after AFTER INSERT OR UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION note_trigger()', target);
		EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO regress_pu_writer', target);
	END LOOP;
END $$;
RESET ROLE;

-- traced(statement): what the statement has noted.
CREATE FUNCTION traced(statement text) RETURNS TABLE (object text, runs_as text) LANGUAGE plpgsql AS $$
DECLARE
	objects text[] = '{before,after,default,generated,domain_check,check,index_expression,index_predicate,using,with_check}';
BEGIN
	PERFORM set_config('pu_roles.' || o, '', false) FROM unnest(objects) AS o;
	EXECUTE statement;
	RETURN QUERY SELECT o, current_setting('pu_roles.' || o) FROM unnest(objects) AS o;
END $$;
-- compared(target): each object, as whom it runs in a plain statement and in a call, for an insert and an update.
CREATE FUNCTION compared(target text) RETURNS TABLE (command text, object text, plain text, call text) LANGUAGE plpgsql AS $$
DECLARE
	statement text[];
	payload text = 'SELECT product_upsert(%L, ''{"brand": "b", "serial": "%s", "manufacturer": "m", "price": "%s", "maker": "x"}'')';
BEGIN
	FOREACH statement SLICE 1 IN ARRAY ARRAY[
		['insert', format('INSERT INTO %I (brand, serial, manufacturer, price, maker)'
			' VALUES (''b'', ''1'', ''m'', ''1'', ''x'') RETURNING *', target), format(payload, target, 2, 1)],
		['update', format('UPDATE %I SET price = ''2'', maker = ''x'' WHERE serial = ''1'' RETURNING *', target),
			format(payload, target, 2, 2)]]
	LOOP
		RETURN QUERY SELECT statement[1], p.object, p.runs_as, c.runs_as
			FROM (SELECT * FROM traced(statement[2]) OFFSET 0) p FULL JOIN (SELECT * FROM traced(statement[3]) OFFSET 0) c USING (object)
			WHERE p.runs_as <> '' OR c.runs_as <> '';
	END LOOP;
END $$;

SET ROLE regress_pu_writer;
SET search_path = pu_roles, public, pg_temp;
\pset tuples_only off
SELECT object, plain, call FROM compared('policed') ORDER BY command, object COLLATE "C";
\pset tuples_only on
-- Any difference, for any other table? How many were compared?
SELECT target, count(*), count(*) FILTER (WHERE plain <> call) AS different
  FROM unnest(ARRAY['plain', 'guarded', 'parted']) AS target, compared(target) GROUP BY target ORDER BY target;
RESET ROLE;
SET search_path = pu_roles, public;

-- What is constant in an index or a CHECK constraint is evaluated when a statement is planned: here, one of ours. tell() calls
-- lower() by the name alone.
-- (The other store does not plan.)
SET product_upsert.direct_store = off;
CREATE SCHEMA regress_pu_evil AUTHORIZATION regress_pu_writer;
SET ROLE regress_pu_owner;
CREATE FUNCTION tell(what text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RAISE WARNING '% runs as %', what, CASE WHEN current_user LIKE 'regress%' THEN current_user ELSE 'the superuser' END;
	RETURN lower('Z'::text);
END $$;
CREATE TABLE bounded (brand text, serial text, manufacturer text) PARTITION BY LIST (brand);
CREATE TABLE bounded_b PARTITION OF bounded FOR VALUES IN ('b');
CREATE INDEX ON bounded (brand, serial, manufacturer);
GRANT SELECT, INSERT, UPDATE ON bounded, bounded_b TO regress_pu_writer;
CREATE TABLE hostile (brand text, serial text, manufacturer text);
SET client_min_messages = error;
SELECT lookup_index FROM product_upsert_protect('bounded');
ALTER TABLE bounded_b ADD CHECK (serial <> pu_roles.tell('check'));
CREATE INDEX ON hostile ((serial || pu_roles.tell('index expression')));
CREATE INDEX ON hostile (serial) WHERE serial <> pu_roles.tell('index predicate');
SET client_min_messages = warning;
SET ROLE regress_pu_writer;
GRANT USAGE ON SCHEMA regress_pu_evil TO PUBLIC;
CREATE FUNCTION regress_pu_evil.lower(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RAISE WARNING 'lower() of the writer''s runs as %', current_user;
	RETURN 'z';
END $$;
-- A writer whose search_path has his own lower() in front: it runs as himself, or not at all.
SET search_path = regress_pu_evil, pg_catalog, pu_roles, public;
SELECT product_upsert('bounded', '{"brand": "b", "serial": "1", "manufacturer": "m"}') ->> 'action';
INSERT INTO bounded VALUES ('b', '2', 'm');
INSERT INTO bounded_b VALUES ('b', '3', 'm');
INSERT INTO bounded_b VALUES ('b', '3', 'm');
\echo :SQLSTATE
SHOW search_path;
RESET ROLE;
SET search_path = pu_roles, public;
-- A superuser who maintains a table runs nothing of its owner's as himself: not by CREATE TRIGGER and CREATE INDEX, nor by
-- product_upsert_protect(). By a query he does, and product_upsert_duplicates() is one.
\c
SET client_min_messages = warning;
SET search_path = pu_roles, public;
SELECT product_upsert_key('hostile'), product_upsert_lookup_index('hostile');
SELECT * FROM product_upsert_protect('hostile');
SELECT current_user = session_user, current_setting('search_path');
SELECT product_upsert_unprotect('hostile');
\c
SET client_min_messages = warning;
SET search_path = pu_roles, public;
SELECT count(*) FROM hostile;
\c
SET client_min_messages = warning;
SET search_path = pu_roles, public;
SELECT * FROM product_upsert_duplicates('hostile');

-- A merge is made of the merger's own UPDATE and DELETE, of the tables that reference the rows, too: the triggers of all of them run as
-- he. So whoever was granted REFERENCES on the table has code run by a superuser who merges. (Foreign keys' own actions would run the
-- trigger as the owner of the referencing table.)
SET ROLE regress_pu_owner;
CREATE TABLE stock (id int PRIMARY KEY, brand text, serial text, manufacturer text);
GRANT REFERENCES ON stock TO regress_pu_writer;
INSERT INTO stock VALUES (1, 'b', '1', 'm'), (2, 'b', '1', 'm');
SET ROLE regress_pu_writer;
CREATE TABLE place (stock int REFERENCES pu_roles.stock ON UPDATE CASCADE);
CREATE FUNCTION tell_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pu_roles.tell(TG_WHEN || ' trigger of the referencing table''s');
	RETURN NEW;
END $$;
CREATE TRIGGER tell BEFORE UPDATE ON place FOR EACH ROW EXECUTE FUNCTION tell_trigger();
INSERT INTO place VALUES (2);
RESET ROLE;
UPDATE stock SET id = 3 WHERE id = 2;
SELECT references_moved FROM product_upsert_merge_duplicates('stock');

DROP SCHEMA pu_roles, regress_pu_evil CASCADE;
DROP ROLE regress_pu_owner, regress_pu_writer;
