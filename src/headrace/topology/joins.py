"""Interval joins: records of two streams that share a key and lie near each other in event time.

``left`` and ``right`` name the columns of the two sides where a join says what it returns:

    >>> from headrace import left, right
    >>> str(left.amount - right.paid)
    '(left.amount - right.paid)'
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import ClassVar, Protocol

from headrace.event.dtypes import DType
from headrace.topology.declaration import Declaration, shown
from headrace.topology.expr import Column, Expr
from headrace.topology.operator import Operator, Path, Port
from headrace.topology.trees import all_columns

LEFT, RIGHT = "left", "right"

Selected = tuple[tuple[str, Expr], ...]
Bound = str | timedelta
Within = Bound | tuple[Bound, Bound]


class How(Enum):
    """Which records without a partner a join returns: none, those of one side, or those of both."""

    INNER = "inner"
    LEFT = "left"
    RIGHT = "right"
    OUTER = "outer"

    def keeps(self, side: str) -> bool:
        """Tell whether records of a side are returned that have no partner."""
        return self is How.OUTER or self.value == side


class Pairing(Protocol):
    """What joins of all kinds have in common: two sides, and what is returned of them."""

    @property
    def id(self) -> str:
        """The step's id."""

    @property
    def left(self) -> Port:
        """The left side."""

    @property
    def right(self) -> Port:
        """The right side."""

    @property
    def how(self) -> How:
        """Which records without a partner are returned."""

    @property
    def select(self) -> Selected | None:
        """The columns of a row; None: all."""

    @property
    def suffix(self) -> str | None:
        """What tells columns of the right side from those of the same name."""


class SideColumn(Column):
    """A column of one side of a join: its path begins with the side."""

    __slots__ = ()

    def __getattr__(self, name: str) -> SideColumn:
        """Return the nested field ``name``."""
        if name.startswith("__"):
            raise AttributeError(name)
        return SideColumn((*self.path, name))

    def __getitem__(self, name: str) -> SideColumn:
        """Return the nested field ``name``, for names that are not Python identifiers or are taken."""
        return SideColumn((*self.path, name))

    def __str__(self) -> str:
        return ".".join(self.path)


class _Side:
    """The columns of one side of a join: ``left.amount``, ``right["paid at"]``."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        """Stand for a side."""
        self._name = name

    def __getattr__(self, name: str) -> SideColumn:
        """Return the column ``name``."""
        if name.startswith("__"):
            raise AttributeError(name)
        return SideColumn((self._name, name))

    def __getitem__(self, name: str) -> SideColumn:
        """Return the column ``name``."""
        return SideColumn((self._name, name))


left, right = _Side(LEFT), _Side(RIGHT)


@dataclass(frozen=True, slots=True, eq=False)
class IntervalJoin(Operator):
    """Join a left record at time l with the right ones of its key in [l + lower, l + upper].

    A record more than ``grace_ms`` behind its input's watermark is late. ``select`` None: all columns.
    """

    id: str
    left: Port
    right: Port
    how: How
    lower_ms: int
    upper_ms: int
    grace_ms: int
    select: Selected | None
    suffix: str | None
    inline: ClassVar[frozenset[str]] = frozenset({"late:left", "late:right"})
    any_order: ClassVar[bool] = True

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The ports that it reads: left, right."""
        return (self.left, self.right)

    def details(self) -> str:
        """Return its parameters as text."""
        bounds = f"right - left within [{self.lower_ms}, {self.upper_ms}] ms, grace {self.grace_ms} ms"
        if self.select is None:
            chosen = "all columns" + (f", suffix {self.suffix!r}" if self.suffix is not None else "")
        else:
            chosen = ", ".join(f"{name} = {expr}" for name, expr in self.select)
        return f"{self.how.value}, {bounds}: {chosen}"

    def expressions(self) -> Iterable[object]:
        """Return what it computes over pairs."""
        return [expr for _, expr in self.select or ()]

    def reads(self, port: Port, needed: Callable[[str], set[Path]], columns: DType) -> set[Path]:
        """Return the columns that pairs are made of, and what is needed of late records.

        All that ``select`` names, whether a later step needs it or not: what a state holds must not change with the
        steps behind it, or it would not survive an upgrade of those.
        """
        found: set[Path] = set()
        for side, own in ((LEFT, self.left), (RIGHT, self.right)):
            if own == port:
                found |= needed(f"late:{side}") | self.paths(side, columns)
        return found

    def paths(self, side: str, columns: DType) -> set[Path]:
        """Return the paths that pairs are made of, of the side with these columns."""
        if self.select is None:
            return {(name,) for name, _ in columns.fields}
        return {path[1:] for path in all_columns(self.expressions()) if path[0] == side and len(path) > 1}

    def reach_ms(self, side: str) -> int:
        """Return how long after its own time a record of a side may find a partner, in time for its input."""
        return self.grace_ms + (self.upper_ms if side == LEFT else -self.lower_ms)

    @property
    def behind_ms(self) -> int:
        """How far a row's event time may lie behind the watermark: what has no partner waits until its time is over."""
        return max(self.grace_ms, *(self.reach_ms(side) for side in (LEFT, RIGHT) if self.how.keeps(side)), 0)

    def kept_ms(self) -> int:
        """Return how long a record is kept, at most."""
        return max(self.reach_ms(LEFT), self.reach_ms(RIGHT), 0) + self.upper_ms - self.lower_ms


def bounds_ms(declared: Declaration, step: str, within: object) -> tuple[int, int]:
    """Return how far the right record's time may lie from the left one's: from, to."""
    match within:
        case (first, last):
            lower, upper = _signed(declared, step, first), _signed(declared, step, last)
        case str() | timedelta():
            upper = declared.duration(step, "within", within)
            lower = -upper
        case _:
            expected = "a duration, or two bounds such as ('-5m', '30m')"
            remedy = "A right record joins from the first to the last bound after the left one, both inclusive."
            declared.fault(step, "within", expected, shown(within), remedy)
            return 0, 0
    if lower > upper:
        remedy = "Give the lower bound first."
        declared.fault(step, "within", "bounds of which the first is not above the second", shown(within), remedy)
    return lower, upper


def _signed(declared: Declaration, step: str, value: object) -> int:
    if isinstance(value, str) and value.startswith("-"):
        return -declared.duration(step, "within", value[1:])
    if isinstance(value, timedelta) and value < timedelta(0):
        return -declared.duration(step, "within", -value)
    return declared.duration(step, "within", value)


def chosen(declared: Declaration, step: str, select: object) -> Selected | None:
    """Return what ``select`` says: names and expressions, bare columns, or nothing."""
    match select:
        case None:
            return None
        case Mapping():
            return declared.named(step, (), {str(name): value for name, value in select.items()})
        case list() | tuple():
            return declared.named(step, select, {})
    expected, remedy = "a dict of columns, or a list of them", "select={'amount': left.amount, 'at': right.at}."
    declared.fault(step, "select", expected, shown(select), remedy)
    return None


__all__ = [
    "LEFT",
    "RIGHT",
    "How",
    "IntervalJoin",
    "Pairing",
    "SideColumn",
    "Within",
    "bounds_ms",
    "chosen",
    "left",
    "right",
]
