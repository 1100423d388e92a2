"""A PostgreSQL server of our own: started, crashed, looked after; and what its log says."""

import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass

import psycopg

DATABASE = "postgres"
USER = "postgres"

DEFAULTS = {
    "listen_addresses": "''",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "60",
    "max_prepared_transactions": "40",
    "shared_buffers": "32MB",
    "max_wal_size": "128MB",
    "deadlock_timeout": "100ms",
    "log_line_prefix": "'%m %p %e %a|'",
    "log_checkpoints": "off",
    "log_min_error_statement": "error",
    "restart_after_crash": "on",
}

LOG_LINE = re.compile(r"^\d+-\d+-\d+ \S+ \S+ (?P<pid>\d+) (?P<sqlstate>\w{5}) (?P<application>.*?)\|"
                      r"(?P<level>[A-Z]+):  (?P<text>.*)")
TIMEOUT = 60


@dataclass
class LogEntry:
    pid: str
    sqlstate: str
    application: str
    level: str
    text: str


class ServerIsDown(Exception):
    pass


def wait_for(what, condition, timeout=TIMEOUT):
    """Waits until the condition holds, and returns what it returns."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout} s for {what}")
        time.sleep(0.02)


class Server:
    def __init__(self, directory, name="primary"):
        self.base = os.path.join(directory, name)
        self.name = name
        self.data = os.path.join(self.base, "data")
        self.socket = os.path.join(self.base, "s")
        self.log = os.path.join(self.base, "log")
        os.makedirs(self.socket)

    # -- making it ---------------------------------------------------------------------------------

    def create(self, settings, wal_directory=None):
        command = ["initdb", "--pgdata", self.data, "--username", USER, "--auth=trust", "--no-sync",
                   "--no-instructions", "--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8"]
        if wal_directory:
            command += ["--waldir", wal_directory, "--wal-segsize=1"]
        self._run(command)
        self.configure({**DEFAULTS, **settings})

    def copy_from(self, primary, settings):
        """A standby, as pg_basebackup makes it."""
        shutil.rmtree(self.data, ignore_errors=True)
        self._run(["pg_basebackup", "--pgdata", self.data, "--checkpoint=fast", "--no-sync", "--write-recovery-conf",
                   "--dbname", f"{primary.dsn('standby')} dbname=replication"])
        self.configure(settings)

    def configure(self, settings):
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as file:
            for name, value in {**settings, "unix_socket_directories": f"'{self.socket}'"}.items():
                file.write(f"{name} = {value}\n")

    def _run(self, command):
        with open(os.path.join(self.base, "commands.log"), "a", encoding="utf-8") as output:
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    # -- its life ----------------------------------------------------------------------------------

    def start(self):
        self._run(["pg_ctl", "start", "--pgdata", self.data, "--log", self.log, "--wait", "--silent",
                   "--timeout", str(TIMEOUT)])

    def stop(self, mode="fast"):
        if self.pid():
            self._run(["pg_ctl", "stop", "--pgdata", self.data, "--mode", mode, "--wait", "--timeout", str(TIMEOUT)])

    def promote(self):
        self._run(["pg_ctl", "promote", "--pgdata", self.data, "--wait", "--timeout", str(TIMEOUT)])

    def pid(self):
        """The postmaster's process, which is told from another one with its old number by where it works."""
        try:
            with open(os.path.join(self.data, "postmaster.pid"), encoding="utf-8") as file:
                pid = int(file.readline())
            return pid if os.readlink(f"/proc/{pid}/cwd") == os.path.realpath(self.data) else None
        except (OSError, ValueError):
            return None

    def signal_backend(self, pid, number):
        """Signals a process that is this postmaster's child, and no other. False if it is none (any more)."""
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8") as file:
                parent = re.search(r"^PPid:\s+(\d+)$", file.read(), re.MULTILINE)
            if not parent or int(parent[1]) != self.pid():
                return False
            os.kill(pid, number)
            return True
        except OSError:
            return False

    def stall_backend(self, pid, seconds):
        """Stops a backend for a while, whatever it holds."""
        if self.signal_backend(pid, signal.SIGSTOP):
            time.sleep(seconds)
            self.signal_backend(pid, signal.SIGCONT)

    # -- talking to it -----------------------------------------------------------------------------

    def dsn(self, application, options="", database=DATABASE):
        text = f"host={self.socket} dbname={database} user={USER} application_name={application} connect_timeout=10"
        return f"{text} options='{options}'" if options else text

    def connect(self, application="driver", options=""):
        return psycopg.connect(self.dsn(application, options), autocommit=True, prepare_threshold=None)

    def wait_until_ready(self):
        """Waits until it takes connections and writes, which after a crash takes a while."""
        def is_ready():
            if not self.pid():
                raise ServerIsDown(f"the server {self.name} is down")
            try:
                with self.connect() as connection:
                    return connection.execute("SELECT NOT pg_is_in_recovery()").fetchone()[0]
            except psycopg.OperationalError:
                return False
        wait_for("the server to take connections", is_ready)

    # -- its log -----------------------------------------------------------------------------------

    def log_position(self):
        return os.path.getsize(self.log) if os.path.exists(self.log) else 0

    def log_text(self, position):
        with open(self.log, "rb") as file:
            file.seek(position)
            return file.read().decode("utf-8", "replace")

    def log_entries(self, position):
        for line in self.log_text(position).splitlines():
            found = LOG_LINE.match(line)
            if found:
                yield LogEntry(**found.groupdict())
