"""Events that wait for the watermark: sorted by time, in the order of arrival where times are equal.

A checkpoint writes those that have come since the last one, as one entry; it is removed once all of them are past.
"""

from __future__ import annotations

from bisect import bisect_left
from operator import itemgetter

import msgspec

from headrace.operators.logic import NEVER_MS
from headrace.operators.patterns.automaton import Event
from headrace.operators.patterns.code import BEGINS, KEY, TIME
from headrace.operators.patterns.stored import RunStore, put
from headrace.operators.view import StateView
from headrace.state.keys import prefix_end
from headrace.state.protocol import Batch
from headrace.time.instants import MAX_TIME_MS

_time = itemgetter(TIME)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[bytes, bool, bytes]]).decode


class Pending:
    """The events that wait in one task."""

    def __init__(self, view: StateView, store: RunStore) -> None:
        """Begin with none."""
        self._view, self._store, self._name = view, store, f"{view.name}/pending"
        self._waiting: list[Event] = []
        self._fresh: list[Event] = []
        self._chunks: list[tuple[int, int]] = []
        self._number = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    @property
    def next_ms(self) -> int:
        """The watermark that lets the next one go."""
        return self._waiting[0][TIME] + 1 if self._waiting else NEVER_MS

    def add(self, events: list[Event]) -> None:
        """Let events wait, in the order in which they came."""
        self._fresh += events
        self._waiting += events
        self._waiting.sort(key=_time)

    def take(self, watermark_ms: int) -> list[Event]:
        """Return the events before the watermark, in order; they wait no more."""
        if self.next_ms > watermark_ms:
            return []
        end = bisect_left(self._waiting, watermark_ms, key=_time)
        taken = self._waiting[:end]
        del self._waiting[:end]
        self._fresh = [event for event in self._fresh if event[TIME] >= watermark_ms]
        return taken

    def restore(self, watermark_ms: int) -> None:
        """Let those wait that did at the last checkpoint."""
        prefix = self._view.prefix
        for raw, data in self._view.beside("pending").scan(prefix, prefix_end(prefix)):
            events = []
            for key_data, begins, event_data in _decode(data):
                found = self._store.event(self._store.key(key_data), event_data)
                events.append((*found[: KEY + 1], begins, *found[BEGINS + 1 :]))
            self._number = int.from_bytes(raw[len(prefix) :], "big")
            self._chunks.append((self._number, max(map(_time, events))))
            self._waiting += (event for event in events if event[TIME] >= watermark_ms)
        self._waiting.sort(key=_time)

    def cut(self, batch: Batch, watermark_ms: int) -> None:
        """Write what has come; remove what is past."""
        entries: dict[bytes, bytes | None] = {}
        prefix = self._view.prefix
        for number, last_ms in self._chunks:
            if last_ms < min(watermark_ms, MAX_TIME_MS + 1):
                entries[prefix + number.to_bytes(8, "big")] = None
        self._chunks = [chunk for chunk in self._chunks if chunk[1] >= watermark_ms]
        if self._fresh:
            store, self._number = self._store, self._number + 1
            rows = [(store.raw(event[KEY]), bool(event[BEGINS]), store.data(event)) for event in self._fresh]
            entries[prefix + self._number.to_bytes(8, "big")] = _encode(rows)
            self._chunks.append((self._number, max(map(_time, self._fresh))))
            self._fresh = []
        put(batch, self._name, entries)
