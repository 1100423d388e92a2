"""What each transaction says about keys: what it made of them, and what it saw.

A state of a key is the version of its row, or ABSENT. A transaction makes a Link of a key: from the state that it found
to the state that it left. What it saw of others' work is an Observation: a state that was current at some moment of an
interval. A Claim says less: that the state was one of several.
"""
import json
from dataclasses import dataclass, field

from history import DONE, FAILED, UNKNOWN_FATE

ABSENT = None
UNKNOWN = "?"           # a state that the answer does not tell; no version is called that


@dataclass(eq=False)
class Link:
    """What a transaction made of a key, all at once when it was committed."""
    key: str
    base: str
    final: str
    inner: list             # versions that only the transaction itself can have seen
    transaction: object
    statement: object       # the last that wrote
    plain: bool = False     # by UPDATEs alone, which do not take the key's lock
    certain: bool = False   # it was acknowledged, or somebody has seen what it wrote

    @property
    def send(self):
        return self.transaction.commit_send

    @property
    def answer(self):
        return self.transaction.commit_answer


@dataclass
class Observation:
    """The key was in this state at some moment from send to answer."""
    key: str
    state: str
    send: float
    answer: float
    statement: object
    held: bool = False      # by who had the key's lock until then


@dataclass
class Claim:
    """At some moment from send to answer, one of the keys was in a state other than those excluded."""
    rule: str
    keys: list
    excluded: set
    send: float
    answer: float
    statement: object


TOLD_BY_SERVER = "more than one row has the key"      # 21000: true, but nothing that a comparison has found


@dataclass
class Violation:
    key: str
    rule: str
    text: str
    statements: list = field(default_factory=list)

    def __str__(self):
        lines = [f"{self.key}: {self.rule}: {self.text}"]
        return "\n".join(lines + [f"    {statement}" for statement in self.statements])


@dataclass
class Evidence:
    """All that a history says."""
    links: list = field(default_factory=list)
    observations: list = field(default_factory=list)
    claims: list = field(default_factory=list)
    violations: list = field(default_factory=list)
    undone: dict = field(default_factory=dict)      # (key, version) -> the statement, where it was certainly undone


def key_of(statement, element):
    return f"{statement.table} {json.dumps(element['key'])}"


class Own:
    """What a transaction knows of the keys that it wrote to, as far as it is not rolled back."""

    def __init__(self):
        self.state = {}     # key -> as the transaction left it
        self.base = {}      # key -> as the transaction found it
        self.trail = {}     # key -> [(state, statement)], one for each write
        self.held = {}      # key -> (state, statement), seen under its lock, and not written to

    def copy(self):
        other = Own()
        other.state, other.base, other.held = dict(self.state), dict(self.base), dict(self.held)
        other.trail = {key: list(states) for key, states in self.trail.items()}
        return other


class Reader:
    """Reads one transaction into the evidence."""

    def __init__(self, evidence, transaction):
        self.evidence = evidence
        self.transaction = transaction
        self.own = Own()
        self.savepoints = []
        self.attempted = []

    def read(self):
        for statement in self.transaction.statements:
            if statement.kind == "savepoint":
                self.savepoints.append((statement.savepoint, self.own.copy()))
            elif statement.kind == "rollback_to":
                self.roll_back_to(statement.savepoint)
            elif statement.outcome == "ok":
                getattr(self, "ok_" + statement.kind, self.nothing)(statement)
            elif statement.outcome == "failed":
                self.failed(statement)
            elif not self.transaction.explicit:
                self.unknown(statement)
        self.conclude()

    def nothing(self, statement):
        """Nothing is written or seen of a key."""

    def roll_back_to(self, name):
        while self.savepoints[-1][0] != name:
            self.savepoints.pop()
        self.own = self.savepoints[-1][1].copy()

    def violation(self, rule, text, statement, element):
        self.evidence.violations.append(Violation(key_of(statement, element), rule, text, [statement]))

    # -- what a statement saw and wrote ------------------------------------------------------------

    def saw(self, statement, element, state, by_snapshot=False, locked=False):
        """by_snapshot: with the transaction's, which may be older than the statement."""
        key = key_of(statement, element)
        if key in self.own.state:
            if self.own.state[key] != state:
                self.violation("own writes", f"saw {state} where its transaction had left {self.own.state[key]}",
                               statement, element)
            return
        send, answer = statement.send, statement.answer
        if by_snapshot and self.transaction.keeps_snapshot:
            send, answer = self.transaction.snapshot
        self.evidence.observations.append(Observation(key, state, send, answer, statement))
        if locked:
            self.own.held[key] = (state, statement)

    def wrote(self, statement, element, base, state):
        key = key_of(statement, element)
        self.attempted.append((key, state, statement))
        self.own.base.setdefault(key, base)
        self.own.state[key] = state
        self.own.trail.setdefault(key, []).append((state, statement))

    # -- statements that were acknowledged ---------------------------------------------------------

    def ok_upsert(self, statement):
        if len(statement.result) != len(statement.elements):
            self.violation("result", "as many results as elements were due", statement, statement.elements[0])
            return
        for element, result in zip(statement.elements, statement.result):
            self.element(statement, element, result)

    ok_fetch = ok_upsert

    def element(self, statement, element, result):
        version = element.get("version")
        before = {"created": ABSENT, "updated": result.get("previous")}.get(result["action"], result["version"])
        if version is not None and result["version"] != version:
            self.violation("result", f"the row has {result['version']} where {version} was given", statement, element)
        if statement.if_match is not None:
            self.matched(statement, element, before)
        self.saw(statement, element, before, locked=True)
        if result["action"] != "unchanged":
            self.wrote(statement, element, before, version)

    def matched(self, statement, element, before):
        if before is ABSENT or before != statement.if_match.get("version", before):
            self.violation("if_match", f"was met by {before}", statement, element)

    def ok_from(self, statement):
        """The answer has no more than counts."""
        if sum(statement.result) != len(statement.elements):
            self.violation("result", "as many rows as the source has were due", statement, statement.elements[0])
        self.wrote_something(statement)

    def ok_insert(self, statement):
        for element in statement.elements:
            self.saw(statement, element, ABSENT)
            self.wrote(statement, element, ABSENT, element["version"])

    ok_copy = ok_insert

    def ok_update(self, statement):
        """
        Without a row, nothing is said: at READ COMMITTED, an UPDATE that waits for who deletes a row and inserts
        another does not see either.
        """
        self.at_most_one(statement, statement.result)
        for before in statement.result[:1]:
            self.saw(statement, statement.elements[0], before)
            self.wrote(statement, statement.elements[0], before, statement.elements[0]["version"])

    def ok_delete(self, statement):
        element = statement.elements[0]
        self.at_most_one(statement, statement.result)
        for before in statement.result[:1]:
            self.saw(statement, element, before)
            self.wrote(statement, element, before, ABSENT)
        if not statement.result:
            self.saw(statement, element, ABSENT, by_snapshot=True)

    def ok_read(self, statement):
        element, versions = statement.elements[0], statement.result
        own = self.inserted_over_snapshot(statement, element)
        if own in versions and len(versions) == 2:
            self.evidence.observations.append(Observation(
                key_of(statement, element), next(version for version in versions if version != own),
                *self.transaction.snapshot, statement))
            versions = [own]
        self.at_most_one(statement, versions)
        self.saw(statement, element, versions[0] if versions else ABSENT, by_snapshot=True)

    def inserted_over_snapshot(self, statement, element):
        """
        Above READ COMMITTED a transaction goes on seeing a row that was deleted after its snapshot was taken, beside
        the one that it has inserted since: with the guard as with a unique index. Returns what it inserted.
        """
        key = key_of(statement, element)
        plain = any(by.kind in ("insert", "copy", "fetch") for _, by in self.own.trail.get(key, ()))
        return self.own.state[key] if plain and self.transaction.keeps_snapshot else None

    def at_most_one(self, statement, versions):
        if len(versions) > 1:
            self.violation("one row", f"{len(versions)} rows have the key", statement, statement.elements[0])

    # -- statements that failed, or may have ----------------------------------------------------------

    def failed(self, statement):
        for element in statement.elements:
            if "version" in element:
                self.attempted.append((key_of(statement, element), element["version"], statement))
        if statement.sqlstate == "21000":
            self.violation("one row", TOLD_BY_SERVER, statement, statement.elements[0])
        elif statement.sqlstate == "23505" and statement.kind in ("insert", "copy", "fetch"):
            self.claim("key exists", statement, {ABSENT})
        elif statement.sqlstate == "PT412":
            self.claim("if_match", statement, {statement.if_match["version"]} if statement.if_match else None)

    def claim(self, rule, statement, excluded):
        keys = [key_of(statement, element) for element in statement.elements]
        own = [key for key in keys if key in self.own.state]
        if excluded is None:            # every version is excluded: the key was absent
            if not own:
                self.saw(statement, statement.elements[0], ABSENT)
            elif self.own.state[own[0]] is not ABSENT:
                self.violation(rule, f"was not met by {self.own.state[own[0]]}", statement, statement.elements[0])
        elif any(self.own.state[key] not in excluded for key in own):
            return
        elif len(own) == len(keys):
            self.violation(rule, f"failed although its transaction had left {self.own.state[own[0]]}",
                           statement, statement.elements[0])
        else:
            self.evidence.claims.append(Claim(rule, [key for key in keys if key not in own], excluded, statement.send,
                                              statement.answer, statement))

    def unknown(self, statement):
        if statement.kind in ("insert", "copy"):
            for element in statement.elements:
                self.wrote(statement, element, ABSENT, element["version"])
        elif statement.kind in ("upsert", "from", "update"):
            self.wrote_something(statement)

    def wrote_something(self, statement):
        """What was there before is not known, unless another element or the condition of the call tells."""
        for element in statement.elements:
            known = (statement.if_match or {}).get("version", UNKNOWN)
            if "version" in element and self.own.state.get(key_of(statement, element)) != element["version"]:
                self.wrote(statement, element, known, element["version"])

    # -- the transaction as a whole ------------------------------------------------------------------

    def conclude(self):
        transaction, own = self.transaction, self.own
        if transaction.fate == FAILED:
            own = Own()
        kept = {(key, state) for key, trail in own.trail.items() for state, _ in trail}
        for key, state, statement in self.attempted:
            if (key, state) not in kept:
                self.evidence.undone[key, state] = statement
        for key, trail in own.trail.items():
            base, final = own.base[key], own.state[key]
            if base is not ABSENT or final is not ABSENT:
                inner = [state for state, _ in trail[:-1] if state is not ABSENT]
                plain = all(statement.kind == "update" for _, statement in trail)
                self.evidence.links.append(Link(key, base, final, inner, transaction, trail[-1][1], plain,
                                                transaction.fate == DONE))
        if transaction.explicit and transaction.fate == DONE:
            for key, (state, statement) in own.held.items():
                if key not in own.trail and state is not ABSENT:
                    self.evidence.observations.append(Observation(
                        key, state, transaction.commit_send, transaction.commit_send, statement, held=True))


def gather(transactions):
    evidence = Evidence()
    for transaction in transactions:
        Reader(evidence, transaction).read()
    return evidence


def resolve(evidence, stored):
    """
    A transaction whose outcome is unknown was committed if anybody has seen a version that it wrote. Then all that it
    wrote was committed, and what it found was there. If several may have written a version, the first is as good as
    any.
    """
    writers, of_transaction = {}, {}
    for link in evidence.links:
        if link.final is not ABSENT:
            writers.setdefault((link.key, link.final), []).append(link)
        if link.transaction.fate == UNKNOWN_FATE:
            of_transaction.setdefault(id(link.transaction), []).append(link)
    seen = [(seen.key, seen.state) for seen in evidence.observations]
    seen += [(link.key, link.base) for link in evidence.links if link.certain]
    seen += [(key, version) for key, versions in stored.items() for version in versions]
    while seen:
        links = writers.get(seen.pop(), [])
        if not links or any(link.certain for link in links):
            continue
        first = min(links, key=lambda link: link.send)
        for link in of_transaction[id(first.transaction)]:
            if link.statement.kind == "update" and link is not first:
                continue
            link.certain = True
            seen.append((link.key, link.base))
