"""The links of one key, put into the one order in which they can have happened.

Links that name what they found make pieces: a -> b, b -> c. A piece begins where the key was absent, or where it is
not known what was found, and ends with a version that nobody is known to have replaced, or with a delete. The pieces
are put one after the other: no version but the stored one may be left at an end, unless what comes next does not know
what it found, or a delete whose outcome is unknown closes the gap.

In that order each link is given the earliest moment at which it can have been committed. It is an error if that is
after its answer, and likewise for what was seen: so real time agrees with the order if and only if nothing is reported.
"""
import math
from dataclasses import dataclass

from evidence import ABSENT, UNKNOWN, Observation, Violation

MAX_STEPS = 20_000          # attempts to put the pieces of a key in order


class Broken(Exception):
    """The links do not make a chain."""


@dataclass(eq=False)
class Piece:
    """Links that follow each other, and the bounds that they and who saw them set to what comes before and after."""
    links: list
    last_send: float = -math.inf
    first_answer: float = math.inf

    @property
    def head(self):
        return self.links[0].base

    @property
    def tail(self):
        return self.links[-1].final

    def bound(self, item):
        self.last_send = max(self.last_send, item.send)
        self.first_answer = min(self.first_answer, item.answer)


class Chain:
    """The states of one key, from first to last."""

    def __init__(self, key, links, observations, undone, stored):
        self.key = key
        self.links = [link for link in links if link.certain]
        self.doubtful = [link for link in links if not link.certain]
        self.observations = observations
        self.undone = undone
        self.stored = stored
        self.violations = []
        self.order = []         # the links, when they are in order
        self.earliest = []      # when each state began at the earliest: that before the first link, then one for each
        self.seen = {}          # state -> observations
        for observation in observations:
            self.seen.setdefault(observation.state, []).append(observation)

    def check(self):
        """Returns what is wrong with the key."""
        try:
            self.index()
            self.check_origins()
            self.order = self.put_in_order(self.pieces())
        except Broken:
            return self.violations
        self.drop_what_was_not_held()
        self.place()
        return self.violations

    def report(self, rule, text, *items):
        """The items are links or observations."""
        self.violations.append(Violation(self.key, rule, text, [item.statement for item in items if item]))

    # -- who follows whom --------------------------------------------------------------------------

    def index(self):
        """Each version is written once, and replaced once."""
        self.into, self.out_of = {}, {}
        for link in self.links:
            if link.final is not ABSENT and self.into.setdefault(link.final, link) is not link:
                self.report("written once", f"{link.final} was written twice", self.into[link.final], link)
            if link.base not in (ABSENT, UNKNOWN) and self.out_of.setdefault(link.base, link) is not link:
                self.report("no fork", f"{link.base} was replaced twice", self.out_of[link.base], link)
        if self.violations:
            raise Broken

    def check_origins(self):
        """What was found, seen or is stored was written, by a transaction that was committed, as its last word."""
        for link in self.links:
            if link.base not in (ABSENT, UNKNOWN):
                self.check_origin(link.base, link)
        for state, observations in self.seen.items():
            if state is not ABSENT:
                self.check_origin(state, observations[0])
        if self.stored is not ABSENT:
            self.check_origin(self.stored, None)
            replaced = self.out_of.get(self.stored)
            if replaced:
                self.report("the end is stored", f"{self.stored} is stored, and was replaced", replaced)
        if self.violations:
            raise Broken

    def check_origin(self, version, item):
        if version in self.into:
            return
        by = "is stored" if item is None else "was found or seen"
        inner = next((link for link in self.links + self.doubtful if version in link.inner), None)
        if inner:
            self.report("committed states", f"{version} {by}, which its transaction replaced", inner, item)
        elif (self.key, version) in self.undone:
            self.violations.append(Violation(
                self.key, "failed is not done", f"{version} {by}, and was not committed",
                [self.undone[self.key, version]] + [item.statement for item in [item] if item]))
        else:
            self.report("unbroken", f"{version} {by}, and nobody wrote it", item)

    # -- the order -----------------------------------------------------------------------------------

    def pieces(self):
        pieces, used = [], 0
        for link in self.links:
            if link.base in (ABSENT, UNKNOWN):
                pieces.append(self.follow(link))
                used += len(pieces[-1].links)
        if used < len(self.links):
            self.report("unbroken", "versions replace each other in a circle", self.links[0])
            raise Broken
        return pieces

    def follow(self, link):
        piece = Piece([])
        while link:
            piece.links.append(link)
            piece.bound(link)
            for seen in self.seen.get(link.final, ()) if link.final is not ABSENT else ():
                if not seen.held:
                    piece.bound(seen)
            link = self.out_of.get(link.final)
        return piece

    def closing(self, tail):
        """A delete of the version, of which it is not known whether it was done."""
        return next((link for link in self.doubtful if link.final is ABSENT and link.base == tail), None)

    def check_ends(self, pieces):
        """Says in plain words what most orders fail of."""
        if any(piece.head == UNKNOWN for piece in pieces):
            return
        ends = [piece for piece in pieces if piece.tail not in (ABSENT, self.stored) and not self.closing(piece.tail)]
        creations = [piece.links[0] for piece in pieces]
        if ends and len(creations) > 1:
            after = [link for link in creations if link is not ends[0].links[0]]
            nearest = min(after, key=lambda link: abs(link.send - ends[0].links[0].send))
            self.report("created when absent", "created although there was a row, which nobody deleted",
                        ends[0].links[0], nearest)
        elif ends:
            self.report("the end is stored", f"{self.stored} is stored, but {ends[0].tail} is the end of the chain",
                        ends[0].links[-1])
        if ends:
            raise Broken

    def put_in_order(self, pieces):
        """Returns all links in order, with those that close gaps."""
        self.check_ends(pieces)
        pieces.sort(key=lambda piece: piece.last_send)
        chosen = self.search(pieces)
        if chosen is None:
            earliest = [piece.links[0] for piece in pieces[:4]]
            self.report("one order", f"no order of the chain's {len(pieces)} pieces agrees with time and with what"
                        f" is stored, {self.stored}", *earliest)
            raise Broken
        links = []
        for closing, piece in chosen:
            links += ([closing] if closing else []) + piece.links
        if links and links[-1].final != self.stored:
            links.append(self.closing(links[-1].final))
        return links

    def search(self, pieces):
        """Depth first. Returns [(link that closes the gap before it or None, piece)], or None if there is no order."""
        chosen, steps = [], 0
        choices = [self.candidates(pieces, ABSENT)]
        remaining = list(pieces)
        while remaining:
            steps += 1
            choice = next(choices[-1], None) if steps < MAX_STEPS else None
            if choice is None:
                choices.pop()
                if not chosen or steps >= MAX_STEPS:
                    return None
                remaining.append(chosen.pop()[1])
                remaining.sort(key=lambda piece: piece.last_send)
                continue
            chosen.append(choice)
            remaining.remove(choice[1])
            choices.append(self.candidates(remaining, choice[1].tail))
            if not remaining and not self.may_end_with(choice[1].tail):
                remaining = [chosen.pop()[1]]
                choices.pop()
        return chosen

    def may_end_with(self, tail):
        return tail == self.stored or (self.stored is ABSENT and self.closing(tail) is not None)

    def candidates(self, remaining, tail):
        """The pieces that may come next, in order of time: those after which each of the others can still come."""
        answers = sorted(piece.first_answer for piece in remaining)
        candidates = []
        for piece in remaining:
            others = answers[1:2] if piece.first_answer == answers[0] else answers[:1]
            if others and piece.last_send > others[0]:
                continue
            if tail == self.stored and tail is not ABSENT:
                break       # its piece is the last
            if tail is ABSENT or piece.head == UNKNOWN:
                candidates.append((None, piece))
            elif self.closing(tail):
                candidates.append((self.closing(tail), piece))
        return iter(candidates)

    # -- real time -------------------------------------------------------------------------------------

    def drop_what_was_not_held(self):
        """A plain UPDATE does not ask for the key's lock."""
        for link in self.order:
            if link.plain and link.base in self.seen:
                self.seen[link.base] = [seen for seen in self.seen[link.base] if not seen.held]

    def place(self):
        versions = [[]] + [self.seen.get(link.final, []) if link.final is not ABSENT else [] for link in self.order]
        self.advance(versions, quiet=True)
        for seen in self.seen.get(ABSENT, []):
            # The latest gap that can be: it binds what comes after it least.
            gaps = [at for at, state in enumerate(self.states()) if state is ABSENT and
                    self.earliest[at] <= seen.answer]
            if not gaps:
                self.report("seen", "the key was not absent at any moment of the interval", seen)
                continue
            versions[gaps[-1]].append(seen)
        self.advance(versions)

    def states(self):
        return [ABSENT] + [link.final for link in self.order]

    def advance(self, seen_in, quiet=False):
        """Gives each state its earliest moment; reports what would have been after its answer."""
        now, because = -math.inf, None
        self.earliest = [now]
        for at, seen_here in enumerate(seen_in):
            if at > 0:
                link = self.order[at - 1]
                if now > link.answer and not quiet:
                    self.report("real time", f"{link.final or 'the delete'} comes after what began when it was done",
                                because, link)
                    return
                if link.send >= now:
                    now, because = link.send, link
                self.earliest.append(now)
            start, cause = now, because
            for seen in seen_here:
                if start > seen.answer and not quiet:
                    self.report("held" if seen.held else "seen", f"{seen.state} was not current yet", cause, seen)
                    return
                if seen.send > now:
                    now, because = seen.send, seen

    # -- claims ----------------------------------------------------------------------------------------

    def allows(self, claim):
        """Was the key in a state that the claim does not exclude?"""
        if any(link.send <= claim.answer for link in self.doubtful):
            return True
        ends = [math.inf] * (len(self.order) + 1)
        for at in range(len(self.order) - 1, -1, -1):
            ends[at] = min(ends[at + 1], self.order[at].answer)
        return any(state not in claim.excluded and max(begin, claim.send) <= min(end, claim.answer)
                   for state, begin, end in zip(self.states(), self.earliest, ends)) or self.has_other_order(claim)

    def has_other_order(self, claim):
        """Is there another order, in which somebody could have seen such a state in the interval?"""
        states = {link.final for link in self.links
                  if link.final not in claim.excluded and link.send <= claim.answer}
        return any(self.agrees_with(Observation(self.key, state, claim.send, claim.answer, claim.statement))
                   for state in states - {ABSENT})

    def agrees_with(self, observation):
        return not Chain(self.key, self.links + self.doubtful, self.observations + [observation], self.undone,
                         self.stored).check()
