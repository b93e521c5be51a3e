"""References to the events that a run of a pattern has taken: ``matched.last("login").ip``.

A reference is a column of a record that is not the one at hand. So it has a type and code like any other column; what
it reads, and over which events, is told by :class:`Reference`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from headrace.topology.expr import Apply, Column, Expr, lift
from headrace.topology.trees import walk


class Reading(Enum):
    """What is read of the events of a step."""

    FIRST = "first"
    LAST = "last"
    COUNT = "count"
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    ALL = "all"
    START = "start"
    END = "end"


ONLY_EMITTED = frozenset({Reading.ALL, Reading.START, Reading.END})
"""What only ``emit`` may read: it is known, or of use, when a match is complete."""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What a reference reads: of which step (None: of all), and which expression over each of its events."""

    reading: Reading
    step: object = None
    argument: Expr | None = None

    def __str__(self) -> str:
        if self.reading in {Reading.START, Reading.END}:
            return f"matched.{self.reading.value}"
        given = [] if self.step is None else [repr(self.step)]
        given += [] if self.argument is None else [str(self.argument)]
        return f"matched.{self.reading.value}({', '.join(given)})"

    @property
    def name(self) -> str:
        """The name of the column that stands for it; two functions may have one text."""
        calls = self.argument is not None and any(isinstance(found, Apply) for found in walk(self.argument))
        return f"{self} {id(self.argument)}" if calls else str(self)


@dataclass(frozen=True, slots=True, eq=False)
class Matched(Column):
    """A column of an event that was taken before, or a number made of several."""

    _reference: Reference

    def __getattr__(self, name: str) -> Matched:
        """Return the nested field ``name``."""
        if name.startswith("__"):
            raise AttributeError(name)
        return Matched((*self.path, name), self._reference)

    def __getitem__(self, name: str) -> Matched:
        """Return the nested field ``name``, for names that are not Python identifiers or are taken."""
        return Matched((*self.path, name), self._reference)

    def __str__(self) -> str:
        return ".".join((str(self._reference), *self.path[1:]))

    @classmethod
    def of(cls, reading: Reading, step: object = None, argument: Expr | None = None) -> Matched:
        """Return the column of a reference."""
        reference = Reference(reading, step, argument)
        return cls((reference.name,), reference)

    @staticmethod
    def references(exprs: Iterable[Expr]) -> list[tuple[Reference, tuple[str, ...]]]:
        """Return the references in expressions, each with the path of the field that it reads, in order."""
        # a walk comes by the last one first
        parts = (found for expr in exprs for found in reversed(list(walk(expr))))
        columns = (found for found in parts if isinstance(found, Matched))
        # a public name would hide the field of that name
        return [(column._reference, column.path[1:]) for column in columns]  # noqa: SLF001


class _Matched:
    """References to the events that a run has taken.

    In a ``where`` the event at hand is not yet among those of its own step.

    >>> from headrace import col, matched
    >>> str(matched.last("low").price < col.price)
    "(matched.last('low').price < col.price)"
    """

    __slots__ = ()

    start = Matched.of(Reading.START)
    """The time of the first event, in ``emit`` only."""
    end = Matched.of(Reading.END)
    """The time of the last event, in ``emit`` only."""

    def first(self, step: str) -> Matched:
        """Return the first event of a step; its fields are null if the step took nothing."""
        return Matched.of(Reading.FIRST, step)

    def last(self, step: str) -> Matched:
        """Return the last event of a step; its fields are null if the step took nothing."""
        return Matched.of(Reading.LAST, step)

    def count(self, step: str) -> Matched:
        """Return how many events a step has taken."""
        return Matched.of(Reading.COUNT, step)

    def sum(self, step: str, value: object) -> Matched:
        """Return the sum of an expression over the events of a step; 0 over nothing."""
        return Matched.of(Reading.SUM, step, lift(value))

    def min(self, step: str, value: object) -> Matched:
        """Return the least value of an expression over the events of a step; null over nothing."""
        return Matched.of(Reading.MIN, step, lift(value))

    def max(self, step: str, value: object) -> Matched:
        """Return the greatest value of an expression over the events of a step; null over nothing."""
        return Matched.of(Reading.MAX, step, lift(value))

    def all(self, step: str | None = None) -> Matched:
        """Return the events of a step, or of the whole match, as a list; in ``emit`` only."""
        return Matched.of(Reading.ALL, step)


matched = _Matched()

__all__ = ["ONLY_EMITTED", "Matched", "Reading", "Reference", "matched"]
