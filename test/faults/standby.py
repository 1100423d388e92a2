"""A synchronous standby takes over under load: whatever was acknowledged is there."""

import threading

import psycopg

from fault import Fault, pause
from server import Server, USER, DATABASE, wait_for

READ_ONLY_CALL = """SELECT product_upsert('faults.standby', '{"brand": "b", "serial": "s", "manufacturer": "m"}')"""


class Promotion(Fault):
    name = "standby"
    required = ("25006", "promoted")
    settings = {"wal_keep_size": "64MB", "hot_standby": "on"}

    def __init__(self, directory, disks):
        super().__init__(directory, disks)
        self.other = Server(self.directory, "standby")

    def servers(self):
        return [self.server, self.other]

    def set_up(self):
        super().set_up()
        with self.server.connect() as connection:
            connection.execute("CREATE TABLE faults.standby (brand text, serial text, manufacturer text)")

    def dsn(self, application):
        """Both servers, whichever takes writes."""
        hosts = ",".join(server.socket for server in sorted(self.servers(), key=lambda server: server.name))
        return (f"host={hosts} dbname={DATABASE} user={USER} application_name={application} connect_timeout=10 "
                f"target_session_attrs=read-write")

    def before(self, trial):
        """A new standby of what is the primary now."""
        self.other.stop("immediate")
        self.other.copy_from(self.server, {"synchronous_standby_names": "''"})
        self.other.start()
        self.server.configure({"synchronous_standby_names": "'*'"})
        with self.server.connect() as connection:
            connection.execute("SELECT pg_reload_conf()")
            wait_for("the standby to be synchronous", lambda: connection.execute(
                "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'").fetchone()[0])

    def inject(self, trial):
        ended = threading.Event()
        reader = threading.Thread(target=self.call_standby, args=(trial, ended))
        reader.start()
        pause(trial, 0.4 * trial.seconds, 0.6 * trial.seconds)
        ended.set()
        reader.join()
        self.server.stop("immediate")
        self.other.promote()
        self.server, self.other = self.other, self.server
        self.server.wait_until_ready()
        trial.seen["promoted"] += 1
        trial.wait_until_over()

    def call_standby(self, trial, ended):
        """Calls on the standby are refused, and nothing else."""
        with self.other.connect("reader") as connection:
            while not ended.wait(0.02):
                try:
                    connection.execute(READ_ONLY_CALL)
                    trial.problems.append("a call on the standby was not refused")
                except psycopg.errors.ReadOnlySqlTransaction:
                    trial.seen["25006"] += 1
                except psycopg.Error as error:
                    trial.problems.append(f"a call on the standby: {error.sqlstate} {error}")
