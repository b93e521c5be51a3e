"""The language: methods that add nodes to a topology. Declaring checks only names and shapes.

Types, columns and keys are checked by :func:`headrace.plan.compile_plan`, which reports all
faults of a topology at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from headrace.event.dtypes import DType
from headrace.topology import nodes
from headrace.topology.aggregates import Aggregate
from headrace.topology.duration import duration_ms
from headrace.topology.expr import Column, Expr, apply, lift, when
from headrace.topology.nodes import OnError, Port
from headrace.topology.rules import parse_rule
from headrace.topology.windows import Window

if TYPE_CHECKING:
    from headrace.topology.topology import Topology

Condition = Expr | str | bool
Duration = str | timedelta


def condition(value: Condition) -> Expr:
    """Return a condition as an expression; text is parsed as a rule."""
    return parse_rule(value) if isinstance(value, str) else lift(value)


class Stream:
    """A stream of records: the output port of a step."""

    __slots__ = ("_port", "_topology")

    def __init__(self, topology: Topology, port: Port) -> None:
        """Name the port; made by the methods of topologies and streams."""
        self._topology = topology
        self._port = port

    def _add(self, node: nodes.Node) -> Stream:
        self._topology._add(node)  # noqa: SLF001 - a stream is the topology's own hand
        return Stream(self._topology, Port(node.id))

    def filter(self, id: str, where: Condition) -> Stream:
        """Keep records for which ``where`` is true; false and null are dropped."""
        return self._add(nodes.Filter(id, self._port, condition(where)))

    def select(self, id: str, /, *columns: Column, **named: object) -> Stream:
        """Compute the named columns and keep no others. A bare column keeps its last name."""
        return self._add(nodes.Select(id, self._port, _named(columns, named), extend=False))

    def map(self, id: str, /, *columns: Column, **named: object) -> Stream:
        """Compute the named columns beside the ones that are there."""
        return self._add(nodes.Select(id, self._port, _named(columns, named), extend=True))

    def explode(self, id: str, items: Expr, *, name: str = "item") -> Stream:
        """Emit one record per element of a list, in order; none for an empty or null list."""
        return self._add(nodes.Explode(id, self._port, items, name))

    def flat_map(
        self,
        id: str,
        function: Callable[..., Any],
        *args: object,
        returns: DType | type,
        name: str = "item",
    ) -> Stream:
        """Emit one record per element of the list that a Python function returns."""
        return self.explode(id, apply(function, *args, returns=returns), name=name)

    def branch(self, id: str, /, **conditions: Condition) -> dict[str, Stream]:
        """Split: each record goes to the first branch whose condition is true.

        A branch with the condition ``True`` takes the rest; without one the rest is dropped.
        """
        tests = [(name, condition(value)) for name, value in conditions.items()]
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
        ports = (self._port, *(s._port for s in others))  # noqa: SLF001
        return self._add(nodes.Merge(id, ports))

    def group_by(self, id: str, /, *columns: Column, **named: object) -> Grouped:
        """Set the key. Records of one key meet in one task, whatever partition they came from."""
        return Grouped(self._topology, id, self._port, _named(columns, named))

    def sink(self, id: str, topic: str | Expr, *, key: Expr | None = None) -> None:
        """Write every record to a topic, as JSON. The key defaults to the stream's own."""
        self._add(nodes.Sink(id, self._port, topic, key))

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
        backoff_ms, timeout_ms = duration_ms(backoff, "backoff"), duration_ms(timeout, "timeout")
        self._add(nodes.Handle(id, self._port, function, attempts, backoff_ms, timeout_ms, concurrency))


class Grouped:
    """A stream with a key, ready to be aggregated or kept as a table."""

    __slots__ = ("_grouping", "_id", "_topology", "_window")

    def __init__(self, topology: Topology, id: str, port: Port, keys: tuple[tuple[str, Expr], ...]) -> None:
        """Keep the grouping; made by :meth:`Stream.group_by`."""
        self._topology = topology
        self._grouping = nodes.GroupBy(id, port, keys)
        self._window: Window | None = None
        topology._add(self._grouping)  # noqa: SLF001

    def window(self, window: Window) -> Grouped:
        """Return this grouping with a window for the aggregates."""
        other = object.__new__(Grouped)
        other._topology, other._grouping, other._window = self._topology, self._grouping, window
        return other

    def aggregate(self, id: str, /, **aggregates: Aggregate) -> Aggregated:
        """Aggregate per key, and per window if there is one. The id is the table's name."""
        port = Port(self._grouping.id)
        self._topology._add(nodes.Aggregate(id, port, self._window, tuple(aggregates.items())))  # noqa: SLF001
        return Aggregated(self._topology, id)

    def table(self, id: str, *, delete: Condition | None = None) -> Tabled:
        """Keep the latest record per key, by order of arrival. ``delete`` true removes the key."""
        where = None if delete is None else condition(delete)
        self._topology._add(nodes.Table(id, Port(self._grouping.id), where))  # noqa: SLF001
        return Tabled(self._topology, id)

    def stream(self) -> Stream:
        """Return the records as a stream with this key."""
        return Stream(self._topology, Port(self._grouping.id))


class Tabled:
    """A table: one row per key."""

    __slots__ = ("_id", "_topology")

    def __init__(self, topology: Topology, id: str) -> None:
        """Name the step; made by :class:`Grouped`."""
        self._topology = topology
        self._id = id

    def _stream(self, port: str) -> Stream:
        return Stream(self._topology, Port(self._id, port))

    def on_update(self) -> Stream:
        """Return the changes: at most one row per key and checkpoint, the newest."""
        return self._stream("update")


class Aggregated(Tabled):
    """A table of aggregates: one row per key and window."""

    __slots__ = ()

    def on_close(self) -> Stream:
        """Return exactly one final row per key and window, when the window closes."""
        return self._stream("close")

    def every(self, interval: Duration) -> Stream:
        """Return the changed rows each time that the watermark passes a multiple of ``interval``."""
        every_ms = duration_ms(interval, "interval")
        self._topology._add_interval(self._id, every_ms)  # noqa: SLF001
        return self._stream(f"every:{every_ms}")

    def late(self) -> Stream:
        """Return the records that came after their window had closed, with the columns of the input."""
        return self._stream("late")


Validation = Literal["fields", "full"]


def _named(columns: tuple[Column, ...], named: dict[str, object]) -> tuple[tuple[str, Expr], ...]:
    return (*((c.path[-1], c) for c in columns), *((name, lift(value)) for name, value in named.items()))


__all__ = ["Aggregated", "Grouped", "OnError", "Stream", "Tabled", "Validation"]
