"""Payloads for every type of column: what is stored, or raised, is compared with plain statements, over both stores."""
import jsontext
import options
from session import INTERNAL, OK, STACK_DEPTH

KEY = [("brand", '"b"'), ("serial", '"s"'), ("manufacturer", "null")]
STORES = ("on", "off")

# The type has no operator "=" of its own, or several that serve: then it is hashed and compared by that of another.
NO_OPERATOR = ("42883", "42725")


def check_stores(report, session, outcomes):
    """Nobody must notice which store serves; but the depth of the stack may."""
    on, off = outcomes
    if not on.same_as(off) and STACK_DEPTH not in (on.sqlstate, off.sqlstate):
        report.finding(f"with direct_store = on: {on}; off: {off}", session.script)
        return False
    return True


class TypePart:
    """One column of a type: the row and the SQLSTATE are those of INSERT or UPDATE by jsonb_populate_record()."""
    name = "type"

    def __init__(self, report, session, columns):
        self.report, self.session, self.columns = report, session, columns

    def attempt(self, rng):
        session, column = self.session, rng.choice(self.columns)
        stored = rng.choice(column.pool) if column.pool and rng.random() < 0.6 else None
        value = stored if stored and rng.random() < 0.1 else jsontext.value_for(rng, column.pool)
        fields = KEY + ([("v", value)] if rng.random() < 0.97 else [])
        rng.shuffle(fields)
        payload = jsontext.obj(fields)
        chosen = options.choose(rng, fields, column.pool)
        session.begin("BEGIN")
        if stored:
            row = jsontext.literal(jsontext.obj(KEY + [("v", stored)]))
            for table in column.table, column.reference:
                if not session.run(f"INSERT INTO {table} SELECT * FROM jsonb_populate_record(NULL::{table}, {row})").ok:
                    # The domain's value is fine in a row of its own, but not in one with the key.
                    return
        expected = self.expect(column, payload, stored, chosen)
        session.must("SAVEPOINT fuzz")
        before = session.must(self.state(column.table)).rows
        outcomes = [self.call(column, payload, chosen, store, stored, expected, before) for store in STORES]
        check_stores(self.report, session, outcomes)
        if expected.internal is not None:
            session.script.append(f"-- the reference statement: {expected.internal}")

    def expect(self, column, payload, stored, chosen):
        """Runs the reference statement, and undoes it if it fails."""
        session = self.session
        session.must("SAVEPOINT reference")
        # These are evaluated before the payload's own statement changes the row.
        from_options = []
        for option, value in chosen:
            from_options.append(option.expect(session, column, value))
            session.must("ROLLBACK TO reference")
        reference, json = column.reference, jsontext.literal(payload)
        parsed = session.run(f"SELECT {json} ? 'v', {json}{options.values(chosen)}")
        if not parsed.ok:
            session.must("ROLLBACK TO reference")
            return Expected(parsed, "anything", from_options)
        given = parsed.value
        new = f"(jsonb_populate_record(NULL::{reference}, {json})).v"
        if not given:
            outcome = session.run(f"SELECT true FROM {reference}" if stored else
                                  f"INSERT INTO {reference} (brand, serial) VALUES ('b', 's')")
        elif stored:
            outcome = session.run(f"UPDATE {reference} AS r SET v = n.v FROM {reference} AS o, "
                                  f"(SELECT {new} AS v) AS n "
                                  "RETURNING record_image_eq(ROW(o.v), ROW(r.v))")
        else:
            outcome = session.run(f"INSERT INTO {reference} (brand, serial, v) SELECT 'b', 's', {new}")
        if outcome.ok:
            # Some values can be stored, but not shown: then the call's result cannot be made either.
            shown = session.run(f"SELECT to_jsonb(r) FROM {reference} AS r")
            outcome = outcome if shown.ok else shown
        if not outcome.ok:
            session.must("ROLLBACK TO reference")
        action = "created" if not stored else "unchanged" if outcome.value else "updated"
        return Expected(outcome, action, from_options)

    @staticmethod
    def state(table):
        """Which rows there are, and in which version."""
        return f"SELECT count(*), string_agg(ctid || ' ' || xmin, ',' ORDER BY ctid) FROM {table}"

    def call(self, column, payload, chosen, store, stored, expected, before):
        session, report = self.session, self.report
        arguments = f"{jsontext.literal(payload)}{options.arguments(chosen)}"
        call = f"SELECT public.product_upsert('{column.table}', {arguments})::text"
        session.must(f"SET LOCAL product_upsert.direct_store = {store}")
        outcome = session.run(call)
        report.count(outcome)
        sound = report.judge(outcome, session.script, expected.sqlstates, expected.internal)
        if outcome.sqlstate == "lost":
            return outcome
        if sound and not expected.allows(outcome):
            report.finding(f"{column.kind}: expected {expected}, got {outcome}", session.script)
        elif outcome.ok and expected.outcome.ok and not expected.open:
            self.compare(column, outcome.value, expected)
        session.must("ROLLBACK TO fuzz")
        if not outcome.ok and session.must(self.state(column.table)).rows != before:
            report.finding("a call that failed has written", session.script, outcome)
        return outcome

    def compare(self, column, result, expected):
        """The row that is stored must be the reference's to the bit, and the result must tell it."""
        session, t, r = self.session, column.table, column.reference
        json = jsontext.literal(result)
        state = session.must(f"SELECT (SELECT count(*) FROM {t}), (SELECT bool_and(t *= r) FROM {t} AS t, {r} AS r), "
                             f"{json} ->> 'action', "
                             f"(SELECT to_jsonb(t)::text FROM {t} AS t) = ({json} -> 'product')::text").rows
        if state != [(1, True, expected.action, True)]:
            self.report.finding(f"{column.kind}: (rows, same row, action, product is the row) are {state[0]}, "
                                f"expected (1, True, {expected.action}, True)", session.script)


class Expected:
    """What the reference statement came to, and what each option does to that."""

    def __init__(self, outcome, action, from_options):
        self.outcome, self.action, self.from_options = outcome, action, from_options
        self.sqlstates = {STACK_DEPTH, outcome.sqlstate}.union(*from_options)
        self.open = any(options.ANY in sqlstates for sqlstates in from_options)
        self.internal = outcome if outcome.sqlstate == INTERNAL else None

    def allows(self, outcome):
        if outcome.sqlstate == STACK_DEPTH or self.open:
            return True
        if not self.outcome.ok:
            return outcome.sqlstate in self.sqlstates - {OK}
        refusals = set().union(*self.from_options) - {OK}
        return outcome.sqlstate in refusals if refusals else outcome.ok

    def __str__(self):
        return f"{self.outcome.sqlstate} {self.outcome.message or self.action} (options: {self.from_options})"


class KeyPart:
    """A column of a type as the key: found exactly if it is equal by the type's own operator, and never twice."""
    name = "key"

    def __init__(self, report, session, columns):
        self.report, self.session = report, session
        self.columns = [column for column in columns if column.is_key]

    def attempt(self, rng):
        column = rng.choice(self.columns)
        value = jsontext.value_for(rng, column.pool)
        self.session.begin("BEGIN; SAVEPOINT fuzz")
        record = f"jsonb_populate_record(NULL::{column.keyed}, {jsontext.literal(jsontext.obj([('k', value)]))})"
        expected = self.session.run(f"SELECT count(*) FROM {column.keyed} WHERE k IS NOT DISTINCT FROM ({record}).k")
        self.session.must("ROLLBACK TO fuzz")
        outcomes = [self.conversation(column, value, store, record, expected) for store in STORES]
        check_stores(self.report, self.session, outcomes)

    def conversation(self, column, value, store, record, expected):
        """Two calls with the key, then a plain INSERT of it."""
        session, report = self.session, self.report
        session.must(f"SET LOCAL product_upsert.direct_store = {store}")
        internal = expected if expected.sqlstate == INTERNAL else None
        calls = []
        for text in ("first", "second"):
            json = jsontext.literal(jsontext.obj([("k", value), ("v", jsontext.string(text))]))
            calls.append(session.run(f"SELECT product_upsert('{column.keyed}', {json}) ->> 'action'"))
            report.count(calls[-1])
            if not report.judge(calls[-1], session.script, {expected.sqlstate, STACK_DEPTH},
                                internal) or not calls[-1].ok:
                break
        if calls[-1].sqlstate == "lost":
            return calls[-1]
        actions = [call.value if call.ok else call.sqlstate for call in calls]
        wanted = [expected.sqlstate] if not expected.ok else ["updated" if expected.value else "created", "updated"]
        if actions != wanted and expected.sqlstate not in NO_OPERATOR and STACK_DEPTH not in actions:
            report.finding(f"key {column.kind}: expected {wanted}, got {actions}", session.script, calls[-1])
        elif calls[-1].ok:
            again = session.run(f"INSERT INTO {column.keyed} (k) SELECT k FROM {record}")
            if again.ok:
                report.finding(f"key {column.kind}: the guard lets a second row in", session.script, again)
        session.must("ROLLBACK TO fuzz")
        return calls[-1]


class TablePart:
    """
    Mutated structures for tables of several columns, by every function that takes a payload. What each field's
    conversion gives is allowed; success must be the same by every way, and an array must come to what its elements do.
    """
    name = "table"
    FEED = "fuzz.feed"

    def __init__(self, report, session, columns, special, rng):
        self.report, self.session, self.columns = report, session, columns
        self.tables = []
        session.must(f"CREATE TABLE {self.FEED} (payload jsonb)")
        for number in range(16):
            chosen = rng.sample([column for column in columns if "null" in column.pool], rng.randint(2, 6))
            name = f"fuzz.w{number}"
            extra = rng.sample(special, rng.randint(0, 2))
            parts = ["brand text, serial text, manufacturer text"]
            parts += [f"c{n} {column.kind}" for n, column in enumerate(chosen)]
            parts += [f"s{n} {text.replace('value_', f's{n}')}" for n, text in enumerate(extra)]
            partitioned = number % 5 == 4
            session.must(f"CREATE TABLE {name} ({', '.join(parts)})" +
                         (" PARTITION BY LIST (brand)" if partitioned else ""))
            if partitioned:
                session.must(f"CREATE TABLE {name}_b PARTITION OF {name} FOR VALUES IN ('b'); "
                             f"CREATE TABLE {name}_d PARTITION OF {name} DEFAULT")
            session.must(f"CREATE INDEX ON {name} (brand, serial, manufacturer)")
            if number % 3 == 0:
                session.must(f"SELECT product_upsert_protect('{name}')")
            pools = {f"c{n}": column.pool for n, column in enumerate(chosen)}
            pools.update({f"s{n}": ["1", '"x"', "null", "0", '"abcd"'] for n in range(len(extra))})
            # Sequences are not rolled back: they begin anew before each call.
            sequences = session.must("SELECT coalesce(string_agg(format('setval(%s, 1, false)', objid), ', '), '1') "
                                     "FROM pg_depend "
                                     f"WHERE refobjid = '{name}'::regclass AND deptype IN ('a', 'i') AND objid IN "
                                     "(SELECT oid FROM pg_class WHERE relkind = 'S')").value
            self.tables.append((name, pools, sequences))

    def element(self, rng, pools):
        fields = [(name, value) for name, value in KEY]
        fields[1] = ("serial", jsontext.string(rng.choice(["s", "t", "u", "", "s "])))
        fields += [(name, jsontext.value_for(rng, pool)) for name, pool in pools.items() if rng.random() < 0.5]
        if rng.random() < 0.3:
            # What is good for the column, mostly, or arrays never get far.
            return fields
        return [(name, value if name not in pools else rng.choice(pools[name])) for name, value in fields]

    def attempt(self, rng):
        name, pools, self.sequences = rng.choice(self.tables)
        budget = rng.choice([1, 2, 7, 8, 9, 256])
        count = rng.choice([0, 1, 2, 3, max(0, budget - 1), budget, budget + 1]) if rng.random() < 0.5 else None
        elements = [self.element(rng, pools) for _ in range(1 if count is None else min(count, 10))]
        for at, fields in enumerate(elements):
            if rng.random() < (0.6 if count is None else 0.05):
                for _ in range(rng.randint(1, 3)):
                    fields = mutated = jsontext.mutate_structure(rng, fields)
                elements[at] = mutated
        texts = [jsontext.obj(fields) for fields in elements]
        payload = texts[0] if count is None else jsontext.array(texts)
        if rng.random() < 0.08:
            payload, texts = jsontext.mutate_root(rng, payload), None
        unknown = rng.choice(["error", "error", "ignore"])
        self.session.begin("BEGIN")
        self.session.must(f"SET LOCAL product_upsert.max_key_locks = {budget}; "
                          f"SET LOCAL product_upsert.unknown_fields = {unknown}; "
                          f"SET LOCAL product_upsert.default_table = '{name}'")
        self.session.must("SAVEPOINT fuzz")
        self.all_ways(name, payload, texts if count is not None else None)

    def all_ways(self, name, payload, elements):
        json = jsontext.literal(payload)
        parsed = self.session.run(f"SELECT {json}")
        self.session.must("ROLLBACK TO fuzz")
        if not parsed.ok:
            return
        reference = self.errors_of_fields(name, json)
        outcomes = [self.call(f"SELECT product_upsert('{name}', {json})::text", store, reference) for store in STORES]
        if not check_stores(self.report, self.session, outcomes):
            return
        whole = outcomes[0]
        short = self.call(f"SELECT product_upsert({json})::text", "on", reference)
        if not short.same_as(whole):
            self.report.finding(f"product_upsert(jsonb) differs: {short}, {whole}", self.session.script)
        locked = self.call(f"SELECT product_upsert_lock('{name}', {json})", "on", reference)
        if whole.ok and not locked.ok:
            self.report.finding("product_upsert_lock() refuses what product_upsert() takes", self.session.script,
                                locked)
        self.compare_elements(name, elements, whole, reference)
        self.session.must(f"INSERT INTO {self.FEED} VALUES ({json})")
        loaded = self.call(f"SELECT product_upsert_from('{self.FEED}', '{name}')::text", "on", reference)
        if loaded.ok != whole.ok and STACK_DEPTH not in (loaded.sqlstate, whole.sqlstate):
            self.report.finding(f"product_upsert_from() comes to {loaded}, product_upsert() to {whole}",
                                self.session.script)

    def compare_elements(self, name, elements, whole, reference):
        """The array's result is that of its elements one by one; its error is one that an element gives as well."""
        if not elements:
            return
        json = ", ".join(jsontext.literal(text) for text in elements)
        single = self.call(f"SELECT jsonb_agg(product_upsert('{name}', p) ORDER BY n)::text "
                           f"FROM unnest(ARRAY[{json}]) WITH ORDINALITY AS e (p, n)", "on", reference)
        # Identity and serial columns go on counting.
        if single.ok != whole.ok:
            self.report.finding(f"one by one: {single}; as an array: {whole}", self.session.script)

    def errors_of_fields(self, name, json):
        """SQLSTATEs that jsonb_populate_record() gives for one of the fields."""
        found = self.session.run(
            f"SELECT DISTINCT fuzz.tried(format('SELECT jsonb_populate_record(NULL::{name}, %L)', "
            "jsonb_build_object(f.key, f.value))) "
            f"FROM jsonb_array_elements(CASE jsonb_typeof({json}) WHEN 'array' THEN {json} "
            f"ELSE jsonb_build_array({json}) END) AS e, "
            "jsonb_each(CASE jsonb_typeof(e.value) WHEN 'object' THEN e.value ELSE '{}' END) AS f")
        assert found.ok or found.sqlstate == STACK_DEPTH, found
        self.session.run("ROLLBACK TO fuzz")
        return {row[0] for row in found.rows} if found.ok else {found.sqlstate}

    def call(self, sql, store, reference):
        session = self.session
        session.must(f"SELECT {self.sequences}; SET LOCAL product_upsert.direct_store = {store}")
        outcome = session.run(sql)
        self.report.count(outcome)
        self.report.judge(outcome, session.script, reference | {STACK_DEPTH})
        if outcome.sqlstate != "lost" and "product_upsert_from" not in sql:
            session.must("ROLLBACK TO fuzz")
        return outcome
