"""Every function of the extension, for everything that a regclass can be, and as a trigger in wrong places."""
import random
import threading

import jsontext
from session import Session

SETUP = """
CREATE TABLE fuzz.plain (brand text, serial text, manufacturer text, v int);
CREATE INDEX ON fuzz.plain (brand, serial, manufacturer);
INSERT INTO fuzz.plain VALUES ('b', 's', 'm', 1), ('d', 'd', 'd', 1), ('d', 'd', 'd', 2);
CREATE TABLE fuzz.no_key (a int);
CREATE TABLE fuzz.no_columns ();
CREATE TABLE fuzz.moving (brand text, serial text, manufacturer text, v int);
CREATE VIEW fuzz.a_view AS SELECT * FROM fuzz.plain;
CREATE MATERIALIZED VIEW fuzz.materialized AS SELECT * FROM fuzz.plain;
CREATE SEQUENCE fuzz.a_sequence;
CREATE TABLE fuzz.parts (brand text, serial text, manufacturer text, v int) PARTITION BY LIST (brand);
CREATE TABLE fuzz.part_b PARTITION OF fuzz.parts FOR VALUES IN ('b');
CREATE TABLE fuzz.no_parts (brand text, serial text, manufacturer text) PARTITION BY LIST (brand);
CREATE INDEX parts_index ON fuzz.parts (brand);
CREATE TABLE fuzz.parent (brand text, serial text, manufacturer text, v int);
CREATE TABLE fuzz.child (w int) INHERITS (fuzz.parent);
CREATE TABLE fuzz.ruled (brand text, serial text, manufacturer text, v int);
CREATE RULE nothing AS ON INSERT TO fuzz.ruled DO INSTEAD NOTHING;
CREATE UNLOGGED TABLE fuzz.unlogged (brand text, serial text, manufacturer text, v int);
CREATE TABLE fuzz.payloads (payload jsonb);
INSERT INTO fuzz.payloads VALUES ('{"brand": "f", "serial": "s", "manufacturer": null}'), ('[]'), ('3');
CREATE TABLE fuzz.gone (brand text);
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE fuzz.file (brand text, serial text, manufacturer text) SERVER files OPTIONS (filename '/dev/null');
CREATE TABLE fuzz.mixed (brand text, serial text, manufacturer text) PARTITION BY LIST (brand);
CREATE FOREIGN TABLE fuzz.mixed_file PARTITION OF fuzz.mixed FOR VALUES IN ('b') SERVER files OPTIONS (filename '/dev/null');
CREATE TEMP TABLE mine (brand text, serial text, manufacturer text, v int);
"""

TARGETS = """fuzz.plain fuzz.no_key fuzz.no_columns fuzz.a_view fuzz.materialized fuzz.a_sequence fuzz.parts fuzz.part_b
    fuzz.no_parts fuzz.parts_index fuzz.plain_brand_serial_manufacturer_idx fuzz.parent fuzz.child fuzz.ruled fuzz.unlogged
    fuzz.payloads fuzz.file fuzz.mixed fuzz.mixed_file pg_temp.mine fuzz.pair pg_class pg_index pg_class_oid_index pg_authid
    pg_stats pg_stat_activity information_schema.tables information_schema.sql_features pg_largeobject
    product_upsert_locks""".split()

PAYLOADS = ["NULL", *(jsontext.literal(text) for text in (
    '{"brand": "b", "serial": "s", "manufacturer": "m", "v": 2}', '{"brand": "new", "serial": null, "manufacturer": ""}', "{}", "[]",
    "3", '[{"brand": "b", "serial": "s", "manufacturer": "m"}, {"brand": "d", "serial": "d", "manufacturer": "d"}]',
    '{"relname": "pg_class"}', '{"v": 1}'))]

KEYS = ["'{}'", "NULL", "'{v}'", "'{brand}'", "'{brand,brand}'", "'{brand,NULL}'", "'{{brand,serial}}'", "'[0:1]={brand,serial}'",
        "'{no_such}'", "'{ctid}'", "'{tableoid}'", f"'{{{','.join('abcdefghijklmnopqrstuvwxyz0123456')}}}'", "'{\"\"}'",
        "DEFAULT", "'{v,brand,serial}'"]

FUNCTIONS = ["product_upsert({t}, {p})", "product_upsert({t}, {p}, if_match => {q})", "product_upsert_from({t})",
             "product_upsert_from({t}, {u})", "product_upsert_from({u}, {t})", "product_upsert_lock({t}, {p})",
             "product_upsert_protect({t})", "product_upsert_protect({t}, {k})", "product_upsert_unprotect({t})",
             "product_upsert_duplicates({t})", "product_upsert_merge_duplicates({t})",
             "product_upsert_merge_duplicates({t}, {keep}, {dry}, {n})", "product_upsert_key({t})", "product_upsert_lookup_index({t})",
             "product_upsert_hash({h})", "product_upsert({p})", "product_upsert_guard()"]

HASHED = ["NULL", "1", "1.0", "'x'", "'x'::text", "'x'::text COLLATE \"C\"", "ROW(1, 'x')", "ARRAY[1, 2]", "'{}'::json", "'{}'::jsonb",
          "point '(1,2)'", "1::money", "VARIADIC ARRAY[1, 2]", "VARIADIC NULL::int[]", "'good'::fuzz.mood", "'1'::xid", "NULL::fuzz.pair",
          "int4range(1, 2)", "'a'::\"char\"", "repeat('x', 1000000)", "'NaN'::float8", "now()", "", "fuzz.plain"]

# Core's own error for what is no trigger, or cannot be called in such a way.
BY_CORE = {"0A000", "42883", "42725", "42704", "42P18", "42P13", "22P02", "42601", "42804", "22004", "22023", "42P16", "42P17", "42809"}

TRIGGERS = ["{when} {event} ON {t} FOR EACH {level} EXECUTE FUNCTION product_upsert_guard({a})"]
WRITES = ["INSERT INTO {t} VALUES ('b', 's', 'm', 7)", "UPDATE {t} SET v = 9", "UPDATE {t} SET brand = 'z'", "DELETE FROM {t}",
          "TRUNCATE {t}", "INSERT INTO {t} SELECT 'x', 'y', 'z' FROM generate_series(1, 2)"]
ARGUMENTS = ["", "'v'", "'brand', 'serial', 'manufacturer'", "'no_such'", "''", "'brand', 'brand'", "'ctid'", "'BRAND'",
             ", ".join(["'brand'"] * 40)]


class TargetPart:
    name = "target"

    def __init__(self, report, session):
        self.report, self.session = report, session
        # Lasts as long as the session that has made it.
        self.other = Session(report, "CREATE TEMP TABLE theirs (brand text, serial text, manufacturer text, v int)")
        self.targets = [f"'{name}'::regclass" for name in TARGETS]
        self.targets += [f"{oid}::regclass" for oid in ("0", "4294967295", "1", "2147483648::oid",
                                                         self.other.must("SELECT 'theirs'::regclass::oid").value)]
        self.targets += [f"{row[0]}::regclass" for row in session.must(
            "SELECT 'fuzz.gone'::regclass::oid UNION ALL SELECT reltoastrelid FROM pg_class WHERE oid = 'fuzz.plain'::regclass "
            "UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = "
            "(SELECT reltoastrelid FROM pg_class WHERE oid = 'fuzz.plain'::regclass)").rows]
        self.targets.append("NULL::regclass")
        session.must("DROP TABLE IF EXISTS fuzz.gone; SET product_upsert.default_table = 'fuzz.plain'")

    def attempt(self, rng):
        if rng.random() < 0.25:
            self.trigger(rng)
        else:
            self.function(rng)

    def function(self, rng):
        call = rng.choice(FUNCTIONS).format(
            t=rng.choice(self.targets), u=rng.choice(self.targets), p=rng.choice(PAYLOADS), q=rng.choice(PAYLOADS),
            k=rng.choice(KEYS), keep=rng.choice(["'oldest'", "'newest'", "''", "NULL"]), dry=rng.choice(["true", "false", "NULL"]),
            n=rng.choice(["1", "0", "-1", "NULL", "2147483647"]), h=", ".join(rng.choices(HASHED, k=rng.randint(0, 4))))
        self.session.begin("BEGIN")
        self.session.must("SAVEPOINT fuzz")
        texts = []
        for store in ("on", "off"):
            self.session.must(f"SET LOCAL product_upsert.direct_store = {store}")
            outcome = self.session.run(f"SELECT {call.replace(', DEFAULT', '')}::text")
            self.report.count(outcome)
            if not self.report.judge(outcome, self.session.script, BY_CORE) or outcome.sqlstate == "lost":
                return
            texts.append(outcome)
            self.session.must("ROLLBACK TO fuzz")
        on, off = texts
        if (on.sqlstate, on.message) != (off.sqlstate, off.message) and "merge" not in call:
            self.report.finding(f"with direct_store = on: {on}; off: {off}", self.session.script)

    def trigger(self, rng):
        target = rng.choice(["fuzz.plain", "fuzz.a_view", "fuzz.parts", "fuzz.part_b", "fuzz.parent", "fuzz.file", "pg_temp.mine"])
        self.session.begin("BEGIN")
        created = self.session.run("CREATE TRIGGER {name} ".format(name=rng.choice(["product_upsert_guard", "a_trigger"])) +
                                   TRIGGERS[0].format(
                                       when=rng.choice(["BEFORE", "AFTER", "AFTER", "INSTEAD OF"]), t=target,
                                       event=rng.choice(["INSERT", "UPDATE", "DELETE", "INSERT OR UPDATE", "TRUNCATE", "UPDATE OF v"]),
                                       level=rng.choice(["ROW", "ROW", "STATEMENT"]), a=rng.choice(ARGUMENTS)))
        if not created.ok:
            return
        self.session.must("SAVEPOINT fuzz")
        statements = rng.sample(WRITES, 3) + [f"SELECT product_upsert('{{t}}', {rng.choice(PAYLOADS)})"]
        statements += [f"SELECT {name}('{{t}}')" for name in ("product_upsert_key", "product_upsert_protect", "product_upsert_unprotect",
                                                              "product_upsert_duplicates")]
        for statement in statements:
            outcome = self.session.run(statement.replace("{t}", target))
            self.report.count(outcome)
            # A plain statement may fail for core's own reasons, as 55000 for a view that cannot be written to.
            if not self.report.judge(outcome, self.session.script, BY_CORE | {"55000", "42P10"}) or outcome.sqlstate == "lost":
                return
            self.session.must("ROLLBACK TO fuzz")


# What another session does to the table in a loop: nothing here ends in an XX000 of ours.
CHANGES = ["DROP TABLE fuzz.moving", "CREATE TABLE fuzz.moving (brand text, serial text, manufacturer text, v int)",
           "ALTER TABLE fuzz.moving RENAME TO moved", "ALTER TABLE fuzz.moved RENAME TO moving", "DROP TABLE fuzz.moved",
           "ALTER TABLE fuzz.moving ALTER v TYPE text", "ALTER TABLE fuzz.moving ADD w int DEFAULT 3",
           "ALTER TABLE fuzz.moving DROP COLUMN IF EXISTS w", "ALTER TABLE fuzz.moving DROP COLUMN brand", "TRUNCATE fuzz.moving",
           "CREATE INDEX ON fuzz.moving (brand, serial, manufacturer)", "SELECT product_upsert_protect('fuzz.moving')",
           "SELECT product_upsert_unprotect('fuzz.moving')", "CREATE VIEW fuzz.moving AS SELECT 1 AS brand", "DROP VIEW fuzz.moving",
           "SELECT product_upsert_protect('fuzz.moving', '{brand}')", "ALTER TABLE fuzz.moving SET SCHEMA public",
           "ALTER TABLE public.moving SET SCHEMA fuzz", "DROP TABLE public.moving", "VACUUM FULL fuzz.moving"]


class MovingPart:
    """A table that another session changes in a loop. What meets what is not determined by the seed."""
    name = "moving"

    def __init__(self, report, session):
        self.report, self.session = report, session
        session.must("SET lock_timeout = '2s'")

    def attempt(self, rng):
        """One stretch of a hundred calls, beside as many changes as go with it."""
        stop, other = threading.Event(), Session(self.report, "SET lock_timeout = '2s'")

        def change():
            while not stop.is_set():
                other.script = []
                changed = other.run(rng_of_other.choice(CHANGES))
                if changed.sqlstate == "lost":
                    return

        rng_of_other = random.Random(rng.random())
        thread = threading.Thread(target=change)
        thread.start()
        try:
            for _ in range(100):
                self.call(rng)
        finally:
            stop.set()
            thread.join()
            other.close()

    def call(self, rng):
        payload = rng.choice(PAYLOADS[1:])
        call = rng.choice(["product_upsert(to_regclass('fuzz.moving'), {p})", "product_upsert('fuzz.moving', {p})", "product_upsert({p})",
                           "product_upsert_from('fuzz.moving', 'fuzz.moving')", "product_upsert_from('fuzz.payloads', 'fuzz.moving')",
                           "product_upsert_duplicates('fuzz.moving')", "product_upsert_merge_duplicates('fuzz.moving')",
                           "product_upsert_protect('fuzz.moving')", "product_upsert_key('fuzz.moving')",
                           "product_upsert_lookup_index('fuzz.moving')", "product_upsert_lock('fuzz.moving', {p})"]).format(p=payload)
        self.session.begin("SET product_upsert.default_table = 'fuzz.moving'")
        outcome = self.session.run(f"SELECT {call}")
        self.report.count(outcome)
        # Those of core's about what has gone meanwhile, as its own statements have them.
        self.report.judge(outcome, self.session.script, {"3F000", "42704"})

