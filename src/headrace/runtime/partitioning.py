"""Which partition a key belongs to: the same one as with Kafka's Java clients."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from headrace.runtime.records import Records

KeyReader = Callable[[bytes], bytes | None]

_SEED = 0x9747B28C
_MIX = 0x5BD1E995
_MASK = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF
_REMEMBERED = 100_000


def murmur2(data: bytes) -> int:
    """Return the 32-bit MurmurHash2 of ``data``, signed as Kafka's ``Utils.murmur2`` returns it."""
    size = len(data)
    whole = size & ~3
    h = _SEED ^ size
    for k in struct.unpack_from(f"<{whole >> 2}I", data):
        k = (k * _MIX) & _MASK  # noqa: PLW2901 - the algorithm's own name for the word being mixed
        h = (h * _MIX) & _MASK ^ ((k ^ k >> 24) * _MIX) & _MASK
    if whole != size:
        h = ((h ^ int.from_bytes(data[whole:], "little")) * _MIX) & _MASK
    h = ((h ^ h >> 13) * _MIX) & _MASK
    h ^= h >> 15
    return h if h <= _POSITIVE else h - _MASK - 1


def partition_for(key: bytes, partitions: int) -> int:
    """Return the partition of ``key`` among ``partitions``, as Kafka's default partitioner does.

    Example:
        >>> partition_for(b"ada", 4) == partition_for(b"ada", 4)
        True
    """
    return (murmur2(key) & _POSITIVE) % partitions


class Part(NamedTuple):
    """The records of one partition, times filled in; ``rows`` are their places in the batch that was split."""

    rows: Sequence[int]
    records: Records


class Partitioner:
    """Spread records over the partitions of a topic: by key as Kafka does, without a key to the first.

    Records without a key stay together, so that their order is kept. ``key_of`` reads from the value the
    key that the topic's readers declare: they trust it, so it decides, whatever key a record came with.
    """

    def __init__(self, partitions: int, key_of: KeyReader | None = None) -> None:
        """Spread over this many partitions."""
        self._partitions = partitions
        self._key_of = key_of if partitions > 1 else None
        self._known: dict[bytes | None, int] = {None: 0}

    def split(self, records: Records, now_ms: int) -> dict[int, Part]:
        """Return the records by partition, in their order."""
        count = len(records.values)
        times = records.times if records.times is not None else [now_ms] * count
        keys, decisive = records.keys, records.keys
        if self._key_of is not None:
            declared = [self._key_of(value) for value in records.values]
            if keys is None:
                keys = decisive = declared
            else:
                # No declared key: the record will be refused; it may as well keep the company of its own key.
                pairs = list(zip(declared, keys, strict=True))
                decisive = [own if key is None else key for key, own in pairs]
                keys = [key if own is None else own for key, own in pairs]
        if self._partitions == 1 or keys is None or decisive is None:
            return {0: Part(range(count), Records(records.values, keys, times, records.headers))}
        rows: dict[int, list[int]] = {}
        for row, key in enumerate(decisive):
            rows.setdefault(self.place(key), []).append(row)
        headers = records.headers
        return {
            partition: Part(
                taken,
                Records(
                    [records.values[row] for row in taken],
                    [keys[row] for row in taken],
                    [times[row] for row in taken],
                    None if headers is None else [headers[row] for row in taken],
                ),
            )
            for partition, taken in rows.items()
        }

    def place(self, key: bytes | None) -> int:
        """Return the partition of a key."""
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known = {None: 0}
            # None is always known, so this key is bytes.
            found = self._known[key] = partition_for(key or b"", self._partitions)
        return found
