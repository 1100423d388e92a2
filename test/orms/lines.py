"""What the programs in Python share: a line of doc/orms.md as a test, in the Test Anything Protocol."""
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import psycopg2

BRAND, MANUFACTURER = "Acme", "Acme Corp"
UNIQUE_INDEX = "CREATE UNIQUE INDEX product_key ON product (brand, serial, manufacturer) NULLS NOT DISTINCT"

holder = psycopg2.connect("")
serials = (f"A-{n}" for n in count(1))
tests = 0


def check(got, expected, name):
    global tests
    tests += 1
    print("ok" if got == expected else "not ok", tests, "-", name, flush=True)
    if got != expected:
        print("#      got:", repr(got), "\n# expected:", repr(expected), flush=True)


def skip(name, why):
    global tests
    tests += 1
    print("ok", tests, "-", name, "# SKIP", why)


def done():
    print(f"1..{tests}")


def execute(query, *values):
    with holder.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchone()[0] if cursor.description else None


def insert(serial):
    execute("INSERT INTO product (brand, serial, manufacturer) VALUES (%s, %s, %s)", BRAND, serial, MANUFACTURER)


def rows(serial):
    found = execute("SELECT count(*) FROM product WHERE serial = %s", serial)
    holder.commit()
    return found


def outcome(call, serial, stock):
    """Calls it; returns "ok", or the SQLSTATE of the driver's error that the ORM's comes from."""
    try:
        call(serial, stock)
    except Exception as error:
        state = getattr(error.__cause__ or error, "pgcode", None)
        if state is None:
            raise
        return state
    return "ok"


def race(call, serial):
    """Two connections meet: both have looked and found nothing when one of them may write."""
    with ThreadPoolExecutor() as pool:
        insert(serial)
        racers = [pool.submit(outcome, call, serial, stock) for stock in (1, 2)]
        waited = execute("SELECT both_wait()")
        holder.rollback()
        return waited, sorted(racer.result() for racer in racers)


def works_unchanged(name, call):
    serial = next(serials)
    check((*race(call, serial), rows(serial)), (True, ["ok", "ok"], 1), f"{name}: works unchanged")


def needs_retry(name, call):
    serial = next(serials)
    check((*race(call, serial), outcome(call, serial, 3), rows(serial)), (True, ["23505", "ok"], "ok", 1),
          f"{name}: needs a retry on 23505")


def needs_unique_index(name, error, call):
    there, new = next(serials), next(serials)
    insert(there)
    holder.commit()
    without = outcome(call, there, 1)
    execute(UNIQUE_INDEX)
    holder.commit()
    check((without, outcome(call, there, 1), *race(call, new), rows(new)), (error, "ok", True, ["ok", "ok"], 1),
          f"{name}: needs a unique index")
    execute("DROP INDEX product_key")
    holder.commit()
