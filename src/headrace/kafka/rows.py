"""Rows on their way through a repartition topic: many in one record.

A record holds what one worker has for one partition at a checkpoint: for each of its tasks how far
that has come in event time, and its rows. So watermarks are carried, not guessed, and a row costs a
fraction of a record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.event.dtypes import DType
from headrace.operators.codec import StateCodec
from headrace.operators.slots import python_type
from headrace.time.instants import START_OF_TIME_MS

Row = tuple[Any, ...]
"""(event time, own watermark, bound, key tuple, columns ...), as generated code sends and takes it."""

VERSION = 1
_ROWS = 4000  # in one record
_BYTES = 500_000  # of one record with several rows: well below the largest that brokers take


class Part(NamedTuple):
    """What one task sends to one partition. ``sender`` is its partition; ``idle``: it waits for nobody."""

    sender: int
    watermark_ms: int
    idle: bool
    rows: list[Row]


class RowCodec:
    """Encodes parts for one group_by. Values come back as they were: types are those of the plan."""

    def __init__(self, keys: Sequence[DType], columns: Sequence[DType]) -> None:
        """Prepare for these key columns and columns."""
        key = tuple[tuple(python_type(dtype) for dtype in keys)]  # type: ignore[misc, valid-type]
        types = (int, int, int, key, *(python_type(dtype) | None for dtype in columns))
        row = tuple[types]  # type: ignore[valid-type]
        self._single = StateCodec((int, int, int, Any, *(Any for _ in columns)))
        self._encode = msgspec.msgpack.Encoder(decimal_format="string").encode
        self._decode = msgspec.msgpack.Decoder(tuple[int, list[tuple[int, int, bool, list[row]]]]).decode
        self._decode_each = msgspec.msgpack.Decoder(tuple[int, list[tuple[int, int, bool, list[bytes]]]]).decode

    def encode(self, parts: Sequence[Part]) -> list[bytes]:
        """Return record values: as many as are needed to keep each small."""
        return [value for portion in _portions(parts, _ROWS) for value in self._small(portion)]

    def _small(self, parts: list[Part]) -> list[bytes]:
        value, count = self._value(parts), sum(len(part.rows) for part in parts)
        if len(value) <= _BYTES or count < 2:  # noqa: PLR2004
            return [value]
        return [small for half in _portions(parts, -(-count // 2)) for small in self._small(half)]

    def _value(self, parts: list[Part]) -> bytes:
        try:
            return self._encode((VERSION, parts))
        except OverflowError:  # an integer that msgpack does not take: such rows go one by one
            one = self._single.encode
            each = [(p.sender, p.watermark_ms, p.idle, [one(list(row)) for row in p.rows]) for p in parts]
            return self._encode((-VERSION, each))

    def decode(self, value: bytes) -> list[Part]:
        """Return the parts of a record.

        Raises:
            msgspec.DecodeError: the record was not written for this plan.
        """
        try:
            version, parts = self._decode(value)
        except msgspec.ValidationError:
            version, each = self._decode_each(value)
            parts = [(s, w, i, [_tupled(self._single.decode(row)) for row in rows]) for s, w, i, rows in each]
        if abs(version) != VERSION:
            msg = f"rows of version {version}: this worker reads version {VERSION}"
            raise msgspec.DecodeError(msg)
        return [Part(*part) for part in parts]


def _tupled(row: list[Any]) -> Row:
    return (*row[:3], tuple(row[3]), *row[4:])


def _portions(parts: Sequence[Part], most: int) -> Iterator[list[Part]]:
    """Cut what has more rows.

    A watermark counts behind the rows that came before it: the pieces before the last get the lowest, which moves none.
    """
    portion: list[Part] = []
    count = 0
    for part in parts:
        rows = part.rows
        while count + len(rows) > most:
            room = most - count
            portion.append(part._replace(watermark_ms=START_OF_TIME_MS, rows=rows[:room]))
            yield portion
            portion, count, rows = [], 0, rows[room:]
        portion.append(part._replace(rows=rows))
        count += len(rows)
    if portion:
        yield portion
