"""Patterns: sequences of events to be found in a stream. Inert, reusable, checked by ``detect()``.

    >>> from headrace import begin, col, skip
    >>> failures = (
    ...     begin("failed", col.type == "login.failed").times(5).consecutive()
    ...     .next("ok", col.type == "login.succeeded")
    ...     .within("5m")
    ...     .after_match(skip.past_last())
    ... )
    >>> print(failures)
    failed{5} consecutive, next ok, within 5m, skip past last

Nothing here is refused while it is written down: what makes no sense is noted, and reported by ``detect()`` with all
other faults of the topology.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from typing import Any

from headrace.topology.duration import Duration
from headrace.topology.expr import Expr
from headrace.topology.rules import Condition


class Contiguity(Enum):
    """How an element follows the one before it."""

    NEXT = "next"
    FOLLOWED_BY = "followed_by"
    FOLLOWED_BY_ANY = "followed_by_any"
    NOT_NEXT = "not_next"
    NOT_FOLLOWED_BY = "not_followed_by"

    @property
    def negative(self) -> bool:
        """Whether it takes no event."""
        return self in {Contiguity.NOT_NEXT, Contiguity.NOT_FOLLOWED_BY}


class Loop(Enum):
    """How one event of a loop follows the one before it."""

    RELAXED = "relaxed"
    CONSECUTIVE = "consecutive"
    COMBINATIONS = "allow_combinations"

    @property
    def contiguity(self) -> Contiguity:
        """The contiguity of an element that follows in this way."""
        return _GROWTH[self]


_GROWTH = {
    Loop.RELAXED: Contiguity.FOLLOWED_BY,
    Loop.CONSECUTIVE: Contiguity.NEXT,
    Loop.COMBINATIONS: Contiguity.FOLLOWED_BY_ANY,
}


class To(Enum):
    """Up to where an emitted match discards others."""

    NONE = "none"
    NEXT = "to_next"
    PAST_LAST = "past_last"
    FIRST = "to_first"
    LAST = "to_last"


@dataclass(frozen=True, slots=True, eq=False)
class Skip:
    """What an emitted match discards. Made by :data:`skip`."""

    to: To = To.NONE
    step: object = None
    on_miss: object = "ignore"

    def __str__(self) -> str:
        text = self.to.value.replace("_", " ")
        if self.step is None:
            return text
        return f"{text} {self.step}" + (" or fail" if self.on_miss == "error" else "")


class _Skips:
    """What a match discards, once it is emitted: ``after_match(skip.past_last())``."""

    __slots__ = ()

    def none(self) -> Skip:
        """Discard nothing: every possible match is emitted."""
        return Skip()

    def to_next(self) -> Skip:
        """Discard matches and runs that begin with the same event."""
        return Skip(To.NEXT)

    def past_last(self) -> Skip:
        """Discard matches and runs that begin at or before the last event of the match."""
        return Skip(To.PAST_LAST)

    def to_first(self, step: str, *, on_miss: str = "ignore") -> Skip:
        """Discard matches and runs that begin before the first event of a step.

        ``on_miss``: what to do if there is nothing to skip to, because the step took no event or the first one of the
        match: "ignore" it, or make an "error" of the match.
        """
        return Skip(To.FIRST, step, on_miss)

    def to_last(self, step: str, *, on_miss: str = "ignore") -> Skip:
        """Discard matches and runs that begin before the last event of a step; ``on_miss`` as for to_first."""
        return Skip(To.LAST, step, on_miss)


skip = _Skips()


class Unsaid(Enum):
    """The window of a pattern that has not been spoken of."""

    WINDOW = "not said"


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """A step or a group, as it was written down. ``times``: least and most; most None: no upper bound."""

    step: object
    contiguity: Contiguity
    where: object = None
    times: tuple[object, object] | None = None
    optional: bool = False
    greedy: bool = False
    loop: Loop | None = None
    until: object = None
    within: object = None

    def __str__(self) -> str:
        name = f"({self.step})" if isinstance(self.step, Pattern) else str(self.step)
        if self.times is not None:
            least, most = self.times
            name += "{" + (f"{least}" if least == most else f"{least},{'' if most is None else most}") + "}"
        words = [name + ("?" if self.optional else "")]
        words += [self.loop.value.replace("_", " ")] if self.loop is not None else []
        words += ["greedy"] if self.greedy else []
        words += [f"until {self.until}"] if self.until is not None else []
        words += [f"within {self.within}"] if self.within is not None else []
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that was written down and makes no sense."""

    parameter: str
    expected: str
    got: str
    remedy: str


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """A sequence of steps. Every method returns a new pattern; quantifiers speak of the element added last."""

    elements: tuple[Element, ...]
    window: object = Unsaid.WINDOW
    skip: object = field(default_factory=Skip)
    mistakes: tuple[Mistake, ...] = ()

    def next(self, step: str | Pattern, where: Condition | None = None) -> Pattern:
        """Add a step or a group that the very next event must fit."""
        return self._add(Contiguity.NEXT, step, where)

    def followed_by(self, step: str | Pattern, where: Condition | None = None) -> Pattern:
        """Add a step or a group that takes the first event that fits; others are passed over."""
        return self._add(Contiguity.FOLLOWED_BY, step, where)

    def followed_by_any(self, step: str | Pattern, where: Condition | None = None) -> Pattern:
        """Add a step or a group that takes any event that fits: one match for each of them."""
        return self._add(Contiguity.FOLLOWED_BY_ANY, step, where)

    def not_next(self, step: str, where: Condition) -> Pattern:
        """Add a condition that the very next event must not fit."""
        return self._add(Contiguity.NOT_NEXT, step, where)

    def not_followed_by(self, step: str, where: Condition) -> Pattern:
        """Add a condition that no event must fit until the step behind it; at the end: until the window has passed."""
        return self._add(Contiguity.NOT_FOLLOWED_BY, step, where)

    def times(self, least: int, most: int | str | None = "as many") -> Pattern:
        """Repeat the last element: ``times(3)``, ``times(2, 5)``; ``times(2, None)``: two times or more."""
        return self._quantify("times", times=(least, least if most == "as many" else most))

    def one_or_more(self) -> Pattern:
        """Repeat the last element once or more often."""
        return self._quantify("times", times=(1, None))

    def optional(self) -> Pattern:
        """Let the last element be left out."""
        return self._quantify("optional", optional=True)

    def greedy(self) -> Pattern:
        """Have the last loop take every event that it can."""
        return self._quantify("greedy", greedy=True)

    def consecutive(self) -> Pattern:
        """Let nothing come between the events of the last loop."""
        return self._quantify("loop", loop=Loop.CONSECUTIVE)

    def allow_combinations(self) -> Pattern:
        """Let the last loop pass over events that fit: one match for each combination."""
        return self._quantify("loop", loop=Loop.COMBINATIONS)

    def until(self, condition: Condition) -> Pattern:
        """End the last loop at an event for which this is true; that event is not taken by it."""
        return self._quantify("until", until=condition)

    def within_step(self, duration: Duration) -> Pattern:
        """Bound the wait for the last step since the event taken before it; an event just so far away is too late."""
        return self._quantify("within", within=duration)

    def within(self, duration: Duration | None) -> Pattern:
        """Bound the whole match: an event that is this far from the first one is too late. None: no bound."""
        return replace(self, window=duration)

    def after_match(self, skip: Skip) -> Pattern:
        """Say what an emitted match discards."""
        return replace(self, skip=skip)

    def _add(self, contiguity: Contiguity, step: object, where: object) -> Pattern:
        return replace(self, elements=(*self.elements, Element(step, contiguity, where)))

    def _quantify(self, name: str, **said: Any) -> Pattern:
        last, noted = self.elements[-1], self.mistakes
        if getattr(last, name) not in (None, False):
            got = f"{said[name] if said[name] is not True else name} again"
            noted = (*noted, Mistake(f"{last.step}, {name}", f"{name} once", got, "Leave one of them out."))
        return replace(self, elements=(*self.elements[:-1], replace(last, **said)), mistakes=noted)

    def __str__(self) -> str:
        words = [str(self.elements[0])]
        words += [f"{e.contiguity.value.replace('_', ' ')} {e}" for e in self.elements[1:]]
        words += [f"within {self.window}"] if isinstance(self.window, str | timedelta) else []
        words += [f"skip {self.skip}"] if isinstance(self.skip, Skip) and self.skip.to is not To.NONE else []
        return ", ".join(words)


def begin(step: str | Pattern, where: Condition | None = None) -> Pattern:
    """Begin a pattern with a step or a group; without ``where`` the step fits any event.

    >>> from headrace import begin, col
    >>> print(begin("dip", col.price < 10).one_or_more().followed_by("rise", col.price > 20).within("1h"))
    dip{1,}, followed by rise, within 1h
    """
    return Pattern((Element(step, Contiguity.FOLLOWED_BY, where),))


@dataclass(frozen=True, slots=True, eq=False)
class Recognition:
    """A pattern together with what is emitted for each match: what a text form of patterns reads."""

    pattern: Pattern
    emit: Mapping[str, Expr] | None = None


__all__ = [
    "Contiguity",
    "Element",
    "Loop",
    "Mistake",
    "Pattern",
    "Recognition",
    "Skip",
    "To",
    "Unsaid",
    "begin",
    "skip",
]
