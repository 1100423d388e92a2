"""What the clients do: each function is one operation of the mix, done by one client on one table.

Keys are few and hot, many, or new: a new key is that of the moment, so that several clients come upon it at once, and
nobody has created it yet. A quarter of the keys has a null in each of the columns.
"""
import json
import time

from psycopg.sql import Literal

from client import StatementFailed

HOT_KEYS = 4
MOMENT = 10_000_000         # ns for which a new key is new

TABLES = {
    "plain": ("item", "item_bare"),
    "partitioned": ("item_by_shelf", "item_by_brand", "item_by_shelf_bare"),
}


def is_protected(table):
    return not table.endswith("_bare")


# -- keys and payloads ---------------------------------------------------------------------------------


def numbered_key(prefix, number):
    """Two numbers never give the same key."""
    key = [f"{prefix}-{number}-{column}" for column in ("brand", "serial", "manufacturer")]
    if number % 4 < 3:
        key[number % 4] = None
    return key


def new_key(prefix="new"):
    return numbered_key(prefix, time.monotonic_ns() // MOMENT)


def pick_key(client):
    chance = client.random.random()
    if chance < 0.4:
        return numbered_key("b", client.random.randrange(min(HOT_KEYS, client.options.keys)))
    if chance < 0.6:
        return numbered_key("b", client.random.randrange(client.options.keys))
    return new_key()


def pick_keys(client, count):
    keys = {json.dumps(pick_key(client)) for _ in range(count)}
    return [json.loads(key) for key in sorted(keys)]


def element_for(client, key, number=0):
    return {"key": key, "version": client.new_version(number)}


def payload_of(client, element):
    brand, serial, manufacturer = element["key"]
    payload = {"brand": brand, "serial": serial, "manufacturer": manufacturer}
    if "version" in element:
        payload["version"] = element["version"]
        if client.random.random() < 0.3:
            payload["shelf"] = client.random.randrange(3)
        if client.random.random() < 0.3:
            payload["note"] = "n" * client.random.randrange(200)
    return payload


def condition(key):
    """SQL for: the row has this key. An index serves it, also for nulls."""
    columns = zip(("brand", "serial", "manufacturer"), key)
    tests = [f"{name} IS NULL" if value is None else f"{name} = %s" for name, value in columns]
    return " AND ".join(tests), [value for value in key if value is not None]


# -- single statements ---------------------------------------------------------------------------------


def outcome_of(result):
    outcome = {"action": result["action"], "version": result["product"]["version"]}
    if "previous" in result:
        outcome["previous"] = result["previous"].get("version", outcome["version"])
    return outcome


def outcomes_in(cursor):
    results = [row[0] for row in cursor]
    if len(results) == 1 and isinstance(results[0], list):
        results = results[0]
    return [outcome_of(result) for result in results]


def first_column(cursor):
    return [row[0] for row in cursor]


def upsert(client, table, elements, if_match=None, payloads=None):
    """One call: for a single element an object, for several an array."""
    payloads = payloads or [payload_of(client, element) for element in elements]
    payload = payloads[0] if len(payloads) == 1 else payloads
    return client.execute(
        "upsert", "SELECT product_upsert(%s::regclass, %s::jsonb, %s::jsonb)",
        (table, json.dumps(payload), json.dumps(if_match) if if_match is not None else None),
        read=outcomes_in, table=table, elements=elements, if_match=if_match)


def read(client, table, key):
    where, values = condition(key)
    return client.execute("read", f"SELECT version FROM {table} WHERE {where}", values, read=first_column,
                          table=table, elements=[{"key": key}])


def delete(client, table, key):
    """In a transaction, as the lock must be there before the snapshot of the DELETE."""
    where, values = condition(key)
    element = {"key": key}
    client.execute("lock", "SELECT product_upsert_lock(%s::regclass, %s::jsonb)",
                   (table, json.dumps(payload_of(client, element))), table=table, elements=[element])
    client.execute("delete", f"DELETE FROM {table} WHERE {where} RETURNING version", values, read=first_column,
                   table=table, elements=[element])


def plain_insert(client, table, key):
    element = element_for(client, key)
    client.execute("insert", f"INSERT INTO {table} (brand, serial, manufacturer, version, shelf)"
                   " VALUES (%s, %s, %s, %s, %s)", (*key, element["version"], client.random.randrange(3)),
                   table=table, elements=[element])


def plain_update(client, table, key):
    """Every SET expression sees the row version that is replaced, so "before" is what was replaced."""
    where, values = condition(key)
    element = element_for(client, key)
    moved = ", shelf = (shelf + 1) %% 3" if client.random.random() < 0.2 else ""
    client.execute("update", f"UPDATE {table} SET before = version, version = %s{moved} WHERE {where}"
                   " RETURNING before", (element["version"], *values), read=first_column,
                   table=table, elements=[element])


# -- operations ----------------------------------------------------------------------------------------


def do_single(client, table):
    upsert(client, table, [element_for(client, pick_key(client))])


def do_array(client, table):
    """Keys in any order; some come again, with another payload or the very same."""
    elements = []
    for key in pick_keys(client, client.random.randint(2, 6)):
        elements.append(element_for(client, key, len(elements)))
        if client.random.random() < 0.2:
            elements.append(element_for(client, key, len(elements)))
    client.random.shuffle(elements)
    payloads = [payload_of(client, element) for element in elements]
    if client.random.random() < 0.3:
        elements.append(elements[-1])
        payloads.append(payloads[-1])
    upsert(client, table, elements, payloads=payloads)


def do_twin(client, table):
    """The very request that others send at this moment: one of them creates the row, to the others it is unchanged."""
    key = new_key("twin")
    element = {"key": key, "version": "twin"}
    payload = {**payload_of(client, {"key": key}), "version": "twin"}
    upsert(client, table, [element], payloads=[payload])


def do_repeat(client, table):
    """The very payload again, unless somebody else has written meanwhile; or no more than the key."""
    key = pick_key(client)
    if client.random.random() < 0.5:
        upsert(client, table, [{"key": key}], if_match={})
        return
    element = element_for(client, key)
    payload = payload_of(client, element)
    upsert(client, table, [element], payloads=[payload])
    upsert(client, table, [element], payloads=[payload], if_match={"version": element["version"]})


def do_if_match(client, table):
    key = pick_key(client)
    versions = read(client, table, key)
    if versions:
        upsert(client, table, [element_for(client, key)], if_match={"version": versions[0]})


def do_read(client, table):
    read(client, table, pick_key(client))


def do_delete(client, table):
    with client.in_transaction():
        delete(client, table, pick_key(client))


def do_insert(client, table):
    if is_protected(table):
        plain_insert(client, table, pick_key(client))


def do_update(client, table):
    plain_update(client, table, pick_key(client))


def do_copy(client, table):
    if not is_protected(table):
        return
    elements = [element_for(client, key, number)
                for number, key in enumerate(pick_keys(client, client.random.randint(1, 2)))]
    client.execute("copy", f"COPY {table} (brand, serial, manufacturer, version) FROM STDIN",
                   copy=[(*element["key"], element["version"]) for element in elements],
                   table=table, elements=elements)


def do_from(client, table):
    """A load from a temporary table, which locks out all other writers."""
    elements = [element_for(client, key, number) for number, key in enumerate(pick_keys(client, 4))]
    if client.random.random() < 0.3:
        elements.append(element_for(client, elements[0]["key"], len(elements)))
    connection = client.connection
    connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS feed (payload jsonb)")
    connection.execute("TRUNCATE feed")
    for element in elements:
        connection.execute("INSERT INTO feed VALUES (%s::jsonb)", (json.dumps(payload_of(client, element)),))
    client.execute("from", "SELECT created, updated, unchanged FROM product_upsert_from('feed', %s::regclass)",
                   (table,), read=lambda cursor: list(cursor.fetchone()), table=table, elements=elements)


def do_transaction(client, table):
    """Several statements, mostly in the order of their keys; some of them between a savepoint and a rollback to it."""
    keys = pick_keys(client, client.random.randint(1, 3))
    if client.random.random() < 0.1:
        client.random.shuffle(keys)
    with client.in_transaction():
        for key in keys:
            if client.random.random() < 0.4:
                _in_savepoint(client, table, key)
            else:
                _one_statement(client, table, key)


def _one_statement(client, table, key):
    """Also twice on the same key, where a statement must see what the one before it has written."""
    for _ in range(client.random.choice((1, 1, 2))):
        chance = client.random.random()
        if chance < 0.45:
            upsert(client, table, [element_for(client, key)])
        elif chance < 0.6:
            delete(client, table, key)
        elif chance < 0.8:
            read(client, table, key)
        elif chance < 0.9 or not is_protected(table):
            plain_update(client, table, key)
        else:
            plain_insert(client, table, key)


def _in_savepoint(client, table, key):
    """What fails is rolled back to the savepoint, and some of what does not."""
    client.execute("savepoint", "SAVEPOINT s", savepoint="s")
    try:
        _one_statement(client, table, key)
    except StatementFailed as error:
        if str(error) in ("40001", "40P01"):
            raise
        client.execute("rollback_to", "ROLLBACK TO SAVEPOINT s", savepoint="s")
    else:
        if client.random.random() < 0.3:
            client.execute("rollback_to", "ROLLBACK TO SAVEPOINT s", savepoint="s")


def do_cursor(client, table):
    """
    Calls, or plain INSERTs, in a query of a cursor. A row that is fetched later fails, in a savepoint, and the
    transaction goes on: what was fetched before is written, and its keys must be locked until the end.
    """
    function = "item_insert" if is_protected(table) and client.random.random() < 0.3 else "product_upsert"
    elements = [element_for(client, new_key()), element_for(client, new_key("other"), 1)]
    payloads = [payload_of(client, element) for element in elements]
    if client.random.random() < 0.8:
        payloads[1]["shelf"] = "no number"
    with client.in_transaction():
        target, source = (Literal(text).as_string(client.connection) for text in (table, json.dumps(payloads)))
        client.execute("declare", f"DECLARE c CURSOR FOR SELECT {function}({target}::regclass, payload)"
                       f" FROM jsonb_array_elements({source}::jsonb) AS payload")
        client.execute("fetch", "FETCH 1 FROM c", read=outcomes_in, table=table, elements=elements[:1])
        client.execute("savepoint", "SAVEPOINT s", savepoint="s")
        try:
            client.execute("fetch", "FETCH 1 FROM c", read=outcomes_in, table=table, elements=elements[1:])
        except StatementFailed as error:
            if str(error) != "22P02":
                raise
            client.execute("rollback_to", "ROLLBACK TO SAVEPOINT s", savepoint="s")
        for _ in range(4):
            read(client, table, elements[0]["key"])
        if client.random.random() < 0.5:
            upsert(client, table, [element_for(client, elements[0]["key"])])


OPERATIONS = {
    "single": (do_single, 6),
    "array": (do_array, 3),
    "twin": (do_twin, 3),
    "repeat": (do_repeat, 2),
    "if_match": (do_if_match, 2),
    "read": (do_read, 2),
    "delete": (do_delete, 2),
    "insert": (do_insert, 2),
    "update": (do_update, 2),
    "copy": (do_copy, 1),
    "from": (do_from, 0.3),
    "transaction": (do_transaction, 3),
    "cursor": (do_cursor, 2),
}
