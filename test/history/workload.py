#!/usr/bin/python3
"""Lets clients write to the tables of setup.sql at the same time, each recording what it sends and what is answered.

Ends with status 0 if nothing but what client.py expects was answered, 3 if something else was. Whether the answers
fit together is for checker.py to say. A file "stop" in the directory makes the clients end in order.
"""
import argparse
import multiprocessing
import sys
import time
from pathlib import Path

import psycopg

from client import Client, ConnectionLost, GivenUp, ISOLATIONS, StatementFailed
from operations import OPERATIONS, TABLES

SETUP = Path(__file__).with_name("setup.sql")
FINISHING = 30              # seconds in which to finish prepared transactions at the end


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dsn", default="", help="where to connect to, as libpq understands it")
    parser.add_argument("--directory", type=Path, required=True, help="where the history is written to")
    parser.add_argument("--clients", type=int, default=8)
    until = parser.add_mutually_exclusive_group()
    until.add_argument("--operations", type=int, help="for each client")
    until.add_argument("--seconds", type=float)
    parser.add_argument("--seed", default="1", help="of the random choices; what the clients meet differs all the same")
    parser.add_argument("--mix", nargs="+", choices=OPERATIONS, default=list(OPERATIONS), metavar="NAME",
                        help=f"of {', '.join(OPERATIONS)}")
    parser.add_argument("--keys", type=int, default=40, help="besides those that are always new")
    parser.add_argument("--schema-variant", choices=TABLES, default="plain")
    parser.add_argument("--tables", nargs="+", help="instead of all of the variant")
    parser.add_argument("--isolation", choices=[name.replace(" ", "-") for name in ISOLATIONS] + ["mixed"],
                        default="mixed")
    parser.add_argument("--two-phase", action="store_true", help="end some transactions by PREPARE TRANSACTION")
    parser.add_argument("--expect", nargs="+", default=[], metavar="SQLSTATE", help="also take these for granted")
    parser.add_argument("--setup", action="store_true", help="create extension and tables, and do no more")
    options = parser.parse_args()
    if options.operations is None and options.seconds is None:
        options.operations = 100
    options.tables = options.tables or TABLES[options.schema_variant]
    return options


def is_over(client, deadline, last):
    return ((deadline is not None and time.monotonic() >= deadline) or
            (last is not None and client.operation >= last) or
            (client.options.directory / "stop").exists())


def do_operation(client):
    """One operation of the mix. Errors are recorded by then; they end the operation, not the client."""
    names = client.options.mix
    name, = client.random.choices(names, [OPERATIONS[name][1] for name in names])
    client.begin_operation()
    try:
        if not client.connected:
            client.connect()
        client.finish_prepared()
        if client.random.random() < 0.02:
            client.choose_isolation()
        OPERATIONS[name][0](client, client.random.choice(client.options.tables))
    except (StatementFailed, ConnectionLost):
        pass
    except psycopg.Error as error:
        # Of a statement that is not part of the history, such as the making of a temporary table.
        client.judge("other", error.sqlstate, error)


def run_client(options, number, report):
    client = Client(options, number)
    last = client.operation + options.operations if options.operations is not None else None
    deadline = time.monotonic() + options.seconds if options.seconds is not None else None
    try:
        while not is_over(client, deadline, last):
            do_operation(client)
        leave_nothing_prepared(client)
    except GivenUp as error:
        client.unexpected.setdefault("no connection", str(error))
    report.put(client.unexpected)


def leave_nothing_prepared(client):
    deadline = time.monotonic() + FINISHING
    while client.prepared and time.monotonic() < deadline:
        try:
            if not client.connected:
                client.connect()
            client.finish_prepared()
            # What is not there and was not sent was never prepared, unless its backend is still at it.
            if not any(prepared.sent for prepared in client.prepared.values()):
                return
        except (ConnectionLost, psycopg.Error):
            pass
        time.sleep(0.1)


def run_clients(options):
    options.directory.mkdir(parents=True, exist_ok=True)
    report = multiprocessing.SimpleQueue()
    clients = [multiprocessing.Process(target=run_client, args=(options, number, report))
               for number in range(options.clients)]
    for client in clients:
        client.start()
    unexpected = {}
    for client in clients:
        client.join()
        if client.exitcode != 0:
            unexpected[f"exit {client.exitcode}"] = "a client ended before its time"
    while not report.empty():
        unexpected.update(report.get())
    for sqlstate, message in sorted(unexpected.items()):
        print(f"unexpected {sqlstate}: {message}", file=sys.stderr)
    return 3 if unexpected else 0


def main():
    options = parse_arguments()
    if options.setup:
        with psycopg.connect(options.dsn, autocommit=True) as connection:
            connection.execute(SETUP.read_text(encoding="utf-8"))
        return 0
    return run_clients(options)


if __name__ == "__main__":
    sys.exit(main())
