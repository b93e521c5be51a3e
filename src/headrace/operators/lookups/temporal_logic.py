"""Lookups as of event time: records wait for the watermark, versions for records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headrace.event.dtypes import DType
from headrace.operators.footprint import Footprint
from headrace.operators.logic import NEVER_MS, Emit
from headrace.operators.lookups.versions import Row, Versions
from headrace.operators.lookups.waiting import Waiting
from headrace.operators.view import KeyForm, StateView
from headrace.state.protocol import Batch
from headrace.time.instants import START_OF_TIME_MS
from headrace.topology.joins import LEFT
from headrace.topology.lookups import TemporalLookup


@dataclass(frozen=True, slots=True)
class TemporalKit:
    """What is kept of records and of rows, as Python types.

    A record is its key's columns (``key``: how many; 0: the bytes that it came with), those of the key to look up
    (``sought``; 0: its own), then its columns.
    """

    record: tuple[Any, ...]
    key: int
    sought: int
    row: tuple[Any, ...]
    table_key: tuple[DType, ...]


class TemporalLogic:
    """Records that wait, and versions of rows. Generated code appends to ``keep`` and ``note``."""

    def __init__(
        self, node: TemporalLookup, kit: TemporalKit, view: StateView, emit: Emit, opened: Callable[[], None]
    ) -> None:
        """Begin with nothing in memory."""
        self._emit, self._opened, self._kit = emit, opened, kit
        self._optional, self._versions_ms = node.how.keeps(LEFT), node.versions_ms
        self._nulls = (None,) * len(kit.row)
        self.footprint = Footprint()
        self._waiting = Waiting(view, kit.record, self.footprint)
        self._versions = Versions(view, KeyForm(kit.table_key), kit.row, node.versions_ms, self.footprint)
        self.keep = self._waiting.fresh.append
        self.changes: list[tuple[Any, int, Row]] = []
        self.note = self.changes.append
        self._watermark = START_OF_TIME_MS
        self.next_ms = NEVER_MS
        self.closed_ms = START_OF_TIME_MS

    def restore(self, watermark_ms: int) -> None:
        """Find when the first record is due."""
        self._watermark = watermark_ms
        self._waiting.restore()
        self._plan()

    def _plan(self) -> None:
        first = self._waiting.first_ms()
        self.next_ms = first + 1 if first < NEVER_MS else NEVER_MS

    def remove(self, key: Any, time_ms: int) -> None:
        """Remove the row of a key from a time on."""
        self.note((key, time_ms, None))

    def catch_up(self) -> None:
        """Take up the versions that the batch brought; find when the first record is due."""
        for key, time_ms, row in self.changes:
            self._versions.put(key, time_ms, row)
        self.changes.clear()
        before = self.next_ms
        self._plan()
        if self.next_ms < before:
            self._opened()

    def advance(self, watermark_ms: int) -> None:
        """Let the records go that the watermark has passed: all versions of their time are known."""
        for key, time_ms, row in self.changes:
            self._versions.put(key, time_ms, row)
        self.changes.clear()
        due = self._waiting.take(watermark_ms)
        if due:
            self._emit("out", self._found(due), 0, 0, self._watermark - self._versions_ms)
            self.closed_ms = max(self.closed_ms, due[-1][0] + 1)
        self._watermark = max(self._watermark, watermark_ms)
        self._plan()

    def _found(self, due: list[tuple[int, tuple[Any, ...]]]) -> list[tuple[Any, tuple[Any, ...]]]:
        at, keys, sought = self._versions.at, self._kit.key, self._kit.sought
        begin, optional, nulls = max(keys, 1), self._optional, self._nulls
        rows = []
        for time_ms, kept in due:
            key = kept[:keys] if keys > 1 else kept[0]
            asked = key
            if sought:
                asked = kept[begin : begin + sought]
                asked = (None if None in asked else asked) if sought > 1 else asked[0]
            row = None if asked is None else at(asked, time_ms)
            if row is not None:
                rows.append((key, (time_ms, *kept[begin + sought :], *row)))
            elif optional:
                rows.append((key, (time_ms, *kept[begin + sought :], *nulls)))
        return rows

    def cut(self, batch: Batch) -> None:
        """Write what waits, and the versions."""
        self.catch_up()
        self._versions.cut(batch, self._watermark)
        self._waiting.cut(batch)

    def size(self) -> int:
        """Return the number of records and versions in memory."""
        return self._waiting.size() + self._versions.size()

    def evict(self, keep: int) -> None:
        """Forget what is in the store, versions first."""
        self._versions.evict(max(keep - self._waiting.size(), 0))
        self._waiting.evict(max(keep - self._versions.size(), 0))


__all__ = ["TemporalKit", "TemporalLogic"]
