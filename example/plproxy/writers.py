#!/usr/bin/env python3
"""writers.py STOP SHARD… -- ROUTER…: counts by compare and swap until there is a file STOP, then compares.

The counters are products, and their number grows. Each thread picks one, reads or creates it through one router, and
writes what comes next through another with if_match, whatever the others do meanwhile; what fails, it does again. So a
counter must be as high as the number of writes that were acknowledged, and one row on all shards together. A call that
fails because its server goes down may have been done or not: by as many a counter may be higher.
"""
import collections
import itertools
import json
import pathlib
import random
import sys
import threading
import time

import psycopg

THREADS = 8
NOT_DONE = {"23514", "PT412"}   # the fence, and the loser of a race

stop = pathlib.Path(sys.argv[1])
shards, routers = sys.argv[2:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]
counted = collections.Counter()     # by counter: acknowledged writes
unsure = collections.Counter()      # by counter: failed writes that may have been done
created = collections.Counter()     # by counter: how often that was the answer
failures = collections.Counter()    # by SQLSTATE
faults = []
mutex = threading.Lock()
run = f"{time.time_ns()}"
started = time.monotonic()


def main():
    threads = [threading.Thread(target=write) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    compare()
    if faults:
        sys.exit("\n".join(faults[:10]))
    calls = ", ".join(f"{n} times {state}" for state, n in sorted(failures.items()))
    print(f"    {len(counted)} counters are at the {sum(counted.values())} that was acknowledged;"
          f" calls that were repeated: {calls or 'none'}")


def write():
    try:
        connections = [psycopg.connect(router, autocommit=True) for router in routers]
        while not stop.exists():
            # One more counter every 10 ms.
            count(random.randrange(1 + int((time.monotonic() - started) * 100)), connections)
    except Exception as error:
        faults.append(repr(error))


def count(n, connections):
    key = {"brand": "counter", "serial": f"{run}/{n}", "manufacturer": "counter"}
    for attempt in itertools.count(1):
        known = counted[n]
        seen = call(n, created, connections, key, on_create={"stock": 0})
        if seen:
            stock = seen["product"]["stock"]
            if stock < known:
                faults.append(f"counter {n} was {known}, and is {stock} now")
            if call(n, counted, connections, {**key, "stock": stock + 1}, if_match={"stock": stock}):
                return
        if attempt == 5000:
            raise RuntimeError(f"counter {n}: still {failures}")


def call(n, acknowledged, connections, payload, if_match=None, on_create=None):
    """The result, or None if it failed."""
    try:
        row = random.choice(connections).execute(
            "SELECT product_upsert(%s::jsonb, if_match => %s::jsonb, on_create => %s::jsonb)",
            [value and json.dumps(value) for value in (payload, if_match, on_create)]).fetchone()
    except psycopg.Error as error:
        with mutex:
            failures[error.sqlstate] += 1
            if error.sqlstate not in NOT_DONE:
                unsure[n] += 1
        if error.sqlstate != "PT412":
            time.sleep(0.01)
        return None
    with mutex:
        acknowledged[n] += row[0]["action"] == ("created" if acknowledged is created else "updated")
    return row[0]


def compare():
    stored = collections.defaultdict(list)
    for shard in shards:
        with psycopg.connect(shard) as connection:
            rows = connection.execute(
                "SELECT split_part(serial, '/', 2)::int, stock FROM product"
                " WHERE brand = 'counter' AND serial LIKE %s", [run + "/%"]).fetchall()
        for n, stock in rows:
            stored[n].append(stock)
    for n in stored.keys() | counted.keys():
        if len(stored[n]) != 1 or not counted[n] <= stored[n][0] <= counted[n] + unsure[n] or created[n] > 1:
            faults.append(f"counter {n}: stored {stored[n]}, acknowledged {counted[n]}, not known of {unsure[n]},"
                          f" created {created[n]} times")


main()
