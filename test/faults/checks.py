"""What must be so after every fault, when its load has ended: nothing is left of the calls, and nothing is broken."""

import re

from server import wait_for

# KEY_LOCK_CLASS in src/keylock.h
KEY_LOCK_CLASS = 20565

LEFT_LOCKS = f"""
SELECT 'lock on key ' || objid || ' of ' || classid::regclass
       || ', held by ' || coalesce(pid::text, 'a prepared transaction')
  FROM pg_locks WHERE locktype = 'advisory' AND objsubid = {KEY_LOCK_CLASS}
UNION ALL
SELECT 'product_upsert_locks shows ' || l::text FROM product_upsert_locks l
UNION ALL
SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts
"""

# An index that is built concurrently stays, as an invalid one, if that is interrupted: it serves nobody.
INDEXES = """
SELECT i.indexrelid::regclass::text
  FROM pg_index i
       JOIN pg_class c ON c.oid = i.indexrelid
       JOIN pg_am a ON a.oid = c.relam
 WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence = 'p' AND i.indisvalid AND i.indisready
 ORDER BY 1
"""

TABLES = """
SELECT oid::regclass::text FROM pg_class
 WHERE relkind IN ('r', 't', 'm') AND relpersistence = 'p' AND relam <> 0
 ORDER BY 1
"""

# With the guard or without it, these columns are the key of every table that has them.
KEYED_TABLES = """
SELECT c.oid::regclass::text, product_upsert_key(c.oid)::text[]
  FROM pg_class c
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND 3 = (SELECT count(*) FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attname IN ('brand', 'serial', 'manufacturer') AND NOT a.attisdropped)
   AND c.oid::regclass::text NOT IN ('faults.feed')
"""

CRASH = re.compile(r"PANIC|TRAP: |terminated by signal|server process .* exited|stuck spinlock|corrupt")

# The second is PostgreSQL's hint when a recovery has been interrupted, as by a disk that is still full.
NO_CRASH = re.compile(r"STATEMENT:|HINT:  This probably means that some data is corrupted")


def no_sessions_left(connection):
    """Waits until the clients' backends are gone: a server that does not get rid of them is not healthy."""
    wait_for("the clients' backends to end", lambda: connection.execute(
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'history%'").fetchone()[0])
    return []


def nothing_left(connection):
    return [text for text, in connection.execute(LEFT_LOCKS)]


def no_key_twice(connection):
    problems = []
    for table, key in connection.execute(KEYED_TABLES).fetchall():
        columns = ", ".join(f'"{column}"' for column in key)
        twice = connection.execute(f"""SELECT count(*) FROM (SELECT FROM {table} GROUP BY {columns}
                                                             HAVING count(*) > 1) k""").fetchone()[0]
        if twice:
            problems.append(f"{twice} keys of {table} have more than one row")
        told = connection.execute("SELECT count(*) FROM product_upsert_duplicates(%s)", (table,)).fetchone()[0]
        if told != twice:
            problems.append(f"product_upsert_duplicates() tells of {told} keys of {table}, where there are {twice}")
    return problems


def sound(connection):
    """amcheck: every index has what its table has, in order; no page of a table is corrupt."""
    problems = []
    for index, in connection.execute(INDEXES).fetchall():
        try:
            connection.execute("SELECT bt_index_check(%s::regclass, true)", (index,))
        except Exception as error:
            problems.append(f"{index}: {error}")
    for table, in connection.execute(TABLES).fetchall():
        problems += [f"{table}: block {block}, {message}" for block, message in connection.execute(
            "SELECT blkno, msg FROM verify_heapam(%s::regclass)", (table,))]
    return problems


def quiet_log(server, position, injected, tolerated):
    """What the log must not have: a crash that nobody ordered, and errors that cannot happen."""
    problems = []
    for entry in server.log_entries(position):
        internal = entry.sqlstate.startswith("XX") and entry.level in ("ERROR", "FATAL", "PANIC", "WARNING")
        if internal and not re.search(tolerated or "$^", entry.text):
            problems.append(f"in the log: {entry.sqlstate} {entry.level} {entry.text}")
    for line in server.log_text(position).splitlines():
        if CRASH.search(line) and not re.search(injected or "$^", line) and not NO_CRASH.search(line):
            problems.append(f"in the log: {line}")
    return problems
