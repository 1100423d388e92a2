-- COPY fires triggers without the executor, row after row at its end. What the guard keeps open for its rows, as for those of
-- a statement: how long, and that it comes to no harm when triggers run others, change the table or fail.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA pu_guard_copy;
SET search_path = pu_guard_copy, public;
\pset format unaligned
\pset tuples_only on
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/sql/include/helpers.sql

-- What is kept open is the direct store's, and in a memory context of its own.
SET product_upsert.direct_store = on;
CREATE VIEW kept AS SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'product_upsert guard';
CREATE TABLE product (serial text, note text);
CREATE INDEX ON product (serial);
CREATE TABLE item (number int, note text);
SELECT product_upsert_protect('product', '{serial}'), product_upsert_protect('item', '{number}');

-- A trigger that comes after the guard, and does what the row tells.
CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.note LIKE 'try: %' THEN
		RAISE INFO '%', try(substr(NEW.note, 6));
	ELSIF NEW.note = 'kept' THEN
		RAISE INFO '% kept', (TABLE kept);
	ELSIF NEW.note IS NOT NULL THEN
		EXECUTE NEW.note;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER zz_follow AFTER INSERT ON product FOR EACH ROW EXECUTE FUNCTION follow();
CREATE TRIGGER zz_follow AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION follow();

-- One store for all rows, until the COPY is done
COPY product FROM stdin;
1	kept
2	kept
3	kept
\.
TABLE kept;
-- also if it is the first that the session has to do with the extension.
\c -
SET client_min_messages = warning;
SET search_path = pu_guard_copy, public;
SET product_upsert.direct_store = on;
\pset format unaligned
\pset tuples_only on
COPY product FROM stdin;
4	kept
5	kept
\.
TABLE kept;
INSERT INTO product VALUES ('6', 'kept'), ('7', 'kept');
TABLE kept;

-- A row that has no other like it is not looked at: that the index has it alone tells enough.
BEGIN;
COPY item (number) FROM stdin;
1
2
3
\.
SELECT idx_scan, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'item'::regclass;
-- One that we have deleted does not count.
DELETE FROM item WHERE number = 3;
INSERT INTO item VALUES (3);
COMMIT;
SELECT string_agg(number::text, ' ' ORDER BY number) FROM item;

-- Duplicates: of a stored row, of one before it
COPY product FROM stdin;
11	\N
12	kept
7	\N
\.
COPY product (serial) FROM stdin;
11
12
11
\.
TABLE kept;

-- COPY in COPY, of another table and of the same; each has its own.
COPY product FROM stdin;
21	COPY item FROM PROGRAM 'printf "21\tkept\n22\tkept\n"'
22	kept
23	COPY product FROM PROGRAM 'printf "24\tkept\n25\tkept\n"'
26	kept
\.
-- The inner one fails in a subtransaction, and its rows may come again.
COPY product FROM stdin;
31	kept
32	try: COPY product (serial) FROM PROGRAM 'printf "33\\n34\\n7\\n"'
33	kept
34	try: COPY item (number) FROM PROGRAM 'printf "31\\n32\\n31\\n"'
35	kept
\.
-- So do statements, and calls.
COPY product FROM stdin;
41	try: INSERT INTO item VALUES (41), (42), (1)
42	try: SELECT product_upsert('item', '[{"number": 41}, {"number": 41, "note": "x"}]')
43	try: SELECT product_upsert('product', '[{"serial": "44", "note": "kept"}, {"serial": "43", "note": "kept"}]')
45	kept
\.
-- The COPY fails itself, in a subtransaction and in another one.
SELECT try($$ COPY product FROM PROGRAM 'printf "51\tkept\n7\t\n"' $$);
BEGIN;
SAVEPOINT a;
COPY product (serial) FROM PROGRAM 'printf "51\n52\n7\n"';
ROLLBACK TO a;
TABLE kept;
COPY product FROM PROGRAM 'printf "51\tkept\n52\tkept\n"';
COMMIT;
TABLE kept;

-- In a function that a cursor calls: one COPY for each row
CREATE FUNCTION copied(number int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN try(format($f$ COPY item FROM PROGRAM 'printf "%s\tkept\n%s\tkept\n"' $f$, number, number + 1));
END $$;
BEGIN;
DECLARE rows CURSOR FOR SELECT copied(n) FROM unnest('{61, 63, 64, 65}'::int[]) AS n;
FETCH 1 FROM rows;
TABLE kept;
SAVEPOINT a;
FETCH 2 FROM rows;
ROLLBACK TO a;
COPY item FROM PROGRAM 'printf "67\tkept\n68\tkept\n"';
COMMIT;
TABLE kept;

-- Commands that change the table, by a trigger between rows: after some of them, what is known of the table is made anew.
COPY product FROM stdin;
71	ANALYZE product
72	CREATE STATISTICS on_both ON serial, note FROM product
73	kept
74	try: ALTER TABLE product ADD COLUMN other int
75	try: DROP INDEX product_serial_idx
76	try: CREATE INDEX ON product (note)
77	kept
\.
COPY product (serial) FROM stdin;
78
77
\.
-- That of another table, which the COPY has done with
COPY product FROM stdin;
81	INSERT INTO item VALUES (81), (82)
82	ALTER TABLE item ADD COLUMN other int
83	INSERT INTO item VALUES (83), (84)
84	kept
\.
SELECT string_agg(serial, ' ' ORDER BY serial::int) FROM product;
SELECT string_agg(number::text, ' ' ORDER BY number) FROM item;

-- What is kept does not grow.
CREATE TABLE measured (number int);
CREATE INDEX ON measured (number);
SELECT product_upsert_protect('measured', '{number}');
CREATE TABLE sizes (bytes bigint);
CREATE FUNCTION measure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	-- Before PostgreSQL 18 a context has its parent's name, since then the numbers of all those above it.
	WITH context AS (SELECT to_jsonb(c) AS c FROM pg_backend_memory_contexts AS c),
		guard AS (SELECT c FROM context WHERE c->>'name' = 'product_upsert guard')
	INSERT INTO sizes SELECT sum((context.c->>'total_bytes')::bigint) FROM context, guard
	 WHERE context.c = guard.c OR context.c->>'parent' = guard.c->>'name' OR context.c->'path' @> (guard.c->'path');
	RETURN NULL;
END $$;
CREATE TRIGGER zz_measure AFTER INSERT ON measured FOR EACH ROW WHEN (NEW.number IN (1500, 9500)) EXECUTE FUNCTION measure();
COPY measured FROM PROGRAM 'seq 10000';
SELECT count(*), count(DISTINCT bytes) FROM sizes;

-- That all other writers of the table are excluded, once there are more keys than a transaction may lock, is noted; no
-- longer when that has been rolled back.
BEGIN;
SAVEPOINT a;
COPY measured FROM PROGRAM 'seq 10001 10300';
SELECT * FROM table_locks WHERE target = 'measured';
INSERT INTO measured VALUES (10301);
ROLLBACK TO a;
INSERT INTO measured VALUES (10302);
SELECT * FROM table_locks WHERE target = 'measured';
TABLE key_locks;
SAVEPOINT b;
SAVEPOINT c;
COPY measured FROM PROGRAM 'seq 10001 10300';
RELEASE c;
ROLLBACK TO b;
INSERT INTO measured VALUES (10303);
TABLE key_locks;
SELECT try('INSERT INTO measured VALUES (10302)');
COMMIT;

DROP SCHEMA pu_guard_copy CASCADE;
