"""What a pattern means: every branch by itself, over plain lists. Nothing is shared, nothing is fast.

It reads a case as ``tests/conformance/cep`` has them and knows nothing of the engine. A branch is the events that
it has taken and the place that it waits at; a place is a path of (element, how often it was gone through), from the
outermost list of elements to the step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.naive.conditions import Taken, evaluate

Path = tuple[tuple[int, int], ...]
INFINITY = 10**18
MOST = 1_000
"""Branches that one key may have: more take too long here, and prove nothing more."""


class TooManyError(Exception):
    """There are more than ``MOST`` branches."""


class SkipError(Exception):
    """The skip strategy cannot skip: what ``on_miss: error`` asks for."""


@dataclass(frozen=True, eq=False)
class Element:
    """A step, a group or a negation."""

    step: str | None
    group: tuple[Element, ...]
    contiguity: str | None
    where: str | None
    least: int
    most: int | None
    optional: bool
    loop: str
    greedy: bool
    until: str | None
    within_prev_ms: int | None

    @property
    def negative(self) -> bool:
        return self.contiguity in {"not_next", "not_followed_by"}


def element(case: dict[str, Any]) -> Element:
    """Read one element of a case."""
    least, most = case.get("times", [1, 1])
    return Element(
        step=case.get("step"),
        group=tuple(element(e) for e in case.get("group", ())),
        contiguity=case.get("contiguity"),
        where=case.get("where"),
        least=max(least, 1),
        most=most,
        optional=case.get("optional", False) or least == 0,
        loop=case.get("loop", "relaxed"),
        greedy=case.get("greedy", False),
        until=case.get("until"),
        within_prev_ms=case.get("within_prev_ms"),
    )


@dataclass(frozen=True)
class Place:
    """Where a branch waits.

    ``path`` None: behind the last element, for what a trailing negation says. ``nots`` are the not_followed_by in
    force, ``not_next`` what the very next event must not fit, ``guard`` the greedy loop that was left on the way.
    """

    path: Path | None
    nots: tuple[Element, ...] = ()
    not_next: Element | None = None
    guard: Element | None = None


@dataclass(frozen=True)
class Branch:
    """``fresh``: no event has come since the last one taken. ``emitted``: what it has taken was a match already."""

    taken: Taken
    place: Place
    fresh: bool = True
    emitted: bool = False


@dataclass(frozen=True)
class Match:
    """A complete match. ``done``: when, as a number that grows."""

    taken: Taken
    done: int

    @property
    def positions(self) -> list[int]:
        return [position for _, position in self.taken]


@dataclass
class Outcome:
    """What came out; events by position in ``order``."""

    order: list[dict[str, Any]] = field(default_factory=list)
    matches: list[Taken] = field(default_factory=list)
    known_at: list[int] = field(default_factory=list)
    """For each match, the time at which it was emitted."""
    timed_out: set[tuple[Taken, int]] = field(default_factory=set)
    late: list[dict[str, Any]] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    """The ids of the events that live branches hold."""
    error: bool = False
    tied: bool = False
    """Two matches that the rules do not put in an order waited for their release at once."""

    def ids(self, taken: Taken) -> list[str]:
        """Return the ids of the events taken."""
        return [self.order[position]["id"] for _, position in taken]

    def by_step(self, taken: Taken) -> dict[str, list[str]]:
        """Return the ids of the events taken, by step."""
        found: dict[str, list[str]] = {}
        for step, position in taken:
            found.setdefault(step, []).append(self.order[position]["id"])
        return found


class Matcher:
    """One key."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.pattern = tuple(element(e) for e in case["pattern"])
        self.within_ms = case.get("within_ms")
        self.skip = case.get("skip", "no_skip")
        self.now = self.present = -INFINITY
        self.branches: list[Branch] = []
        self.waiting: list[Match] = []
        self.clock = 0
        self.out = Outcome()

    # places

    def at(self, path: Path) -> Element:
        found = self.pattern
        for index, _ in path[:-1]:
            found = found[index].group
        return found[path[-1][0]]

    def beside(self, path: Path) -> Sequence[Element]:
        return self.at(path[:-1]).group if len(path) > 1 else self.pattern

    def enter(self, place: Place) -> Iterator[Place]:
        """Yield the places that waiting for the element at ``place`` comes down to."""
        assert place.path is not None
        inner = self.at(place.path).group
        if not inner:
            yield place
            return
        yield from self.enter(replace(place, path=(*place.path, (0, 0))))
        if inner[0].optional:
            yield from self.onward(replace(place, path=(*place.path, (0, 0))), guard=inner[0])

    def onward(self, place: Place, guard: Element | None = None) -> Iterator[Place]:
        """Yield the places that leaving the element at ``place`` comes down to; a Place without a path at the end."""
        assert place.path is not None
        nots, not_next, index = place.nots, place.not_next, place.path[-1][0] + 1
        beside = self.beside(place.path)
        while index < len(beside) and beside[index].negative:
            if beside[index].contiguity == "not_next":
                not_next = beside[index]
            else:
                nots = (*nots, beside[index])
            index += 1
        if index == len(beside):
            if len(place.path) > 1:
                yield from self.done(place.path[:-1], nots, not_next)
            elif beside[-1].negative:
                yield Place(None, nots, not_next)
            else:
                yield Place(None)
            return
        path = (*place.path[:-1], (index, 0))
        greedy = guard if guard is not None and guard.greedy else None
        yield from self.enter(Place(path, nots, not_next, greedy))
        if beside[index].optional:
            yield from self.onward(Place(path, nots, not_next, None), guard=beside[index])

    def done(self, path: Path, nots: tuple[Element, ...] = (), not_next: Element | None = None) -> Iterator[Place]:
        """Yield the places after the element at ``path`` was gone through once more.

        ``nots``, ``not_next``: negations at the end of a group, still in force.
        """
        here, count = self.at(path), path[-1][1] + 1
        grown = (*path[:-1], (path[-1][0], count))
        may_grow = here.most is None or count < here.most
        if may_grow:
            following = self.beside(path)[path[-1][0] + 1 :][:1]
            kills = tuple(e for e in following if e.contiguity == "not_followed_by")
            at_once = [e for e in following if e.contiguity == "not_next" and count >= here.least]
            yield from self.enter(Place(grown, (*nots, *kills), at_once[0] if at_once else not_next))
        if count >= here.least:
            yield from self.onward(Place(grown, nots, not_next), guard=here if may_grow else None)

    def start(self) -> Iterator[Place]:
        yield from self.enter(Place(((0, 0),)))
        if self.pattern[0].optional:
            yield from self.onward(Place(((0, 0),)), guard=self.pattern[0])

    # events

    def feed(self, event: dict[str, Any]) -> None:
        """Match one event."""
        position = len(self.out.order)
        self.out.order.append(event)
        self.clock += 1
        self.present = event["ts"]
        found = [b for branch in self.branches for b in self.after(branch, position)]
        for place in self.start():
            found += [b for b in self.after(Branch((), place), position) if b.taken]
        if len(found) > MOST:
            raise TooManyError
        self.branches = found
        self.release()

    def after(self, branch: Branch, position: int) -> list[Branch]:
        """Return what becomes of a branch when the event comes."""
        event, place = self.out.order[position], branch.place

        def fits(condition: str | None) -> bool:
            return condition is None or evaluate(condition, event, branch.taken, self.out.order) is True

        if any(fits(n.where) for n in place.nots):
            return []
        if branch.fresh and place.not_next is not None and fits(place.not_next.where):
            return []
        if place.path is None:
            if place.not_next is not None:  # the event that it waited for, and it does not fit
                self.waiting.append(Match(branch.taken, self.clock))
                return []
            return [replace(branch, fresh=False)]
        here = self.at(place.path)
        wanted, stop = fits(here.where), here.until is not None and fits(here.until)
        guard = place.guard
        if guard is not None and guard.until is not None and fits(guard.until):
            guard = None
        if guard is not None and fits(guard.where):
            return []
        found = []
        if wanted and not stop:
            found = self.take(branch, position, place.path)
        if self.waits_on(place.path, wanted, stop):
            found.append(replace(branch, place=replace(place, guard=guard), fresh=False))
        return found

    def take(self, branch: Branch, position: int, path: Path) -> list[Branch]:
        step = self.at(path).step
        assert step is not None
        taken = (*branch.taken, (step, position))
        places = list(self.done(path))
        ends = [p for p in places if p.path is None and not p.nots and p.not_next is None]
        self.waiting += [Match(taken, self.clock) for _ in ends]
        return [Branch(taken, p, emitted=bool(ends)) for p in places if p not in ends]

    def waits_on(self, path: Path, wanted: bool, stop: bool) -> bool:
        """Return whether a branch is still there, as if the event had not come."""
        depth = len(path) - 1
        while depth and path[depth] == (0, 0):
            depth -= 1  # the head of a group follows as its group does
        here, count = self.at(path[: depth + 1]), path[depth][1]
        if count:
            kept = {"relaxed": not wanted, "consecutive": False, "allow_combinations": True}[here.loop]
            return kept and not (stop and depth == len(path) - 1)  # of its own loop, not of the group's
        return {None: False, "next": False, "followed_by": not wanted, "followed_by_any": True}[here.contiguity]

    # time

    def advance(self, to: int) -> None:
        """Let time pass: what is due up to ``to``, in its order."""
        while due := [d for b in self.branches if (d := self.due(b)) <= to]:
            self.clock += 1
            self.present = min(due)
            self.expire(self.present)
            self.release()
        self.now = max(self.now, to)

    def due(self, branch: Branch) -> int:
        first, last = (self.out.order[branch.taken[place][1]]["ts"] for place in (0, -1))
        due = INFINITY if self.within_ms is None else first + self.within_ms
        path = branch.place.path
        waits_for = self.at(path) if path is not None else self.pattern[-1]
        if waits_for.within_prev_ms is not None:
            due = min(due, last + waits_for.within_prev_ms)
        return due

    def expire(self, at: int) -> None:
        gone = [b for b in self.branches if self.due(b) == at]
        self.branches = [b for b in self.branches if b not in gone]
        for branch in gone:
            if branch.place.path is None and branch.place.not_next is None:
                self.waiting.append(Match(branch.taken, self.clock))
            elif not branch.emitted:
                self.out.timed_out.add((branch.taken, at))

    def end(self) -> None:
        """End the input: every window passes, and nothing waits any longer."""
        self.advance(INFINITY - 1)
        self.branches = []
        self.release()

    # after a match

    def release(self) -> None:
        """Emit the matches that wait for nothing."""
        self.waiting.sort(key=lambda m: (m.positions[0], m.done, m.positions))
        if self.skip == "no_skip":
            for match in self.waiting:
                self.emit(match)
            self.waiting = []
        while self.waiting:
            match = self.waiting[0]
            if any(b.taken[0][1] < match.positions[0] for b in self.branches):
                return
            same = [m for m in self.waiting if (m.done, m.positions) == (match.done, match.positions)]
            self.out.tied |= len({m.taken for m in same}) > 1
            del self.waiting[0]
            self.emit(match)
            self.discard(match)

    def emit(self, match: Match) -> None:
        self.out.matches.append(match.taken)
        self.out.known_at.append(self.present)

    def discard(self, match: Match) -> None:
        first, last = match.positions[0], match.positions[-1]
        if self.skip == "to_next":
            dropped = range(first, first + 1)
        elif self.skip == "past_last":
            dropped = range(last + 1)
        else:
            dropped = range(self.target(match))
        self.branches = [b for b in self.branches if b.taken[0][1] not in dropped]
        self.waiting = [m for m in self.waiting if m.positions[0] not in dropped]

    def target(self, match: Match) -> int:
        name = self.skip.get("to_first", self.skip.get("to_last"))
        events = [position for step, position in match.taken if step == name]
        to = -1 if not events else events[0] if "to_first" in self.skip else events[-1]
        if self.skip.get("on_miss") == "error" and to in {-1, match.positions[0]}:
            raise SkipError
        return to


def run(case: dict[str, Any], *, ended: bool = False) -> Outcome:
    """Return what comes out of a case; with ``ended``, after the end of its input too."""
    matcher = Matcher(case)
    held: list[dict[str, Any]] = []
    try:
        for entry in case["events"]:
            if "advance_to" in entry:
                matcher.advance(entry["advance_to"])
            elif "watermark" in entry:
                _watermark(matcher, held, entry["watermark"])
            elif case.get("time", "arrival") == "arrival":
                matcher.advance(entry["ts"])
                matcher.feed(entry)
            elif entry["ts"] <= matcher.now:
                matcher.out.late.append(entry)
            else:
                held.append(entry)
        if ended:
            _watermark(matcher, held, INFINITY - 1)
            matcher.end()
    except SkipError:
        matcher.out.error = True
    matcher.out.held = {i for branch in matcher.branches for i in matcher.out.ids(branch.taken)}
    return matcher.out


def _watermark(matcher: Matcher, held: list[dict[str, Any]], to: int) -> None:
    ready = sorted((e for e in held if e["ts"] <= to), key=lambda e: e["ts"])
    held[:] = [e for e in held if e["ts"] > to]
    for event in ready:
        matcher.advance(event["ts"])
        matcher.feed(event)
    matcher.advance(to)
