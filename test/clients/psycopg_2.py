# Python, psycopg2.
import functools
import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import psycopg2
from psycopg2.extras import Json, register_default_jsonb

# A Decimal loses no digit: it is sent as text, which a numeric column takes, and received as it is stored.
dumps = functools.partial(json.dumps, default=str)
register_default_jsonb(globally=True, loads=functools.partial(json.loads, parse_float=Decimal))


def upsert(conn, product):
    with conn.cursor() as cursor:
        cursor.execute("SELECT product_upsert(%s)", [Json(product, dumps)])
        return cursor.fetchone()[0]


def upsert_if(conn, product, if_match):
    with conn.cursor() as cursor:
        cursor.execute("SELECT product_upsert('product', %s, %s)", [Json(product, dumps), Json(if_match, dumps)])
        return cursor.fetchone()[0]


# -- the conversation --------------------------------------------------------------------------------

tests = 0


def check(got, expected, name):
    global tests
    tests += 1
    print("ok" if got == expected else "not ok", tests, "-", name, flush=True)
    if got != expected:
        print("#      got:", repr(got), "\n# expected:", repr(expected))


def skip(name, reason):
    global tests
    tests += 1
    print("ok", tests, "-", name, "# SKIP", reason)


def product(serial, **fields):
    return {"brand": "Acme", "serial": serial, "manufacturer": "Acme Corp", **fields}


def connect():
    conn = psycopg2.connect("")
    conn.autocommit = True
    return conn


def execute(conn, query, *parameters):
    with conn.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchone()[0] if cursor.description else None


def sqlstate(call, *args):
    try:
        call(*args)
    except psycopg2.Error as error:
        return error.pgcode


conn, other, holder = connect(), connect(), connect()

result = upsert(conn, product("A-1", stock=12))
check((result["action"], result["product"]["stock"]), ("created", 12), "a new key is created")
result = upsert(conn, product("A-1", stock=11))
check((result["action"], result["previous"]), ("updated", {"stock": 12}),
      "a known key is updated, with the previous value")
check(upsert(conn, product("A-1", stock=11))["action"], "unchanged", "the same again is unchanged")

results = upsert(conn, [product("A-2"), product("A-1", stock=10)])
check([(r["action"], r["product"]["serial"]) for r in results], [("created", "A-2"), ("updated", "A-1")],
      "an array has its results in order")

upsert(conn, product("A-3", manufacturer=None))
result = upsert(conn, product("A-3", manufacturer=None))
check((result["action"], result["product"]["manufacturer"]), ("unchanged", None), "null in the key equals null")

result = upsert(conn, product("Größe 日本 😀"))
check(execute(conn, "SELECT count(*) FROM product WHERE md5(serial) = '0205e302d3cdcff15e51ae606c8bbda0'"), 1,
      "characters of two to four bytes are stored as sent")
check(result["product"]["serial"], "Größe 日本 😀", "characters of two to four bytes come back as sent")

price, stock = Decimal("12345678901234567890.0123456789"), 9007199254740993
result = upsert(conn, product("A-4", price=price, stock=stock))
check(execute(conn, "SELECT price || ' ' || stock FROM product WHERE serial = 'A-4'"),
      "12345678901234567890.0123456789 9007199254740993", "large numbers are stored exactly")
check((result["product"]["price"], result["product"]["stock"]), (price, stock), "large numbers come back exactly")

check(sqlstate(upsert, conn, product("A-1", colour="red")), "42703", "an unknown field is 42703")
check(upsert_if(conn, product("A-1", stock=9), {"stock": 10})["action"], "updated",
      "if_match that matches is an update")
check((sqlstate(upsert_if, conn, product("A-1", stock=8), {"stock": 10}),
       execute(conn, "SELECT stock FROM product WHERE serial = 'A-1'")), ("PT412", 9),
      "if_match that does not match is PT412, and writes nothing")

execute(holder, "BEGIN")
upsert(holder, product("A-1"))
execute(other, "SET lock_timeout = '100ms'")
check(sqlstate(upsert, other, product("A-1")), "55P03", "a lock not to be had in time is 55P03")
execute(other, "RESET lock_timeout")
execute(holder, "COMMIT")

# The driver puts values into the statement. Only SQL prepares one.
fresh = connect()
execute(fresh, "PREPARE upsert AS SELECT product_upsert($1)")
for stock in range(1, 11):
    result = execute(fresh, "EXECUTE upsert(%s)", Json(product("A-5", stock=stock)))
check((result["product"]["stock"], execute(fresh, "SELECT prepared()")), (10, 1), "a prepared statement, ten times")
fresh.close()
fresh = connect()
for stock in range(11, 21):
    result = upsert(fresh, product("A-5", stock=stock))
check((result["product"]["stock"], execute(fresh, "SELECT prepared()")), (20, 0), "no prepared statement, ten times")
fresh.close()

skip("binary parameter", "psycopg2 sends text")
skip("binary result", "psycopg2 receives text")

# The third connection holds the key until both wait for it.
waited, actions, rows = [], [], []
with ThreadPoolExecutor() as pool:
    for serial in (f"R-{n}" for n in range(1, 6)):
        execute(holder, "BEGIN")
        execute(holder, "SELECT product_upsert_lock('product', %s)", Json(product(serial)))
        racers = [pool.submit(upsert, c, product(serial, stock=n)) for n, c in enumerate([conn, other])]
        waited.append(execute(holder, "SELECT both_wait()"))
        execute(holder, "COMMIT")
        actions.append(sorted(racer.result()["action"] for racer in racers))
        rows.append(execute(conn, "SELECT count(*) FROM product WHERE serial = %s", serial))
check(waited, [True] * 5, "race: both wait for the key")
check(actions, [["created", "updated"]] * 5, "race: one creates, the other updates")
check(rows, [1] * 5, "race: each key has one row")

print(f"1..{tests}")
