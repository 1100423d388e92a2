"""Each rule of the checker, on histories that are written by hand: one that keeps it, and one that breaks it."""
import json
import unittest

from checker import check
from history import read_lines

KEY = ["brand", None, "manufacturer"]
NAME = f"item {json.dumps(KEY)}"
OTHER = ["brand", "other", None]


class Script:
    """Writes a history, statement by statement; each takes from one moment to another."""

    def __init__(self):
        self.lines = []
        self.number = 0

    def statement(self, kind, send, answer, outcome="ok", sqlstate=None, result=None, transaction=None, client=0,
                  isolation="read committed", **details):
        self.number += 1
        place = {"client": client, "operation": self.number, "step": 1}
        self.lines.append(json.dumps({"event": "send", "at": send, **place, "kind": kind, "transaction": transaction,
                                      "isolation": isolation, "table": "item", **details}))
        if answer is not None:
            self.lines.append(json.dumps({"event": "answer", "at": answer, **place, "outcome": outcome,
                                          "sqlstate": sqlstate, "result": result}))
        return self

    def upsert(self, version, action, previous, send, answer, key=None, **details):
        result = {"action": action, "version": version}
        if action == "updated":
            result["previous"] = previous
        return self.statement("upsert", send, answer, result=[result],
                              elements=[{"key": key or KEY, "version": version}], **details)

    def created(self, version, send, answer, **details):
        return self.upsert(version, "created", None, send, answer, **details)

    def updated(self, version, previous, send, answer, **details):
        return self.upsert(version, "updated", previous, send, answer, **details)

    def lost(self, version, send, key=None, **details):
        """The connection was lost before the answer."""
        return self.statement("upsert", send, None, elements=[{"key": key or KEY, "version": version}], **details)

    def refused(self, kind, sqlstate, send, answer, version="refused", **details):
        return self.statement(kind, send, answer, outcome="failed", sqlstate=sqlstate,
                              elements=[{"key": KEY, "version": version}], **details)

    def insert(self, version, send, answer, **details):
        return self.statement("insert", send, answer, elements=[{"key": KEY, "version": version}], **details)

    def loaded(self, version, send, answer, **details):
        return self.statement("from", send, answer, result=[0, 1, 0],
                              elements=[{"key": KEY, "version": version}], **details)

    def saw(self, versions, send, answer, kind="read", **details):
        return self.statement(kind, send, answer, result=versions, elements=[{"key": KEY}], **details)

    def deleted(self, version, send, answer, transaction):
        """A transaction that locks and deletes, and commits in the last third of the interval."""
        third = (answer - send) // 3
        self.saw([version] if version else [], send, send + third, kind="delete", transaction=transaction)
        return self.end("commit", send + 2 * third, answer, transaction)

    def end(self, kind, send, answer, transaction, **details):
        return self.statement(kind, send, answer, transaction=transaction, **details)


def check_script(script, stored):
    """stored: the version of the row with KEY, several, or none."""
    versions = [stored] if isinstance(stored, str) else stored
    return check(read_lines(script.lines), {NAME: versions} if versions else {})


class RuleTest(unittest.TestCase):
    def accept(self, script, stored):
        self.assertEqual([str(violation) for violation in check_script(script, stored)], [])

    def reject(self, rule, script, stored):
        rules = [violation.rule for violation in check_script(script, stored)]
        self.assertIn(rule, rules)


class ChainTest(RuleTest):
    def test_one_row(self):
        self.accept(Script().created("a", 1, 2), "a")
        self.reject("one row", Script().created("a", 1, 2).created("b", 1, 2), ["a", "b"])
        self.reject("one row", Script().created("a", 1, 2).saw(["a", "a"], 3, 4), "a")
        self.reject("one row", Script().created("a", 1, 2).refused("upsert", "21000", 3, 4), "a")

    def test_created_when_absent(self):
        self.accept(Script().created("a", 1, 2).deleted("a", 3, 6, "t").created("b", 7, 8), "b")
        self.reject("created when absent", Script().created("a", 1, 2).created("b", 3, 4), "b")
        self.reject("created when absent", Script().created("a", 1, 2).insert("b", 3, 4), "b")

    def test_unbroken(self):
        self.accept(Script().created("a", 1, 2).updated("b", "a", 3, 4).updated("c", "b", 5, 6), "c")
        self.reject("unbroken", Script().created("a", 1, 2).updated("c", "b", 5, 6), "c")
        self.reject("unbroken", Script().updated("a", "b", 1, 2).updated("b", "a", 3, 4), None)

    def test_no_fork(self):
        self.accept(Script().created("a", 1, 2).updated("b", "a", 3, 9).updated("c", "b", 3, 9), "c")
        self.reject("no fork", Script().created("a", 1, 2).updated("b", "a", 3, 9).updated("c", "a", 3, 9), "c")

    def test_written_once(self):
        twins = Script().created("twin", 1, 9)
        self.accept(twins.upsert("twin", "unchanged", None, 1, 9), "twin")
        self.reject("written once", Script().created("twin", 1, 9).created("twin", 1, 9), "twin")

    def test_the_end_is_stored(self):
        chain = Script().created("a", 1, 2).updated("b", "a", 3, 4)
        self.accept(chain, "b")
        self.reject("the end is stored", chain, "a")
        self.reject("the end is stored", chain, None)
        self.reject("unbroken", chain, "c")

    def test_failed_is_not_done(self):
        self.accept(Script().created("a", 1, 2).refused("upsert", "40001", 3, 4, version="b"), "a")
        self.reject("failed is not done", Script().created("a", 1, 2).refused("upsert", "40001", 3, 4, "b"), "b")
        self.reject("failed is not done", Script().created("a", 1, 2).refused("upsert", "57014", 3, 4, version="b")
                    .updated("c", "b", 5, 6), "c")

    def test_a_transaction_that_is_rolled_back_is_not_done(self):
        script = Script().created("a", 1, 2).updated("b", "a", 3, 4, transaction="t").end("rollback", 5, 6, "t")
        self.accept(script, "a")
        self.reject("failed is not done", script, "b")

    def test_a_savepoint_that_is_rolled_back_is_not_done(self):
        script = Script().created("a", 1, 2, transaction="t")
        script.statement("savepoint", 3, 4, transaction="t", savepoint="s")
        script.updated("b", "a", 5, 6, transaction="t")
        script.statement("rollback_to", 7, 8, transaction="t", savepoint="s").end("commit", 9, 10, "t")
        self.accept(script, "a")
        self.reject("failed is not done", script, "b")

    def test_committed_states(self):
        script = Script().created("a", 1, 2, transaction="t").updated("b", "a", 3, 4, transaction="t")
        script.end("commit", 5, 6, "t")
        self.accept(script, "b")
        self.reject("committed states", script.saw(["a"], 1, 9), "b")

    def test_own_writes(self):
        script = Script().created("a", 1, 2, transaction="t")
        self.accept(script.updated("b", "a", 3, 4, transaction="t").end("commit", 5, 6, "t"), "b")
        script = Script().created("a", 1, 2, transaction="t")
        self.reject("own writes", script.created("b", 3, 4, transaction="t").end("commit", 5, 6, "t"), "b")

    def test_result(self):
        script = Script().statement("upsert", 1, 2, elements=[{"key": KEY, "version": "a"}],
                                    result=[{"action": "created", "version": "other"}])
        self.reject("result", script, "a")
        load = [{"key": KEY, "version": "a"}]
        self.accept(Script().statement("from", 1, 2, elements=load, result=[1, 0, 0]), "a")
        self.reject("result", Script().statement("from", 1, 2, elements=load, result=[1, 1, 0]), "a")

    def test_a_load_that_does_not_tell_what_it_found(self):
        load = [{"key": KEY, "version": "b"}]
        script = Script().created("a", 1, 2).statement("from", 3, 4, elements=load, result=[0, 1, 0])
        self.accept(script.updated("c", "b", 5, 6), "c")
        self.reject("one order", script.saw(["a"], 7, 8), "c")


class TimeTest(RuleTest):
    def test_real_time(self):
        self.accept(Script().created("a", 1, 4).updated("b", "a", 3, 6), "b")
        self.reject("seen", Script().updated("b", "a", 1, 2).created("a", 3, 4), "b")
        self.reject("real time", Script().created("a", 1, 4).updated("b", "a", 3, 6).saw(["a"], 7, 8), "b")

    def test_real_time_of_pieces(self):
        first = Script().created("a", 1, 2).deleted("a", 3, 6, "t")
        self.accept(first.created("b", 7, 8), "b")
        self.reject("one order", Script().created("b", 1, 2).created("a", 3, 4).deleted("a", 5, 8, "t"), "b")

    def test_read(self):
        script = Script().created("a", 1, 2).updated("b", "a", 5, 6)
        self.accept(script.saw(["a"], 3, 4).saw([], 0, 1).saw(["b"], 5, 9), "b")
        self.reject("real time", Script().created("a", 1, 2).updated("b", "a", 5, 6).saw(["a"], 7, 8), "b")
        self.reject("seen", Script().created("a", 1, 2).updated("b", "a", 5, 6).saw(["b"], 3, 4), "b")

    def test_read_of_absence(self):
        self.accept(Script().created("a", 3, 6).saw([], 4, 5), "a")
        self.reject("seen", Script().deleted("a", 5, 8, "t").created("a", 1, 4).saw([], 2, 2)
                    .saw(["a"], 1, 1), None)
        self.reject("real time", Script().created("a", 3, 6).saw([], 7, 8), "a")

    def test_reads_agree_with_each_other(self):
        script = Script().created("a", 1, 9)
        self.accept(script.saw([], 2, 3).saw(["a"], 4, 5), "a")
        self.reject("seen", Script().created("a", 1, 9).saw(["a"], 2, 3).saw([], 4, 5), "a")

    def test_a_snapshot_may_be_older_than_the_statement(self):
        def reader(isolation):
            script = Script().saw([], 1, 2, transaction="t", isolation=isolation).created("a", 3, 4)
            return script.saw([], 5, 6, transaction="t", isolation=isolation).end("commit", 7, 8, "t")
        self.accept(reader("repeatable read"), "a")
        self.reject("real time", reader("read committed"), "a")

    def test_a_snapshot_may_show_a_deleted_row_beside_an_inserted_one(self):
        def history(isolation):
            script = Script().created("a", 1, 2).saw(["a"], 3, 4, transaction="t", isolation=isolation)
            script.deleted("a", 5, 8, "other").insert("b", 9, 10, transaction="t", isolation=isolation)
            script.saw(["a", "b"], 11, 12, transaction="t", isolation=isolation)
            return script.end("commit", 13, 14, "t")
        self.accept(history("repeatable read"), "b")
        self.reject("one row", history("read committed"), "b")

    def test_unchanged(self):
        script = Script().created("a", 1, 2).updated("b", "a", 5, 6)
        self.accept(script.upsert("a", "unchanged", None, 3, 4), "b")
        script = Script().created("a", 1, 2).updated("b", "a", 5, 6)
        self.reject("real time", script.upsert("a", "unchanged", None, 7, 8), "b")

    def test_nobody_sees_what_is_not_committed(self):
        script = Script().created("a", 1, 2, transaction="t").updated("b", "a", 3, 4).end("commit", 5, 6, "t")
        self.reject("seen", script, "b")
        script = Script().created("a", 1, 2, transaction="t").updated("b", "a", 3, 6).end("commit", 4, 5, "t")
        self.accept(script, "b")

    def test_held(self):
        def history(update):
            script = Script().created("a", 1, 2).upsert("a", "unchanged", None, 3, 4, transaction="t")
            update(script)
            return script.end("commit", 7, 8, "t")
        self.accept(history(lambda script: script.updated("b", "a", 5, 9)), "b")
        self.reject("real time", history(lambda script: script.updated("b", "a", 5, 6)), "b")
        # A plain UPDATE does not ask for the lock.
        plain = {"kind": "update", "result": ["a"], "elements": [{"key": KEY, "version": "b"}]}
        self.accept(history(lambda script: script.statement(send=5, answer=6, **plain)), "b")


class ConditionTest(RuleTest):
    def test_if_match_is_met(self):
        script = Script().created("a", 1, 2)
        self.accept(script.updated("b", "a", 3, 4, if_match={"version": "a"}), "b")
        self.reject("if_match", Script().created("a", 1, 2).updated("b", "a", 3, 4, if_match={"version": "x"}), "b")
        self.reject("if_match", Script().created("a", 1, 2, if_match={}), "a")

    def test_if_match_is_not_met(self):
        def refusal(**details):
            return Script().created("a", 2, 3).updated("b", "a", 6, 7).refused("upsert", "PT412", **details)
        self.accept(refusal(send=8, answer=9, if_match={"version": "a"}), "b")
        self.accept(refusal(send=4, answer=6, if_match={"version": "a"}), "b")
        self.reject("if_match", refusal(send=4, answer=5, if_match={"version": "a"}), "b")
        self.accept(refusal(send=0, answer=1, if_match={}), "b")
        self.reject("real time", refusal(send=4, answer=5, if_match={}), "b")

    def test_if_match_is_not_met_by_a_load(self):
        """A load does not tell what it replaced, so the order that is found first need not be the one."""
        def loads(answer):
            script = Script().loaded("a", 1, 4).loaded("b", 2, answer).saw(["a"], 6, 7)
            return script.refused("upsert", "PT412", 8, 10, if_match={"version": "a"}).loaded("c", 11, 12)
        self.accept(loads(9), "c")
        self.reject("if_match", loads(5), "c")

    def test_key_exists(self):
        self.accept(Script().created("a", 1, 4).refused("insert", "23505", 3, 5), "a")
        self.reject("key exists", Script().created("a", 4, 5).refused("insert", "23505", 1, 3), "a")
        self.reject("key exists", Script().refused("insert", "23505", 1, 3), None)

    def test_one_of_the_keys_exists(self):
        both = [{"key": KEY, "version": "x"}, {"key": OTHER, "version": "y"}]
        refused = {"kind": "copy", "send": 3, "answer": 4, "outcome": "failed", "sqlstate": "23505", "elements": both}
        self.accept(Script().created("a", 1, 2).statement(**refused), "a")
        self.reject("key exists", Script().created("a", 5, 6).statement(**refused), "a")


class UnknownTest(RuleTest):
    def test_at_most_once(self):
        script = Script().created("a", 1, 2).lost("b", 3)
        self.accept(script, "a")
        self.accept(script, "b")
        self.accept(script.updated("c", "b", 5, 6), "c")
        self.reject("no fork", script.updated("d", "b", 7, 8), "d")

    def test_not_before_it_was_sent(self):
        self.reject("seen", Script().created("a", 1, 2).lost("b", 7).updated("c", "b", 5, 6), "c")

    def test_a_lost_insert_needs_absence(self):
        script = Script().created("a", 1, 2).statement("insert", 3, None, elements=[{"key": KEY, "version": "b"}])
        self.accept(script, "a")
        self.reject("created when absent", script, "b")

    def test_all_or_nothing(self):
        both = [{"key": KEY, "version": "a"}, {"key": OTHER, "version": "b"}]
        script = Script().statement("upsert", 1, None, elements=both)
        self.accept(script, None)
        self.reject("one order", script, "a")

    def test_a_lost_commit(self):
        script = Script().created("a", 1, 2).updated("b", "a", 3, 4, transaction="t").end("commit", 5, None, "t")
        self.accept(script, "a")
        self.accept(script, "b")
        self.reject("unbroken", script, "c")

    def test_a_lost_delete(self):
        script = Script().created("a", 1, 2)
        script.saw(["a"], 3, 4, kind="delete", transaction="t").end("commit", 5, None, "t")
        self.accept(script, "a")
        self.accept(script, None)
        self.accept(script.created("b", 6, 7), "b")
        self.reject("the end is stored", Script().created("a", 1, 2), None)

    def test_two_phases(self):
        def prepared(*ends):
            script = Script().created("a", 1, 2, transaction="t").end("prepare", 3, 4, "t")
            for kind, send, answer in ends:
                script.end(kind, send, answer, "t")
            return script
        self.accept(prepared(("commit_prepared", 5, 6)), "a")
        self.accept(prepared(("commit_prepared", 5, None), ("commit_prepared", 9, 10)), "a")
        self.accept(prepared(("commit_prepared", 5, None)), None)
        self.accept(prepared(("rollback_prepared", 5, 6)), None)
        self.reject("the end is stored", prepared(("commit_prepared", 5, 6)), None)
        self.reject("failed is not done", prepared(("rollback_prepared", 5, 6)), "a")


class FileTest(unittest.TestCase):
    def test_a_torn_line_is_a_missing_answer(self):
        lines = Script().created("a", 1, 2).lines
        statement, = read_lines([lines[0], lines[1][:20]])
        self.assertEqual(statement.outcome, "unknown")


if __name__ == "__main__":
    unittest.main()
