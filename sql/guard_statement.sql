-- What the guard keeps open for the rows of a statement: statements that fire guards of several tables, that run others
-- from their triggers, and that fail half-way.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_guard_statement;
SET search_path = pu_guard_statement, public;
\pset format unaligned
\pset tuples_only on
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

CREATE TABLE product (serial text, note text);
CREATE TABLE item (number int, note text);
CREATE INDEX ON item (number);
SELECT product_upsert_protect('product', '{serial}'), product_upsert_protect('item', '{number}');
INSERT INTO product VALUES ('1'), ('2');
INSERT INTO item VALUES (1), (2);

-- Guards of two tables, by turns
SELECT try($$ WITH p AS (INSERT INTO product SELECT n FROM generate_series(11, 13) AS n RETURNING serial)
	INSERT INTO item SELECT serial::int FROM p $$);
SELECT try($$ WITH p AS (INSERT INTO product SELECT n FROM generate_series(14, 16) AS n RETURNING serial)
	INSERT INTO item SELECT serial::int / 7 FROM p $$);
SELECT try($$ WITH p AS (INSERT INTO product SELECT n FROM generate_series(13, 16) AS n RETURNING serial)
	INSERT INTO item SELECT serial::int + 20 FROM p $$);

-- A trigger that is fired before the guard writes to the other table, to the same one, or fails to. It is told by the row.
CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.note LIKE 'try: %' THEN
		NEW.note := try(substr(NEW.note, 6));
		RAISE INFO '%', NEW.note;
	ELSIF NEW.note IS NOT NULL THEN
		EXECUTE NEW.note;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER follow AFTER INSERT ON product FOR EACH ROW EXECUTE FUNCTION follow();
SELECT try($$ INSERT INTO product VALUES ('21', NULL), ('22', 'INSERT INTO item VALUES (21), (22)'), ('23', NULL) $$);
SELECT try($$ INSERT INTO product VALUES ('24', NULL), ('25', 'INSERT INTO item VALUES (23), (22)'), ('26', NULL) $$);
SELECT try($$ INSERT INTO product VALUES ('24', NULL), ('25', 'INSERT INTO product VALUES (''26''), (''27'')'), ('28', NULL) $$);
SELECT try($$ INSERT INTO product VALUES ('31', NULL), ('32', 'INSERT INTO product VALUES (''33''), (''34'')'), ('34', NULL) $$);
SELECT try($$ INSERT INTO product VALUES ('31', NULL), ('32', 'INSERT INTO product VALUES (''33''), (''31'')'), ('34', NULL) $$);
SELECT try($$ INSERT INTO product VALUES ('31', NULL), ('32', 'try: INSERT INTO item VALUES (31), (2)'), ('33', NULL),
	('34', NULL) $$);
SELECT try($$ INSERT INTO product VALUES ('41', NULL), ('42', 'try: INSERT INTO product VALUES (''43''), (''2'')'),
	('43', NULL), ('2', NULL) $$);
SELECT try($$ INSERT INTO product VALUES ('41', NULL), ('42', 'try: INSERT INTO product VALUES (''43''), (''2'')'),
	('43', NULL) $$);
-- COPY has no statement of its own: with and without one that is open, in a subtransaction that fails and in one that does not
SELECT try($$ INSERT INTO product VALUES ('51', NULL), ('52', 'COPY product (serial) FROM PROGRAM ''printf "53\\n54\\n"'''),
	('55', NULL) $$);
SELECT try($$ INSERT INTO product VALUES ('56', 'COPY product (serial) FROM PROGRAM ''printf "57\\n58\\n"'''), ('59', NULL) $$);
SELECT try($$ INSERT INTO product VALUES ('61', 'try: COPY product (serial) FROM PROGRAM ''printf "60\\n2\\n"'''),
	('62', NULL), ('63', NULL) $$);
SELECT try($$ INSERT INTO product VALUES ('64', NULL),
	('65', 'try: COPY product (serial) FROM PROGRAM ''printf "60\\n2\\n"'''), ('66', NULL), ('67', NULL) $$);
SELECT try($$ INSERT INTO product VALUES ('68', 'try: COPY product (serial) FROM PROGRAM ''printf "60\\n"'''), ('69', NULL) $$);
SELECT try($$ INSERT INTO product VALUES ('70', 'try: COPY product (serial) FROM PROGRAM ''printf "74\\n"'''), ('60', NULL) $$);
-- The table's target is made anew meanwhile.
SELECT try($$ INSERT INTO product VALUES ('71', NULL), ('72', 'ANALYZE product'), ('73', NULL), ('2', NULL) $$);
SELECT try($$ INSERT INTO product VALUES ('71', NULL), ('72', 'ANALYZE product'), ('73', NULL) $$);

-- Errors leave nothing behind, in the transaction or after it.
BEGIN;
SAVEPOINT s;
INSERT INTO product VALUES ('81'), ('2');
ROLLBACK TO s;
INSERT INTO product VALUES ('81'), ('82');
COMMIT;
INSERT INTO product VALUES ('83'), ('2');
SELECT try($$ INSERT INTO product VALUES ('83'), ('84') $$);
SELECT try($$ UPDATE product SET serial = serial || 'x' WHERE length(serial) = 2 $$) ~ '^[0-9]+ written$';
SELECT try($$ UPDATE product SET serial = left(serial, 1) WHERE length(serial) = 3 $$);
-- Neither do they in EXPLAIN.
BEGIN;
SELECT try($$ EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) INSERT INTO product VALUES ('91'), ('92') $$) ~ ' written$';
SELECT try($$ EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) INSERT INTO product VALUES ('93'), ('91') $$);
COMMIT;

SELECT string_agg(serial, ' ' ORDER BY serial) FROM product;
SELECT string_agg(number::text, ' ' ORDER BY number) FROM item;

-- A key's equality that writes to another protected table, while the guard looks for the key.
CREATE TABLE noise (number int);
SELECT product_upsert_protect('noise', '{number}');
CREATE TYPE loud;
SET client_min_messages = error;
CREATE FUNCTION read(cstring) RETURNS loud LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION write(loud) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
SET client_min_messages = warning;
CREATE TYPE loud (INPUT = read, OUTPUT = write, LIKE = int);
CREATE FUNCTION same(a loud, b loud) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	COPY noise FROM PROGRAM 'date +%N';
	RETURN a::text = b::text;
END $$;
CREATE FUNCTION hash(loud) RETURNS int LANGUAGE sql IMMUTABLE RETURN 7;
CREATE FUNCTION hash(loud, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE RETURN 7;
CREATE OPERATOR = (LEFTARG = loud, RIGHTARG = loud, FUNCTION = same, HASHES);
CREATE OPERATOR CLASS all_alike DEFAULT FOR TYPE loud USING hash AS
	OPERATOR 1 =, FUNCTION 1 hash(loud), FUNCTION 2 (loud, loud) hash(loud, bigint);
CREATE TABLE strange (number loud);
SELECT product_upsert_protect('strange', '{number}');
SELECT try($$ INSERT INTO strange VALUES ('1'), ('2'), ('3') $$);
SELECT try($$ INSERT INTO strange VALUES ('4'), ('2'), ('5') $$);
SELECT try($$ INSERT INTO strange VALUES ('4'), ('5') $$);
SELECT count(*) > 0 FROM noise;

DROP SCHEMA pu_guard_statement CASCADE;
