"""A client that records each statement before it sends it, and what came of it.

What an error tells: with the connection still there, the statement was certainly not done. With the connection lost,
a COMMIT, or a statement that is a transaction of its own, may have been done: that is unknown.
"""
import json
import random
import time
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

# What a statement may be refused with while others compete for the same keys, and while faults are injected. The
# workload reports every other SQLSTATE.
EXPECTED = {
    "40001": "serialization failure",
    "40P01": "deadlock: transactions that take keys in different orders, or a row before its key",
    "55P03": "lock_timeout, or too many waiters",
    "57014": "cancelled, or statement_timeout",
    "57P01": "the backend was terminated",
    "57P02": "the server crashed",
    "57P03": "the server starts up or shuts down",
    "25P03": "idle_in_transaction_session_timeout",
    "53100": "disk full",
    "53200": "out of memory, of room for locks, or of prepared transactions",
    "53300": "too many connections",
    "58030": "input/output error",
}
# What only some kinds of statements may be refused with.
EXPECTED_OF = {
    "insert": {"23505"},
    "copy": {"23505"},
    "upsert": {"PT412"},
    "fetch": {"22P02", "23505"},
}
ISOLATIONS = ("read committed", "repeatable read", "serializable")
LONGEST_OUTAGE = 120        # seconds without a connection, after which a client gives up
LONGEST_PAUSE = 0.5         # seconds between two attempts to connect


class StatementFailed(Exception):
    """The server has refused a statement; the connection is good."""


class ConnectionLost(Exception):
    """The connection is gone."""


class GivenUp(Exception):
    """No connection was to be had."""


@dataclass
class Prepared:
    """A transaction that was prepared, or may have been."""
    transaction: str
    decision: str           # commit or rollback
    operation: int = 0
    step: int = 0           # the last that was recorded
    sent: bool = False      # has the second phase been tried?


class Client:
    """One connection at a time, and the file that has its history."""

    def __init__(self, options, number):
        self.options = options
        self.number = number
        self.random = random.Random(f"{options.seed}-{number}")
        path = options.directory / f"client-{number:02d}.ndjson"
        self.operation = last_operation(path)
        self.step = 0
        # Buffered by the line: what was sent is in the file even if this process is killed.
        self.file = open(path, "a", buffering=1, encoding="utf-8")
        self.connection = None
        self.isolation = ISOLATIONS[0]
        self.transaction = None
        self.prepared = {}      # by gid, until it is known what became of it
        self.unexpected = {}    # SQLSTATE -> the first message

    # -- connections -------------------------------------------------------------------------------

    def connect(self):
        """Connects, however long the server is away within reason."""
        self.transaction = None
        begin, pause = time.monotonic(), 0.01
        while True:
            try:
                self.connection = psycopg.connect(self.options.dsn, autocommit=True)
                self.connection.add_notice_handler(self._notice)
                self.choose_isolation()
                return
            except psycopg.Error as error:
                if time.monotonic() - begin > LONGEST_OUTAGE:
                    raise GivenUp(str(error)) from error
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    @property
    def connected(self):
        return self.connection is not None and not self.connection.closed and not self.connection.broken

    def choose_isolation(self):
        chosen = self.options.isolation
        if chosen == "mixed":
            chosen = self.random.choice(ISOLATIONS)
        self.isolation = chosen.replace("-", " ")
        self.connection.execute(f"SET default_transaction_isolation = '{self.isolation}'")

    def _notice(self, diagnostic):
        # The transaction was committed here, but the standby may not have it: after a promotion it may be gone.
        if "synchronous replication" in (diagnostic.message_primary or ""):
            self.replication_in_doubt = True

    # -- statements --------------------------------------------------------------------------------

    def record(self, event, **details):
        details = {"event": event, "at": time.monotonic_ns(), "client": self.number, **details}
        self.file.write(json.dumps(details) + "\n")

    def begin_operation(self):
        self.operation += 1
        self.step = 0

    def new_version(self, element=0):
        """A value that no other write has: client, operation, step, element."""
        return f"{self.number}-{self.operation}-{self.step + 1}-{element}"

    def execute(self, kind, statement, parameters=None, read=None, copy=None, **details):
        """Runs one statement, recorded. Returns what read() makes of its cursor; with copy, sends those rows."""
        self.step += 1
        place = {"operation": self.operation, "step": self.step}
        self.replication_in_doubt = False
        self.record("send", **place, kind=kind, transaction=self.transaction, isolation=self.isolation, **details)
        try:
            result = self._run(statement, parameters, read, copy)
        except psycopg.Error as error:
            self._record_error(kind, error, place)
        else:
            if self.replication_in_doubt:
                self.record("answer", **place, outcome="unknown", note="not confirmed by the standby")
            elif kind in ("commit", "prepare") and result == "ROLLBACK":
                self.record("answer", **place, outcome="failed", sqlstate="25P02")
                raise StatementFailed("25P02")
            else:
                self.record("answer", **place, outcome="ok", result=result)
            return result

    def _run(self, statement, parameters, read, copy):
        with self.connection.cursor() as cursor:
            if copy is not None:
                with cursor.copy(statement) as sink:
                    for row in copy:
                        sink.write_row(row)
                return cursor.rowcount
            cursor.execute(statement, parameters)
            return read(cursor) if read else cursor.statusmessage

    def _record_error(self, kind, error, place):
        sqlstate = error.sqlstate
        if self.connected:
            self.record("answer", **place, outcome="failed", sqlstate=sqlstate)
        elif self.transaction is None or kind in ("commit", "prepare", "commit_prepared", "rollback_prepared"):
            self.record("answer", **place, outcome="unknown", sqlstate=sqlstate)
        else:
            self.record("answer", **place, outcome="failed", sqlstate=sqlstate or "08006")
        self.judge(kind, sqlstate, error)
        if self.connected:
            raise StatementFailed(sqlstate) from error
        raise ConnectionLost from error

    def judge(self, kind, sqlstate, error):
        """Remembers an error that nothing explains."""
        if sqlstate is None and not self.connected or (sqlstate or "").startswith("08"):
            return
        if sqlstate in EXPECTED or sqlstate in EXPECTED_OF.get(kind, ()) or sqlstate in self.options.expect:
            return
        self.unexpected.setdefault(str(sqlstate), f"{self.number}-{self.operation}-{self.step} {kind}: {error}")

    # -- transactions ------------------------------------------------------------------------------

    @contextmanager
    def in_transaction(self):
        """A transaction of several statements; most are committed. An error that comes out of it rolls it back."""
        self.transaction = f"{self.number}-{self.operation}"
        self.execute("begin", f"BEGIN ISOLATION LEVEL {self.isolation}")
        try:
            yield
            self._end()
        except StatementFailed:
            if self.connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                self.execute("rollback", "ROLLBACK")
            raise
        finally:
            self.transaction = None

    def _end(self):
        if self.options.two_phase and self.random.random() < 0.3:
            self._end_in_two_phases()
        elif self.random.random() < 0.07:
            self.execute("rollback", "ROLLBACK")
        else:
            self.execute("commit", "COMMIT")

    def _end_in_two_phases(self):
        gid = f"history-{self.transaction}"
        decision = "rollback" if self.random.random() < 0.15 else "commit"
        self.prepared[gid] = prepared = Prepared(self.transaction, decision)
        try:
            self.execute("prepare", f"PREPARE TRANSACTION '{gid}'", gid=gid)
        except StatementFailed:
            del self.prepared[gid]
            raise
        finally:
            prepared.operation, prepared.step = self.operation, self.step
        self._finish(gid)

    def _finish(self, gid):
        """Nobody else does: so if it is gone after it was sent, it was done."""
        prepared = self.prepared[gid]
        self.transaction = prepared.transaction
        self.operation, self.step = prepared.operation, prepared.step
        try:
            self.execute(f"{prepared.decision}_prepared", f"{prepared.decision.upper()} PREPARED '{gid}'", gid=gid)
            del self.prepared[gid]
        finally:
            prepared.sent, prepared.step = True, self.step
            self.transaction = None

    def finish_prepared(self):
        """Finishes what was prepared, or may have been, before a connection was lost or a statement failed."""
        here = self.operation, self.step
        for gid, prepared in list(self.prepared.items()):
            there = self.connection.execute("SELECT 1 FROM pg_prepared_xacts WHERE gid = %s", (gid,)).fetchone()
            try:
                if there:
                    self._finish(gid)
                elif prepared.sent:
                    self._record_finished(gid)
            except StatementFailed:
                pass    # the next attempt is before the next operation
            finally:
                self.operation, self.step = here

    def _record_finished(self, gid):
        """It was sent, the answer was lost, and the prepared transaction is gone: so it was done."""
        prepared = self.prepared.pop(gid)
        place = {"operation": prepared.operation, "step": prepared.step + 1}
        self.record("send", **place, kind=f"{prepared.decision}_prepared", transaction=prepared.transaction,
                    isolation=self.isolation, gid=gid)
        self.record("answer", **place, outcome="ok", result="it is gone")


def last_operation(path):
    """The number of the last operation in a file that is gone on with."""
    last = 0
    if path.exists():
        with open(path, encoding="utf-8") as file:
            for line in file:
                try:
                    last = max(last, json.loads(line)["operation"])
                except (json.JSONDecodeError, KeyError):
                    continue
    return last
