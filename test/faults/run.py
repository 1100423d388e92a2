#!/usr/bin/python3
"""run.py [short|long] [FAULT...]: injects faults into servers of its own under the load of test/history, and looks
after each round whether everything is as it should be. README.md says what that is.

The programs of PostgreSQL, with product_upsert installed, are found in PATH. Everything is made in the directory that
PRODUCT_UPSERT_TMP names. The history of a round that failed is kept in a directory in /tmp, which is named.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter

import checks
from crashes import ImmediateStop, KilledBackend, PreparedTransaction
from ddl import SchemaChanges
from fault import Skipped
from random import Random
from server import wait_for
from sessions import Interrupted, Timeouts
from space import LockSpace, TableDisk, WalDisk
from standby import Promotion
from witness import SETUP as WITNESS_SETUP, Witness

FAULTS = {fault.name: fault for fault in (
    KilledBackend, ImmediateStop, Interrupted, Timeouts, LockSpace, TableDisk, WalDisk, PreparedTransaction,
    SchemaChanges, Promotion)}
PYTHON = "/usr/bin/python3"
HISTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "history")
CLIENTS = 16

# How many rounds must hit, of twice as many, and how long the fault lasts in each (seconds).
LENGTHS = {"short": (2, 3.0), "long": (20, 4.0)}
VARIANTS = ("plain", "partitioned")

COLUMNS = ("fault", "round", "operations", "acknowledged", "failed", "unknown", "violations", "checks", "growth",
           "hit")
LAYOUT = "{:<10} {:>6} {:>10} {:>12} {:>8} {:>8} {:>10}  {:<7} {:>7} {}"

# What the load's setup has made: not what belongs to an extension.
DROP_WHAT_WAS_LOADED = """
SELECT 'DROP TABLE ' || c.oid::regclass || ' CASCADE' FROM pg_class c
 WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
UNION ALL
SELECT 'DROP ROUTINE ' || p.oid::regprocedure || ' CASCADE' FROM pg_proc p
 WHERE p.pronamespace = 'public'::regnamespace
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e')
"""


class Load:
    """The clients of test/history, as processes of their own."""

    def __init__(self, directory, arguments):
        self.directory = directory
        os.makedirs(directory)
        self.output = open(os.path.join(directory, "workload.log"), "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [PYTHON, os.path.join(HISTORY, "workload.py"), "--directory", directory, *arguments],
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output, start_new_session=True)

    def wait_until_under_way(self):
        def answers():
            if self.process.poll() is not None:
                raise RuntimeError(f"the load has ended before its time: {self.messages()}")
            return sum(1 for name in os.listdir(self.directory) if name.endswith(".ndjson")
                       and os.path.getsize(os.path.join(self.directory, name)) > 2000) == CLIENTS
        wait_for("the load to be under way", answers)

    def stall(self, seconds):
        """All clients stand still, as on a machine that is busy with something else."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.killpg(self.process.pid, signal.SIGCONT)

    def end(self):
        """Lets the clients end in order; returns what was wrong with that."""
        with open(os.path.join(self.directory, "stop"), "w", encoding="utf-8"):
            pass
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            return ["the clients do not end"]
        finally:
            self.kill()
        return [f"workload: {line}" for line in self.messages().splitlines()] if status else []

    def messages(self):
        with open(self.output.name, encoding="utf-8") as file:
            return file.read()

    def kill(self):
        """What is left of its own process group."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.output.close()


class Trial:
    """One round of one fault: what was seen in it, and what was wrong."""

    def __init__(self, fault, number, seconds, seed):
        self.number = number
        self.seconds = seconds
        self.rng = Random(f"{seed}-{fault.name}-{number}")
        self.seed = f"{seed}-{number}"
        self.variant = VARIANTS[number % len(VARIANTS)]
        self.directory = os.path.join(fault.directory, f"round-{number}")
        self.log_positions = {server: server.log_position() for server in fault.servers()}
        self.seen = Counter()
        self.seen_in_log = Counter()
        self.problems = []
        self.summary = {}
        self.growth = None      # of the witness's memory, in bytes
        self.load = None
        self.deadline = None

    def begin(self):
        self.deadline = time.monotonic() + self.seconds

    def is_over(self):
        return time.monotonic() > self.deadline

    def wait_until_over(self):
        time.sleep(max(0, self.deadline - time.monotonic()))


# -- a round ---------------------------------------------------------------------------------------


def run_history(program, directory, *arguments):
    return subprocess.run([PYTHON, os.path.join(HISTORY, program), "--directory", directory, *arguments],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def make_tables(fault, trial):
    with fault.server.connect() as connection:
        for drop, in connection.execute(DROP_WHAT_WAS_LOADED).fetchall():
            connection.execute(drop)
    done = run_history("workload.py", trial.directory, "--dsn", fault.server.dsn("driver"), "--setup")
    if done.returncode:
        raise RuntimeError(f"workload.py --setup: {done.stderr}")


def put_load(fault, trial):
    """Load, fault, and some load more when it is over."""
    trial.load = Load(trial.directory, [
        "--dsn", fault.dsn("history"), "--clients", str(CLIENTS), "--seconds", "300", "--seed", trial.seed,
        "--schema-variant", trial.variant, "--isolation", fault.isolation(trial), *fault.workload_options])
    try:
        trial.load.wait_until_under_way()
        trial.begin()
        fault.inject(trial)
        fault.after(trial)
        time.sleep(0.5)
        trial.problems += trial.load.end()
    finally:
        trial.load.kill()


def look(fault, trial, witness):
    """All checks, the next one also if one has failed."""
    problems, trial.growth = witness.check()
    trial.problems += problems
    with fault.server.connect() as connection:
        for check in (checks.no_sessions_left, checks.nothing_left, checks.no_key_twice, checks.sound):
            trial.problems += check(connection)
    for server, position in trial.log_positions.items():
        trial.problems += checks.quiet_log(server, position, fault.injected, fault.tolerated)
    check_history(fault, trial)


def check_history(fault, trial):
    done = run_history("checker.py", trial.directory, "--dsn", fault.server.dsn("driver"))
    with open(os.path.join(trial.directory, "checker.log"), "w", encoding="utf-8") as file:
        file.write(done.stdout + done.stderr)
    lines = done.stdout.splitlines()
    trial.summary = read_summary(lines[-1] if lines else "")
    if done.returncode:
        trial.problems.append(f"the checker ends with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")


def read_summary(line):
    """The numbers of the checker's last line, by their names."""
    return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", line) if name in COLUMNS}


def run_round(fault, trial, witness):
    make_tables(fault, trial)
    fault.before(trial)
    try:
        put_load(fault, trial)
        with witness.at_rest:
            look(fault, trial, witness)
    except Exception as error:
        trial.problems.append(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")


def keep(fault, trial):
    """What is needed to understand what was wrong."""
    kept = tempfile.mkdtemp(prefix=f"product_upsert-{fault.name}-", dir="/tmp")
    shutil.copytree(trial.directory, os.path.join(kept, "history"))
    for server in fault.servers():
        if os.path.exists(server.log):
            shutil.copy(server.log, os.path.join(kept, f"{server.name}.log"))
    with open(os.path.join(kept, "problems"), "w", encoding="utf-8") as file:
        file.write("\n".join(trial.problems) + "\n")
    return kept


# -- all rounds ------------------------------------------------------------------------------------


def show(*values):
    print(LAYOUT.format(*values), flush=True)


def show_round(fault, trial, verdict, hits):
    numbers = (trial.summary.get(name, "?") for name in COLUMNS[2:7])
    show(fault.name, trial.number, *numbers, verdict, "?" if trial.growth is None else trial.growth, told(hits))


def told(hits):
    return " ".join(f"{name}={number}" for name, number in sorted(hits.items()) if name not in COLUMNS)


def run_rounds(fault, wanted, seconds, seed):
    """Rounds until enough of them have hit. Returns the sums, and how many rounds had problems."""
    totals, failed, hit_rounds, growth = Counter(), 0, 0, 0
    witness = start_witness(fault, seed)
    try:
        for number in range(1, 2 * wanted + 1):
            trial = Trial(fault, number, seconds, seed)
            run_round(fault, trial, witness)
            hits = fault.hits(trial)
            has_hit = all(hits[name] for name in fault.required)
            verdict = "FAILED" if trial.problems else "passed" if has_hit else "no hit"
            show_round(fault, trial, verdict, hits)
            totals.update({**hits, **trial.summary})
            growth = max(growth, trial.growth or 0)
            if trial.problems:
                failed += 1
                report_problems(fault, trial)
            hit_rounds += has_hit
            shutil.rmtree(trial.directory, ignore_errors=True)
            if hit_rounds == wanted or failed == 3:
                break
    finally:
        witness.end()
    if hit_rounds < wanted:
        failed = max(failed, 1)
    return totals, failed, hit_rounds, growth


def start_witness(fault, seed):
    with fault.server.connect() as connection:
        connection.execute(WITNESS_SETUP)
    witness = Witness(fault.dsn("witness"), f"{seed}-{fault.name}")
    witness.start()
    return witness


def report_problems(fault, trial):
    for problem in trial.problems[:20]:
        print(f"    {problem}", flush=True)
    print(f"    kept: {keep(fault, trial)} ({trial.variant})", flush=True)


def run_fault(name, directory, disks, wanted, seconds, seed):
    """Returns a line of the table at the end, and whether all was well."""
    fault = FAULTS[name](directory, disks)
    try:
        fault.set_up()
        totals, failed, rounds, growth = run_rounds(fault, wanted, seconds, seed)
    except Skipped as why:
        print(f"{name}: skipped, {why}", flush=True)
        return (name, 0, "", "", "", "", "", "skipped", "", str(why)), True
    finally:
        fault.tear_down()
    numbers = (totals.get(column, 0) for column in COLUMNS[2:7])
    return (name, rounds, *numbers, "FAILED" if failed else "passed", growth, told(totals)), not failed


def small_disks(root):
    """The small file systems that were mounted for us, by name."""
    disks = {name: os.path.join(root, "small", name) for name in ("tables", "wal")}
    found = {name: path for name, path in disks.items() if os.path.ismount(path)}
    if len(found) < len(disks):
        found["why"] = f"no small file system is mounted in {os.path.join(root, 'small')}: only root can do that"
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--rounds", type=int, help="for each fault, instead of those of the length")
    parser.add_argument("length", nargs="?", choices=LENGTHS, default="short")
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"of {', '.join(FAULTS)}")
    options = parser.parse_args()
    unknown = [name for name in options.faults if name not in FAULTS]
    if unknown:
        parser.error(f"no such fault: {' '.join(unknown)}")
    root = os.environ["PRODUCT_UPSERT_TMP"]
    directory = tempfile.mkdtemp(prefix="faults.", dir=root)
    show(*COLUMNS)
    rounds, seconds = LENGTHS[options.length]
    results = [run_fault(name, directory, small_disks(root), options.rounds or rounds, seconds, options.seed)
               for name in options.faults or FAULTS]
    print("\nAll rounds that hit:\n")
    show(*COLUMNS)
    for line, _ in results:
        show(*line)
    return 0 if all(fine for _, fine in results) else 1


if __name__ == "__main__":
    sys.exit(main())
