"""Stores in memory: for tests, for the test driver, and for runs that keep nothing."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from weakref import WeakSet

from headrace.errors import StateError
from headrace.state.protocol import Batch


class MemoryStore:
    """A sorted map of bytes to bytes.

    Keys are sorted when a scan asks for them, not when they are written: a run of writes costs one sort.
    """

    def __init__(self, lock: threading.RLock) -> None:
        """Begin empty; ``lock`` is the backend's."""
        self._lock = lock
        self._data: dict[bytes, bytes] = {}
        self._sorted: list[bytes] = []  # every key of _data but _fresh; and _gone, which is not in _data
        self._fresh: set[bytes] = set()
        self._gone: set[bytes] = set()
        self._cursors: WeakSet[_Cursor] = WeakSet()

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""
        return self._data.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values in the order of the keys."""
        with self._lock:
            return [self._data.get(key) for key in keys]

    def scan(self, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in key order over [start, end), as of this call."""
        with self._lock:
            keys = self._order()
            stop = len(keys) if end is None else bisect_left(keys, end)
            cursor = _Cursor(self._lock, self._data, keys, bisect_left(keys, start), stop)
            self._cursors.add(cursor)
            return cursor

    def _order(self) -> list[bytes]:
        """Return all keys, sorted; a list that was returned before is never changed."""
        if self._fresh or self._gone:
            keys = [key for key in self._sorted if key not in self._gone] if self._gone else self._sorted.copy()
            keys += sorted(self._fresh)
            keys.sort()  # two sorted runs: linear
            self._sorted = keys
            self._fresh.clear()
            self._gone.clear()
        return self._sorted

    def freeze(self) -> None:
        """Let open scans keep what they see: the store is about to change."""
        for cursor in tuple(self._cursors):
            cursor.freeze()
        self._cursors.clear()

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        if key not in self._data:
            if key in self._gone:
                self._gone.remove(key)
            else:
                self._fresh.add(key)
        self._data[key] = value

    def put_all(self, keys: Sequence[bytes], values: Sequence[bytes | None]) -> None:
        """Set keys, or remove those whose value is None."""
        for key, value in zip(keys, values, strict=True):
            if value is None:
                self.delete(key)
            else:
                self.put(key, value)

    def delete(self, key: bytes) -> None:
        """Remove a key if it is there."""
        if self._data.pop(key, None) is not None:
            if key in self._fresh:
                self._fresh.remove(key)
            else:
                self._gone.add(key)

    def delete_range(self, start: bytes, end: bytes) -> None:
        """Remove every key in [start, end)."""
        keys = self._order()
        for key in keys[bisect_left(keys, start) : bisect_left(keys, end)]:
            self.delete(key)


class _Cursor:
    """One scan: reads the store as it goes, until the store is about to change."""

    def __init__(
        self, lock: threading.RLock, data: dict[bytes, bytes], keys: list[bytes], position: int, stop: int
    ) -> None:
        self._lock = lock
        self._data = data
        self._keys = keys
        self._position = position
        self._stop = stop

    def freeze(self) -> None:
        """Take a copy of what is left."""
        data = self._data
        self._keys = self._keys[self._position : self._stop]
        self._data = {key: data[key] for key in self._keys}
        self._position, self._stop = 0, len(self._keys)

    def __iter__(self) -> _Cursor:
        return self

    def __next__(self) -> tuple[bytes, bytes]:
        with self._lock:
            if self._position >= self._stop:
                raise StopIteration
            key = self._keys[self._position]
            self._position += 1
            return key, self._data[key]


class MemoryBackend:
    """Named stores in memory, safe to read from several threads.

    Example:
        >>> backend = MemoryBackend()
        >>> batch = Batch()
        >>> batch.put("stock", b"apples", b"3")
        >>> backend.write(batch)
        >>> backend.store("stock").get(b"apples")
        b'3'
    """

    def __init__(self) -> None:
        """Begin without stores."""
        self._lock = threading.RLock()
        self._stores: dict[str, MemoryStore] = {}
        self._closed = False

    def store(self, name: str) -> MemoryStore:
        """Return the store of that name; it is made if it is not there."""
        with self._lock:
            store = self._stores.get(name)
            if store is None:
                store = self._stores[name] = MemoryStore(self._lock)
            return store

    def names(self) -> tuple[str, ...]:
        """Return the names of the stores that exist, sorted."""
        return tuple(sorted(self._stores))

    def write(self, batch: Batch) -> None:
        """Write the batch: all of it or nothing.

        Raises:
            StateError: the backend was closed.
        """
        if self._closed:
            message = "the memory backend is closed: nothing can be written to it"
            raise StateError(message)
        with self._lock:
            for name in batch.names():
                self.store(name).freeze()
            for name, start, end in batch.ranges:
                self._stores[name].delete_range(start, end)
            for name, key in batch.deletes:
                self._stores[name].delete(key)
            for name, key, value in batch.puts:
                self._stores[name].put(key, value)
            for name, keys, values in batch.columns:
                self._stores[name].put_all(keys, values)

    def close(self) -> None:
        """Refuse further writes."""
        self._closed = True
