"""Joins of tables by reference: a column of the left row is the key of the right one.

Rows go to the tasks that have what they refer to, and from there to those of their own keys::

    left table -> References -> group_by reference -> Matches (with the right table) -> group_by key -> ReferenceJoin

The result has tasks of its own. It may not read the left table's task as well: that would wait for itself. So what is
needed of a left row travels with it, and the result keeps, by key, what came by each reference until it is told that
this one is over. Messages of one reference keep their order; in the end only the row's last one is open, whatever the
order in which the ways of two references were passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from headrace.event.dtypes import DType
from headrace.topology.expr import Expr
from headrace.topology.joins import How, Selected
from headrace.topology.operator import ROWS, Operator, Path, Port
from headrace.topology.trees import all_columns

GONE = "is gone"
"""The column of messages that says that a row no longer refers to something."""


def ref_name(number: int) -> str:
    """Return the column of messages that holds a part of the reference."""
    return f"ref {number}"


def side_name(side: str, name: str) -> str:
    """Return the column of messages that holds a column of a side: no column of a key has such a name."""
    return f"{side} {name}"


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceJoin(Operator):
    """Keep the joined rows by the left table's key. ``back`` are the ways by which its inputs come."""

    id: str
    back: tuple[Port, ...]
    left: Port
    right: Port
    how: How
    on: tuple[Expr, ...]
    select: Selected | None
    suffix: str | None
    inline: ClassVar[frozenset[str]] = frozenset({"late", ROWS})
    queryable: ClassVar[bool] = True

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The ports that it reads."""
        return self.back

    def details(self) -> str:
        """Return its parameters as text."""
        chosen = "all columns" + (f", suffix {self.suffix!r}" if self.suffix is not None else "")
        if self.select is not None:
            chosen = ", ".join(f"{name} = {expr}" for name, expr in self.select)
        return f"{self.how.value}, {self.right.step} on {', '.join(map(str, self.on))}: {chosen}"

    def expressions(self) -> Iterable[object]:
        """Return what it computes over pairs."""
        return [expr for _, expr in self.select or ()]

    def reads(self, port: Port, needed: Callable[[str], set[Path]], columns: DType) -> set[Path]:
        """Return all columns: of messages there are none that it does not need."""
        return {(name,) for name, _ in columns.fields}

    def carried(self, side: str, columns: DType) -> tuple[tuple[str, DType], ...]:
        """Return the columns of a side, whose are ``columns``, that messages hold."""
        if self.select is None:
            return columns.fields
        named = {path[1] for path in all_columns(self.expressions()) if path[0] == side and len(path) > 1}
        return tuple((name, dtype) for name, dtype in columns.fields if name in named)


@dataclass(frozen=True, slots=True, eq=False)
class References(Operator):
    """Tell the rows of the right table which left rows refer to them, and to which they no longer do.

    On the port ``alone`` go the rows of a left join that refer to nothing.
    """

    id: str
    input: Port
    join: ReferenceJoin

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The port that it reads: the changes of the left table."""
        return (self.input,)

    def details(self) -> str:
        """Return its parameters as text."""
        return f"to {self.join.right.step} by {', '.join(map(str, self.join.on))}"

    def expressions(self) -> Iterable[object]:
        """Return the reference."""
        return self.join.on

    def reads(self, port: Port, needed: Callable[[str], set[Path]], columns: DType) -> set[Path]:
        """Return nothing: it is told which rows have changed, and reads them from the table."""
        return set()


@dataclass(frozen=True, slots=True, eq=False)
class Matches(Operator):
    """Keep the left rows that refer to a key, and send them on with its row whenever one of the two changes."""

    id: str
    input: Port
    table: Port
    join: ReferenceJoin

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The ports that it reads: messages, and the changes of the right table."""
        return (self.input, self.table)

    def details(self) -> str:
        """Return its parameters as text."""
        return f"{self.join.how.value}, rows of {self.join.right.step}"

    def reads(self, port: Port, needed: Callable[[str], set[Path]], columns: DType) -> set[Path]:
        """Return all columns of messages; of the table it is told what has changed."""
        return set() if port == self.table else {(name,) for name, _ in columns.fields}


__all__ = ["GONE", "Matches", "ReferenceJoin", "References", "ref_name", "side_name"]
