#!/usr/bin/python3
"""Says whether a history can have been: whether what each client was answered fits one order of the writes to each key.

Prints each violation: the key, the rule, and the statements that it is about; then a summary. Ends with status 0 if
there is no violation, 1 if there are any, 2 if the tables cannot be read yet. README.md lists the rules.
"""
import argparse
import json
import sys
import time
from pathlib import Path

import psycopg

from chain import Chain
from evidence import ABSENT, TOLD_BY_SERVER, Violation, gather, resolve
from history import DONE, FAILED, UNKNOWN_FATE, group, read_directory

MOST_PRINTED = 20           # violations
SETTLING = 30               # seconds to wait for backends whose clients are gone


def check(statements, stored):
    """Returns the violations. stored: for each key of the tables, the list of the versions of its rows."""
    evidence = gather(group(statements))
    resolve(evidence, stored)
    violations = list(evidence.violations)
    links, observations = by_key(evidence.links), by_key(evidence.observations)
    chains, broken = {}, set()
    claimed = {key for claim in evidence.claims for key in claim.keys}
    for key in sorted({*links, *observations, *stored, *claimed}):
        versions = stored.get(key, [])
        if len(versions) > 1:
            violations.append(Violation(key, "one row", f"{len(versions)} rows are stored: {', '.join(versions)}",
                                        writers(links.get(key, []), versions)))
            broken.add(key)
            continue
        chain = Chain(key, links.get(key, []), observations.get(key, []), evidence.undone,
                      versions[0] if versions else ABSENT)
        found = chain.check()
        violations += found
        if found:
            broken.add(key)
        chains[key] = chain
    return violations + check_claims(evidence.claims, chains, broken)


def check_claims(claims, chains, broken):
    """What is claimed of several keys needs to be true of one of them."""
    violations = []
    for claim in claims:
        if broken.isdisjoint(claim.keys) and not any(chains[key].allows(claim) for key in claim.keys):
            violations.append(Violation(claim.keys[0], claim.rule, f"failed although at no moment of the interval the"
                                        f" state was other than {', '.join(map(str, claim.excluded))}",
                                        [claim.statement]))
    return violations


def by_key(items):
    sorted_items = {}
    for item in items:
        sorted_items.setdefault(item.key, []).append(item)
    return sorted_items


def writers(links, versions):
    return [link.statement for link in links if link.final in versions]


# -- the tables ------------------------------------------------------------------------------------------


def settle(connection):
    """Waits until no statement of a client that is gone is still at work. Nothing may be left prepared either."""
    deadline = time.monotonic() + SETTLING
    while True:
        busy, = connection.execute(
            "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle')"
            " + (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database())").fetchone()
        if not busy:
            return
        if time.monotonic() > deadline:
            sys.exit("checker: backends are still at work, or transactions are still prepared")
        time.sleep(0.1)


def read_tables(connection, tables):
    stored = {}
    for table in sorted(tables):
        for *key, version in connection.execute(f"SELECT brand, serial, manufacturer, version FROM {table}"):
            stored.setdefault(f"{table} {json.dumps(key)}", []).append(version)
    return stored


# -- the program -----------------------------------------------------------------------------------------


def summary(statements, stored, violations):
    fates = [transaction.fate for transaction in group(statements)]
    keys = {(statement.table, json.dumps(element["key"])) for statement in statements
            for element in statement.elements}
    return (f"operations={len(fates)} acknowledged={fates.count(DONE)} failed={fates.count(FAILED)}"
            f" unknown={fates.count(UNKNOWN_FATE)} keys={len(keys)} rows={len(stored)} violations={len(violations)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dsn", default="", help="where to connect to, as libpq understands it")
    parser.add_argument("--directory", type=Path, required=True, help="where the history is")
    options = parser.parse_args()
    statements = read_directory(options.directory)
    tables = {statement.table for statement in statements if statement.table}
    with psycopg.connect(options.dsn, autocommit=True) as connection:
        settle(connection)
        stored = read_tables(connection, tables)
    violations = sorted(check(statements, stored), key=lambda violation: violation.text == TOLD_BY_SERVER)
    for violation in violations[:MOST_PRINTED]:
        print(violation)
    if len(violations) > MOST_PRINTED:
        print(f"... and {len(violations) - MOST_PRINTED} more")
    print(summary(statements, stored, violations))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
