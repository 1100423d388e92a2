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
            return {ANY, session.run(f"SELECT jsonb_populate_record(NULL::{column.reference}, {json}) IS NULL").sqlstate}
        converted = session.run(f"SELECT (jsonb_populate_record(NULL::{column.reference}, {json})).v IS NULL" if given else "SELECT")
        if not converted.ok:
            return {converted.sqlstate}
        condition = f"record_image_eq(ROW(v), ROW((jsonb_populate_record(NULL::{column.reference}, {json})).v))"
        found = session.must(f"SELECT {condition if given else 'true'} FROM {column.reference}")
        return {OK if found.rows and found.value else "PT412"}


OPTIONS = [IfMatch()]


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
