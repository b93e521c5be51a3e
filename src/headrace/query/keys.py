"""Keys of tables as text: in URLs and on the command line.

One key column: the plain text of its value. Several: a JSON array such as ``["acme", "SKU-1"]``;
with fewer values than there are columns it is a prefix.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from headrace.errors import ConfigError
from headrace.event.dtypes import DType, Kind

Key = tuple[Any, ...]
KeyColumns = tuple[tuple[str, DType], ...]

# Numbers come as numbers inside an array, as text alone; the others always come as text.
_PLAIN: dict[Kind, type[Any]] = {Kind.INT: int, Kind.FLOAT: float, Kind.BOOL: bool}
_WIRE: dict[Kind, type[Any]] = {
    Kind.BYTES: bytes,
    Kind.DATE: date,
    Kind.DECIMAL: Decimal,
    Kind.DURATION: timedelta,
    Kind.STR: str,
}


def parse_key(text: str, columns: KeyColumns) -> Key:
    """Return the values of a key, or of a prefix of it where there are several columns.

    Raises:
        ConfigError: the text is no such key.
    """
    if len(columns) == 1:
        return (_value(text, *columns[0]),)
    names = ", ".join(name for name, _ in columns)
    try:
        parts = msgspec.json.decode(text, type=list[Any])
    except (msgspec.DecodeError, UnicodeError) as error:
        msg = f"key: expected a JSON array of {names}, got {text!r}"
        raise ConfigError(msg) from error
    if not 0 < len(parts) <= len(columns):
        msg = f"key: expected 1 to {len(columns)} values ({names}), got {len(parts)}"
        raise ConfigError(msg)
    return tuple(_value(part, *column) for part, column in zip(parts, columns, strict=False))


def format_key(key: Key) -> str:
    """Return the text that :func:`parse_key` reads.

    >>> format_key(("acme", 7)), format_key((7,))
    ('["acme",7]', '7')
    """
    if len(key) > 1:
        return msgspec.json.encode(key).decode()
    plain = msgspec.to_builtins(key[0])
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()


def _value(part: Any, name: str, dtype: DType) -> Any:
    try:
        return _convert(part, dtype.kind)
    except (ValueError, TypeError, ArithmeticError) as error:
        msg = f"key column {name!r}: expected {dtype.required()}, got {part!r}"
        raise ConfigError(msg) from error


def _convert(part: Any, kind: Kind) -> Any:
    """Return the value; msgspec.ValidationError is a ValueError."""
    if kind in _PLAIN:
        return msgspec.convert(part, _PLAIN[kind], strict=not isinstance(part, str))
    if kind is Kind.TIMESTAMP:
        time = datetime.fromisoformat(part)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    return msgspec.convert(part, _WIRE[kind])
