"""What every driver is asked to run, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from headrace.plan import Plan
from headrace.runtime.partitioning import Partitioner
from headrace.runtime.wiring import writes
from headrace.topology.topology import Topology
from tests.properties.comparison import plain_rows


class Record(NamedTuple):
    """One input record, at its place."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    time_ms: int


@dataclass(frozen=True)
class Phase:
    """Records that come together; the next phase begins when all of these are processed.

    ``silence_s``: then nothing comes for so long.
    """

    records: Sequence[Record]
    silence_s: float = 0.0


@dataclass(frozen=True)
class Job:
    """Topologies, upstream ones first, and their input."""

    topologies: Sequence[Topology]
    phases: Sequence[Phase]
    partitions: int = 3
    chosen: Sequence[str] = ()
    """Output topics that records choose by expression."""

    def outputs(self, plans: Iterable[Plan]) -> list[str]:
        """Return all topics that are written, dead letters left out."""
        return sorted({*self.chosen, *(topic for plan in plans for topic in plan.sink_topics)})


class Row(NamedTuple):
    """One output record: its key, its value as text in which equal values are equal, its time."""

    key: bytes | None
    value: str
    time_ms: int | None


class Letter(NamedTuple):
    """One dead letter."""

    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass
class Results:
    """All that there is at the end of a phase. Rows are in the order in which a reader of each partition has them."""

    outputs: dict[str, list[Row]] = field(default_factory=dict)
    tables: dict[str, list[str]] = field(default_factory=dict)
    """The rows in an order of their own, by ``topology/table``."""
    letters: list[Letter] = field(default_factory=list)
    late: int = 0


def row(key: bytes | None, value: bytes, time_ms: int | None) -> Row:
    return Row(key, text(msgspec.json.decode(value)), time_ms)


def letter(key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes | None]]) -> Letter:
    return Letter(key, value, tuple(sorted(headers)))


def text(columns: Mapping[str, Any]) -> str:
    (plain,) = plain_rows([dict(columns)])
    return msgspec.json.encode(plain, order="sorted").decode()


def table(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted(text(columns) for columns in rows)


def place(key: bytes | None, partitions: int) -> int:
    """Return the partition that producers choose; records without a key stay together."""
    return Partitioner(partitions).place(key)


def reads(plan: Plan, topic: str) -> bool:
    return any(source.topic == topic for source in plan.sources)


__all__ = ["Job", "Letter", "Phase", "Record", "Results", "Row", "letter", "place", "reads", "row", "table", "writes"]
