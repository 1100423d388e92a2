\set ECHO none
-- For tests of merges: a table with three rows of one key, and every kind of foreign key to it.

CREATE TABLE product (id int PRIMARY KEY, brand text, serial text, manufacturer text, price numeric, note text,
	tenant int DEFAULT 1, code text UNIQUE, UNIQUE (tenant, id));
CREATE TABLE no_action (n int PRIMARY KEY, product int REFERENCES product);
CREATE TABLE restricted (n int PRIMARY KEY, product int REFERENCES product ON DELETE RESTRICT);
CREATE TABLE cascaded (n int PRIMARY KEY, product int REFERENCES product ON DELETE CASCADE);
CREATE TABLE set_null (n int PRIMARY KEY, product int REFERENCES product ON DELETE SET NULL);
CREATE TABLE set_default (n int PRIMARY KEY, product int DEFAULT 4 REFERENCES product ON DELETE SET DEFAULT);
CREATE TABLE deferred (n int PRIMARY KEY, product int REFERENCES product DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE simple (n int PRIMARY KEY, tenant int, product int,
	FOREIGN KEY (tenant, product) REFERENCES product (tenant, id) ON DELETE CASCADE);
CREATE TABLE "full" (n int PRIMARY KEY, tenant int, product int,
	FOREIGN KEY (tenant, product) REFERENCES product (tenant, id) MATCH FULL ON DELETE CASCADE);
CREATE TABLE wide (n int PRIMARY KEY, product int8 REFERENCES product ON DELETE CASCADE);
CREATE TABLE narrow (n int PRIMARY KEY, product int2 REFERENCES product ON DELETE CASCADE);
CREATE TABLE by_code (n int PRIMARY KEY, code text COLLATE "POSIX" REFERENCES product (code) ON DELETE CASCADE);
CREATE TABLE parted_child (n int, product int REFERENCES product ON DELETE CASCADE) PARTITION BY LIST (product);
CREATE TABLE parted_child_1 PARTITION OF parted_child FOR VALUES IN (1);
CREATE TABLE parted_child_rest PARTITION OF parted_child DEFAULT;
CREATE TABLE several (n int PRIMARY KEY, first int REFERENCES product ON DELETE CASCADE,
	second int REFERENCES product ON DELETE SET NULL, third int REFERENCES product);
CREATE TABLE not_valid (n int PRIMARY KEY, product int);
ALTER TABLE not_valid ADD FOREIGN KEY (product) REFERENCES product ON DELETE CASCADE NOT VALID;
CREATE SCHEMA "Odd "" schema";
CREATE TABLE "Odd "" schema"."it's; a ""table""" ("1st %I column" int REFERENCES product ON DELETE CASCADE, "k" int,
	"select" int REFERENCES product);
-- Not by name: a table that has such a column, and the children of one that references, do not.
CREATE TABLE stranger (n int PRIMARY KEY, product int);
CREATE TABLE heir () INHERITS (cascaded);

INSERT INTO product (id, brand, serial, manufacturer, code) VALUES
	(1, 'a', '1', 'm', 'c1'), (2, 'a', '1', 'm', 'c2'), (3, 'a', '1', 'm', 'c3'), (4, 'other', '1', 'm', 'c4');
INSERT INTO no_action SELECT i, i FROM generate_series(1, 4) i;
INSERT INTO restricted TABLE no_action;
INSERT INTO cascaded TABLE no_action;
INSERT INTO set_null TABLE no_action;
INSERT INTO set_default TABLE no_action;
INSERT INTO deferred TABLE no_action;
INSERT INTO wide TABLE no_action;
INSERT INTO narrow TABLE no_action;
INSERT INTO simple SELECT n, CASE n WHEN 3 THEN NULL ELSE 1 END, product FROM no_action;
INSERT INTO "full" SELECT n, CASE WHEN n <> 3 THEN 1 END, CASE WHEN n <> 3 THEN product END FROM no_action;
INSERT INTO by_code SELECT n, 'c' || n FROM no_action;
INSERT INTO parted_child TABLE no_action;
INSERT INTO several VALUES (1, 1, 2, 3), (2, 4, 4, 2), (3, NULL, 2, NULL);
INSERT INTO not_valid TABLE no_action;
INSERT INTO "Odd "" schema"."it's; a ""table""" VALUES (2, 2, 3);
INSERT INTO stranger TABLE no_action;
INSERT INTO heir VALUES (12, 2);

CREATE VIEW referencing AS
	SELECT 'no_action' AS child, n, product::text FROM no_action UNION ALL SELECT 'restricted', n, product::text FROM restricted
	UNION ALL SELECT 'cascaded', n, product::text FROM ONLY cascaded UNION ALL SELECT 'set_null', n, product::text FROM set_null
	UNION ALL SELECT 'set_default', n, product::text FROM set_default UNION ALL SELECT 'deferred', n, product::text FROM deferred
	UNION ALL SELECT 'wide', n, product::text FROM wide UNION ALL SELECT 'narrow', n, product::text FROM narrow
	UNION ALL SELECT 'simple', n, coalesce(tenant::text, '-') || '.' || product FROM simple
	UNION ALL SELECT 'full', n, coalesce(tenant::text, '-') || '.' || coalesce(product::text, '-') FROM "full"
	UNION ALL SELECT 'by_code', n, code FROM by_code
	UNION ALL SELECT tableoid::regclass::text, n, product::text FROM parted_child
	UNION ALL SELECT 'several', n, concat_ws(' ', coalesce(first::text, '-'), coalesce(second::text, '-'),
		coalesce(third::text, '-')) FROM several
	UNION ALL SELECT 'not_valid', n, product::text FROM not_valid
	UNION ALL SELECT 'odd', k, concat_ws(' ', "1st %I column", "select") FROM "Odd "" schema"."it's; a ""table"""
	UNION ALL SELECT 'stranger', n, product::text FROM stranger UNION ALL SELECT 'heir', n, product::text FROM heir;

-- show_references(): which row of each of these references which
CREATE FUNCTION show_references() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT child || ': ' || string_agg(n || ' -> ' || product, ', ' ORDER BY n)
	  FROM referencing GROUP BY child ORDER BY child COLLATE "C"
$$;
\set ECHO all
