"""What the engine needs of a store.

A backend holds named stores; one :class:`Batch` over any of them is written atomically.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

Put = tuple[str, bytes, bytes]
Delete = tuple[str, bytes]
Range = tuple[str, bytes, bytes]
Column = tuple[str, Sequence[bytes], Sequence[bytes | None]]


class Batch:
    """Writes to several stores, in memory until :meth:`Backend.write` takes them all at once.

    Ranges are deleted first, then keys, then puts are made: a key that is put survives. Columns come last, in order.
    """

    __slots__ = ("columns", "deletes", "puts", "ranges")

    def __init__(self) -> None:
        """Begin empty."""
        self.puts: list[Put] = []
        self.deletes: list[Delete] = []
        self.ranges: list[Range] = []
        self.columns: list[Column] = []

    def put(self, store: str, key: bytes, value: bytes) -> None:
        """Set ``key`` in ``store``."""
        self.puts.append((store, key, value))

    def put_all(self, store: str, keys: Sequence[bytes], values: Sequence[bytes | None]) -> None:
        """Set many keys in ``store``, or remove those whose value is None: cheaper than one by one."""
        self.columns.append((store, keys, values))

    def extend(self, later: Batch) -> None:
        """Add the writes of another batch, as made after these: what it deletes is gone, whoever put it."""
        self.ranges += later.ranges
        if not (self.puts or self.deletes or self.columns):
            self.puts, self.deletes, self.columns = later.puts, later.deletes, later.columns
            return
        for store in {entry[0] for entry in later.deletes}:
            gone = [key for name, key in later.deletes if name == store]
            self.put_all(store, gone, [None] * len(gone))
        for store in {entry[0] for entry in later.puts}:
            found = [(key, value) for name, key, value in later.puts if name == store]
            self.put_all(store, [key for key, _ in found], [value for _, value in found])
        self.columns += later.columns

    def names(self) -> set[str]:
        """Return the names of the stores that are written to."""
        found = {entry[0] for entries in (self.ranges, self.deletes, self.puts) for entry in entries}
        return found | {name for name, _, _ in self.columns}

    def delete(self, store: str, key: bytes) -> None:
        """Remove ``key`` from ``store`` if it is there."""
        self.deletes.append((store, key))

    def delete_range(self, store: str, start: bytes, end: bytes) -> None:
        """Remove every key in [start, end) from ``store``."""
        self.ranges.append((store, start, end))


class Store(Protocol):
    """A sorted map of bytes to bytes: the committed state. Writes go through a batch."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values in the order of the keys."""

    def scan(self, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in key order over [start, end); ``end`` None: to the last key."""


class Backend(Protocol):
    """A set of named stores with atomic writes across them."""

    def store(self, name: str) -> Store:
        """Return the store of that name; it is made if it is not there."""

    def names(self) -> tuple[str, ...]:
        """Return the names of the stores that exist, sorted."""

    def write(self, batch: Batch) -> None:
        """Write the batch: all of it or, on any failure, nothing.

        Raises:
            StateError: the disk is full, read-only or broken; nothing was written.
        """

    def close(self) -> None:
        """Close. Afterwards no other method may be called."""
