"""A session that lives as long as its server lets it, writes all the time, and gets errors of every kind: what is left
of all that in its memory is what a call leaks."""

import json
import random
import threading
import time

import psycopg

SETUP = """
CREATE TABLE faults.witness (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, brand text, serial text,
    manufacturer text, stock int CHECK (stock >= 0), note text);
CREATE TABLE faults.feed (brand text, serial text, manufacturer text, stock int);
INSERT INTO faults.feed SELECT 'b', i::text, 'm', i FROM generate_series(1, 10) i;
SELECT product_upsert_protect('faults.witness');
"""

# While a session is idle, there is none of what belongs to one call.
CONTEXTS_OF_A_CALL = ("product_upsert call", "product_upsert bulk load", "product_upsert row")

# What serves a statement is gone when it ends, so that the session's own memory is left. The caches of the catalog are
# not counted: they grow with what others do to it.
MEMORY = """
SELECT name, count(*), sum(used_bytes)
  FROM pg_backend_memory_contexts
 WHERE name LIKE 'product_upsert%' OR name LIKE 'CachedPlan%'
    OR name IN ('TopMemoryContext', 'SPI Plan', 'TopTransactionContext', 'TopPortalContext')
 GROUP BY name
"""

# The first calls of a session fill caches; then this many more are made before its memory is looked at again.
WARM_UP = 150
MEASURED = 150

# All that may be left of a session's later operations together, in bytes: less than one allocation for each of them.
ALLOWED_GROWTH = 8192


def product(serial, **fields):
    return {"brand": "b", "serial": str(serial), "manufacturer": "m", **fields}


def call(payload, *more):
    arguments = ", ".join(f"'{json.dumps(argument)}'" for argument in (payload, *more))
    return f"SELECT product_upsert('faults.witness', {arguments})"


def operations(rng):
    """The statements of each kind of operation. They end as they do: with success or with an error."""
    def serial():
        return rng.randint(1, 50)

    many = [product(i, stock=rng.randint(0, 9)) for i in range(1, 51)]
    through_cursor = """DECLARE c CURSOR FOR SELECT product_upsert('faults.witness', jsonb_build_object('brand', 'b',
        'serial', i::text, 'manufacturer', 'm', 'stock', 2 - i)) FROM generate_series(1, 4) i"""
    return {
        "one": [call(product(serial(), stock=rng.randint(0, 9)))],
        "array": [call(many)],
        "check": [call(many[:10] + [product(serial(), stock=-1)])],
        "report": ["SELECT product_upsert('faults.witness', "
                   f"'{json.dumps(many[:10] + [product(serial(), stock=-1)] + many[10:])}', on_error => 'report')"],
        "unknown field": [call(product(serial(), stok=1))],
        "bad value": [call(many[:3] + [product(serial(), stock="many")])],
        "if_match": [call(product(serial(), stock=1), {"stock": -5})],
        "statement_timeout": ["SET statement_timeout = '3ms'", call([product(i, note=str(rng.random()))
                                                                     for i in range(1, 401)])],
        "savepoint": ["BEGIN", call(product(serial(), stock=3)), "SAVEPOINT s", call(product(serial(), stock=-1)),
                      "ROLLBACK TO s", call(product(serial(), stock=4)), "COMMIT"],
        "cursor": ["BEGIN", through_cursor, "FETCH 2 FROM c", "SAVEPOINT s", "FETCH 2 FROM c", "ROLLBACK TO s",
                   "COMMIT"],
        "guard": ["INSERT INTO faults.witness (brand, serial, manufacturer) VALUES ('b', '1', 'm')"],
        "load": ["SELECT * FROM product_upsert_from('faults.feed', 'faults.witness')"],
        "rolled back": ["BEGIN", call(many[:20]), call(product(serial(), stock=7)), "ROLLBACK"],
        "lock": ["SELECT product_upsert_lock('faults.witness', '" + json.dumps(product(serial())) + "')"],
        "merge": ["SELECT * FROM product_upsert_merge_duplicates('faults.witness')"],
    }


class Witness(threading.Thread):
    def __init__(self, dsn, seed):
        super().__init__(daemon=True)
        self.dsn = dsn
        self.rng = random.Random(seed)
        self.ended = threading.Event()
        self.at_rest = threading.RLock()    # whoever has it, it does nothing
        self.connection = None
        self.done = 0           # operations in the life of this session
        self.errors = {}        # how many of each SQLSTATE, in all sessions
        self.baseline = None
        self.failure = None

    def run(self):
        while not self.ended.is_set():
            with self.at_rest:
                self.operate()
            time.sleep(0.002)

    def operate(self):
        """One operation, in a session that may have to be opened first."""
        try:
            if self.connection is None or self.connection.closed:
                self.open()
            kind, statements = self.rng.choice(list(operations(self.rng).items()))
            # By turns, so that what either keeps of a table is in the baseline.
            store = "off" if self.done % 2 else "on"
            self.execute(kind, [f"SET product_upsert.direct_store = {store}", *statements])
            self.done += 1
        except psycopg.OperationalError as error:
            self.count(error)
            if self.connection is not None:
                self.connection.close()
            time.sleep(0.05)

    def open(self):
        self.connection = psycopg.connect(self.dsn, autocommit=True, prepare_threshold=None)
        self.done = 0
        self.baseline = None

    def execute(self, kind, statements):
        try:
            for statement in statements:
                try:
                    self.connection.execute(statement)
                except psycopg.Error as error:
                    self.count(error)
                    if self.connection.closed or kind not in ("savepoint", "cursor"):
                        break
        finally:
            if not self.connection.closed:
                self.reset()

    def reset(self):
        for statement in ("ROLLBACK", "RESET statement_timeout"):
            try:
                self.connection.execute(statement)
            except psycopg.Error as error:
                self.count(error)

    def count(self, error):
        sqlstate = error.sqlstate or "none"
        self.errors[sqlstate] = self.errors.get(sqlstate, 0) + 1

    # -- what is left ------------------------------------------------------------------------------

    def memory(self):
        # An ANALYZE may have had all plans of the table thrown away; which of them were made since is chance.
        for store in ("on", "off"):
            self.execute("plans", [f"SET product_upsert.direct_store = {store}", "BEGIN",
                                   *(call(product(f"new {name}", **{name: value}))
                                     for name in ("note", "stock") for value in (1, 2))])
        self.connection.execute("SELECT 1")
        return {name: (number, int(size)) for name, number, size in self.connection.execute(MEMORY)}

    def check(self):
        """After a round: problems with the memory of the session, and a word on what was seen."""
        with self.at_rest:
            self.repeat(max(0, WARM_UP - self.done))
            if self.baseline is None:
                self.baseline = self.memory()
                self.repeat(MEASURED)
            now = self.memory()
        problems = [f"the idle session has a memory context {name}" for name in CONTEXTS_OF_A_CALL if name in now]
        growth = sum(size for _, size in now.values()) - sum(size for _, size in self.baseline.values())
        if growth > ALLOWED_GROWTH:
            problems.append(f"the memory of the session has grown by {growth} bytes in {self.done - WARM_UP}"
                            f" operations: from {self.baseline} to {now}")
        return problems, growth

    def repeat(self, number):
        goal = self.done + number
        deadline = time.monotonic() + 60
        while self.done < goal:
            if time.monotonic() > deadline:
                raise TimeoutError("the witness makes no progress")
            self.operate()

    def end(self):
        self.ended.set()
        self.join()
        if self.connection is not None:
            self.connection.close()
