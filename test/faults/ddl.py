"""Changes of the schema under load."""

import json
import threading

import psycopg

from fault import Fault, pause

PLAYGROUND = """
CREATE TABLE faults.playground (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, brand text, serial text,
    manufacturer text, stock int);
CREATE INDEX ON faults.playground (serial);
SELECT product_upsert_protect('faults.playground');
"""

GUARDED = """
SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger
 WHERE tgfoid = 'product_upsert_guard'::regproc AND tgparentid = 0
"""


class SchemaChanges(Fault):
    """At random, one after the other. What the checker must not see (a table without its guard, or emptied) is done to
    a table of its own, the playground, which has clients of its own and is only looked through for keys twice."""
    name = "ddl"
    required = ("changes",)
    # A function that was dropped after its name was looked up, an index or a relation likewise.
    tolerated = (r"cache lookup failed for|could not open relation with OID|relation \d+ deleted while still in use"
                 r"|tuple concurrently (updated|deleted)")
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
                while not trial.is_over() or len(trial.seen) < 14:
                    self.change(connection, trial)
                    pause(trial, 0.0, 0.05)
        finally:
            ended.set()
            for player in players:
                player.join()
        self.make_playground_whole(trial)

    # -- what the changes are ----------------------------------------------------------------------

    def change(self, connection, trial):
        """One of the changes; it may fail, as when the load is in its way. Each counts as what it is when it was done."""
        changes = [self.add_column, self.drop_column, self.rename_column, self.retype_column, self.retype_key,
                   self.create_index, self.drop_index, self.reindex, self.vacuum_full, self.cluster, self.detach,
                   self.detach_concurrently, self.truncate, self.protect, self.unprotect_alone, self.merge,
                   self.new_extension]
        chosen = trial.rng.choice(changes)
        table = trial.rng.choice(self.loaded_tables(connection))
        try:
            if chosen(connection, trial, table) is not False:
                trial.seen["changes"] += 1
                trial.seen[chosen.__name__] += 1
        except psycopg.Error as error:
            trial.seen[f"change refused {error.sqlstate}"] += 1
            connection.execute("ROLLBACK")

    def extra_columns(self, connection, table):
        return [name for name, in connection.execute(
            """SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND NOT attisdropped
                AND attname ~ '^extra'""", (table,))]

    def add_column(self, connection, trial, table):
        default = trial.rng.choice(("", "DEFAULT 7", "DEFAULT random()", "NOT NULL DEFAULT 1"))
        connection.execute(f"ALTER TABLE {table} ADD COLUMN extra{trial.rng.randint(1, 3)} float8 {default}")

    def drop_column(self, connection, trial, table):
        return self.on_extra_column(connection, trial, table, "DROP COLUMN {column}")

    def rename_column(self, connection, trial, table):
        return self.on_extra_column(connection, trial, table, f"RENAME COLUMN {{column}} TO extra{trial.rng.randint(4, 6)}")

    def retype_column(self, connection, trial, table):
        of_type = trial.rng.choice(("float8", "numeric", "text"))
        return self.on_extra_column(connection, trial, table,
                                    f"ALTER COLUMN {{column}} DROP DEFAULT, ALTER COLUMN {{column}} TYPE {of_type}"
                                    f" USING {{column}}::text::{of_type}")

    def on_extra_column(self, connection, trial, table, change):
        columns = self.extra_columns(connection, table)
        if not columns:
            return False
        connection.execute(f"ALTER TABLE {table} {change.format(column=trial.rng.choice(columns))}")
        return True

    def retype_key(self, connection, trial, table):
        """A type that compares as the other does: so equal keys stay equal, and their hashes need not."""
        of_type = trial.rng.choice(("text", "varchar", "varchar(200)", 'text COLLATE "C"'))
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
        """A partition that no row belongs in; where there is a default one, PostgreSQL refuses."""
        if self.kind(connection, table) != "p":
            return False
        # Only a list has room for one more partition.
        connection.execute("CREATE TABLE IF NOT EXISTS spare (LIKE {} INCLUDING DEFAULTS)".format(table))
        connection.execute(f"ALTER TABLE {table} ATTACH PARTITION spare FOR VALUES IN (99)")
        try:
            connection.execute(f"ALTER TABLE {table} DETACH PARTITION spare CONCURRENTLY")
        except psycopg.Error:
            connection.execute("ROLLBACK")
            self.finish_detaching(connection, table)
            raise
        finally:
            connection.execute("DROP TABLE IF EXISTS spare")
        return True

    def finish_detaching(self, connection, table):
        half = connection.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = %s::regclass "
                                  "AND inhdetachpending", (table,)).fetchone()[0]
        how = "FINALIZE" if half else ""
        connection.execute("SET lock_timeout = '20s'")
        connection.execute(f"ALTER TABLE {table} DETACH PARTITION spare {how}")
        connection.execute("RESET lock_timeout")

    def protect(self, connection, trial, table):
        """Without a moment in which the table is not protected."""
        if table not in [name for name, in connection.execute(GUARDED)]:
            return False
        with connection.transaction():
            connection.execute("SELECT product_upsert_unprotect(%s)", (table,))
            connection.execute("SELECT product_upsert_protect(%s)", (table,))
        return True

    def new_extension(self, connection, trial, table):
        """With all tables protected again before anybody can look."""
        tables = [name for name, in connection.execute(GUARDED)]
        with connection.transaction():
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
        with self.server.connect("player") as connection:
            while not ended.wait(0.005):
                payload = {"brand": "b", "serial": str(ended.is_set() + number * 7 % 5), "manufacturer": "m",
                           "stock": number}
                payload["serial"] = str(trial.rng.randint(1, 40))
                try:
                    connection.execute("SELECT product_upsert('faults.playground', %s)", (json.dumps(payload),))
                    trial.seen["played"] += 1
                except psycopg.Error as error:
                    trial.seen[f"played {error.sqlstate}"] += 1

    def make_playground_whole(self, trial):
        """Protected, and its duplicates merged: from here on there must be none."""
        with self.server.connect() as connection:
            connection.execute("SELECT product_upsert_protect('faults.playground')")
            connection.execute("SELECT * FROM product_upsert_merge_duplicates('faults.playground')")
