"""Which partition a key belongs to: the same one as with Kafka's Java clients."""

from __future__ import annotations

import struct

_SEED = 0x9747B28C
_MIX = 0x5BD1E995
_MASK = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF


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
