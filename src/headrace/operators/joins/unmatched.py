"""Records that have no partner yet, in the order of their times: a join returns them when their window closes.

Records of one key and time have partners alike, so they are one entry: (time, key). Entries lie in the step's
``/expiry`` store by time, with the records as their values. In memory are all that are not stored yet, and of those
that are, all before ``horizon``; the rest is read when the watermark comes near.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

import msgspec

from headrace.operators.codec import StateCodec
from headrace.operators.joins.interval_side import Record
from headrace.operators.view import StateView, instant, read_instant
from headrace.state.keys import prefix_end
from headrace.state.protocol import Batch
from headrace.time.instants import END_OF_TIME_MS, START_OF_TIME_MS

Entry = tuple[int, Any]
"""Event time and key."""

_BLOCK = 1000  # entries that are read at once
_list = msgspec.msgpack.Decoder(list[bytes]).decode
_pack = msgspec.msgpack.encode


class Unmatched:
    """The unmatched records of one side."""

    def __init__(self, view: StateView, tag: bytes, types: tuple[Any, ...]) -> None:
        """Begin with nothing in memory."""
        self._prefix, self._name = view.prefix + tag, f"{view.name}/expiry"
        self._store, self._keys, self._codec = view.beside("expiry"), view.keys(), StateCodec(types)
        self._open: dict[Entry, list[Record]] = {}
        self._heap: list[tuple[int, int, Any]] = []
        self._number = count()
        self._fresh: dict[Entry, bool] = {}
        """Entries to be written, and whether an older form of them may be stored."""
        self._gone: set[Entry] = set()
        self._horizon = END_OF_TIME_MS
        self._returned_to = self._removed_to = START_OF_TIME_MS

    def restore(self, from_ms: int) -> None:
        """Note that entries from a time on are still to be returned."""
        self._horizon = max(from_ms, START_OF_TIME_MS)
        self._returned_to = self._horizon - 1
        self._load()

    def add(self, key: Any, record: Record, same_key: Sequence[Record]) -> None:
        """Take a record up. ``same_key``: the records of its key, those of its time among them."""
        time_ms: int = record[0]
        entry = (time_ms, key)
        records = self._open.get(entry)
        if records is not None:
            records.append(record)
            self._fresh.setdefault(entry, True)
            return
        stored = time_ms >= self._horizon
        found = [r for r in same_key if r[0] == time_ms] if stored and len(same_key) > 1 else [record]
        self._open[entry] = found
        self._fresh[entry] = len(found) > 1
        heappush(self._heap, (time_ms, next(self._number), key))

    def match(self, time_ms: int, key: Any) -> None:
        """Note that the records of a key and time have a partner."""
        entry = (time_ms, key)
        if self._open.pop(entry, None) is None:
            if time_ms >= self._horizon:
                self._gone.add(entry)
        elif self._fresh.pop(entry, True):
            self._gone.add(entry)

    def take(self, until_ms: int) -> list[tuple[Any, Record]]:
        """Remove and return what is not later than ``until_ms``, in order of time."""
        taken: list[tuple[Any, Record]] = []
        heap = self._heap
        while self.first_ms <= until_ms:
            time_ms, _, key = heappop(heap)
            self._fresh.pop((time_ms, key), None)
            taken += [(key, record) for record in self._open.pop((time_ms, key))]
            self._returned_to = max(self._returned_to, time_ms)
        return taken

    @property
    def first_ms(self) -> int:
        """The time of the earliest entry; the end of time if there is none."""
        heap, known = self._heap, self._open
        while True:
            while heap and (heap[0][0], heap[0][2]) not in known:
                heappop(heap)
            if heap and heap[0][0] < self._horizon:
                return heap[0][0]
            if self._horizon == END_OF_TIME_MS:
                return END_OF_TIME_MS
            self._load()

    def _load(self) -> None:
        """Read the next entries; all of one time or none."""
        begin, end, place = self._prefix + instant(self._horizon), prefix_end(self._prefix), len(self._prefix)
        last, number = None, 0
        for raw, data in self._store.scan(begin, end):
            time_ms = read_instant(raw, place)
            if number >= _BLOCK and time_ms != last:
                self._horizon = time_ms
                return
            last, number = time_ms, number + 1
            entry = (time_ms, self._keys.decode(raw[place + 8 :]))
            if entry not in self._gone and entry not in self._open:
                self._open[entry] = [self._codec.decode(item) for item in _list(data)]
                heappush(self._heap, (time_ms, next(self._number), entry[1]))
        self._horizon = END_OF_TIME_MS

    def cut(self, batch: Batch) -> None:
        """Remove what was returned or has a partner; write what is new."""
        prefix, encode, pack = self._prefix, self._keys.encode, self._codec.encode
        if self._returned_to > self._removed_to:
            batch.delete_range(self._name, prefix, prefix + instant(self._returned_to + 1))
            self._removed_to = self._returned_to
        for time_ms, key in self._gone:
            batch.delete(self._name, prefix + instant(time_ms) + encode(key))
        if self._fresh:
            keys = [prefix + instant(time_ms) + encode(key) for time_ms, key in self._fresh]
            values = [_pack([pack(record) for record in self._open[entry]]) for entry in self._fresh]
            batch.put_all(self._name, keys, values)
        self._gone.clear()
        self._fresh.clear()

    def size(self) -> int:
        """Return the number of entries in memory."""
        return len(self._open)

    def evict(self, surplus: int) -> None:
        """Forget up to that many entries that are stored, the latest first."""
        clean = sorted(time_ms for time_ms, key in self._open if (time_ms, key) not in self._fresh)
        surplus = min(surplus, len(clean))
        if not surplus:
            return
        self._horizon = min(self._horizon, clean[len(clean) - surplus])
        for entry in [entry for entry in self._open if entry[0] >= self._horizon and entry not in self._fresh]:
            del self._open[entry]
        self._heap = [(time_ms, next(self._number), key) for time_ms, key in self._open]
        heapify(self._heap)
