"""The input topics of a topology under test: kept in memory, as a broker would keep them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic import BaseModel

from headrace.event.model import Event
from headrace.operators.keys import key_bytes
from headrace.runtime.partitioning import partition_for
from headrace.runtime.records import Records
from headrace.topology.expr import Column, Expr

Value = Mapping[str, Any] | BaseModel | bytes


def encode(value: Value) -> bytes:
    """Return a record's bytes: JSON of a dict, a model or an event; bytes as they are."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, Event):
        return value.to_json()
    if isinstance(value, BaseModel):
        return value.model_dump_json().encode()
    return msgspec.json.encode(value)


def record_key(value: bytes, key: Expr | None) -> bytes | None:
    """Return the key that a producer would give a record: its value at the source's key column."""
    if not isinstance(key, Column):
        return None
    try:
        found = msgspec.json.decode(value)
        for name in key.path:
            found = found[name]
    except (msgspec.DecodeError, LookupError, TypeError):
        return None
    return key_bytes(found)


@dataclass(slots=True)
class InputPartition:
    """The records of one partition. ``arrivals`` numbers the call that brought each of them."""

    values: list[bytes] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    arrivals: list[int] = field(default_factory=list)

    def records(self, start: int, end: int) -> Records:
        """Return the records at offsets [start, end)."""
        return Records(self.values[start:end], self.keys[start:end], self.times[start:end])

    def end_of_arrival(self, start: int, limit: int | None) -> int:
        """Return where the records that arrived together with the one at ``start`` end, at most ``limit`` on."""
        end, last = start, len(self.values) if limit is None else min(start + limit, len(self.values))
        while end < last and self.arrivals[end] == self.arrivals[start]:
            end += 1
        return end


class InputTopic:
    """A partitioned topic. Records with a key go where Kafka would put it; others go in turn."""

    __slots__ = ("_turn", "partitions")

    def __init__(self, partitions: int) -> None:
        """Begin empty."""
        self.partitions = [InputPartition() for _ in range(partitions)]
        self._turn = 0

    def append(self, value: bytes, key: bytes | None, time_ms: int, arrival: int, partition: int | None) -> None:
        """Add a record at the end of its partition."""
        chosen = self.partitions[self._partition(key) if partition is None else partition]
        chosen.values.append(value)
        chosen.keys.append(key)
        chosen.times.append(time_ms)
        chosen.arrivals.append(arrival)

    def _partition(self, key: bytes | None) -> int:
        if key is not None:
            return partition_for(key, len(self.partitions))
        self._turn += 1
        return (self._turn - 1) % len(self.partitions)
