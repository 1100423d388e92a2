"""Faults that end statements and sessions: cancelled, terminated, out of time."""

import psycopg

from fault import Fault, pause


class Interrupted(Fault):
    """Cancelled and terminated at random. The witness is only cancelled: its memory is to be looked at."""
    name = "interrupt"
    required = ("57014", "57P01")

    def inject(self, trial):
        with self.server.connect() as connection:
            while not trial.is_over():
                pid, application = self.choose_client(connection, trial, ("history", "witness"))
                terminate = application == "history" and trial.rng.random() < 0.4
                function = "pg_terminate_backend" if terminate else "pg_cancel_backend"
                connection.execute(f"SELECT {function}(%s)", (pid,))
                pause(trial, 0.005, 0.04)


class Timeouts(Fault):
    """Sessions that may wait for a moment only, and moments that are longer: a backend or the clients' machine stands
    still, a table is locked."""
    name = "timeouts"
    client_options = (r"-c statement_timeout=100 -c lock_timeout=60 -c idle_in_transaction_session_timeout=50")
    required = ("57014", "55P03", "25P03")

    def inject(self, trial):
        with self.server.connect() as connection:
            while not trial.is_over():
                trial.rng.choice((self.stall_backend, self.stall_clients, self.lock_table))(connection, trial)
                pause(trial, 0.02, 0.15)

    def stall_backend(self, connection, trial):
        pid, _ = self.choose_client(connection, trial)
        self.server.stall_backend(pid, trial.rng.uniform(0.07, 0.15))

    def stall_clients(self, connection, trial):
        trial.load.stall(trial.rng.uniform(0.07, 0.15))

    def lock_table(self, connection, trial):
        table = trial.rng.choice(self.loaded_tables(connection))
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = '200ms'")
                connection.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
                pause(trial, 0.07, 0.15)
        except psycopg.errors.LockNotAvailable:
            pass
