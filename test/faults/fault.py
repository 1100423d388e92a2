"""What all faults have in common: a server, what its clients are told, and when a round has hit."""

import os
import time
from collections import Counter

from server import Server, wait_for

SETUP = """
CREATE EXTENSION IF NOT EXISTS amcheck;
CREATE EXTENSION IF NOT EXISTS product_upsert;
CREATE SCHEMA faults;
"""

LOADED_TABLES = """
SELECT c.oid::regclass::text FROM pg_class c
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace <> 'faults'::regnamespace
   AND 3 = (SELECT count(*) FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attname IN ('brand', 'serial', 'manufacturer') AND NOT a.attisdropped)
 ORDER BY 1
"""

BUSY_CLIENTS = """
SELECT pid, application_name FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND application_name IN ('history', 'witness')
   AND state = 'active' AND query ~ 'product_upsert'
 ORDER BY pid
"""


class Skipped(Exception):
    """The fault cannot be had here; why is its text."""


class Fault:
    name = ""
    settings = {}               # of the server
    client_options = ""         # what the load's sessions are started with
    workload_options = ()
    required = ()               # what a round must have hit, each of it at least once: SQLSTATEs, or names of its own
    injected = None             # lines of the log that are the fault itself
    tolerated = None            # errors of class XX that PostgreSQL itself raises then

    def __init__(self, directory, disks):
        self.directory = os.path.join(directory, self.name)
        self.disks = disks      # directories that are small file systems, by name
        self.server = Server(self.directory)

    # -- once --------------------------------------------------------------------------------------

    def set_up(self):
        self.create_server()
        self.server.start()
        with self.server.connect() as connection:
            connection.execute(SETUP)

    def create_server(self):
        self.server.create(self.settings)

    def servers(self):
        return [self.server]

    def tear_down(self):
        for server in self.servers():
            server.stop("immediate")

    def dsn(self, application):
        return self.server.dsn(application, self.client_options)

    # -- each round --------------------------------------------------------------------------------

    def isolation(self, trial):
        return "mixed"

    def before(self, trial):
        """Before the load begins."""

    def inject(self, trial):
        """While the load runs, until the trial is over."""
        raise NotImplementedError

    def after(self, trial):
        """After the load: puts right what the fault has left."""

    def hits(self, trial):
        """What the fault has done to the load's clients, counted."""
        return self.errors_of("history", trial) + Counter(trial.seen)

    def errors_of(self, application, trial):
        found = Counter()
        for server, position in trial.log_positions.items():
            found.update(entry.sqlstate for entry in server.log_entries(position)
                         if entry.application == application and entry.level in ("ERROR", "FATAL", "PANIC"))
        return found

    # -- what injectors share ----------------------------------------------------------------------

    def loaded_tables(self, connection):
        return [table for table, in connection.execute(LOADED_TABLES)]

    def choose_client(self, connection, trial, applications=("history",)):
        """A session that is in a call just now: its process and its application; waits until there is one."""
        def busy():
            return [row for row in connection.execute(BUSY_CLIENTS) if row[1] in applications]
        return trial.rng.choice(wait_for("a client that is in a call", busy))

    def wait_for_log(self, trial, text, timeout=20):
        """Waits until the log has one line more with the text than the trial has seen yet."""
        def count():
            return self.server.log_text(trial.log_positions[self.server]).count(text)
        wait_for(f'"{text}" in the log', lambda: count() > trial.seen_in_log[text], timeout)
        trial.seen_in_log[text] = count()


def pause(trial, least, most):
    time.sleep(trial.rng.uniform(least, most))
