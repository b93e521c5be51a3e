"""Columns to record batches, in one loop over aiokafka's Cython builder: no object per record is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import islice
from typing import Any

from aiokafka import codec
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from headrace.errors import ConfigError, InternalError
from headrace.kafka.model import Columns, Headers

_MAGIC = 2  # the record format of Kafka 0.11 and newer
_UNSET = -1
_NO_HEADERS: list[Any] = []


class Compression(IntEnum):
    """How batches are compressed, by the numbers of the record format."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4

    @classmethod
    def of(cls, name: str) -> Compression:
        """Return the compression of this name.

        Raises:
            ConfigError: there is none, or the package that it needs is missing.
        """
        found = cls.__members__.get(name.upper())
        if found is None:
            message = f"compression: expected one of {', '.join(c.name.lower() for c in cls)}, got {name!r}"
            raise ConfigError(message)
        has = {cls.SNAPPY: codec.has_snappy, cls.LZ4: codec.has_lz4, cls.ZSTD: codec.has_zstd}.get(found)
        if has is not None and not has():
            message = f"compression {name!r} needs the package cramjam: install headrace[kafka]"
            raise ConfigError(message)
        return found


class RecordBatch:
    """A batch of records of one partition: being filled, then bound to a producer and sent."""

    __slots__ = ("_buffer", "_builder", "count", "size")

    def __init__(self, builder: Any, count: int) -> None:
        self._builder = builder
        self._buffer: bytes | None = None
        self.count = count
        self.size = int(builder.size())
        """In bytes, before compression."""

    @property
    def bound(self) -> bool:
        """Return whether the batch has its sequence number."""
        return self._buffer is not None

    def bind(self, producer_id: int, epoch: int, sequence: int) -> None:
        """Set who sends the batch, and its place in the order; compress it. Once: each try sends the same bytes."""
        if self._buffer is not None:
            message = "a record batch was bound twice"
            raise InternalError(message)
        self._builder.set_producer_state(producer_id, epoch, sequence)
        self._buffer = bytes(self._builder.build())
        self._builder = None

    def data(self) -> bytes:
        """Return what goes over the wire."""
        if self._buffer is None:
            message = "a record batch was sent unbound"
            raise InternalError(message)
        return self._buffer


def build(columns: Columns, compression: Compression, max_bytes: int, *, transactional: bool) -> list[RecordBatch]:
    """Return the records as batches of at most ``max_bytes``, before compression.

    A record that is larger is a batch by itself: the broker decides whether it takes it.

    Raises:
        InternalError: the columns are of different lengths, or hold something else than bytes.
    """
    total = len(columns)
    for name in ("times", "keys", "headers"):
        column = getattr(columns, name)
        if column is not None and len(column) != total:
            message = f"column {name} has {len(column)} records, column values has {total}"
            raise InternalError(message)
    batches = []
    start = 0
    try:
        while start < total:
            builder = DefaultRecordBatchBuilder(
                _MAGIC, int(compression), int(transactional), _UNSET, _UNSET, _UNSET, max_bytes
            )
            fill = _fill_plain if columns.headers is None else _fill_with_headers
            count = fill(builder.append, columns, start)
            batches.append(RecordBatch(builder, count))
            start += count
    except TypeError as error:
        message = f"records must be bytes, times whole milliseconds: {error}"
        raise InternalError(message) from error
    return batches


def _fill_plain(append: Any, columns: Columns, start: int) -> int:
    """Append until the batch is full; return how many records it took. Offsets count from 0 in each batch."""
    count = 0
    values, times = _from(columns.values, start), _from(columns.times, start)
    headers = _NO_HEADERS
    if columns.keys is None:
        for time, value in zip(times, values, strict=True):
            if append(count, time, None, value, headers) is None:
                break
            count += 1
        return count
    for time, key, value in zip(times, _from(columns.keys, start), values, strict=True):
        if append(count, time, key, value, headers) is None:
            break
        count += 1
    return count


def _fill_with_headers(append: Any, columns: Columns, start: int) -> int:
    count = 0
    keys = columns.keys if columns.keys is not None else [None] * len(columns)
    all_headers: Sequence[Headers] = columns.headers if columns.headers is not None else ()
    for index in range(start, len(columns)):
        # The builder takes nothing but a list of tuples.
        headers = [(name, value) for name, value in all_headers[index]]
        if append(count, columns.times[index], keys[index], columns.values[index], headers) is None:
            break
        count += 1
    return count


def _from(column: Sequence[Any], start: int) -> Iterator[Any] | Sequence[Any]:
    """Return the rest of a column without a copy of it: a large append is split into many batches."""
    return islice(column, start, None) if start else column
