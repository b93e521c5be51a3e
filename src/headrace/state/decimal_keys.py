"""Decimals as bytes that sort like the decimals."""

from __future__ import annotations

import struct
from decimal import Decimal

_MINUS_INFINITY, _NEGATIVE, _ZERO, _POSITIVE, _INFINITY, _NAN = range(1, 7)  # tags, in their order
_EXPONENT = struct.Struct(">Q")
_SIGN = 1 << 63
_INVERTED = bytes(255 - byte for byte in range(256))
_SPECIAL = {_MINUS_INFINITY: Decimal("-Infinity"), _ZERO: Decimal(0), _INFINITY: Decimal("Infinity")}


def encode_decimal(value: Decimal) -> bytes:
    """Return tag, exponent of the first digit, digits without trailing zeros, and a zero byte.

    For negative numbers all but the tag is complemented: the greater the amount, the lower it sorts.
    """
    if not value.is_finite():
        return bytes((_NAN if value.is_nan() else _INFINITY if value > 0 else _MINUS_INFINITY,))
    if not value:
        return bytes((_ZERO,))
    sign, digits, _ = value.as_tuple()
    amount = bytes(digit + 1 for digit in digits).rstrip(b"\x01")
    body = _EXPONENT.pack(value.adjusted() + _SIGN) + amount + b"\x00"
    return bytes((_NEGATIVE,)) + body.translate(_INVERTED) if sign else bytes((_POSITIVE,)) + body


def decode_decimal(data: bytes, at: int) -> tuple[Decimal, int]:
    """Return the decimal at ``at``, and the position after it."""
    tag = data[at]
    if tag == _NAN:
        return Decimal("NaN"), at + 1
    if tag in _SPECIAL:
        return _SPECIAL[tag], at + 1
    negative = tag == _NEGATIVE
    start = at + 1 + _EXPONENT.size
    end = data.index(b"\xff" if negative else b"\x00", start)
    body = data[at + 1 : end]
    if negative:
        body = body.translate(_INVERTED)
    digits = tuple(byte - 1 for byte in body[_EXPONENT.size :])
    adjusted = _EXPONENT.unpack_from(body)[0] - _SIGN
    return Decimal((int(negative), digits, adjusted - len(digits) + 1)), end + 1
