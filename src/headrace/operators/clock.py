"""Event times that cannot be right, told with the column and the value as the record has them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

from headrace.errors import DataError
from headrace.event.faults import show
from headrace.event.model import Event
from headrace.event.wire import wire_path
from headrace.operators.frame import Path, column_path
from headrace.time.instants import MAX_TIME_MS, MIN_TIME_MS, from_ms, to_ms
from headrace.topology.nodes import Source

NOT_A_TIME_MS = -1


@dataclass(frozen=True, slots=True)
class EventTime:
    """Where a source has its event time. ``wire`` is its place in the record as sent, None if it has none there."""

    field: str
    wire: Path | None

    def fault(self, data: bytes, time_ms: int | None) -> DataError:
        """Return the error for a record whose event time is null or out of range."""
        expected = f"an event time from {_iso(MIN_TIME_MS)} to {_iso(MAX_TIME_MS)}"
        got = self._sent(data) or ("null" if time_ms is None else _shown(time_ms))
        return DataError(
            f"field {self.field!r}: expected {expected}, got {got}", field=self.field, expected=expected, got=got
        )

    def _sent(self, data: bytes) -> str | None:
        """Return the value as it was sent; None if it is not there by that name."""
        if self.wire is None:
            return None
        try:
            value = msgspec.json.decode(data)
            for name in self.wire:
                value = value[name]
        except (msgspec.DecodeError, LookupError, TypeError):
            return None
        return "null" if value is None else show(value)


def event_time(node: Source, envelope: Path | None) -> EventTime:
    """Return where a source has its event time; ``envelope`` is where its schema has one by itself."""
    path = envelope if node.time is None else column_path(node.time)
    if path is None:
        return EventTime("record timestamp" if node.time is None else str(node.time), None)
    wire = wire_path(path) if issubclass(node.schema, Event) else path
    return EventTime(".".join(wire), wire)


def any_ms(value: object) -> int:
    """Return the epoch milliseconds of a value of unknown type, or of no time at all."""
    match value:
        case datetime():
            return to_ms(value)
        case bool():
            return NOT_A_TIME_MS
        case int():
            return value
        case _:
            return NOT_A_TIME_MS


def _iso(time_ms: int) -> str:
    return from_ms(time_ms).isoformat().replace("+00:00", "Z")


def _shown(time_ms: int) -> str:
    return _iso(time_ms) if abs(time_ms) <= MAX_TIME_MS else f"{time_ms} ms"
