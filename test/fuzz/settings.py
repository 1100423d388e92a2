"""Any settings: a payload comes to what the reference statement comes to under the same, and calls to what they did before."""
import payloads
from session import OK

VALUES = {
    "product_upsert.unknown_fields": ["error", "ignore", "ERROR", "", "2"],
    "product_upsert.max_key_locks": ["1", "2", "256", "2147483647", "0", "-1", "2147483648", "x", "1.5", "1MB"],
    "product_upsert.max_waiters": ["0", "1", "2147483647", "-1", "x"],
    "product_upsert.http_status": ["on", "off", "true", "2", ""],
    "product_upsert.direct_store": ["on", "off", "x"],
    "product_upsert.no_such": ["1"],
    "search_path": ["", "pg_catalog", "fuzz", "fuzz, public", "no_such", "pg_temp", "public, pg_catalog"],
    "DateStyle": ["ISO, YMD", "German", "SQL, DMY", "Postgres, MDY"],
    "IntervalStyle": ["postgres", "sql_standard", "iso_8601", "postgres_verbose"],
    "TimeZone": ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "+15:59:59"],
    "extra_float_digits": ["-15", "0", "1", "3"],
    "bytea_output": ["hex", "escape"],
    "default_transaction_isolation": ["read committed", "repeatable read", "serializable", "read uncommitted"],
    "default_transaction_deferrable": ["on", "off"],
    "work_mem": ["64kB", "4MB"],
    "check_function_bodies": ["on", "off"],
    "quote_all_identifiers": ["on", "off"],
    "standard_conforming_strings": ["on", "off"],
    "backslash_quote": ["on", "off", "safe_encoding"],
    "escape_string_warning": ["on", "off"],
    "array_nulls": ["on", "off"],
    "transform_null_equals": ["on", "off"],
    "xmlbinary": ["base64", "hex"],
    "xmloption": ["content", "document"],
    "row_security": ["on", "off"],
    "enable_seqscan": ["on", "off"],
    "enable_indexscan": ["on", "off"],
    "enable_bitmapscan": ["on", "off"],
    "plan_cache_mode": ["auto", "force_custom_plan", "force_generic_plan"],
    "lc_monetary": ["C", "C.UTF-8"],
    "default_text_search_config": ["simple", "pg_catalog.english"],
    "default_tablespace": ["", "pg_default"],
    "default_table_access_method": ["heap"],
    "max_parallel_workers_per_gather": ["0", "4"],
    "jit_above_cost": ["0", "-1"],
    "synchronize_seqscans": ["on", "off"],
    "temp_buffers": ["800kB"],
    "debug_print_plan": ["off"],
    "session_replication_role": ["origin", "local"],
    "client_encoding": ["UTF8"],
    "max_stack_depth": ["100kB", "2MB"],
}

BATTERY = """
SELECT public.product_upsert('fuzz.plain', '{"brand": "b", "serial": "s", "manufacturer": "m", "v": 2}') ->> 'action'
SELECT public.product_upsert('fuzz.plain', '{"brand": "b", "serial": "s", "manufacturer": "m", "v": 2}') ->> 'action'
SELECT public.product_upsert('fuzz.plain', '[{"brand": "n", "serial": null, "manufacturer": ""}, {"brand": "n", "serial": null, "manufacturer": "", "v": 3}]')
SELECT public.product_upsert('fuzz.plain', '{"brand": "d", "serial": "d", "manufacturer": "d"}')
SELECT public.product_upsert('fuzz.plain', '{"brand": "b", "serial": "s"}')
SELECT public.product_upsert('fuzz.plain', '{"brand": "b", "serial": "s", "manufacturer": "m", "v": "x"}')
SELECT public.product_upsert('fuzz.plain', '{"brand": "b", "serial": "s", "manufacturer": "m"}', '{"v": 77}')
SELECT public.product_upsert('fuzz.parts', '{"brand": "b", "serial": "s", "manufacturer": "m"}') ->> 'action'
SELECT public.product_upsert('fuzz.parts', '{"brand": "other", "serial": "s", "manufacturer": "m"}') ->> 'action'
SELECT public.product_upsert_key('fuzz.plain')::text
SELECT public.product_upsert_lookup_index('fuzz.plain')::oid
SELECT public.product_upsert_hash('a'::text, 1, NULL::numeric)
SELECT count(*), sum(copies) FROM public.product_upsert_duplicates('fuzz.plain')
SELECT public.product_upsert_lock('fuzz.plain', '{"brand": "b", "serial": "s", "manufacturer": "m"}')
SELECT created, updated, unchanged FROM public.product_upsert_from('fuzz.materialized', 'fuzz.parts')
SELECT duplicate_keys FROM public.product_upsert_protect('fuzz.plain')
INSERT INTO fuzz.plain VALUES ('b', 's', 'm')
SELECT public.product_upsert_unprotect('fuzz.plain')
""".strip().splitlines()


class SettingsPart:
    name = "settings"

    def __init__(self, report, session, columns):
        self.report, self.session = report, session
        self.types = payloads.TypePart(report, session, columns)
        self.usual = self.battery()

    def attempt(self, rng):
        names = rng.sample(list(VALUES), rng.randint(1, 6))
        for name in names:
            value = rng.choice(VALUES[name])
            self.session.begin(f"RESET {name}" if "no_such" not in name else "SELECT")
            outcome = self.session.run(f"SELECT set_config('{name}', '{value}', false)")
            self.report.count(outcome)
            self.report.judge(outcome, self.session.script)
        self.compare_battery(names)
        for _ in range(3):
            self.types.attempt(rng)
            self.session.run("ROLLBACK")
        self.session.run("RESET ALL")

    def battery(self):
        """What each statement comes to, in a transaction that is undone."""
        results = []
        self.session.begin("BEGIN")
        for sql in BATTERY:
            self.session.must("SAVEPOINT fuzz")
            outcome = self.session.run(sql)
            results.append((outcome.sqlstate, outcome.rows if "product_upsert_from" in sql or outcome.sqlstate == OK else None))
            if not outcome.ok:
                self.session.must("ROLLBACK TO fuzz")
        self.session.run("ROLLBACK")
        return results

    def compare_battery(self, names):
        settings = self.session.must("SELECT format('SET %s = %L', name, setting) FROM pg_settings WHERE name = ANY "
                                     f"(ARRAY{names}::text[])").rows
        for sql, usual, now in zip(BATTERY, self.usual, self.battery()):
            if usual != now:
                self.report.finding(f"{sql}: {usual} by default, {now} with these settings", [row[0] for row in settings])
