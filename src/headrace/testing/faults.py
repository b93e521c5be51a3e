"""Fault injection: a backend that dies, or fails, at a chosen moment of a write."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from headrace.errors import StateError
from headrace.state.protocol import Backend, Batch, Store


class CrashPoint(Enum):
    """The moment of a checkpoint's write at which the process dies."""

    BEFORE_WRITE = "before_write"
    """Nothing has been written yet."""
    TORN_WRITE = "torn_write"
    """A part has been written; the atomic store takes it back when it is opened again."""
    AFTER_WRITE = "after_write"
    """All has been written, but the process dies before it learns so."""


class SimulatedCrash(BaseException):
    """The process dies here. Not an ``Exception``: no handler may survive a death."""

    def __init__(self, point: CrashPoint) -> None:
        """Keep the moment."""
        self.point = point
        super().__init__(f"simulated crash: {point.value}")


class FaultyBackend:
    """A backend around another that dies or fails in a write when told to.

    After a crash every write is refused until :meth:`reopen`, as by a dead process.

    >>> from headrace.state.memory import MemoryBackend
    >>> backend = FaultyBackend(MemoryBackend())
    >>> backend.crash_at(CrashPoint.TORN_WRITE)
    >>> batch = Batch()
    >>> batch.put("totals", b"a", b"1")
    >>> try:
    ...     backend.write(batch)
    ... except SimulatedCrash as crash:
    ...     print(crash)
    simulated crash: torn_write
    >>> backend.reopen()
    >>> backend.store("totals").get(b"a") is None
    True
    """

    def __init__(self, inner: Backend) -> None:
        """Wrap ``inner``; without orders every call is passed through."""
        self._inner = inner
        self._point: CrashPoint | None = None
        self._failures: list[str] = []
        self._undo: list[Callable[[Batch], None]] = []
        self._dead = False

    def crash_at(self, point: CrashPoint) -> None:
        """Die at ``point`` of the next write."""
        self._point = point

    def fail_next_write(self, reason: str = "No space left on device") -> None:
        """Refuse the next write with a ``StateError``; nothing of it is written."""
        self._failures.append(reason)

    def reopen(self) -> None:
        """Open again after a crash: what a torn write left behind is taken back."""
        batch = Batch()
        for undo in self._undo:
            undo(batch)
        self._inner.write(batch)
        self._undo, self._dead, self._point = [], False, None

    def store(self, name: str) -> Store:
        """Return the wrapped backend's store."""
        return self._inner.store(name)

    def names(self) -> tuple[str, ...]:
        """Return the wrapped backend's store names."""
        return self._inner.names()

    def close(self) -> None:
        """Close the wrapped backend."""
        self._inner.close()

    def write(self, batch: Batch) -> None:
        """Write, or die or fail as ordered."""
        if self._dead:
            msg = "the process that owned this backend is dead: call reopen() first"
            raise StateError(msg)
        if self._failures:
            raise StateError(self._failures.pop(0))
        point, self._point = self._point, None
        if point is CrashPoint.TORN_WRITE:
            self._write_half(batch)
        elif point is not CrashPoint.BEFORE_WRITE:
            self._inner.write(batch)
        if point is not None:
            self._dead = True
            raise SimulatedCrash(point)

    def _write_half(self, batch: Batch) -> None:
        half = Batch()
        half.ranges = batch.ranges[: (len(batch.ranges) + 1) // 2]
        half.deletes = batch.deletes[: (len(batch.deletes) + 1) // 2]
        half.puts = batch.puts[: (len(batch.puts) + 1) // 2]
        touched = {(store, key) for store, key, _ in half.puts} | set(half.deletes)
        for store, start, end in half.ranges:
            touched |= {(store, key) for key, _ in self._inner.store(store).scan(start, end)}
        self._undo = [self._restore(store, key) for store, key in sorted(touched)]
        self._inner.write(half)

    def _restore(self, store: str, key: bytes) -> Callable[[Batch], None]:
        value = self._inner.store(store).get(key)
        if value is None:
            return lambda batch: batch.delete(store, key)
        return lambda batch: batch.put(store, key, value)
