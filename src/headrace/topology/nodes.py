"""The primitive nodes of a declared graph: inert, frozen, written by hand.

A node names its inputs as ports of other nodes. Everything that a stream method offers
composes out of these.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from headrace.event.dtypes import DType
from headrace.topology.aggregates import Aggregate as AggregateSpec
from headrace.topology.expr import Expr
from headrace.topology.operator import ROWS, Operator, Path, Port
from headrace.topology.trees import all_columns
from headrace.topology.windows import Window


class OnError(Enum):
    """What happens to a record that cannot be decoded or that a step cannot process."""

    DEAD_LETTER = "dead_letter"
    SKIP = "skip"
    FAIL = "fail"


class Validation(Enum):
    """What of a record is checked: the fields that the topology reads, or the whole record."""

    FIELDS = "fields"
    FULL = "full"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Read a topic. ``time`` is the event-time column; None takes the envelope's or the record's."""

    id: str
    topic: str
    schema: type[Any]
    key: Expr | None
    time: Expr | None
    out_of_orderness_ms: int
    idle_timeout_ms: int
    on_error: OnError
    validation: Validation

    @property
    def full_validation(self) -> bool:
        """Tell whether the whole record is checked."""
        return self.validation is Validation.FULL


@dataclass(frozen=True, slots=True, eq=False)
class Filter:
    """Keep records whose condition is true (not false, not null)."""

    id: str
    input: Port
    condition: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Select:
    """Compute named columns. ``extend`` keeps the input's other columns."""

    id: str
    input: Port
    columns: tuple[tuple[str, Expr], ...]
    extend: bool


@dataclass(frozen=True, slots=True, eq=False)
class Explode:
    """Emit one record per element of the list ``items``, as column ``name`` beside the others."""

    id: str
    input: Port
    items: Expr
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Merge:
    """Union of streams of the same columns."""

    id: str
    inputs: tuple[Port, ...]


@dataclass(frozen=True, slots=True, eq=False)
class GroupBy:
    """Set the key; a repartition if the key differs from the one the records are partitioned by."""

    id: str
    input: Port
    keys: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Broadcast:
    """Send every record to all tasks behind it, whatever their keys."""

    id: str
    input: Port


@dataclass(frozen=True, slots=True, eq=False)
class Table(Operator):
    """Keep the latest value per key. A record for which ``delete`` is true removes the key."""

    id: str
    input: Port
    delete: Expr | None
    inline: ClassVar[frozenset[str]] = frozenset({"late", ROWS})
    queryable: ClassVar[bool] = True

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The port that it reads."""
        return (self.input,)

    def details(self) -> str:
        """Return its parameters as text."""
        return "latest" + (f", delete if {self.delete}" if self.delete is not None else "")

    def expressions(self) -> Iterable[object]:
        """Return the condition that removes a key."""
        return (self.delete,)


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate(Operator):
    """Aggregate per key and window (``window`` None: one result per key for all time)."""

    id: str
    input: Port
    window: Window | None
    aggregates: tuple[tuple[str, AggregateSpec], ...]
    every_ms: tuple[int, ...] = ()
    inline: ClassVar[frozenset[str]] = frozenset({"late", ROWS})
    queryable: ClassVar[bool] = True

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The port that it reads."""
        return (self.input,)

    def details(self) -> str:
        """Return its parameters as text."""
        window = "all time" if self.window is None else self.window.details()
        return f"{window}: " + ", ".join(f"{name} = {spec}" for name, spec in self.aggregates)

    def expressions(self) -> Iterable[object]:
        """Return the arguments of the aggregates."""
        return [arg for _, spec in self.aggregates for arg in spec.args]

    def functions(self) -> tuple[Callable[..., object], ...]:
        """Return the functions of custom aggregates; but for ``add`` those of a reduce are Headrace's own."""
        found: list[Callable[..., object]] = []
        for _, spec in self.aggregates:
            if (custom := spec.custom) is not None:
                reduces = spec.function == "reduce"
                found += [custom.add] if reduces else [custom.init, custom.add, custom.merge, custom.result]
        return tuple(found)

    def reads(self, port: Port, needed: Callable[[str], set[Path]], columns: DType) -> set[Path]:
        """Return the columns that the aggregates read, and what is needed of late records."""
        return needed("late") | all_columns(self.expressions())

    def kept_ms(self) -> int | None:
        """Return how long a row is of use after it was written."""
        return None if self.window is None else self.window.kept_ms()


@dataclass(frozen=True, slots=True, eq=False)
class Sink:
    """Write to a topic: a name, or an expression of type str that gives the name per record."""

    id: str
    input: Port
    topic: str | Expr
    key: Expr | None


@dataclass(frozen=True, slots=True, eq=False)
class Handle:
    """Call an async function per record, at least once, with retry, then dead letter."""

    id: str
    input: Port
    function: Callable[[Any], Awaitable[None]]
    attempts: int
    backoff_ms: int
    timeout_ms: int
    concurrency: int


Node = Source | Filter | Select | Explode | Merge | GroupBy | Broadcast | Operator | Sink | Handle


def inputs(node: Node) -> tuple[Port, ...]:
    """Return the ports that a node reads."""
    match node:
        case Source():
            return ()
        case Merge() | Operator():
            return node.inputs
        case _:
            return (node.input,)
