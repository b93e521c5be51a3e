"""Lookups: what a table has for the key of a record, as it is now or as it was at the record's time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from headrace.event.dtypes import DType
from headrace.topology.expr import Expr
from headrace.topology.joins import LEFT, RIGHT, How, Selected
from headrace.topology.operator import ROWS, Operator, Path, Port
from headrace.topology.trees import all_columns


class AsOf(Enum):
    """Which row of a table a record finds: the one that is there, or the one of the record's own time."""

    LATEST = "latest"
    EVENT_TIME = "event_time"


@dataclass(frozen=True, slots=True, eq=False)
class GlobalTable(Operator):
    """Keep the latest value per key, of all records: the input is a broadcast, and every task has all rows."""

    id: str
    input: Port
    keys: Selected
    delete: Expr | None
    inline: ClassVar[frozenset[str]] = frozenset({ROWS})

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The port that it reads."""
        return (self.input,)

    def details(self) -> str:
        """Return its parameters as text."""
        keys = ", ".join(f"{name} = {expr}" for name, expr in self.keys)
        return f"latest of {keys}" + (f", delete if {self.delete}" if self.delete is not None else "")

    def expressions(self) -> Iterable[object]:
        """Return what the key is, and the condition that removes one."""
        return (*(expr for _, expr in self.keys), self.delete)


@dataclass(frozen=True, slots=True, eq=False)
class Lookup(Operator):
    """Look the row of a table up that is there when a record is processed.

    It keeps no state: it reads the table's own, in the same task. A copy would have to be kept up to date by changes
    that come out at checkpoints only, and results would depend on these; and it would take the space twice.
    ``on`` is the key to look up; None: the record's own.
    """

    id: str
    left: Port
    right: Port
    how: How
    on: tuple[Expr, ...] | None
    select: Selected | None
    suffix: str | None
    stores: ClassVar[bool] = False
    inline: ClassVar[frozenset[str]] = frozenset({"out"})

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The ports that it reads: the records, the table."""
        return (self.left, self.right)

    def details(self) -> str:
        """Return its parameters as text."""
        return f"{self.how.value}, latest{_on(self.on)}: {_columns(self.select, self.suffix)}"

    def expressions(self) -> Iterable[object]:
        """Return the key to look up, and what it computes over pairs."""
        return (*(self.on or ()), *(expr for _, expr in self.select or ()))

    def reads(self, port: Port, needed: Callable[[str], set[Path]], columns: DType) -> set[Path]:
        """Return the columns of the records that the key and the steps behind need: the table has all of its own."""
        if port != self.left:
            return set()
        own = all_columns(self.on or ())
        if self.select is None:
            names = {name for name, _ in columns.fields}
            return own | {path for path in needed("out") if path[0] in names}
        return own | _side(self.select, LEFT)


@dataclass(frozen=True, slots=True, eq=False)
class TemporalLookup(Operator):
    """Look the row of a table up that was the latest at a record's time.

    Records wait until the watermark has passed them: then nothing can come any more that was before. So a result
    depends on event times only, and records leave in their order. The records that set the table come in on
    ``changes``, and are kept here as versions, each as long as a record can come that finds it: the table itself keeps
    the latest row, by order of arrival, and of the past nothing.
    """

    id: str
    left: Port
    changes: Port
    right: Port
    delete: Expr | None
    keys: Selected | None
    how: How
    on: tuple[Expr, ...] | None
    versions_ms: int
    select: Selected | None
    suffix: str | None
    inline: ClassVar[frozenset[str]] = frozenset({"late", "late:table"})

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The ports that it reads: the records, those that set the table, the table."""
        return (self.left, self.changes, self.right)

    def details(self) -> str:
        """Return its parameters as text."""
        gone = f", delete if {self.delete}" if self.delete is not None else ""
        keys = f" of {', '.join(f'{name} = {expr}' for name, expr in self.keys)}" if self.keys is not None else ""
        times = f"as of event time, versions kept {self.versions_ms} ms"
        return f"{self.how.value}, {times}{_on(self.on)}{keys}{gone}: {_columns(self.select, self.suffix)}"

    def expressions(self) -> Iterable[object]:
        """Return the keys, the condition that removes one, and what it computes over pairs."""
        return (*(self.on or ()), *(expr for _, expr in (*(self.keys or ()), *(self.select or ()))), self.delete)

    def reads(self, port: Port, needed: Callable[[str], set[Path]], columns: DType) -> set[Path]:
        """Return the columns that are kept, whether a later step needs them or not, and those of late records."""
        found: set[Path] = set()
        if port == self.left:
            found |= needed("late") | all_columns(self.on or ()) | self.paths(LEFT, columns)
        if port == self.changes:
            keys = all_columns(expr for _, expr in self.keys or ())
            found |= needed("late:table") | keys | all_columns((self.delete,)) | self.paths(RIGHT, columns)
        return found

    def paths(self, side: str, columns: DType) -> set[Path]:
        """Return the paths that rows are made of, of the side with these columns."""
        return {(name,) for name, _ in columns.fields} if self.select is None else _side(self.select, side)


@dataclass(frozen=True, slots=True, eq=False)
class TableJoin(Operator):
    """Join the rows of two tables that have one key: a table again.

    A row is made anew when the checkpoint shows that one of its two has changed: of the tables' own rows, read in the
    same task.
    """

    id: str
    left: Port
    right: Port
    how: How
    select: Selected | None
    suffix: str | None
    inline: ClassVar[frozenset[str]] = frozenset({"late", ROWS})
    queryable: ClassVar[bool] = True

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The ports that it reads: the changes of both tables."""
        return (self.left, self.right)

    def details(self) -> str:
        """Return its parameters as text."""
        return f"{self.how.value}: {_columns(self.select, self.suffix)}"

    def expressions(self) -> Iterable[object]:
        """Return what it computes over pairs."""
        return [expr for _, expr in self.select or ()]

    def reads(self, port: Port, needed: Callable[[str], set[Path]], columns: DType) -> set[Path]:
        """Return nothing: it is told which rows have changed, and the tables have all of their columns."""
        return set()


def _side(select: Selected, side: str) -> set[Path]:
    found = all_columns(expr for _, expr in select)
    return {path[1:] for path in found if path[0] == side and len(path) > 1}


def _on(on: tuple[Expr, ...] | None) -> str:
    return "" if on is None else f" on {', '.join(map(str, on))}"


def _columns(select: Selected | None, suffix: str | None) -> str:
    if select is None:
        return "all columns" + (f", suffix {suffix!r}" if suffix is not None else "")
    return ", ".join(f"{name} = {expr}" for name, expr in select)


__all__ = ["AsOf", "GlobalTable", "Lookup", "TableJoin", "TemporalLookup"]
