"""The history of a workload: what its files say, read back as statements and transactions.

Each client writes a line of JSON before it sends a statement, and one after the answer:

  {"event": "send", "at": ns, "client": 3, "operation": 17, "step": 2, "kind": "upsert", "transaction": "3-17",
   "isolation": "read committed", "table": "item", "elements": [{"key": [...], "version": "3-17-2-0"}], ...}
  {"event": "answer", "at": ns, "client": 3, "operation": 17, "step": 2, "outcome": "ok",
   "result": [{"action": "updated", "version": "3-17-2-0", "previous": "5-9-1-0"}]}

"at" is CLOCK_MONOTONIC, which the processes of a machine share. "transaction" is null for a statement that is a
transaction of its own. "outcome" is ok; failed, with an SQLSTATE: it was certainly not done; or unknown: the
connection was lost, so it may have been done. A line that is missing or torn is that of a client which was killed.

README.md in this directory lists the kinds of statements and their results.
"""
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

DONE, FAILED, UNKNOWN_FATE = "done", "failed", "unknown"
STATEMENTS_THAT_WRITE = ("upsert", "fetch", "from", "insert", "copy", "update", "delete")
ENDS = ("commit", "rollback", "prepare", "commit_prepared", "rollback_prepared")
WITHOUT_SNAPSHOT = ("begin", "savepoint", "rollback_to") + ENDS


@dataclass
class Statement:
    """One statement of a client, and its answer."""
    client: int
    operation: int
    step: int
    kind: str
    send: int
    transaction: str = None
    isolation: str = "read committed"
    table: str = None
    elements: list = field(default_factory=list)
    if_match: dict = None
    savepoint: str = None
    gid: str = None
    answer: float = math.inf
    outcome: str = "unknown"
    sqlstate: str = None
    result: object = None

    def __str__(self):
        said = {"ok": json.dumps(self.result), "failed": self.sqlstate}.get(self.outcome, "?")
        what = json.dumps([element.get("version") for element in self.elements]) if self.elements else ""
        until = "?" if self.answer == math.inf else f"{self.answer / 1e9:.6f}"
        matching = f" if_match {json.dumps(self.if_match)}" if self.if_match is not None else ""
        return (f"{self.client}-{self.operation}-{self.step} {self.kind} {what}{matching} -> {said}"
                f"  [{self.send / 1e9:.6f}, {until}] {self.isolation}"
                f"{', in a transaction' if self.transaction else ''}")


class Transaction:
    """The statements of one transaction, what became of it, and the interval in which it was committed."""

    def __init__(self, statements):
        self.statements = statements
        self.explicit = statements[0].transaction is not None
        self.isolation = statements[0].isolation
        self.fate, self.commit_send, self.commit_answer = self._fate()

    def _fate(self):
        if not self.explicit:
            only = self.statements[0]
            fate = {"ok": DONE, "failed": FAILED}.get(only.outcome, UNKNOWN_FATE)
            return fate, only.send, only.answer if fate == DONE else math.inf
        commits = [s for s in self.statements if s.kind in ("commit", "commit_prepared")]
        if not commits:
            return FAILED, None, None
        done = [s for s in commits if s.outcome == "ok"]
        if done:
            return DONE, commits[0].send, done[0].answer
        if commits[-1].kind == "commit" and commits[-1].outcome == "failed":
            return FAILED, None, None
        return UNKNOWN_FATE, commits[0].send, math.inf

    @property
    def snapshot(self):
        """The interval in which a transaction above READ COMMITTED took its snapshot."""
        first = next(s for s in self.statements if s.kind not in WITHOUT_SNAPSHOT)
        return first.send, first.answer

    @property
    def keeps_snapshot(self):
        return self.explicit and self.isolation != "read committed"


def read_lines(lines):
    """Returns the statements that the lines of one or more files tell of."""
    statements = {}
    for line in lines:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue    # torn, as its client was killed: as good as missing
        name = (record["client"], record["operation"], record["step"])
        event, at = record.pop("event"), record.pop("at")
        if event == "send":
            statements[name] = Statement(send=at, **record)
        elif event == "answer":
            statement = statements[name]
            statement.outcome = record["outcome"]
            statement.sqlstate = record.get("sqlstate")
            statement.result = record.get("result")
            if statement.outcome != "unknown":
                statement.answer = at
    return list(statements.values())


def read_directory(directory):
    statements = []
    for path in sorted(Path(directory).glob("client-*.ndjson")):
        with open(path, encoding="utf-8") as file:
            statements += read_lines(file)
    return statements


def group(statements):
    """Returns the transactions that the statements were part of."""
    explicit = {}
    transactions = []
    for statement in statements:
        if statement.transaction is None:
            transactions.append(Transaction([statement]))
        else:
            explicit.setdefault(statement.transaction, []).append(statement)
    return transactions + [Transaction(statements) for statements in explicit.values()]
