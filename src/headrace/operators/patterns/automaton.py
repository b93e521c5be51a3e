"""The automaton of a pattern: places in which runs wait for an event, made when a run first comes there.

A run is a list of taken events and a place. Where more than one way goes on, a run splits: so each place waits for one
step only, in one way. After a step has taken an event a run is in several places at once, as an *outcome* lists them:
committed to the element behind it, in the growth of its loop, past optional elements. The semantics are those of
Flink's CEP library; the numbers in the comments below are the rules' in tests/conformance.

How often a loop has been through is part of the place, up to where it makes no difference any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from headrace.topology.detect import Part
from headrace.topology.patterns import Contiguity

Event = tuple[Any, ...]
Folds = tuple[Any, ...]
Test = Callable[[Event, Folds], Any]
Cursor = tuple[tuple[int, int], ...]
"""Per level of groups, and at last for the step: its place in the sequence, and how often it has been through."""

END = -1  # the step of a place at the end of the pattern, where a run only waits that something does not come


class Mode(Enum):
    """What a place does with an event that its step does not take, and with a run whose event it takes."""

    STRICT = Contiguity.NEXT
    RELAXED = Contiguity.FOLLOWED_BY
    ANY = Contiguity.FOLLOWED_BY_ANY


@dataclass(frozen=True, slots=True)
class Condition:
    """A generated function. ``alone``: it looks at the event only, not at what the run has taken."""

    test: Test
    alone: bool


@dataclass(frozen=True, slots=True)
class Guard:
    """A greedy loop in front of a place: what the loop could take ends the run (rule 6)."""

    where: Condition | None
    until: Condition | None


@dataclass(frozen=True, slots=True)
class Forces:
    """What is in force where a run waits: events that must not come, at all or as the very next, and guards."""

    kills: tuple[Condition, ...] = ()
    next_kills: tuple[Condition, ...] = ()
    guards: tuple[Guard, ...] = ()

    def joined(self, other: Forces) -> Forces:
        """Return both."""
        return Forces(self.kills + other.kills, self.next_kills + other.next_kills, self.guards + other.guards)

    @property
    def later(self) -> Forces:
        """What is left of it once an event has been passed over."""
        return Forces(self.kills, (), self.guards)


DIE, STAY, TAKE = 0, 1, 2  # what an event does to a run; TAKE | STAY: it splits
_FITTING = {Mode.STRICT: TAKE, Mode.RELAXED: TAKE, Mode.ANY: TAKE | STAY}
_OTHERS = {Mode.STRICT: DIE, Mode.RELAXED: STAY, Mode.ANY: STAY}


class Place:
    """Where runs wait. ``rest``: where they wait on when an event was passed over; ``lifted``: without guards.

    ``fitting`` and ``others``: what events do that fit the step, and those that do not. ``alone``: that depends on the
    event only; ``plain``: nothing else is in force; ``patient``: both, and what does not fit is passed over.
    """

    __slots__ = (
        "address",
        "alone",
        "begun",
        "cursor",
        "emitted",
        "fitting",
        "forces",
        "lifted",
        "mode",
        "others",
        "outcome",
        "patient",
        "plain",
        "rest",
        "step",
        "step_ms",
        "test",
        "until",
        "where",
    )

    def __init__(self, wait: Wait, address: tuple[int, ...], forces: Forces, *, emitted: bool) -> None:
        """Make a place that waits as told."""
        self.address, self.forces, self.emitted = address, forces, emitted
        self.step, self.mode, self.where, self.until = wait.step, wait.mode, wait.where, wait.until
        self.begun, self.cursor, self.step_ms = wait.begun, wait.cursor, wait.step_ms
        self.fitting, self.others = _FITTING[wait.mode], _OTHERS[wait.mode]
        self.rest = self.lifted = self
        self.outcome: Outcome | None = None
        tests = (self.where, self.until, *forces.kills, *forces.next_kills)
        guards = (test for guard in forces.guards for test in (guard.where, guard.until))
        self.alone = all(test is None or test.alone for test in (*tests, *guards))
        self.plain = self.until is None and forces == Forces() and self.step != END
        self.test: Test = _always if self.where is None else self.where.test
        self.patient = self.plain and self.alone and self.mode is not Mode.STRICT

    @property
    def ends_by_time(self) -> bool:
        """Whether a run that waits here is complete when its window passes (rule 10)."""
        return self.step == END and bool(self.forces.kills)


@dataclass(frozen=True, slots=True)
class Wait:
    """What a place is made of. ``begun``: the step is in a loop that has taken an event before."""

    step: int
    mode: Mode
    where: Condition | None
    until: Condition | None
    begun: bool
    cursor: Cursor
    forces: Forces
    step_ms: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a run is after a step has taken an event; ``ends``: what it holds is a match."""

    places: tuple[Place, ...]
    ends: bool


@dataclass(frozen=True, slots=True)
class _Ways:
    """The ways that go on from somewhere; ``ends``: one of them leads out of the pattern."""

    waits: tuple[Wait, ...] = ()
    ends: bool = False

    def __add__(self, other: _Ways) -> _Ways:
        return _Ways(self.waits + other.waits, self.ends or other.ends)


class Automaton:
    """The places of one pattern."""

    def __init__(
        self, parts: tuple[Part, ...], wheres: Mapping[str, Condition], untils: Mapping[str, Condition]
    ) -> None:
        """Begin with the places where runs begin."""
        self._parts, self._wheres, self._untils = parts, wheres, untils
        self._numbers: dict[str, int] = {}
        self._number(parts)
        self._outcomes: dict[Cursor, Outcome] = {}
        self.first = self._places((), self._commit((), 0, Forces(), None, 0), emitted=False)

    def _number(self, parts: tuple[Part, ...]) -> None:
        for part in parts:
            if part.group:
                self._number(part.group)
            else:
                self._numbers[part.step] = len(self._numbers)

    def outcome(self, place: Place) -> Outcome:
        """Return where a run is once the step of a place has taken an event."""
        if place.outcome is None:
            place.outcome = self._after(place.cursor)
        return place.outcome

    def place(self, address: tuple[int, ...]) -> Place:
        """Return the place of an address: the step that led there, which way on, and what has been passed over."""
        flat, number, variant = address[:-2], address[-2], address[-1]
        found = self._after(tuple(zip(flat[::2], flat[1::2], strict=True))).places[number]
        return (found, found.rest, found.lifted)[variant]

    def _after(self, cursor: Cursor) -> Outcome:
        outcome = self._outcomes.get(cursor)
        if outcome is None:
            ways = self._taken(cursor[:-1], *cursor[-1])
            places = self._places(tuple(n for pair in cursor for n in pair), ways, emitted=ways.ends)
            outcome = self._outcomes[cursor] = Outcome(places, ways.ends)
        return outcome

    def _places(self, flat: tuple[int, ...], ways: _Ways, *, emitted: bool) -> tuple[Place, ...]:
        return tuple(_with_variants(wait, (*flat, number), emitted=emitted) for number, wait in enumerate(ways.waits))

    def _sequence(self, path: Cursor) -> tuple[Part, ...]:
        parts = self._parts
        for index, _ in path:
            parts = parts[index].group
        return parts

    def _taken(self, path: Cursor, index: int, count: int) -> _Ways:
        """Return the ways on from a step that has just taken its ``count``-th event (rule 3)."""
        part = self._sequence(path)[index]
        room = part.most is None or count < part.most
        ways = _Ways()
        if count >= part.least:
            guard = (self._guard(part),) if part.greedy and room else ()
            ways += self._commit(path, index + 1, Forces(guards=guard), None, 0)
        if room:
            mode = Mode(part.loop.contiguity)
            ways += _Ways((self._wait(path, index, count, mode, self._behind(path, index, count)),))
        return ways

    def _commit(self, path: Cursor, index: int, forces: Forces, mode: Mode | None, still: int) -> _Ways:
        """Return the ways into an element of a sequence, and past it if it is optional.

        ``mode`` is that of what is around the sequence, for its first element. ``still``: how many levels of groups,
        from the inmost one, have taken no event in their round.
        """
        sequence = self._sequence(path)
        if index == len(sequence):
            return self._leave(path, forces, still)
        part = sequence[index]
        if part.contiguity.negative:
            forces = forces.joined(self._negation(part))
            if index == len(sequence) - 1 and not path:
                return _Ways((Wait(END, Mode.RELAXED, None, None, False, (), forces, part.within_ms),))  # noqa: FBT003
            return self._commit(path, index + 1, forces, None, still)
        mode = mode or Mode(part.contiguity)
        if part.group:
            ways = self._commit((*path, (index, 0)), 0, forces, mode, still + 1)
        else:
            ways = _Ways((self._wait(path, index, 0, mode, forces),))
        if part.optional:
            if part.greedy:
                forces = forces.joined(Forces(guards=(self._guard(part),)))
            ways += self._commit(path, index + 1, forces, None, still)
        return ways

    def _leave(self, path: Cursor, forces: Forces, still: int) -> _Ways:
        """Return the ways on from the end of a sequence: out of its group, or through it again."""
        if not path:
            return _Ways(ends=True)
        around, (index, count) = path[:-1], path[-1]
        part = self._sequence(around)[index]
        if still:  # a round without events is none: who leaves the group out does so in front of it
            empty = count == 0 and not part.optional
            return self._commit(around, index + 1, forces, None, still - 1) if empty else _Ways()
        count += 1
        ways = _Ways()
        if count >= part.least:
            ways += self._commit(around, index + 1, forces, None, 0)
        if part.most is None or count < part.most:
            mode, again = Mode(part.loop.contiguity), _bounded(part, count)
            behind = forces.joined(self._behind(around, index, count))
            ways += self._commit((*around, (index, again)), 0, behind, mode, 1)
        return ways

    def _wait(self, path: Cursor, index: int, count: int, mode: Mode, forces: Forces) -> Wait:
        part = self._sequence(path)[index]
        cursor = (*path, (index, _bounded(part, count + 1)))
        where, until = self._wheres.get(part.step), self._untils.get(part.step)
        return Wait(self._numbers[part.step], mode, where, until, count > 0, cursor, forces, part.within_ms)

    def _guard(self, part: Part) -> Guard:
        return Guard(self._wheres.get(part.step), self._untils.get(part.step))

    def _negation(self, part: Part) -> Forces:
        condition = self._wheres[part.step]
        if part.contiguity is Contiguity.NOT_NEXT:
            return Forces(next_kills=(condition,))
        return Forces(kills=(condition,))

    def _behind(self, path: Cursor, index: int, count: int) -> Forces:
        """Return what must not come behind an element that has been through ``count`` times.

        It ends the growth of a loop in front of it: what must not follow at all from the first event of the loop on
        (rule 9), what must not come next once the loop has its minimum (rule 8).
        """
        sequence, forces = self._sequence(path), Forces()
        enough = count >= sequence[index].least
        for part in sequence[index + 1 :]:
            if not part.contiguity.negative:
                return forces
            found = self._negation(part)
            forces = forces.joined(found if enough else replace(found, next_kills=()))
        return forces.joined(self._behind(path[:-1], path[-1][0], path[-1][1] + 1)) if path else forces


def _always(event: Event, folds: Folds) -> bool:
    return True


def _bounded(part: Part, count: int) -> int:
    """Return how often a part has been through, as far as it matters: enough is enough if there is no upper bound."""
    return min(count, part.least) if part.most is None else count


def _with_variants(wait: Wait, address: tuple[int, ...], *, emitted: bool) -> Place:
    """Return a place with those in which its runs are once they have passed over an event."""
    place = Place(wait, (*address, 0), wait.forces, emitted=emitted)
    later = wait.forces.later
    if later != wait.forces:
        place.rest = Place(wait, (*address, 1), later, emitted=emitted)
    if wait.forces.guards:
        free = replace(later, guards=())
        place.lifted = place.rest if free == later else Place(wait, (*address, 2), free, emitted=emitted)
        place.rest.lifted = place.lifted
    elif place.rest is not place:
        place.lifted = place.rest
    return place


__all__ = [
    "DIE",
    "END",
    "STAY",
    "TAKE",
    "Automaton",
    "Condition",
    "Event",
    "Folds",
    "Guard",
    "Mode",
    "Outcome",
    "Place",
    "Test",
]
