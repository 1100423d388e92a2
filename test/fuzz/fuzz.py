"""
fuzz.py [--seed N] [--part NAME]… [--only N] [--attempts N] [--quick]: hostile input for product_upsert, in a database of
its own, of the server that PGHOST and the like name. Prints what it found, and a table. See README.md.
"""
import argparse
import os
import random
import sys
import time

import psycopg

import cancel
import columns
import payloads
import settings
import smith
import targets
from session import Report, Session, documented_sqlstates

HERE = os.path.dirname(os.path.abspath(__file__))
REFERENCE = os.path.join(HERE, "..", "..", "doc", "product_upsert.md")
DATABASE = "product_upsert_fuzz"

# Attempts of each part: in the short form, in the long one.
ATTEMPTS = {
    "type": (2000, 25000),
    "key": (1000, 10000),
    "table": (400, 6000),
    "target": (2000, 15000),
    "settings": (100, 800),
    "moving": (3, 60),
}

# Not made of attempts: cancelling every case, over one store or both, and sqlsmith's queries.
CANCELLED = (("on",), ("on", "off"))
QUERIES = (300, 20000)


def create_database():
    with psycopg.connect(dbname="postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE}")
        # Statements of a megabyte need not be in the log.
        connection.execute(f"ALTER DATABASE {DATABASE} SET log_min_error_statement = panic")
        connection.execute(f"ALTER DATABASE {DATABASE} SET client_min_messages = error")
    return f"dbname={DATABASE}"


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("form", choices=["short", "long"], nargs="?", default="short")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", action="append", choices=[*ATTEMPTS, "cancel", "sqlsmith"])
    parser.add_argument("--only", type=int, help="the one attempt that a finding names")
    parser.add_argument("--attempts", type=int, help="of each part, in place of the form's number")
    return parser.parse_args()


def run_attempts(part, report, options, count):
    """Each attempt has a random generator of its own, so that it can be repeated alone."""
    report.part = part.name
    begin = time.monotonic()
    for number in range(count) if options.only is None else [options.only]:
        report.number = number
        part.attempt(random.Random(f"{options.seed}/{part.name}/{number}"))
        if not part.session.end():
            report.finding("the backend does not answer, or is another one", part.session.script)
    print(f"{part.name}: {time.monotonic() - begin:.0f} s", flush=True)


def main():
    options = arguments()
    report = Report(options.seed, documented_sqlstates(REFERENCE), create_database())
    report.part = "setup"
    session = Session(report)
    session.must("CREATE EXTENSION product_upsert")
    kinds = columns.create(session)
    print(f"seed {options.seed}, {len(kinds)} types, {sum(kind.is_key for kind in kinds)} of them as a key", flush=True)
    long = options.form == "long"
    parts = {
        "type": lambda: payloads.TypePart(report, session, kinds),
        "key": lambda: payloads.KeyPart(report, session, kinds),
        "table": lambda: payloads.TablePart(report, session, kinds, columns.SPECIAL, random.Random(options.seed)),
        "target": lambda: targets.TargetPart(report, session),
        "settings": lambda: settings.SettingsPart(report, session, kinds),
        "moving": lambda: targets.MovingPart(report, session),
    }
    session.must(targets.SETUP)
    chosen = options.part or [*parts, "cancel", "sqlsmith"]
    for name in chosen:
        if name in parts:
            run_attempts(parts[name](), report, options, options.attempts or ATTEMPTS[name][long])
            session.must("RESET ALL")
    if "cancel" in chosen:
        report.part = "cancel"
        cancel.CancelPart(report, session).run(CANCELLED[long])
    if "sqlsmith" in chosen:
        report.part = "sqlsmith"
        smith.SmithPart(report, session).run(options.seed, options.attempts or QUERIES[long])
    session.close()
    print(report.table())
    return 1 if sum(report.findings.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
