"""Changes of the schema under load."""

import json
import random
import threading

import psycopg

from fault import Fault, pause

PLAYGROUND = """
CREATE TABLE faults.playground (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, brand text, serial text,
    manufacturer text, stock int);
CREATE TABLE faults.shelves (brand text, serial text, manufacturer text, stock int, shelf int DEFAULT 0)
    PARTITION BY LIST (shelf);
CREATE TABLE faults.shelf_0 PARTITION OF faults.shelves FOR VALUES IN (0);
CREATE TABLE faults.shelf_1 PARTITION OF faults.shelves FOR VALUES IN (1);
CREATE TABLE faults.spare (LIKE faults.shelves INCLUDING DEFAULTS);
CREATE INDEX ON faults.playground (serial);
CREATE INDEX ON faults.shelves (serial);
SELECT product_upsert_protect('faults.playground');
SELECT product_upsert_protect('faults.shelves');
"""

GUARDED = """
SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger
 WHERE tgfoid = 'product_upsert_guard'::regproc AND tgparentid = 0
"""


class SchemaChanges(Fault):
    """One after the other, all of them in an order of chance. What the checker must not see (a table without its guard,
    or emptied) is done to a table of its own, the playground, which has clients of its own and is only looked through
    for keys twice. So it is with partitions that are detached concurrently: they go where there is no default one.

    To a snapshot that is older than a change which rewrites a table, PostgreSQL shows that table as empty. So there are
    such changes only in rounds at READ COMMITTED."""
    name = "ddl"
    required = ("changes",)
    # A function that was dropped after its name was looked up, an index or a relation likewise. And what REINDEX
    # CONCURRENTLY has left unfinished, as it was the victim of a deadlock, the next one warns of.
    tolerated = (r"cache lookup failed for|could not open relation with OID|relation \d+ deleted while still in use"
                 r"|tuple concurrently (updated|deleted)|cannot reindex invalid index")
    workload_options = ("--expect", "42883", "42P01", "42703", "0A000", "55000", "42704", "XX000", "55006", "23514")

    def set_up(self):
        super().set_up()
        with self.server.connect() as connection:
            connection.execute(PLAYGROUND)

    def inject(self, trial):
        ended = threading.Event()
        players = [threading.Thread(target=self.play, args=(trial, ended, number)) for number in range(3)]
        for player in players:
            player.start()
        try:
            with self.server.connect("changes", "-c lock_timeout=2000 -c deadlock_timeout=20") as connection:
                for change in self.changes(trial):
                    self.change(connection, trial, change)
                    pause(trial, 0.0, 0.05)
        finally:
            ended.set()
            for player in players:
                player.join()
        self.make_playground_whole(trial)

    # -- what the changes are ----------------------------------------------------------------------

    def isolation(self, trial):
        return "read-committed" if trial.number // 2 % 2 else "mixed"

    def rewrites(self, trial):
        return self.isolation(trial) == "read-committed"

    def changes(self, trial):
        """All changes, and all again, until the trial is over."""
        while not trial.is_over():
            changes = [self.add_column, self.drop_column, self.rename_column, self.retype_key, self.create_index,
                       self.drop_index, self.reindex, self.vacuum_full, self.cluster, self.detach,
                       self.detach_concurrently, self.truncate, self.protect, self.unprotect_alone, self.merge,
                       self.new_extension]
            if self.rewrites(trial):
                changes.append(self.retype_column)
            trial.rng.shuffle(changes)
            yield from changes

    def change(self, connection, trial, chosen):
        """It may fail, as when the load is in its way. It counts when it was done."""
        table = trial.rng.choice(self.loaded_tables(connection))
        try:
            if chosen(connection, trial, table) is not False:
                trial.seen["changes"] += 1
                trial.seen[chosen.__name__] += 1
        except psycopg.Error as error:
            trial.seen[f"{chosen.__name__} {error.sqlstate}"] += 1
            connection.execute("ROLLBACK")

    def extra_columns(self, connection, table):
        return [name for name, in connection.execute(
            """SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND NOT attisdropped
                AND attname ~ '^extra'""", (table,))]

    def add_column(self, connection, trial, table):
        defaults = ["", "DEFAULT 7", "NOT NULL DEFAULT 1"] + ["DEFAULT random()"] * self.rewrites(trial)
        default = trial.rng.choice(defaults)
        connection.execute(f"ALTER TABLE {table} ADD COLUMN extra{trial.rng.randint(1, 3)} float8 {default}")

    def drop_column(self, connection, trial, table):
        return self.on_extra_column(connection, trial, table, "DROP COLUMN {column}")

    def rename_column(self, connection, trial, table):
        name = f"extra{trial.rng.randint(4, 6)}"
        return self.on_extra_column(connection, trial, table, f"RENAME COLUMN {{column}} TO {name}")

    def retype_column(self, connection, trial, table):
        of_type = trial.rng.choice(("float8", "numeric", "text"))
        return self.on_extra_column(connection, trial, table,
                                    f"ALTER COLUMN {{column}} DROP DEFAULT, ALTER COLUMN {{column}} DROP NOT NULL,"
                                    f" ALTER COLUMN {{column}} TYPE {of_type}"
                                    f" USING {{column}}::text::{of_type}")

    def on_extra_column(self, connection, trial, table, change):
        columns = self.extra_columns(connection, table)
        if not columns:
            return False
        connection.execute(f"ALTER TABLE {table} {change.format(column=trial.rng.choice(columns))}")
        return True

    def retype_key(self, connection, trial, table):
        """A type that compares as the other does: so equal keys stay equal, and their hashes need not."""
        of_type = trial.rng.choice(["text", "varchar", 'text COLLATE "C"'] + ["varchar(200)"] * self.rewrites(trial))
        connection.execute(f"ALTER TABLE {table} ALTER COLUMN serial TYPE {of_type}")

    def create_index(self, connection, trial, table):
        if self.kind(connection, table) == "p":
            return False
        columns = trial.rng.choice(("serial", "brand, serial, manufacturer", "manufacturer, serial"))
        connection.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {table}_more{trial.rng.randint(1, 3)} "
                           f"ON {table} ({columns})")
        return True

    def drop_index(self, connection, trial, table):
        if self.kind(connection, table) == "p":
            return False
        connection.execute(f"DROP INDEX CONCURRENTLY {table}_more{trial.rng.randint(1, 3)}")
        return True

    def reindex(self, connection, trial, table):
        connection.execute(f"REINDEX TABLE CONCURRENTLY {table}")

    def vacuum_full(self, connection, trial, table):
        connection.execute(f"VACUUM FULL {table}")

    def cluster(self, connection, trial, table):
        if self.kind(connection, table) == "p":
            return False
        index = connection.execute("SELECT min(indexrelid::regclass::text) FROM pg_index WHERE indrelid = %s::regclass "
                                   "AND indisvalid", (table,)).fetchone()[0]
        if not index:
            return False
        connection.execute(f"CLUSTER {table} USING {index}")
        return True

    def kind(self, connection, table):
        return connection.execute("SELECT relkind FROM pg_class WHERE oid = %s::regclass", (table,)).fetchone()[0]

    def detach(self, connection, trial, table):
        """In one transaction with its return, as the rows would else be missing."""
        partitions = connection.execute(
            """SELECT c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i
                 JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = %s::regclass
                ORDER BY 1""", (table,)).fetchall()
        if not partitions:
            return False
        partition, bound = trial.rng.choice(partitions)
        with connection.transaction():
            connection.execute(f"ALTER TABLE {table} DETACH PARTITION {partition}")
            connection.execute(f"ALTER TABLE {table} ATTACH PARTITION {partition} {bound}")
        return True

    def detach_concurrently(self, connection, trial, table):
        """A partition that no row belongs in."""
        connection.execute("ALTER TABLE faults.shelves ATTACH PARTITION faults.spare FOR VALUES IN (2)")
        try:
            connection.execute("ALTER TABLE faults.shelves DETACH PARTITION faults.spare CONCURRENTLY")
        except psycopg.Error:
            connection.execute("SET lock_timeout = '20s'")
            self.finish_detaching(connection)
            connection.execute("RESET lock_timeout")
            raise

    def finish_detaching(self, connection):
        half = connection.execute("SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = 'faults.spare'::regclass")
        for pending, in half.fetchall():
            connection.execute(f"ALTER TABLE faults.shelves DETACH PARTITION faults.spare {'FINALIZE' * pending}")

    def protect(self, connection, trial, table):
        """Without a moment in which the table is not protected."""
        if table not in [name for name, in connection.execute(GUARDED)]:
            return False
        with connection.transaction():
            connection.execute("SELECT product_upsert_unprotect(%s)", (table,))
            connection.execute("SELECT product_upsert_protect(%s)", (table,))
        return True

    def new_extension(self, connection, trial, table):
        """
        With all tables protected again before anybody can look. The tables first: else DROP EXTENSION locks an index
        before its table, and who writes to the table waits for the index.
        """
        tables = sorted(name for name, in connection.execute(GUARDED))
        with connection.transaction():
            connection.execute(f"LOCK TABLE {', '.join(tables)}")
            connection.execute("DROP EXTENSION product_upsert CASCADE")
            connection.execute("CREATE EXTENSION product_upsert")
            for name in tables:
                connection.execute("SELECT product_upsert_protect(%s)", (name,))

    # -- the playground ----------------------------------------------------------------------------

    def truncate(self, connection, trial, table):
        connection.execute("TRUNCATE faults.playground")

    def unprotect_alone(self, connection, trial, table):
        """Without its guard there are plain duplicates before long; merging undoes them."""
        connection.execute("SELECT product_upsert_unprotect('faults.playground')")
        connection.execute("""INSERT INTO faults.playground (brand, serial, manufacturer, stock)
                              SELECT brand, serial, manufacturer, 0 FROM faults.playground LIMIT 20""")
        connection.execute("SELECT product_upsert_protect('faults.playground')")

    def merge(self, connection, trial, table):
        merged = trial.rng.choice(("faults.playground", table))
        connection.execute("SELECT * FROM product_upsert_merge_duplicates(%s)", (merged,))

    def play(self, trial, ended, number):
        """A client of the playground, whose answers nobody checks."""
        rng = random.Random(f"{trial.seed}-{number}")
        with self.server.connect("player") as connection:
            while not ended.wait(0.005):
                table = rng.choice(("faults.playground", "faults.shelves"))
                payload = {"brand": "b", "serial": str(rng.randint(1, 40)), "manufacturer": "m",
                           "stock": rng.randint(1, 9)}
                try:
                    connection.execute("SELECT product_upsert(%s, %s)", (table, json.dumps(payload)))
                    trial.seen["played"] += 1
                except psycopg.Error as error:
                    trial.seen[f"played {error.sqlstate}"] += 1

    def make_playground_whole(self, trial):
        """Protected, and its duplicates merged: from here on there must be none."""
        with self.server.connect() as connection:
            connection.execute("SELECT product_upsert_protect('faults.playground')")
            connection.execute("SELECT * FROM product_upsert_merge_duplicates('faults.playground')")
