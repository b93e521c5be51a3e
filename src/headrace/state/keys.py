"""Keys as bytes that sort like the keys themselves.

The bytes of a tuple are the bytes of its values, one after the other, and no value's bytes are the beginning of
another's. So the order of the bytes is the order of the tuples, and a prefix of a tuple is a prefix of its bytes.
Every value begins with a tag; null has the lowest. (The idea is that of FoundationDB's tuple layer.)
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from headrace.errors import InternalError, StateDamaged, StateError
from headrace.event.dtypes import DType, Kind
from headrace.state.decimal_keys import decode_decimal, encode_decimal

Encoder = Callable[[Any], bytes]  # of one value of the kind, never None
Decoder = Callable[[bytes, int], tuple[Any, int]]  # of the value at a position; and the position after it

NULL = b"\x00"
_SOME = b"\x01"
_END = b"\x00\x01"  # after a text; a zero in it is written _ZERO, which sorts after the end of a shorter text
_ZERO = b"\x00\xff"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SIGN = 1 << 63  # added to a signed number to make it sort as an unsigned one
_DAYS = 1 << 31

_INT, _BIGGER, _SMALLER = 0x40, 0x41, 0x3F  # tags: fits in 64 bits, above, below
_INT_PACK, _INT_UNPACK = struct.Struct(">BQ").pack, struct.Struct(">Q").unpack_from
_LENGTH = struct.Struct(">I")
_FLOAT = struct.Struct(">d")
_DATE = struct.Struct(">BI")
_DURATION = struct.Struct(">BIII")


def _encode_str(value: str) -> bytes:
    if "\0" in value:
        return _encode_bytes(value.encode("utf-8", "surrogatepass"))
    return f"\x01{value}\x00\x01".encode("utf-8", "surrogatepass")


def _decode_str(data: bytes, at: int) -> tuple[str, int]:
    raw, after = _decode_bytes(data, at)
    return raw.decode("utf-8", "surrogatepass"), after


def _encode_bytes(value: bytes) -> bytes:
    return _SOME + value.replace(b"\x00", _ZERO) + _END


def _decode_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    # _END is never the beginning of _ZERO, so the first one found is the end.
    end = data.index(_END, at + 1)
    return data[at + 1 : end].replace(_ZERO, b"\x00"), end + len(_END)


def _encode_int(value: int) -> bytes:
    try:
        return _INT_PACK(_INT, value + _SIGN)
    except struct.error:
        magnitude = abs(value).to_bytes((abs(value).bit_length() + 7) // 8, "big")
        size = len(magnitude)
        if value > 0:
            return bytes((_BIGGER,)) + _LENGTH.pack(size) + magnitude
        return bytes((_SMALLER,)) + _invert(_LENGTH.pack(size) + magnitude)


def _decode_int(data: bytes, at: int) -> tuple[int, int]:
    tag, start = data[at], at + 1
    if tag == _INT:
        return _INT_UNPACK(data, start)[0] - _SIGN, start + 8
    sized = data[start : start + _LENGTH.size]
    size: int = _LENGTH.unpack(sized if tag == _BIGGER else _invert(sized))[0]
    start += _LENGTH.size
    magnitude = data[start : start + size]
    if tag == _BIGGER:
        return int.from_bytes(magnitude, "big"), start + size
    return -int.from_bytes(_invert(magnitude), "big"), start + size


_INVERTED = bytes(255 - byte for byte in range(256))


def _invert(data: bytes) -> bytes:
    """Return the complement: what sorted up sorts down."""
    return data.translate(_INVERTED)


def _encode_bool(value: bool) -> bytes:  # noqa: FBT001 - the value itself
    return b"\x02" if value else b"\x01"


def _decode_bool(data: bytes, at: int) -> tuple[bool, int]:
    return data[at] == 2, at + 1  # noqa: PLR2004 - the tag of true


def _encode_float(value: float) -> bytes:
    raw = _FLOAT.pack(float("nan") if value != value else value + 0.0)  # noqa: PLR0124 - NaN; + 0.0 makes -0.0 0.0
    if raw[0] < 0x80:  # noqa: PLR2004 - the sign bit
        return _SOME + bytes((raw[0] | 0x80,)) + raw[1:]
    return _SOME + _invert(raw)


def _decode_float(data: bytes, at: int) -> tuple[float, int]:
    raw = data[at + 1 : at + 9]
    raw = bytes((raw[0] & 0x7F,)) + raw[1:] if raw[0] >= 0x80 else _invert(raw)  # noqa: PLR2004 - the sign bit
    return _FLOAT.unpack(raw)[0], at + 9


def _encode_timestamp(value: datetime) -> bytes:
    return _INT_PACK(1, (value - _EPOCH) // _MICROSECOND + _SIGN)


def _decode_timestamp(data: bytes, at: int) -> tuple[datetime, int]:
    return _EPOCH + timedelta(microseconds=_INT_UNPACK(data, at + 1)[0] - _SIGN), at + 9


def _encode_date(value: date) -> bytes:
    return _DATE.pack(1, value.toordinal())


def _decode_date(data: bytes, at: int) -> tuple[date, int]:
    return date.fromordinal(_DATE.unpack_from(data, at)[1]), at + _DATE.size


def _encode_duration(value: timedelta) -> bytes:
    return _DURATION.pack(1, value.days + _DAYS, value.seconds, value.microseconds)


def _decode_duration(data: bytes, at: int) -> tuple[timedelta, int]:
    _, days, seconds, microseconds = _DURATION.unpack_from(data, at)
    return timedelta(days - _DAYS, seconds, microseconds), at + _DURATION.size


def _no_value(value: object) -> bytes:
    message = f"a key column of type null got {value!r}: the declaration should have been refused"
    raise InternalError(message)


def _no_bytes(data: bytes, at: int) -> tuple[None, int]:
    message = f"a key column of type null has {data[at:]!r}: it was written under another type"
    raise StateError(message)


_CODECS: dict[Kind, tuple[Encoder, Decoder]] = {
    Kind.INT: (_encode_int, _decode_int),
    Kind.STR: (_encode_str, _decode_str),
    Kind.BOOL: (_encode_bool, _decode_bool),
    Kind.BYTES: (_encode_bytes, _decode_bytes),
    Kind.FLOAT: (_encode_float, _decode_float),
    Kind.DECIMAL: (encode_decimal, decode_decimal),
    Kind.TIMESTAMP: (_encode_timestamp, _decode_timestamp),
    Kind.DATE: (_encode_date, _decode_date),
    Kind.DURATION: (_encode_duration, _decode_duration),
    Kind.NULL: (_no_value, _no_bytes),
}


class KeyCodec:
    """Encodes tuples of one row of types. ``encode`` is chosen for the types when the codec is made.

    Values that are equal have equal bytes: ``-0.0`` comes back as ``0.0``, ``Decimal("1.50")`` as
    ``Decimal("1.5")``, a timestamp of another zone as UTC.

    Example:
        >>> from headrace.event.dtypes import INT, STR
        >>> codec = key_codec([STR, INT])
        >>> codec.decode(codec.encode(("ada", 3)))
        ('ada', 3)
        >>> codec.encode(("ada", 3)).startswith(codec.encode_prefix(("ada",)))
        True
    """

    __slots__ = ("_decoders", "_encoders", "encode", "encode_value")

    encode: Callable[[tuple[Any, ...]], bytes]
    encode_value: Callable[[Any], bytes]
    """The same for the value itself, where there is one column."""

    def __init__(self, codecs: Sequence[tuple[Encoder, Decoder]]) -> None:
        """Take the encoder and decoder of each column; use :func:`key_codec`."""
        self._encoders = tuple(encoder for encoder, _ in codecs)
        self._decoders = tuple(decoder for _, decoder in codecs)
        self.encode = _tuple_encoder(self._encoders)
        self.encode_value = _value_encoder(self._encoders[0]) if self._encoders else lambda _: NULL

    def encode_prefix(self, values: tuple[Any, ...]) -> bytes:
        """Return the bytes that the key of every tuple that begins with ``values`` begins with."""
        return b"".join(
            NULL if value is None else encoder(value) for encoder, value in zip(self._encoders, values, strict=False)
        )

    def decode(self, data: bytes) -> tuple[Any, ...]:
        """Return the tuple.

        Raises:
            StateDamaged: these bytes are no key of these types.
        """
        values: list[Any] = []
        at = 0
        try:
            for decoder in self._decoders:
                if data[at] == 0:
                    values.append(None)
                    at += 1
                else:
                    value, at = decoder(data, at)
                    values.append(value)
        except (IndexError, ValueError, OverflowError, struct.error) as error:
            raise _damaged(data) from error
        if at != len(data):
            raise _damaged(data)
        return tuple(values)


def _damaged(data: bytes) -> StateDamaged:
    return StateDamaged(
        f"a stored key cannot be read: {data[:80]!r}. It was written with other key columns, or is damaged: "
        "use another data directory, or restore this one"
    )


def _tuple_encoder(encoders: tuple[Encoder, ...]) -> Callable[[tuple[Any, ...]], bytes]:
    """Return the encoder for this number of columns."""
    if len(encoders) == 1:
        only = _value_encoder(encoders[0])

        def encode_one(values: tuple[Any, ...]) -> bytes:
            (value,) = values
            return only(value)

        return encode_one

    def encode(values: tuple[Any, ...]) -> bytes:
        return b"".join(
            [NULL if value is None else encoder(value) for encoder, value in zip(encoders, values, strict=True)]
        )

    return encode


def _value_encoder(encoder: Encoder) -> Callable[[Any], bytes]:
    """Return the encoder of keys with one column: every read of state that is not in memory runs through it."""
    return _encode_text if encoder is _encode_str else lambda value: NULL if value is None else encoder(value)


def _encode_text(value: str | None) -> bytes:
    if value is None:
        return NULL
    if "\0" in value:
        return _encode_str(value)
    return f"\x01{value}\x00\x01".encode("utf-8", "surrogatepass")


def key_codec(dtypes: Sequence[DType]) -> KeyCodec:
    """Return the codec of keys with columns of these types. Null is allowed in every column and sorts first.

    Raises:
        InternalError: a type cannot be a key; the declaration should have been refused.
    """
    for dtype in dtypes:
        if dtype.kind not in _CODECS:
            message = f"a key column cannot be of type {dtype}: the declaration should have been refused"
            raise InternalError(message)
    return KeyCodec([_CODECS[dtype.kind] for dtype in dtypes])


def prefix_end(prefix: bytes) -> bytes | None:
    """Return the first bytes after everything that begins with ``prefix``; None if nothing comes after."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes((kept[-1] + 1,)) if kept else None
