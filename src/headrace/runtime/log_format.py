"""How the log lies in its stores.

``log`` holds the records, in chunks: topic id (4 bytes), partition (2), offset of the chunk's last record (8), so that
a seek for an offset finds the chunk with it. ``log-meta`` holds, by the first letter of the key:

    t  topic name               id, partitions
    p  topic id, partition      first offset kept, next offset
    c  topic id, partition, last offset of a chunk       first offset, newest time: retention reads no records
"""

from __future__ import annotations

import struct

import msgspec

DATA = "log"
META = "log-meta"
TOPIC = b"t"

CHUNK_BYTES = 1 << 20
CHUNK_RECORDS = 4096

Headers = tuple[tuple[str, bytes], ...]

pack_bounds = struct.Struct(">QQ").pack
unpack_bounds = struct.Struct(">QQ").unpack
pack_span = struct.Struct(">Qq").pack  # first offset, newest time
unpack_span = struct.Struct(">Qq").unpack
pack_topic = struct.Struct(">IH").pack
unpack_topic = struct.Struct(">IH").unpack
_partition = struct.Struct(">IH").pack
_offset = struct.Struct(">Q")


class Chunk(msgspec.Struct, array_like=True, gc=False):
    """Consecutive records of one partition. ``keys`` and ``headers`` are None where no record has one."""

    first: int
    values: list[bytes]
    times: list[int]
    keys: list[bytes | None] | None
    headers: list[Headers] | None


encode_chunk = msgspec.msgpack.Encoder().encode
decode_chunk = msgspec.msgpack.Decoder(Chunk).decode


def data_prefix(topic: int, partition: int) -> bytes:
    """Return what the keys of the partition's chunks begin with."""
    return _partition(topic, partition)


def bounds_key(topic: int, partition: int) -> bytes:
    """Return the key of the partition's first and next offset."""
    return b"p" + _partition(topic, partition)


def span_prefix(topic: int, partition: int) -> bytes:
    """Return what the keys of the partition's spans begin with."""
    return b"c" + _partition(topic, partition)


def at(prefix: bytes, offset: int) -> bytes:
    """Return the key below ``prefix`` for this offset."""
    return prefix + _offset.pack(offset)


def cut(values: list[bytes]) -> list[tuple[int, int]]:
    """Return (start, end) of each chunk: at most CHUNK_RECORDS records and about CHUNK_BYTES, at least one record."""
    cuts: list[tuple[int, int]] = []
    start = size = 0
    for index, value in enumerate(values):
        if index > start and (size + len(value) > CHUNK_BYTES or index - start >= CHUNK_RECORDS):
            cuts.append((start, index))
            start, size = index, 0
        size += len(value)
    if start < len(values):
        cuts.append((start, len(values)))
    return cuts
