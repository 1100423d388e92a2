"""Faults that take the server down: a backend that is killed, an immediate stop, and what is prepared over it."""

import json
import signal
import threading

import psycopg

from fault import Fault, pause
from server import wait_for


class KilledBackend(Fault):
    name = "kill"
    required = ("killed",)
    injected = r"terminated by signal 9"

    def inject(self, trial):
        while not trial.is_over():
            pause(trial, 0.8, 1.5)
            with self.server.connect() as connection:
                pid, _ = self.choose_client(connection, trial)
                if not self.server.signal_backend(pid, signal.SIGKILL):
                    continue
            self.wait_for_log(trial, f"(PID {pid}) was terminated by signal 9")
            self.server.wait_until_ready()
            trial.seen["killed"] += 1


class ImmediateStop(Fault):
    name = "crash"
    required = ("crashed",)

    def inject(self, trial):
        while not trial.is_over():
            pause(trial, 0.8, 1.5)
            self.crash(trial)

    def crash(self, trial):
        self.server.stop("immediate")
        self.server.start()
        self.wait_for_log(trial, "automatic recovery in progress")
        self.server.wait_until_ready()
        trial.seen["crashed"] += 1


class PreparedTransaction(ImmediateStop):
    """What is prepared outlives the crash with its keys: who wants one of them waits until it is decided."""
    name = "prepared"
    workload_options = ("--two-phase",)
    required = ("crashed", "committed", "rolled back")

    def set_up(self):
        super().set_up()
        with self.server.connect() as connection:
            connection.execute("CREATE TABLE faults.prepared (brand text, serial text, manufacturer text, stock int)")
            connection.execute("SELECT product_upsert_protect('faults.prepared')")

    def inject(self, trial):
        stock = 0
        while not trial.is_over() or stock < 4:
            stock += 2
            decision = ("COMMIT", "ROLLBACK")[stock // 2 % 2]
            serial = f"{trial.number}-{stock}"
            self.prepare(serial, stock)
            pause(trial, 0.2, 0.8)
            self.crash(trial)
            trial.problems += self.decide(serial, stock, decision)
            trial.seen["committed" if decision == "COMMIT" else "rolled back"] += 1

    def prepare(self, serial, stock):
        with self.server.connect() as connection:
            connection.execute("BEGIN")
            connection.execute(self.call(serial, stock))
            connection.execute(f"PREPARE TRANSACTION 'faults {serial}'")

    def decide(self, serial, stock, decision):
        """Ends the transaction under the eyes of a session that waits for its key; returns what was wrong with that."""
        problems = []
        answers = []
        with self.server.connect() as connection, self.server.connect("waiter") as waiting:
            holders = connection.execute("SELECT granted FROM product_upsert_locks WHERE prepared_transaction = %s",
                                         (f"faults {serial}",)).fetchall()
            if holders != [(True,)]:
                problems.append(f"the prepared transaction has its key as {holders}")
            waiter = threading.Thread(target=lambda: answers.append(self.answer(waiting, serial, stock + 1)))
            waiter.start()
            pid = waiting.info.backend_pid
            wait_for("the other call to wait", lambda: answers or connection.execute(
                "SELECT count(*) > 0 FROM product_upsert_locks WHERE NOT granted AND pid = %s", (pid,)).fetchone()[0])
            if answers:
                problems.append(f"a call did not wait for the prepared transaction: {answers[0]}")
            connection.execute(f"{decision} PREPARED 'faults {serial}'")
            waiter.join()
        expected = ("updated", {"stock": stock}) if decision == "COMMIT" else ("created", None)
        if answers != [expected]:
            problems.append(f"after {decision} PREPARED the other call returned {answers}, not {expected}")
        return problems

    def answer(self, connection, serial, stock):
        try:
            result = connection.execute(self.call(serial, stock)).fetchone()[0]
            return result["action"], result.get("previous")
        except psycopg.Error as error:
            return "failed", str(error)

    def call(self, serial, stock):
        payload = {"brand": "b", "serial": serial, "manufacturer": "m", "stock": stock}
        return f"SELECT product_upsert('faults.prepared', '{json.dumps(payload)}')"
