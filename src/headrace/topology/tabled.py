"""Tables: what a grouping is kept as, and what of it is a stream again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from headrace.topology.declaration import Declaration, shown
from headrace.topology.duration import Duration
from headrace.topology.expr import Column, Expr
from headrace.topology.joins import How
from headrace.topology.looking import Joining, declare_table_join
from headrace.topology.operator import Port
from headrace.topology.stream import Stream
from headrace.topology.windows import Counted, Window


@dataclass(frozen=True, slots=True, repr=False)
class GlobalTable:
    """A table that every task has. Made by :meth:`Stream.global_table`."""

    _declared: Declaration
    _id: str


@dataclass(frozen=True, slots=True, repr=False)
class Tabled:
    """A table: one row per key. Made by the methods of :class:`Grouped`."""

    _declared: Declaration
    _id: str

    def _stream(self, port: str) -> Stream:
        return Stream(self._declared, Port(self._id, port))

    def on_update(self) -> Stream:
        """Return the changes: at most one row per key and checkpoint, the newest.

        >>> from headrace import agg, col
        >>> from headrace.testing import example
        >>> orders, run = example(user=str)
        >>> counts = orders.group_by("by-user", col.user).aggregate("counts", orders=agg.count())
        >>> counts.on_update().sink("out", topic="counts")
        >>> run({"user": "ada"}, {"user": "ada"}).output("counts")  # there is one checkpoint here, at the end
        [{'user': 'ada', 'orders': 2}]
        """
        return self._stream("update")

    def join(  # noqa: PLR0913
        self,
        id: str,
        other: Tabled,
        *,
        on: Expr | Sequence[Expr] | None = None,
        how: How | Literal["inner", "left", "right", "outer"] = How.INNER,
        select: Mapping[str, object] | Sequence[Column] | None = None,
        suffix: str | None = None,
    ) -> Tabled:
        """Join with another table: a table again, with this one's key, which follows the changes of both.

        Whatever the order of changes and removals, its rows are those that the join of the two tables has. Its event
        time is the later one of its two rows. An aggregate must be over all time.

        Args:
            id: The step's id, and the table's name.
            other: The right side. Without ``on`` its key is of the same types.
            on: The key of the right side, computed of the left row, an expression for each of its columns: many left
                rows may have one right row. Null finds nothing. ``how`` is ``inner`` or ``left``.
            how: ``inner``: keys that both have. ``left``, ``right``, ``outer``: keys of these sides, with nulls in the
                columns of the other one.
            select: What a row has beside the key: names and expressions over ``left`` and ``right``, or columns of
                these. By default all columns of both; those that both have must be told apart by ``suffix``.
            suffix: Is appended to the right side's columns whose names the left one has.

        >>> from pydantic import BaseModel
        >>> from headrace import Topology, agg, col
        >>> from headrace.testing import TopologyDriver
        >>> class User(BaseModel):
        ...     user: str
        ...     city: str
        >>> class Order(BaseModel):
        ...     user: str
        >>> topology = Topology("shop")
        >>> users = topology.source("users", topic="users", schema=User).group_by("u", col.user).table("users-now")
        >>> orders = topology.source("orders", topic="orders", schema=Order)
        >>> counts = orders.group_by("o", col.user).aggregate("counts", orders=agg.count())
        >>> profiles = users.join("profiles", counts, how="left")
        >>> driver = TopologyDriver(topology)
        >>> driver.pipe("users", [{"user": "ada", "city": "Delft"}, {"user": "bob", "city": "Leiden"}])
        >>> driver.pipe("orders", {"user": "ada"})
        >>> driver.table("profiles")
        [{'user': 'ada', 'city': 'Delft', 'orders': 1}, {'user': 'bob', 'city': 'Leiden', 'orders': None}]
        """
        declared = self._declared
        sides = [table_of(declared, id, name, table) for name, table in (("left", self), ("other", other))]
        if None in sides:
            return self
        one, two = map(str, sides)
        return Tabled(declared, declare_table_join(declared, id, one, two, Joining(on, how, select, suffix)))


@dataclass(frozen=True, slots=True, repr=False)
class Aggregated(Tabled):
    """A table of aggregates: one row per key and window."""

    _window: Window | None

    def on_close(self) -> Stream:
        """Return exactly one final row per key and window, when the window closes.

        >>> from headrace import agg, col, tumbling
        >>> from headrace.testing import example
        >>> orders, run = example(time=col.at, user=str, at=int)
        >>> minutes = orders.group_by("by-user", col.user).window(tumbling("1m"))
        >>> minutes.aggregate("counts", orders=agg.count()).on_close().sink("out", topic="counts")
        >>> run({"user": "ada", "at": 0}).output("counts")
        [{'user': 'ada', 'window_start': '1970-01-01T00:00:00Z', 'window_end': '1970-01-01T00:01:00Z', 'orders': 1}]
        """
        self._require_window("on_close", "Use on_update() or every(), or give the grouping a window().")
        return self._stream("close")

    def every(self, interval: Duration) -> Stream:
        """Return the changed rows each time that the watermark passes a multiple of ``interval``.

        >>> from headrace import agg, col
        >>> from headrace.testing import example
        >>> orders, run = example(time=col.at, user=str, at=int)
        >>> counts = orders.group_by("by-user", col.user).aggregate("counts", orders=agg.count())
        >>> counts.every("1m").sink("out", topic="counts")
        >>> run(*({"user": "ada", "at": at} for at in (10_000, 20_000, 70_000))).output("counts")
        [{'user': 'ada', 'orders': 2}, {'user': 'ada', 'orders': 3}]
        """
        every_ms = self._declared.duration(self._id, "every", interval, least=1)
        self._declared.emit_every(self._id, every_ms)
        return self._stream(f"every:{every_ms}")

    def late(self) -> Stream:
        """Return the records that came after their window had closed, with the columns of the input.

        >>> from headrace import agg, col, tumbling
        >>> from headrace.testing import example
        >>> orders, run = example(time=col.at, user=str, at=int)
        >>> minutes = orders.group_by("by-user", col.user).window(tumbling("1m", grace="10s"))
        >>> minutes.aggregate("counts", orders=agg.count()).late().sink("out", topic="late")
        >>> run({"user": "ada", "at": 70_000}, {"user": "ada", "at": 50_000}).output("late")
        [{'user': 'ada', 'at': 50000}]
        """
        self._require_window("late", "Without a window no record is late: leave it out, or give it a window().")
        if isinstance(self._window, Counted):
            remedy = "Leave it out: such windows take records as they come."
            self._declared.fault(self._id, "late", "a window of time", "one by the number of records", remedy)
        return self._stream("late")

    def _require_window(self, parameter: str, remedy: str) -> None:
        if self._window is None:
            self._declared.fault(self._id, parameter, "an aggregate with a window", "one for all time", remedy)


def table_of(declared: Declaration, step: str, parameter: str, table: object) -> str | None:
    """Return the id of a table of this topology, without windows; None, with a fault, if it is none."""
    expected, remedy = f"a table of topology {declared.name!r}", "Make one with table() or aggregate()."
    match table:
        case Aggregated(_window=window) if window is not None:
            expected, got = "a table without windows", "an aggregate with one"
            remedy = "Leave window() out; or keep its rows: on_close().group_by(...).table(...)."
        case Tabled(owner, id) if owner is declared:
            return id
        case Tabled(owner, id):
            got, remedy = f"{id!r} of {owner.name!r}", "Read here what it reads there, with source()."
        case GlobalTable():
            got, remedy = "a global table", "Look it up from a stream: .stream().lookup(..., on=...)."
        case _:
            got = shown(table)
    declared.fault(step, parameter, expected, got, remedy)
    return None
