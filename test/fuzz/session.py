"""One connection, what a statement came to, and the report of all attempts."""
import collections
import os
import re
import time

import psycopg

OK = "00000"
INTERNAL = "XX000"
STACK_DEPTH = "54001"
CANCELLED = "57014"


class Outcome:
    """What a statement came to: its last result's rows as text, or the error's fields."""

    def __init__(self, rows=None, error=None):
        self.rows = rows
        self.sqlstate, self.message, self.detail, self.file = OK, None, None, None
        if error is not None:
            diag = error.diag
            # An error without an SQLSTATE is the driver's: the connection is gone.
            self.sqlstate = diag.sqlstate or "lost"
            self.message = diag.message_primary or str(error)
            self.detail = diag.message_detail
            self.file = os.path.basename(diag.source_file or "")

    @property
    def ok(self):
        return self.sqlstate == OK

    @property
    def value(self):
        return self.rows[0][0] if self.rows else None

    def same_as(self, other):
        """Whether a caller could not tell one from the other."""
        return (self.rows, self.sqlstate, self.message, self.detail) == \
            (other.rows, other.sqlstate, other.message, other.detail)

    def __str__(self):
        if self.ok:
            return f"success {str(self.rows)[:200]}"
        return f"{self.sqlstate} {str(self.message)[:200]} ({self.file})"


class Session:
    """A connection without a transaction of its own. It keeps what it has sent since the last begin()."""

    def __init__(self, report, setup="", database=None):
        self.report, self.setup = report, setup
        self.conninfo = f"dbname={database}" if database else report.conninfo
        self.script = []
        self.connect()

    def connect(self):
        self.connection = psycopg.connect(self.conninfo, autocommit=True)
        self.connection.adapters.register_loader("jsonb", psycopg.types.string.TextLoader)
        self.pid = self.connection.info.backend_pid
        if self.setup:
            self.connection.execute(self.setup)

    def begin(self, sql):
        self.script = []
        outcome = self.run(sql)
        assert outcome.ok, f"{sql}: {outcome}"

    def run(self, sql):
        """Sends the statements by the simple protocol, as psql does, and returns the outcome of the last."""
        self.script.append(sql)
        rows = None
        try:
            cursor = self.connection.execute(sql)
            while True:
                rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else None
                if not cursor.nextset():
                    return Outcome(rows=rows)
        except psycopg.DataError as error:
            if error.sqlstate is None:
                # The driver cannot read what was stored: the fuzz must not ask for it.
                raise
            return Outcome(error=error)
        except psycopg.Error as error:
            return Outcome(error=error)

    def must(self, sql):
        """Runs what cannot fail, or the fuzz itself is at fault."""
        outcome = self.run(sql)
        if not outcome.ok:
            raise RuntimeError(f"{sql[:500]}: {outcome}")
        return outcome

    def end(self):
        """Rolls back. Returns whether the backend is still the same and answers."""
        outcome = self.run("ROLLBACK; SELECT pg_backend_pid()")
        self.script.pop()
        if outcome.ok and outcome.value == self.pid:
            return True
        self.report.wait_for_server()
        self.connect()
        return False

    def close(self):
        self.connection.close()


def source_files():
    """The names of the extension's files, by which errors tell where they come from."""
    directory = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src")
    return {name for name in os.listdir(directory) if name.endswith(".c")} | {"product_upsert.c"}


class Report:
    """Counts attempts of each part, and prints each finding with all it takes to see it in psql."""

    def __init__(self, seed, documented, conninfo=""):
        self.seed, self.documented, self.conninfo = seed, documented, conninfo
        self.attempts, self.accepted, self.findings = (collections.Counter() for _ in range(3))
        self.rejected = collections.defaultdict(collections.Counter)
        self.part, self.number = None, None
        self.own_files = source_files()

    def count(self, outcome):
        self.attempts[self.part] += 1
        if outcome.ok:
            self.accepted[self.part] += 1
        else:
            self.rejected[self.part][outcome.sqlstate[:2]] += 1

    def finding(self, text, script=(), outcome=None):
        self.findings[self.part] += 1
        print(f"\nFINDING: --seed {self.seed} --part {self.part} --only {self.number}: {text}")
        if outcome is not None:
            print(f"-- outcome: {outcome}")
        for sql in script:
            print(f"{shorten(sql)};")
        print(flush=True)

    def judge(self, outcome, script, also=(), internal_of_reference=None):
        """
        The least that is asked of any outcome: success or an SQLSTATE that the reference lists or that is
        among those given, and never an internal error, unless core itself reports it to the reference statement.
        """
        if outcome.ok:
            return True
        internal = outcome.sqlstate.startswith("XX")
        if outcome.sqlstate in also and not (internal and outcome.file in self.own_files):
            return True
        if outcome.sqlstate == "lost":
            self.finding("the backend is gone", script, outcome)
        elif internal and not (internal_of_reference and internal_of_reference.message == outcome.message):
            self.finding("an internal error", script, outcome)
        elif not internal and outcome.sqlstate not in self.documented:
            self.finding("an SQLSTATE that the reference does not list", script, outcome)
        else:
            return True
        return False

    def wait_for_server(self):
        """After a crash the server comes back by itself."""
        for _ in range(300):
            try:
                psycopg.connect(self.conninfo).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.1)
        raise SystemExit("the server does not come back")

    def table(self):
        lines = [f"{'part':10} {'attempts':>9} {'accepted':>9} {'findings':>9}  rejected, by class of SQLSTATE"]
        for part in self.attempts:
            classes = ", ".join(f"{name}: {n}" for name, n in sorted(self.rejected[part].items()))
            lines.append(f"{part:10} {self.attempts[part]:9} {self.accepted[part]:9} {self.findings[part]:9}  {classes}")
        return "\n".join(lines)


def shorten(sql):
    """A long run of one character is written as what makes it, so that a megabyte need not be printed."""
    return re.sub(r"(.)\1{300,}", lambda m: f"<{m.group(1)} {len(m.group(0))} times>", sql)


def documented_sqlstates(reference):
    """The SQLSTATEs in the reference's table of errors."""
    with open(reference, encoding="utf-8") as file:
        errors = file.read().split("\n## Errors\n")[1].split("\n## ")[0]
    codes = set()
    for line in errors.splitlines():
        if line.startswith("| ") and line.count("|") >= 4:
            codes.update(re.findall(r"`([0-9A-Z]{5})`", line.split("|")[2]))
    assert len(codes) > 20, "the table of errors was not found"
    return codes
