"""A backend with one batch in front of it that is not written yet.

The fleet writes a store only after the transaction that holds its changes has been committed. Until
then processing goes on, and reads see the batch as if it were written.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from headrace.errors import InternalError, StateError
from headrace.state.protocol import Backend, Batch, Store

_Pair = tuple[bytes, bytes]


class Overlay:
    """What the waiting batch holds for one store."""

    __slots__ = ("_sorted", "changes", "ranges")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.changes: dict[bytes, bytes | None] = {}
        self.ranges: list[tuple[bytes, bytes]] = []
        self._sorted: list[bytes] | None = None

    def covers(self, key: bytes) -> bool:
        """Tell whether a range that is to be removed holds the key."""
        return any(start <= key < end for start, end in self.ranges)

    def between(self, start: bytes, end: bytes | None) -> list[bytes]:
        """Return the changed keys in [start, end), sorted."""
        if self._sorted is None:
            self._sorted = sorted(self.changes)
        low = bisect_left(self._sorted, start)
        return self._sorted[low : len(self._sorted) if end is None else bisect_left(self._sorted, end)]


class OverlayStore:
    """One store as it will be once the waiting batch is written."""

    __slots__ = ("_base", "_name", "_owner")

    def __init__(self, owner: OverlayBackend, name: str) -> None:
        """Look through the owner's batch at the store of that name."""
        self._owner, self._name = owner, name
        self._base: Store = owner.base.store(name)

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""
        over = self._owner.overlays.get(self._name)
        if over is None:
            return self._base.get(key)
        if key in over.changes:
            return over.changes[key]
        return None if over.ranges and over.covers(key) else self._base.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values in the order of the keys."""
        over = self._owner.overlays.get(self._name)
        if over is None:
            return self._base.get_many(keys)
        below = [key for key in keys if key not in over.changes and not over.covers(key)]
        found = dict(zip(below, self._base.get_many(below), strict=True))
        return [over.changes[key] if key in over.changes else found.get(key) for key in keys]

    def scan(self, start: bytes = b"", end: bytes | None = None) -> Iterator[_Pair]:
        """Yield (key, value) in key order over [start, end), as of this call."""
        over = self._owner.overlays.get(self._name)
        below = self._base.scan(start, end)
        return below if over is None else _merged(below, over, over.between(start, end))


def _merged(below: Iterator[_Pair], over: Overlay, changed: list[bytes]) -> Iterator[_Pair]:
    waiting = iter(changed)
    new = next(waiting, None)
    for key, value in below:
        while new is not None and new <= key:
            changed_value = over.changes[new]
            if changed_value is not None:
                yield new, changed_value
            new = next(waiting, None)
        if key not in over.changes and not over.covers(key):
            yield key, value
    while new is not None:
        changed_value = over.changes[new]
        if changed_value is not None:
            yield new, changed_value
        new = next(waiting, None)


class OverlayBackend:
    """A backend whose writes wait until they are settled. One batch waits at a time."""

    def __init__(self, base: Backend) -> None:
        """Put it in front of ``base``, which others may read meanwhile: they see what is settled."""
        self.base = base
        self.overlays: dict[str, Overlay] = {}
        self._waiting: Batch | None = None
        self._stores: dict[str, OverlayStore] = {}
        self._closed = False

    def store(self, name: str) -> OverlayStore:
        """Return the store of that name; it is made if it is not there."""
        if name not in self._stores:
            self._stores[name] = OverlayStore(self, name)
        return self._stores[name]

    def names(self) -> tuple[str, ...]:
        """Return the names of the stores that exist, sorted."""
        return tuple(sorted({*self.base.names(), *self.overlays}))

    def write(self, batch: Batch) -> None:
        """Let the batch be seen. :meth:`settle` writes it, :meth:`discard` takes it back."""
        if self._closed:
            msg = "nothing can be written: the backend was closed"
            raise StateError(msg)
        if self._waiting is not None:
            msg = "a batch was written before the last one was settled"
            raise InternalError(msg)
        self._waiting = batch
        overlays: dict[str, Overlay] = {}
        for name, start, end in batch.ranges:
            overlays.setdefault(name, Overlay()).ranges.append((start, end))
        for name, key in batch.deletes:
            overlays.setdefault(name, Overlay()).changes[key] = None
        for name, key, value in batch.puts:
            over = overlays.get(name)
            if over is None:
                over = overlays[name] = Overlay()
            over.changes[key] = value
        for name, keys, values in batch.columns:
            overlays.setdefault(name, Overlay()).changes.update(zip(keys, values, strict=True))
        self.overlays = overlays

    def settle(self) -> None:
        """Write what waits to the base.

        Raises:
            StateError: it could not be written; nothing of it was.
        """
        if self._waiting is not None:
            self.base.write(self._waiting)
        self.discard()

    def discard(self) -> None:
        """Forget what waits."""
        self._waiting, self.overlays = None, {}

    def close(self) -> None:
        """Close the base; what waits is forgotten."""
        self._closed = True
        self.discard()
        self.base.close()
