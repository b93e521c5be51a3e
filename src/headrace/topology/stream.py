"""The language: methods that add nodes to a topology. Declaring checks single arguments and keeps their faults.

Types, columns and keys are checked by :func:`headrace.plan.compile_plan`, which reports all
faults of a topology at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from headrace.event.dtypes import DType
from headrace.topology import nodes
from headrace.topology.aggregates import Aggregate
from headrace.topology.declaration import UNKNOWN, Declaration, shown
from headrace.topology.deduplicate import Deduplicate
from headrace.topology.expr import Column, Expr, apply, when
from headrace.topology.nodes import OnError, Validation
from headrace.topology.operator import Port
from headrace.topology.windows import Window

Condition = Expr | str | bool
Duration = str | timedelta


@dataclass(frozen=True, slots=True, repr=False)
class Stream:
    """A stream of records: the output port of a step. Made by the methods of topologies and streams."""

    _declared: Declaration
    _port: Port

    def _add(self, node: nodes.Node) -> Stream:
        return Stream(self._declared, self._declared.add(node))

    def filter(self, id: str, where: Condition) -> Stream:
        """Keep records for which ``where`` is true; false and null are dropped."""
        return self._add(nodes.Filter(id, self._port, self._declared.condition(id, "where", where)))

    def select(self, id: str, /, *columns: Column, **named: object) -> Stream:
        """Compute the named columns and keep no others. A bare column keeps its last name."""
        return self._add(nodes.Select(id, self._port, self._declared.named(id, columns, named), extend=False))

    def map(self, id: str, /, *columns: Column, **named: object) -> Stream:
        """Compute the named columns beside the ones that are there."""
        return self._add(nodes.Select(id, self._port, self._declared.named(id, columns, named), extend=True))

    def explode(self, id: str, items: Expr, *, name: str = "item") -> Stream:
        """Emit one record per element of a list, in order; none for an empty or null list."""
        found = self._declared.computed(id, "items", items)
        name = self._declared.column_name(id, "name", name)
        return self._add(nodes.Explode(id, self._port, UNKNOWN if found is None else found, name))

    def flat_map(
        self,
        id: str,
        function: Callable[..., Any],
        *args: object,
        returns: DType | type,
        name: str = "item",
    ) -> Stream:
        """Emit one record per element of the list that a Python function returns."""
        given = [self._declared.expression(id, "args", arg) for arg in args]
        return self.explode(id, apply(function, *given, returns=returns), name=name)

    def branch(self, id: str, /, **conditions: Condition) -> dict[str, Stream]:
        """Split: each record goes to the first branch whose condition is true.

        A branch with the condition ``True`` takes the rest; without one the rest is dropped.
        """
        if not conditions:
            self._declared.fault(id, "conditions", "at least one branch", "none", "Name them: big=col.amount > 100.")
            return {}
        tests = [(name, self._declared.condition(id, name, value)) for name, value in conditions.items()]
        number: Any = when(tests[0][1]).then(0)
        for place, (_, test) in enumerate(tests[1:], 1):
            number = number.when(test).then(place)
        chosen = number.otherwise(-1)
        return {
            name: self._add(nodes.Filter(f"{id}.{name}", self._port, chosen == place))
            for place, (name, _) in enumerate(tests)
        }

    def merge(self, id: str, *others: Stream) -> Stream:
        """Return the union with streams of the same columns; order is kept per input."""
        ports, given = [self._port], list[object](others)
        for other in given:
            match other:
                case Stream(declared, port) if declared is self._declared:
                    ports.append(port)
                case Stream(declared, port):
                    expected, got = f"a stream of topology {self._declared.name!r}", f"one of {declared.name!r}"
                    remedy = f"Read here as well what {port.step!r} reads there, with source()."
                    self._declared.fault(id, "others", expected, got, remedy)
                case _:
                    self._declared.fault(id, "others", "a stream", shown(other), "Of a table take on_update().")
        return self._add(nodes.Merge(id, tuple(ports)))

    def broadcast(self, id: str) -> Stream:
        """Send every record to all tasks behind this step, whatever partition it came from."""
        return self._add(nodes.Broadcast(id, self._port))

    def group_by(self, id: str, /, *columns: Column, **named: object) -> Grouped:
        """Set the key. Records of one key meet in one task, whatever partition they came from."""
        node = nodes.GroupBy(id, self._port, self._declared.named(id, columns, named))
        return Grouped(self._declared, self._declared.add(node), None)

    def sink(self, id: str, topic: str | Expr, *, key: Expr | None = None) -> None:
        """Write every record to a topic, as JSON. The key defaults to the stream's own."""
        name = topic if isinstance(topic, Expr) else self._declared.topic(id, topic)
        self._add(nodes.Sink(id, self._port, name, None if key is None else self._declared.computed(id, "key", key)))

    def handle(  # noqa: PLR0913
        self,
        id: str,
        function: Callable[[Any], Awaitable[None]],
        *,
        attempts: int = 5,
        backoff: Duration = "100ms",
        timeout: Duration = "10s",
        concurrency: int = 16,
    ) -> None:
        """Call an async function with every record (a dict), at least once, before the checkpoint.

        A call that fails or takes longer than ``timeout`` is tried again with exponential
        backoff; after ``attempts`` the record goes to the dead letters.
        """
        declared = self._declared
        node = nodes.Handle(
            id,
            self._port,
            declared.coroutine(id, function),
            declared.count(id, "attempts", attempts),
            declared.duration(id, "backoff", backoff),
            declared.duration(id, "timeout", timeout, least=1),
            declared.count(id, "concurrency", concurrency),
        )
        self._add(node)


@dataclass(frozen=True, slots=True, repr=False)
class Grouped:
    """A stream with a key, ready to be aggregated or kept as a table. Made by :meth:`Stream.group_by`."""

    _declared: Declaration
    _port: Port
    _window: Window | None

    def window(self, window: Window) -> Grouped:
        """Return this grouping with a window for the aggregates."""
        return replace(self, _window=self._declared.window(self._port.step, window))

    def aggregate(self, id: str, /, **aggregates: Aggregate) -> Aggregated:
        """Aggregate per key, and per window if there is one. The id is the table's name."""
        node = nodes.Aggregate(id, self._port, self._window, self._declared.aggregates(id, aggregates))
        return Aggregated(self._declared, self._declared.add(node).step, self._window is not None)

    def table(self, id: str, *, delete: Condition | None = None) -> Tabled:
        """Keep the latest record per key, by order of arrival. ``delete`` true removes the key."""
        self._refuse_window(id, "A table keeps the latest record for all time: leave window() out, or aggregate().")
        where = None if delete is None else self._declared.condition(id, "delete", delete)
        return Tabled(self._declared, self._declared.add(nodes.Table(id, self._port, where)).step)

    def distinct(self, id: str, *, within: Duration, grace: Duration = "0s") -> Distinct:
        """Keep the first record of a key, by order of arrival; drop those less than ``within`` from one that was kept.

        Records more than ``grace`` behind the watermark are late: of their time nothing may be known any more.
        """
        self._refuse_window(id, "Say within=... instead: leave window() out.")
        within_ms = self._declared.duration(id, "within", within, least=1)
        node = Deduplicate(id, self._port, within_ms, self._declared.duration(id, "grace", grace))
        return Distinct(self._declared, self._declared.add(node))

    def stream(self) -> Stream:
        """Return the records as a stream with this key."""
        self._refuse_window(self._port.step, "A stream has no windows: leave window() out, or aggregate().")
        return Stream(self._declared, self._port)

    def _refuse_window(self, step: str, remedy: str) -> None:
        if self._window is not None:
            self._declared.fault(step, "window", "no window", str(self._window), remedy)


@dataclass(frozen=True, slots=True, repr=False)
class Distinct(Stream):
    """A stream without duplicates. Made by :meth:`Grouped.distinct`."""

    def late(self) -> Stream:
        """Return the records that came too late to tell."""
        return Stream(self._declared, replace(self._port, name="late"))


@dataclass(frozen=True, slots=True, repr=False)
class Tabled:
    """A table: one row per key. Made by the methods of :class:`Grouped`."""

    _declared: Declaration
    _id: str

    def _stream(self, port: str) -> Stream:
        return Stream(self._declared, Port(self._id, port))

    def on_update(self) -> Stream:
        """Return the changes: at most one row per key and checkpoint, the newest."""
        return self._stream("update")


@dataclass(frozen=True, slots=True, repr=False)
class Aggregated(Tabled):
    """A table of aggregates: one row per key and window."""

    _windowed: bool

    def on_close(self) -> Stream:
        """Return exactly one final row per key and window, when the window closes."""
        self._require_window("on_close", "Use on_update() or every(), or give the grouping a window().")
        return self._stream("close")

    def every(self, interval: Duration) -> Stream:
        """Return the changed rows each time that the watermark passes a multiple of ``interval``."""
        every_ms = self._declared.duration(self._id, "every", interval, least=1)
        self._declared.emit_every(self._id, every_ms)
        return self._stream(f"every:{every_ms}")

    def late(self) -> Stream:
        """Return the records that came after their window had closed, with the columns of the input."""
        self._require_window("late", "Without a window no record is late: leave it out, or give it a window().")
        return self._stream("late")

    def _require_window(self, parameter: str, remedy: str) -> None:
        if not self._windowed:
            self._declared.fault(self._id, parameter, "an aggregate with a window", "one for all time", remedy)


__all__ = ["Aggregated", "Grouped", "OnError", "Stream", "Tabled", "Validation"]
