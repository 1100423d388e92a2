"""Faults of space: none for locks, none on the disk for tables, none on the disk for the write-ahead log."""

import json
import os
import shutil
import time

import psycopg

from fault import Fault, Skipped, pause
from server import wait_for

# What is filled must be a file system of its own, and no larger.
LARGEST_DISK = 256 * 1024 * 1024


class LockSpace(Fault):
    """The lock table is full: a session takes all the room there is, key by key, and keeps it for a while."""
    name = "locks"
    settings = {"max_locks_per_transaction": "10", "max_connections": "30", "max_prepared_transactions": "0",
                "max_wal_senders": "0", "max_worker_processes": "1", "autovacuum_max_workers": "1"}
    client_options = "-c product_upsert.max_key_locks=1000000"
    required = ("53200",)

    def set_up(self):
        super().set_up()
        with self.server.connect() as connection:
            connection.execute("CREATE TABLE faults.hog (brand text, serial text, manufacturer text)")
            connection.execute("CREATE INDEX ON faults.hog (serial)")

    def inject(self, trial):
        with self.server.connect("hog", self.client_options) as connection:
            while not trial.is_over():
                self.take_all(connection, trial)
                pause(trial, 0.05, 0.2)
                connection.execute("ROLLBACK")
                pause(trial, 0.05, 0.2)

    def take_all(self, connection, trial):
        """A savepoint keeps what was there before the last step: so the room stays taken when a step fails."""
        connection.execute("BEGIN")
        key = 0
        for step in (100, 10, 1):
            while True:
                keys = [{"brand": "b", "serial": str(key + i), "manufacturer": "m"} for i in range(step)]
                connection.execute("SAVEPOINT step")
                try:
                    connection.execute("SELECT product_upsert('faults.hog', %s)", (json.dumps(keys),))
                except psycopg.errors.OutOfMemory:
                    trial.seen["hog full"] += 1
                    connection.execute("ROLLBACK TO step")
                    break
                connection.execute("RELEASE step")
                key += step


class Ballast:
    """A file that takes what room there is on a small disk."""

    def __init__(self, disk):
        size = os.statvfs(disk)
        if not os.path.ismount(disk) or size.f_blocks * size.f_frsize > LARGEST_DISK:
            raise Skipped(f"{disk} is no small file system of its own")
        self.disk = disk
        self.path = os.path.join(disk, "ballast")

    def fill(self):
        with open(self.path, "wb") as file:
            for size in (1024 * 1024, 4096):
                try:
                    while True:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), size)
                except OSError:
                    continue

    def free(self):
        if os.path.exists(self.path):
            os.remove(self.path)


class DiskFault(Fault):
    disk = ""
    ballast = None

    def create_server(self):
        if self.disk not in self.disks:
            raise Skipped(self.disks["why"])
        self.ballast = Ballast(self.disks[self.disk])
        self.place = os.path.join(self.disks[self.disk], "place")
        shutil.rmtree(self.place, ignore_errors=True)
        os.mkdir(self.place, 0o700)
        self.server.create(self.settings, self.wal_directory())

    def wal_directory(self):
        return None

    def tear_down(self):
        if self.ballast:
            self.ballast.free()
            super().tear_down()
            shutil.rmtree(self.place, ignore_errors=True)


class TableDisk(DiskFault):
    """The tables' disk is full: they are in a tablespace there, the write-ahead log is not."""
    name = "disk"
    disk = "tables"
    settings = {"autovacuum": "off"}
    required = ("53100",)

    def set_up(self):
        super().set_up()
        with self.server.connect() as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{self.place}'")
            connection.execute("ALTER SYSTEM SET default_tablespace = 'small'")
            connection.execute("SELECT pg_reload_conf()")

    def inject(self, trial):
        try:
            while not trial.is_over():
                pause(trial, 0.2, 0.5)
                self.ballast.fill()
                self.wait_for_error(trial)
                pause(trial, 0.1, 0.4)
                self.ballast.free()
        finally:
            self.ballast.free()

    def wait_for_error(self, trial):
        before = self.errors_of("history", trial)["53100"]
        deadline = time.monotonic() + 3
        while self.errors_of("history", trial)["53100"] == before and time.monotonic() < deadline:
            time.sleep(0.05)


class WalDisk(DiskFault):
    """The write-ahead log's disk is full: the server crashes, and does not come back before there is room."""
    name = "wal"
    disk = "wal"
    settings = {"wal_recycle": "off", "wal_init_zero": "on", "min_wal_size": "2MB", "max_wal_size": "8MB"}
    required = ("out of room",)
    injected = r"No space left on device|terminated by signal 6|startup process .* exited|^\s*$"

    def wal_directory(self):
        return os.path.join(self.place, "pg_wal")

    def inject(self, trial):
        try:
            while not trial.is_over():
                pause(trial, 0.4, 1.0)
                self.ballast.fill()
                self.write_until_panic(trial)
                trial.seen["out of room"] += 1
                pause(trial, 0.3, 0.8)
                self.ballast.free()
                self.bring_back()
        finally:
            self.ballast.free()

    def write_until_panic(self, trial):
        """The load may take long to fill the last segments: so we write, too."""
        try:
            with self.server.connect("writer") as connection:
                while True:
                    connection.execute("SELECT pg_logical_emit_message(false, 'faults', repeat('x', 20000))")
                    time.sleep(0.05)
        except psycopg.OperationalError:
            self.wait_for_log(trial, "PANIC:  could not write to file")

    def bring_back(self):
        """It may have given up on its own recovery, for want of room, or be about to."""
        def is_back():
            if not self.server.pid():
                self.server.start()
            with self.server.connect() as connection:
                return connection.execute("SELECT true").fetchone()[0]

        def tries():
            try:
                return is_back()
            except psycopg.OperationalError:
                return False
        wait_for("the server to come back", tries)
