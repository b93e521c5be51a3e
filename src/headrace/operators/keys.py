"""Keys: one value, one form. What may be a key, and the bytes by which it is partitioned and written.

Equal keys must be one key everywhere: in a dict, in a partition, in a store. So ``-0.0`` becomes
``0.0`` and ``Decimal("1.50")`` becomes ``Decimal("1.5")`` before anything sees them. NaN equals not even
itself: it would be a new key with each record, so it is refused.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from math import isfinite

import msgspec

from headrace.errors import DataError
from headrace.event.dtypes import DType, Kind

_LONGEST = 40  # digits of a decimal without a point that are written out: a million zeros would be a bomb

_encode = msgspec.json.Encoder(decimal_format="string").encode


def key_bytes(key: object) -> bytes | None:
    """Return the bytes by which a key is partitioned and written: text as it is, several columns as a JSON array."""
    match key:
        case None:
            return None
        case bytes():
            return key
        case str():
            return key.encode()
        case bool():
            return _encode(key)
        case float():
            return str(key + 0.0).encode()
        case Decimal():
            return str(canonical_decimal(key)).encode()
        case int():
            return str(key).encode()
        case datetime() | date():
            return key.isoformat().encode()
        case _:
            return _json(key)


def _json(key: object) -> bytes:
    data = _encode(key)
    # JSON has no infinity, and the two of them must not become one key
    return _encode(tuple(map(_finite, key))) if b"null" in data and isinstance(key, tuple) else data


def _finite(value: object) -> object:
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def key_text(key: object) -> str:
    """Return the text of a key: what ``meta.key`` is behind a group_by."""
    return (key_bytes(key) or b"").decode(errors="replace")


def canonical_decimal(value: Decimal) -> Decimal:
    """Return the one form of all decimals that equal this one: no zeros behind the point, no exponent.

    >>> [str(canonical_decimal(Decimal(text))) for text in ("1.50", "1E+2", "-0.00")]
    ['1.5', '100', '0']
    """
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return value
    if not value:
        return Decimal(0)
    end = len(digits)
    if exponent <= 0 and (digits[-1] or not exponent) and end <= _LONGEST:
        return value
    while digits[end - 1] == 0:
        end, exponent = end - 1, exponent + 1
    if exponent > 0 and end + exponent <= _LONGEST:
        end, digits, exponent = end + exponent, (*digits[:end], *(0,) * exponent), 0
    return Decimal((sign, digits[:end], exponent))


def checks(dtype: DType, local: str, refuse: str) -> tuple[str, ...]:
    """Return the lines that bring a key column, in a local, to its one form; ``refuse`` is code that raises.

    Types that need no check pay nothing.
    """
    match dtype.kind:
        case Kind.FLOAT:
            return (f"{local} += 0.0", f"if {local} != {local}: {refuse}")
        case Kind.DECIMAL:
            return (f"if {local}.is_nan(): {refuse}", f"{local} = _canonical({local})")
        case Kind.ANY:
            return (f"if {local} != {local}: {refuse}",)
        case _:
            return ()


def no_key(step: str, column: str, got: str) -> DataError:
    """Return the error for a record whose key is null or NaN."""
    remedy = "Filter such records out before"
    if got == "null":
        remedy += ", or give them a value with fill_null()"
    message = f"step {step!r}: key is {got}: expected a value in key column {column!r}, got {got}. {remedy}"
    return DataError(message, field=column, expected="a key", got=got)
