"""
Calls that take long are cancelled: how soon they end is shown. A time is no reason to fail, so what is asserted is a bound so
generous that only a call that cannot be cancelled at all exceeds it.
"""
import threading
import time

from session import CANCELLED, Session

BOUND = 10.0

SETUP = """
CREATE TABLE fuzz.large (brand text, serial text, manufacturer text, v text);
CREATE INDEX ON fuzz.large (brand, serial, manufacturer);
CREATE TABLE fuzz.guarded (brand text, serial text, manufacturer text, v text);
SELECT product_upsert_protect('fuzz.guarded');
CREATE TABLE fuzz.bare (brand text, serial text, manufacturer text, v text);
INSERT INTO fuzz.bare SELECT 'b', (n / 2)::text, repeat('m', 50) FROM generate_series(1, 1000000) AS n;
CREATE TABLE fuzz.copies (brand text, serial text, manufacturer text, v text);
INSERT INTO fuzz.copies SELECT 'b', (n % 10)::text, 'm' FROM generate_series(1, 300000) AS n;
CREATE INDEX ON fuzz.copies (brand, serial, manufacturer);
CREATE TABLE fuzz.copying (LIKE fuzz.copies INCLUDING INDEXES);
CREATE VIEW fuzz.endless AS SELECT 'b' AS brand, n::text AS serial, 'm' AS manufacturer FROM generate_series(1, 100000000) AS n;
CREATE VIEW fuzz.endless_payloads AS
    SELECT jsonb_build_object('brand', 'b', 'serial', n::text, 'manufacturer', NULL) AS payload FROM generate_series(1, 100000000) AS n;
CREATE VIEW fuzz.same AS SELECT 'b' AS brand, 's' AS serial, 'm' AS manufacturer, n::text AS v FROM generate_series(1, 100000000) AS n;
ANALYZE fuzz.copies;
"""

ARRAY = """(SELECT jsonb_agg(jsonb_build_object('brand', 'b', 'serial', {serial}, 'manufacturer', NULL, 'v', {v}))
    FROM generate_series(1, {n}) AS n)"""

# What is run, and what another transaction holds meanwhile.
CASES = [
    ("a load", "SELECT product_upsert_from('fuzz.endless', 'fuzz.large')", None),
    ("a load of payloads", "SELECT product_upsert_from('fuzz.endless_payloads', 'fuzz.large')", None),
    ("a load of one key", "SELECT product_upsert_from('fuzz.same', 'fuzz.large')", None),
    ("a load by the guard", "INSERT INTO fuzz.guarded SELECT * FROM fuzz.endless", None),
    ("an array", f"SELECT product_upsert('fuzz.large', {ARRAY.format(serial='n::text', v='n', n=700000)})", None),
    ("an array with key locks", "SET product_upsert.max_key_locks = 1000000; SELECT product_upsert('fuzz.large', "
     f"{ARRAY.format(serial='(n % 5)::text', v='n', n=700000)})", None),
    ("values of a megabyte", f"SELECT product_upsert('fuzz.large', {ARRAY.format(serial='n::text', v='repeat(md5(n::text), 32768)', n=200)})",
     None),
    ("looks without an index", "SELECT product_upsert('fuzz.bare', "
     f"{ARRAY.format(serial='n::text', v='n', n=200)})", None),
    ("counting duplicates", "SELECT count(*) FROM product_upsert_duplicates('fuzz.bare')", None),
    ("a merge of many keys", "SELECT count(*) FROM product_upsert_merge_duplicates('fuzz.bare')", None),
    ("a merge of many copies", "SELECT count(*) FROM product_upsert_merge_duplicates('fuzz.copies')", None),
    ("protecting a table", "SELECT product_upsert_protect('fuzz.bare')", None),
    ("waiting for a key", "SELECT product_upsert('fuzz.guarded', '{\"brand\": \"w\", \"serial\": \"w\", \"manufacturer\": null}')",
     "SELECT product_upsert('fuzz.guarded', '{\"brand\": \"w\", \"serial\": \"w\", \"manufacturer\": null}')"),
    ("the guard's waiting for a key", "INSERT INTO fuzz.guarded (brand, serial) VALUES ('w', 'w')",
     "SELECT product_upsert('fuzz.guarded', '{\"brand\": \"w\", \"serial\": \"w\", \"manufacturer\": null}')"),
    ("waiting for the table", "SELECT product_upsert_from('fuzz.endless', 'fuzz.guarded')", "LOCK TABLE fuzz.guarded IN ROW EXCLUSIVE MODE"),
    ("waiting to protect", "SELECT product_upsert_protect('fuzz.copying')", "LOCK TABLE fuzz.copying IN ROW EXCLUSIVE MODE"),
    ("waiting to unprotect", "SELECT product_upsert_unprotect('fuzz.guarded')", "LOCK TABLE fuzz.guarded IN ACCESS SHARE MODE"),
]


class CancelPart:
    name = "cancel"

    def __init__(self, report, session):
        self.report, self.session = report, session
        session.must(SETUP)

    def run(self, stores):
        for store in stores:
            for number, (what, sql, held) in enumerate(CASES):
                self.report.number = number
                self.cancel(what, sql, held, store)

    def cancel(self, what, sql, held, store):
        caller = Session(self.report, f"SET product_upsert.direct_store = {store}")
        before = self.rows()
        if held:
            self.session.must(f"BEGIN; {held}")
        ended = {}

        def call():
            ended["outcome"] = caller.run(sql)
            ended["at"] = time.monotonic()

        thread = threading.Thread(target=call)
        thread.start()
        # Long enough to be in the midst of it; one that is done by then has simply succeeded.
        thread.join(0.7)
        asked = time.monotonic()
        self.session.must(f"SELECT pg_cancel_backend({caller.pid})")
        thread.join(6 * BOUND)
        took = ended.get("at", float("inf")) - asked
        outcome = ended.get("outcome")
        if held:
            self.session.must("ROLLBACK")
        if took > BOUND:
            self.report.finding(f"{what}: not cancelled within {BOUND} s", [sql], outcome)
        if outcome is not None:
            self.report.count(outcome)
            self.report.judge(outcome, [sql], {CANCELLED})
            print(f"  cancelled, direct_store = {store:3}: {what:32} {max(0, took) * 1000:7.0f} ms  {outcome.sqlstate}", flush=True)
            if outcome.sqlstate == CANCELLED and self.rows() != before:
                self.report.finding(f"{what}: a cancelled call has written", [sql])
            if not caller.end():
                self.report.finding(f"{what}: the backend does not answer", [sql])
        caller.close()

    def rows(self):
        tables = ["large", "guarded", "bare", "copies"]
        return self.session.must("SELECT " + ", ".join(f"(SELECT count(*) FROM fuzz.{name})" for name in tables)).rows
