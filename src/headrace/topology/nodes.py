"""The primitive nodes of a declared graph: inert, frozen, written by hand.

A node names its inputs as ports of other nodes. Everything that a stream method offers
composes out of these.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from headrace.topology.aggregates import Aggregate as AggregateSpec
from headrace.topology.expr import Expr
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


@dataclass(frozen=True, slots=True)
class Port:
    """An output of a node: ``out`` for most; an aggregate has ``update``, ``close``, ``late``, ``every``."""

    step: str
    name: str = "out"


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
class Table:
    """Keep the latest value per key. A record for which ``delete`` is true removes the key."""

    id: str
    input: Port
    delete: Expr | None


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate:
    """Aggregate per key and window (``window`` None: one result per key for all time)."""

    id: str
    input: Port
    window: Window | None
    aggregates: tuple[tuple[str, AggregateSpec], ...]
    every_ms: tuple[int, ...] = ()


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


Node = Source | Filter | Select | Explode | Merge | GroupBy | Table | Aggregate | Sink | Handle


def inputs(node: Node) -> tuple[Port, ...]:
    """Return the ports that a node reads."""
    match node:
        case Source():
            return ()
        case Merge():
            return node.inputs
        case _:
            return (node.input,)
