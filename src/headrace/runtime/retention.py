"""Giving up old records of the log."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import timedelta

from headrace.runtime.log import Log
from headrace.state.protocol import Backend, Batch

Place = tuple[str, int]  # topic, partition

_MEASURED_RECORDS = 10_000


class Retention:
    """Trims the log by age and by size; never what a topology of the worker has still to read."""

    def __init__(self, log: Log, backend: Backend, *, age: timedelta | None, max_bytes: int | None) -> None:
        """Keep records for ``age``, and ``max_bytes`` of each partition; None: no bound."""
        self._log = log
        self._backend = backend
        self._age_ms = None if age is None else age // timedelta(milliseconds=1)
        self._max_bytes = max_bytes
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
                        self._trim(batch, (topic, partition), now_ms, read_up_to)
                if batch.puts:
                    self._backend.write(batch)
            except BaseException:
                self._log.rolled_back()
                raise
            self._log.committed()

    def _trim(self, batch: Batch, place: Place, now_ms: int, read_up_to: Mapping[Place, int]) -> None:
        end = self._log.end(*place)
        read = read_up_to.get(place, end)
        if self._age_ms is not None:
            before_ms = now_ms - self._age_ms
            if read < end:
                unread = self._log.read(*place, read, max_records=1)
                before_ms = min(before_ms, *unread.times)
            self._log.trim_older(batch, *place, before_ms)
        if self._max_bytes is not None:
            sizes = self._sizes.setdefault(place, _Sizes(self._log.start(*place)))
            sizes.measure(self._log, place, end)
            self._log.trim(batch, *place, min(sizes.first_within(self._max_bytes), read))


class _Sizes:
    """How many bytes the records of a partition take, in runs of some thousand records."""

    def __init__(self, start: int) -> None:
        self._runs: deque[tuple[int, int]] = deque()  # first offset, bytes
        self._next = start
        self._total = 0

    def measure(self, log: Log, place: Place, end: int) -> None:
        """Add what was appended since the last time."""
        while self._next < end:
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
