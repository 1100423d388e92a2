"""
The options of a call, each with a generator of its values. To add one: a class with its name, its type in SQL,
values(), and, where there is an oracle, expect(); then an entry in OPTIONS.
"""
import jsontext
from session import OK

ANY = "any"


class IfMatch:
    name, kind = "if_match", "jsonb"

    def value(self, rng, fields, pool):
        """Returns JSON text, or None to leave the option out; fields are the payload's."""
        dice = rng.random()
        if dice < 0.75:
            return None
        if dice < 0.80:
            return "{}"
        if dice < 0.85:
            return jsontext.mutate_root(rng, jsontext.obj(fields))
        if dice < 0.90:
            return jsontext.obj(jsontext.mutate_structure(rng, fields))
        return jsontext.obj([("v", jsontext.value_for(rng, pool))])

    def expect(self, session, column, value):
        """
        What the option alone may make of a call for the stored row of column.reference: a set of SQLSTATEs, OK among
        them if it may let the call pass, and ANY if there is no telling.
        """
        fields = session.run(f"SELECT jsonb_object_keys({jsontext.literal(value)})")
        if not fields.ok:
            return {ANY}
        session.must("SAVEPOINT if_match")
        json = jsontext.literal(value)
        given = [row[0] for row in fields.rows]
        if given not in ([], ["v"]):
            return {ANY,
                    session.run(f"SELECT jsonb_populate_record(NULL::{column.reference}, {json}) IS NULL").sqlstate}
        convert = f"SELECT (jsonb_populate_record(NULL::{column.reference}, {json})).v IS NULL"
        converted = session.run(convert if given else "SELECT")
        if not converted.ok:
            return {converted.sqlstate}
        condition = f"record_image_eq(ROW(v), ROW((jsonb_populate_record(NULL::{column.reference}, {json})).v))"
        found = session.must(f"SELECT {condition if given else 'true'} FROM {column.reference}")
        return {OK if found.rows and found.value else "PT412"}


class Unforeseen:
    """Options without an oracle: the call must fail in a documented way, alike over both stores, or succeed."""

    def expect(self, _session, _column, _value):
        return {ANY}


class OnCreate(Unforeseen):
    name, kind = "on_create", "jsonb"

    def value(self, rng, fields, pool):
        dice = rng.random()
        if dice < 0.85:
            return None
        if dice < 0.88:
            return jsontext.mutate_root(rng, jsontext.obj(fields))
        if dice < 0.91:
            return jsontext.obj(jsontext.mutate_structure(rng, fields))
        return jsontext.obj([("v", jsontext.value_for(rng, pool))])

    def expect(self, session, column, value):
        session.must("SAVEPOINT on_create")
        row = f"jsonb_populate_record(NULL::{column.reference}, {jsontext.literal(value)})"
        converted = session.run(f"SELECT {row} IS NULL").sqlstate
        session.must("ROLLBACK TO on_create")
        stored = session.run(f"INSERT INTO {column.reference} (brand, v) SELECT 'b', ({row}).v").sqlstate
        return {ANY, converted, stored}


class NewerBy(Unforeseen):
    name, kind = "newer_by", "name"

    def value(self, rng, _fields, _pool):
        return rng.choice(["v", "v", "v", "brand", "ctid", "V", ""]) if rng.random() < 0.15 else None


class OnError(Unforeseen):
    name, kind = "on_error", "text"

    def value(self, rng, _fields, _pool):
        return rng.choice(["report", "report", "report", "stop", "Report", ""]) if rng.random() < 0.2 else None


OPTIONS = [IfMatch(), OnCreate(), NewerBy(), OnError()]


def choose(rng, fields, pool):
    """Returns options and their values."""
    chosen = []
    for option in OPTIONS:
        value = option.value(rng, fields, pool)
        if value is not None:
            chosen.append((option, value))
    return chosen


def arguments(chosen):
    """As they are in a call."""
    return "".join(f", {option.name} => {jsontext.dollar(value)}::{option.kind}" for option, value in chosen)


def values(chosen):
    """As SQL makes them, before any call."""
    return "".join(f", {jsontext.dollar(value)}::{option.kind}" for option, value in chosen)
