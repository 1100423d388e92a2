# Python, psycopg 3.
import functools
import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import psycopg
from psycopg.types.json import Jsonb, set_json_dumps, set_json_loads

# A Decimal loses no digit: it is sent as text, which a numeric column takes, and received as it is stored.
set_json_dumps(functools.partial(json.dumps, default=str))
set_json_loads(functools.partial(json.loads, parse_float=Decimal))


def upsert(conn, product):
    return conn.execute("SELECT product_upsert(%s)", [Jsonb(product)]).fetchone()[0]


def upsert_if(conn, product, if_match):
    query = "SELECT product_upsert('product', %s, %s)"
    return conn.execute(query, [Jsonb(product), Jsonb(if_match)]).fetchone()[0]


# -- the conversation --------------------------------------------------------------------------------

tests = 0


def check(got, expected, name):
    global tests
    tests += 1
    print("ok" if got == expected else "not ok", tests, "-", name, flush=True)
    if got != expected:
        print("#      got:", repr(got), "\n# expected:", repr(expected))


def product(serial, **fields):
    return {"brand": "Acme", "serial": serial, "manufacturer": "Acme Corp", **fields}


def connect():
    return psycopg.connect(autocommit=True)


def value(conn, query):
    return conn.execute(query).fetchone()[0]


def sqlstate(call, *args):
    try:
        call(*args)
    except psycopg.Error as error:
        return error.sqlstate


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
check(value(conn, "SELECT count(*) FROM product WHERE md5(serial) = '0205e302d3cdcff15e51ae606c8bbda0'"), 1,
      "characters of two to four bytes are stored as sent")
check(result["product"]["serial"], "Größe 日本 😀", "characters of two to four bytes come back as sent")

price, stock = Decimal("12345678901234567890.0123456789"), 9007199254740993
result = upsert(conn, product("A-4", price=price, stock=stock))
check(value(conn, "SELECT price || ' ' || stock FROM product WHERE serial = 'A-4'"),
      "12345678901234567890.0123456789 9007199254740993", "large numbers are stored exactly")
check((result["product"]["price"], result["product"]["stock"]), (price, stock), "large numbers come back exactly")

check(sqlstate(upsert, conn, product("A-1", colour="red")), "42703", "an unknown field is 42703")
check(upsert_if(conn, product("A-1", stock=9), {"stock": 10})["action"], "updated",
      "if_match that matches is an update")
check((sqlstate(upsert_if, conn, product("A-1", stock=8), {"stock": 10}),
       value(conn, "SELECT stock FROM product WHERE serial = 'A-1'")), ("PT412", 9),
      "if_match that does not match is PT412, and writes nothing")

with holder.transaction():
    upsert(holder, product("A-1"))
    other.execute("SET lock_timeout = '100ms'")
    check(sqlstate(upsert, other, product("A-1")), "55P03", "a lock not to be had in time is 55P03")
    other.execute("RESET lock_timeout")

query = "SELECT product_upsert(%s)"
with connect() as fresh:
    for stock in range(1, 11):
        cursor = fresh.execute(query, [Jsonb(product("A-5", stock=stock))], prepare=True)
    check((cursor.fetchone()[0]["product"]["stock"], value(fresh, "SELECT prepared()")), (10, 1),
          "a prepared statement, ten times")
with connect() as fresh:
    for stock in range(11, 21):
        cursor = fresh.execute(query, [Jsonb(product("A-5", stock=stock))], prepare=False)
    check((cursor.fetchone()[0]["product"]["stock"], value(fresh, "SELECT prepared()")), (20, 0),
          "no prepared statement, ten times")

# %b asks for a binary parameter.
cursor = conn.execute("SELECT product_upsert(%b)", [Jsonb(product("A-6", price=price))], binary=True)
check(value(conn, "SELECT price::text FROM product WHERE serial = 'A-6'"), str(price), "binary parameter")
check((cursor.pgresult.fformat(0), cursor.fetchone()[0]["product"]["price"]), (1, price), "binary result")

# The third connection holds the key until both wait for it.
waited, actions, rows = [], [], []
with ThreadPoolExecutor() as pool:
    for serial in (f"R-{n}" for n in range(1, 6)):
        with holder.transaction():
            holder.execute("SELECT product_upsert_lock('product', %s)", [Jsonb(product(serial))])
            racers = [pool.submit(upsert, c, product(serial, stock=n)) for n, c in enumerate([conn, other])]
            waited.append(value(holder, "SELECT both_wait()"))
        actions.append(sorted(racer.result()["action"] for racer in racers))
        rows.append(value(conn, f"SELECT count(*) FROM product WHERE serial = '{serial}'"))
check(waited, [True] * 5, "race: both wait for the key")
check(actions, [["created", "updated"]] * 5, "race: one creates, the other updates")
check(rows, [1] * 5, "race: each key has one row")

print(f"1..{tests}")
