"""Giving up old records of the log."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import timedelta

from headrace.runtime.log import Log
from headrace.state.keys import prefix_end
from headrace.state.protocol import Backend, Batch

Place = tuple[str, int]  # topic, partition

STORE = "retention"
"""The store with the marks: how far a partition had come at some time of day."""

_MEASURED_RECORDS = 10_000
_MARKS = 1_000  # of a partition: the age of its records is known to a thousandth of the retention


class Retention:
    """Trims the log by age and by size; never what a topology of the worker has still to read.

    Age counts from when a record was appended: its own time may be years back when history is
    replayed. The log does not keep that, so from time to time a mark says where a partition ends.
    """

    def __init__(self, log: Log, backend: Backend, *, age: timedelta | None, max_bytes: int | None) -> None:
        """Keep records for ``age``, and ``max_bytes`` of each partition; None: no bound."""
        self._log = log
        self._backend = backend
        self._age_ms = None if age is None else age // timedelta(milliseconds=1)
        self._max_bytes = max_bytes
        self._marks: dict[Place, deque[tuple[int, int]]] = {}
        self._sizes: dict[Place, _Sizes] = {}

    def trim(self, now_ms: int, read_up_to: Mapping[Place, int]) -> None:
        """Trim every partition. ``read_up_to``: the lowest committed position of its readers."""
        if self._age_ms is None and self._max_bytes is None:
            return
        with self._log.lock:
            batch = Batch()
            try:
                for topic, partitions in self._log.topics().items():
                    for partition in range(partitions):
                        place = (topic, partition)
                        keep = max(self._too_old(batch, place, now_ms), self._too_much(place))
                        self._log.trim(batch, *place, min(keep, read_up_to.get(place, keep)))
                if batch.puts or batch.deletes:
                    self._backend.write(batch)
            except BaseException:
                self._log.rolled_back()
                raise
            self._log.committed()

    def _too_old(self, batch: Batch, place: Place, now_ms: int) -> int:
        """Return the offset before which all is too old; set a mark if one is due."""
        if self._age_ms is None:
            return 0
        marks = self._marks.get(place)
        if marks is None:
            marks = self._marks[place] = self._load(place)
        end = self._log.end(*place)
        at_ms, marked = marks[-1] if marks else (0, 0)
        if end > marked and now_ms - at_ms > self._age_ms // _MARKS:
            marks.append((now_ms, end))
            batch.put(STORE, _mark_key(place, now_ms), end.to_bytes(8, "big"))
        too_old_ms = now_ms - self._age_ms
        # The newest mark that is old enough stays: a slow reader may have to be waited for.
        while len(marks) > 1 and marks[1][0] < too_old_ms:
            batch.delete(STORE, _mark_key(place, marks.popleft()[0]))
        return marks[0][1] if marks and marks[0][0] < too_old_ms else 0

    def _load(self, place: Place) -> deque[tuple[int, int]]:
        prefix = _mark_prefix(place)
        found = self._backend.store(STORE).scan(prefix, prefix_end(prefix))
        return deque((int.from_bytes(key[-8:], "big"), int.from_bytes(value, "big")) for key, value in found)

    def _too_much(self, place: Place) -> int:
        """Return the offset before which the partition is larger than it may be."""
        if self._max_bytes is None:
            return 0
        sizes = self._sizes.setdefault(place, _Sizes(self._log.start(*place)))
        sizes.measure(self._log, place)
        return sizes.first_within(self._max_bytes)


def _mark_prefix(place: Place) -> bytes:
    topic, partition = place
    return topic.encode() + b"\x00" + partition.to_bytes(2, "big")


def _mark_key(place: Place, at_ms: int) -> bytes:
    return _mark_prefix(place) + at_ms.to_bytes(8, "big")


class _Sizes:
    """How many bytes the records of a partition take, in runs of some thousand records."""

    def __init__(self, start: int) -> None:
        self._runs: deque[tuple[int, int]] = deque()  # first offset, bytes
        self._next = start
        self._total = 0

    def measure(self, log: Log, place: Place) -> None:
        """Add what was appended since the last time."""
        while self._next < log.end(*place):
            found = log.read(*place, self._next, max_records=_MEASURED_RECORDS)
            if not found.values:
                return
            size = sum(map(len, found.values)) + sum(len(key) for key in found.keys if key is not None)
            self._runs.append((found.first_offset, size))
            self._total += size
            self._next = found.next_offset

    def first_within(self, max_bytes: int) -> int:
        """Return the first offset to keep, and forget the runs before it."""
        while self._runs and self._total - self._runs[0][1] >= max_bytes:
            self._total -= self._runs.popleft()[1]
        return self._runs[0][0] if self._runs else self._next
