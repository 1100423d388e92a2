-- Constraints of every kind, with either store: what is refused, when, and with which error; and what may not be updated
-- because it is published.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE SCHEMA pu_direct_constraints;
SET search_path = pu_direct_constraints, public;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/both_stores.sql

-- Constraints: CHECK, NOT NULL, both; of the columns, of the table, not valid
CREATE TABLE checked (brand text, serial text NOT NULL, manufacturer text, price int CONSTRAINT low CHECK (price < 10),
	note text NOT NULL DEFAULT '', CONSTRAINT unlike CHECK (note <> brand));
CREATE INDEX ON checked (brand, serial, manufacturer);
\set table checked
:which
SELECT writes('checked', '{"price": 10}', '{"serial": null}', '{"note": "a"}', '{"note": null}', '{"price": 1}',
	'{"price": 10}', '{"note": null}', '{"note": "a"}', '{"price": null}');
CREATE TABLE only_check (LIKE plain INCLUDING ALL, CHECK (price < 10));
SELECT writes('only_check', '{"price": 10}', '{"price": 9}', '{"price": 11}');
CREATE TABLE only_not_null (LIKE plain INCLUDING ALL);
ALTER TABLE only_not_null ALTER price SET NOT NULL;
SELECT writes('only_not_null', '{}', '{"price": 9}', '{"price": null}');
-- unique constraints: on the key, on other columns, put off, of expressions, of some rows; and exclusion
CREATE TABLE uniques (brand text, serial text, manufacturer text, price int, sku text CONSTRAINT sku UNIQUE,
	slot int CONSTRAINT slot UNIQUE DEFERRABLE INITIALLY DEFERRED, span int4range,
	CONSTRAINT key UNIQUE (brand, serial, manufacturer), CONSTRAINT apart EXCLUDE USING gist (span WITH &&),
	CONSTRAINT apart_later EXCLUDE USING gist (brand WITH <>, slot WITH =) DEFERRABLE INITIALLY DEFERRED);
CREATE UNIQUE INDEX same_letters ON uniques (lower(sku));
CREATE UNIQUE INDEX one_dear ON uniques ((price > 100)) WHERE price > 100;
\set table uniques
:which
SELECT writes('uniques', '{"sku": "s", "slot": 1, "span": "[1,5)"}', '{"serial": "2", "sku": "s"}',
	'{"serial": "2", "sku": "S"}', '{"serial": "2", "slot": 1}', '{"serial": "2", "span": "[4,6)"}',
	'{"serial": "2", "price": 101}', '{"price": 102}',
	'{"serial": "2", "sku": "t", "slot": 2, "span": "[5,6)"}', '{"sku": "t"}', '{"sku": "T"}', '{"slot": 2}',
	'{"span": "[4,6)"}', '{"brand": "b", "slot": 2}', '{"price": 103}', '{"price": 1}', '{"price": 104}',
	'[{"brand": "a", "serial": "1", "manufacturer": "m", "slot": 2},
		{"brand": "a", "serial": "2", "manufacturer": "m", "slot": 1}]',
	'[{"brand": "c", "serial": "1", "manufacturer": "m", "slot": 7},
		{"brand": "c", "serial": "2", "manufacturer": "m", "slot": 7}]',
	'{"manufacturer": null, "sku": "n"}', '{"manufacturer": null, "sku": "n2"}');
-- The indexes have every row.
SET enable_seqscan = off;
SELECT serial FROM uniques WHERE sku = 'n2';
SELECT serial FROM uniques WHERE lower(sku) = 'n2';
SELECT serial FROM uniques WHERE slot = 1;
SELECT serial, price FROM uniques WHERE (price > 100) AND price > 100;
SELECT serial FROM uniques WHERE span && '[2,3)';
RESET enable_seqscan;
-- A key whose constraint is put off: it does not yield, and is told at the end.
CREATE TABLE deferred_key (LIKE plain, CONSTRAINT later UNIQUE (brand, serial, manufacturer) DEFERRABLE INITIALLY DEFERRED);
\set table deferred_key
:which
SELECT four_writes('deferred_key');
-- foreign keys from the table, to it, and to itself
CREATE TABLE maker (name text PRIMARY KEY);
INSERT INTO maker VALUES ('one'), ('two');
CREATE TABLE referring (brand text, serial text, manufacturer text, price int, id int UNIQUE DEFAULT 1,
	maker text CONSTRAINT known REFERENCES maker, later text CONSTRAINT known_later REFERENCES maker
	DEFERRABLE INITIALLY DEFERRED, parent int CONSTRAINT family REFERENCES referring (id) ON UPDATE CASCADE);
CREATE INDEX ON referring (brand, serial, manufacturer);
CREATE TABLE referred (id int CONSTRAINT referred_to REFERENCES referring (id) ON UPDATE CASCADE);
\set table referring
:which
SELECT writes('referring', '{"maker": "three"}', '{"later": "three"}', '{"parent": 7}',
	'{"maker": "one", "later": "two", "parent": 1}', '{"maker": "three"}', '{"later": "three"}', '{"parent": 7}', '{"id": 2}',
	'{"maker": null, "later": null}');
INSERT INTO referred VALUES (2);
SELECT product_upsert('referring', '{"brand": "a", "serial": "1", "manufacturer": "m", "id": 3}') ->> 'action';
SELECT referred.id, parent FROM referred, referring;

-- Published, with no replica identity: no update
CREATE TABLE published (brand text, serial text, manufacturer text, price int);
CREATE INDEX ON published (brand, serial, manufacturer);
SET client_min_messages = error;
CREATE PUBLICATION regress_pu_publication FOR TABLE published;
SET client_min_messages = warning;
SELECT writes('published', '{"price": 1}', '{"price": 1}', '{"price": 2}');
\set table published
:which
ALTER TABLE published REPLICA IDENTITY FULL;
SELECT writes('published', '{"price": 1}', '{"price": 2}');
ALTER PUBLICATION regress_pu_publication SET TABLE published WHERE (price > 0);
ALTER TABLE published REPLICA IDENTITY DEFAULT;
SELECT writes('published', '{"price": 1}', '{"price": 2}');
DROP PUBLICATION regress_pu_publication;

DROP SCHEMA pu_direct_constraints CASCADE;
