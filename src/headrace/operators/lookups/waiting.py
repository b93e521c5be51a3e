"""Records that wait until the watermark has passed them, in the order of their times."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import msgspec

from headrace.operators.footprint import Footprint
from headrace.operators.logic import NEVER_MS
from headrace.operators.view import StateCodec, StateView, instant, read_instant
from headrace.state.keys import prefix_end
from headrace.state.protocol import Batch
from headrace.time.instants import START_OF_TIME_MS

Record = tuple[int, tuple[Any, ...]]
"""Event time in milliseconds, and what was kept of the record."""

_NUMBER = struct.Struct(">Q")
_SAMPLE = 16


class Waiting:
    """The records of one task that wait. In the store their keys are time and number of arrival.

    ``fresh`` ones came since the last cut, and are appended by generated code. ``_held`` ones are in the store as well.
    ``_spilled``: the store has more.
    """

    def __init__(self, view: StateView, types: tuple[Any, ...], footprint: Footprint) -> None:
        """Begin without records; ``types`` are those of what is kept."""
        self._view, self._codec, self._footprint = view, StateCodec(types), footprint
        self._store, self._name = view.beside("pending"), f"{view.name}/pending"
        self.fresh: list[Record] = []
        self._looked_at, self._earliest = 0, NEVER_MS  # of the fresh ones
        self._held: list[tuple[int, bytes, tuple[Any, ...]]] = []
        self._spilled: int | None = None  # the time of the first one in the store
        self._taken: list[bytes] = []
        self._taken_to = START_OF_TIME_MS
        self._number = 0

    def restore(self) -> None:
        """Find the first one."""
        found = self._store.get(self._view.prefix)
        self._number = 0 if found is None else msgspec.msgpack.decode(found, type=int)
        self._peek()

    def _peek(self) -> None:
        first = next(self._scan(self._taken_to, None), None)
        self._spilled = None if first is None else first[0]

    def _scan(self, from_ms: int, to_ms: int | None) -> Iterator[tuple[int, bytes, tuple[Any, ...]]]:
        prefix = self._view.prefix
        end = prefix_end(prefix) if to_ms is None else prefix + instant(to_ms)
        for raw, data in self._store.scan(prefix + instant(from_ms), end):
            yield read_instant(raw, len(prefix)), raw, tuple(self._codec.decode(data))

    def first_ms(self) -> int:
        """Return the lowest time of a record that waits."""
        fresh = self.fresh
        for place in range(self._looked_at, len(fresh)):
            self._earliest = min(self._earliest, fresh[place][0])
        self._looked_at = len(fresh)
        held = self._held[0][0] if self._held else NEVER_MS
        return min(self._earliest, held, NEVER_MS if self._spilled is None else self._spilled)

    def take(self, watermark_ms: int) -> list[Record]:
        """Return the records before the watermark, in the order of time, then of arrival; they no longer wait."""
        if self.first_ms() >= watermark_ms:
            return []
        due = self._take_stored(watermark_ms)
        if self._earliest < watermark_ms:
            due += [record for record in self.fresh if record[0] < watermark_ms]
            self.fresh[:] = [record for record in self.fresh if record[0] >= watermark_ms]
            self._looked_at, self._earliest = 0, NEVER_MS
        self._taken_to = max(self._taken_to, watermark_ms)
        due.sort(key=_time)
        return due

    def _take_stored(self, watermark_ms: int) -> list[Record]:
        held = self._held
        count = next((place for place, one in enumerate(held) if one[0] >= watermark_ms), len(held))
        due = held[:count]
        del held[:count]
        if self._spilled is not None and self._spilled < watermark_ms:
            known = {raw for _, raw, _ in due}
            due += [one for one in self._scan(self._taken_to, watermark_ms) if one[1] not in known]
            due.sort(key=_raw)
            self._taken_to = watermark_ms
            self._peek()
        self._taken += [raw for _, raw, _ in due]
        return [(time_ms, kept) for time_ms, _, kept in due]

    def cut(self, batch: Batch) -> None:
        """Write the fresh ones; remove those that no longer wait."""
        prefix, pack = self._view.prefix, self._codec.encode
        if self._taken:
            batch.put_all(self._name, self._taken, [None] * len(self._taken))
            self._taken = []
        if not self.fresh:
            return
        numbers = range(self._number, self._number + len(self.fresh))
        keys = [
            prefix + instant(time_ms) + _NUMBER.pack(n) for (time_ms, _), n in zip(self.fresh, numbers, strict=True)
        ]
        values = [pack(list(kept)) for _, kept in self.fresh]
        self._number = numbers.stop
        batch.put_all(self._name, [prefix, *keys], [msgspec.msgpack.encode(self._number), *values])
        sampled = zip(keys[::_SAMPLE], values[::_SAMPLE], strict=True)
        self._footprint.learn([("", key, value) for key, value in sampled], 0)
        self._held += [(time_ms, raw, kept) for (time_ms, kept), raw in zip(self.fresh, keys, strict=True)]
        self._held.sort(key=_raw)
        self.fresh.clear()
        self._looked_at, self._earliest = 0, NEVER_MS

    def size(self) -> int:
        """Return the number of records in memory."""
        return len(self.fresh) + len(self._held)

    def evict(self, keep: int) -> None:
        """Forget records that are in the store, those that wait longest."""
        surplus = min(max(self.size() - keep, 0), len(self._held))
        if surplus:
            first = self._held[-surplus][0]
            del self._held[-surplus:]
            self._spilled = first if self._spilled is None else min(self._spilled, first)


def _time(record: Record) -> int:
    return record[0]


def _raw(one: tuple[int, bytes, tuple[Any, ...]]) -> bytes:
    return one[1]


__all__ = ["Record", "Waiting"]
