"""Conversions between value types, as ``col.x.cast(int)`` does them.

| to | from |
| --- | --- |
| int | text, float and Decimal (towards zero), bool (0, 1), timestamp (ms since 1970), duration (ms) |
| float | text, int, Decimal |
| Decimal | text, int, float (the shortest decimal that reads back as the float) |
| str | int, float, Decimal, bool (``true``), timestamp and date (ISO 8601), bytes (UTF-8) |
| bool | text (``true``, ``false``, any case), int (0 is false) |
| timestamp | ISO 8601 text with an offset, int (ms since 1970), date (midnight UTC) |
| date | ISO 8601 text, timestamp (UTC) |
| duration | text (``1h30m``), int (ms) |
| bytes | text (UTF-8) |

Null stays null. A value that cannot be converted raises ``ValueError``.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Union, get_args, get_origin

from headrace.event.dtypes import (
    ANY,
    BOOL,
    BYTES,
    DATE,
    DECIMAL,
    DURATION,
    FLOAT,
    INT,
    NULL,
    STR,
    TIMESTAMP,
    DType,
    Kind,
)
from headrace.topology import scalars
from headrace.topology.promotion import common

PYTHON_TYPES: dict[object, DType] = {
    int: INT,
    float: FLOAT,
    str: STR,
    bool: BOOL,
    bytes: BYTES,
    Decimal: DECIMAL,
    datetime: TIMESTAMP,
    date: DATE,
    timedelta: DURATION,
    type(None): NULL,
    None: NULL,
    object: ANY,
    Any: ANY,
    list: DType(Kind.LIST, item=ANY),
    dict: DType(Kind.MAP, item=ANY),
}

CASTS: dict[tuple[Kind, Kind], Callable[..., object]] = {
    (Kind.STR, Kind.INT): scalars.int_from_text,
    (Kind.FLOAT, Kind.INT): scalars.int_from_number,
    (Kind.DECIMAL, Kind.INT): scalars.int_from_number,
    (Kind.BOOL, Kind.INT): int,
    (Kind.TIMESTAMP, Kind.INT): scalars.epoch_ms,
    (Kind.DURATION, Kind.INT): scalars.duration_to_ms,
    (Kind.STR, Kind.FLOAT): scalars.float_from_text,
    (Kind.INT, Kind.FLOAT): scalars.float_from_number,
    (Kind.DECIMAL, Kind.FLOAT): scalars.float_from_number,
    (Kind.STR, Kind.DECIMAL): scalars.decimal_from_text,
    (Kind.INT, Kind.DECIMAL): Decimal,
    (Kind.FLOAT, Kind.DECIMAL): scalars.decimal_from_float,
    (Kind.INT, Kind.STR): str,
    (Kind.FLOAT, Kind.STR): repr,
    (Kind.DECIMAL, Kind.STR): str,
    (Kind.BOOL, Kind.STR): scalars.text_from_bool,
    (Kind.TIMESTAMP, Kind.STR): scalars.text_from_time,
    (Kind.DATE, Kind.STR): date.isoformat,
    (Kind.BYTES, Kind.STR): bytes.decode,
    (Kind.STR, Kind.BOOL): scalars.bool_from_text,
    (Kind.INT, Kind.BOOL): bool,
    (Kind.STR, Kind.TIMESTAMP): scalars.time_from_text,
    (Kind.INT, Kind.TIMESTAMP): scalars.from_epoch_ms,
    (Kind.DATE, Kind.TIMESTAMP): scalars.time_from_date,
    (Kind.STR, Kind.DATE): date.fromisoformat,
    (Kind.TIMESTAMP, Kind.DATE): datetime.date,
    (Kind.STR, Kind.DURATION): scalars.duration_from_text,
    (Kind.INT, Kind.DURATION): scalars.duration_from_ms,
    (Kind.STR, Kind.BYTES): str.encode,
}

# bool before int and datetime before date: the former are subclasses of the latter.
_KINDS: tuple[tuple[type, Kind], ...] = (
    (bool, Kind.BOOL),
    (int, Kind.INT),
    (float, Kind.FLOAT),
    (str, Kind.STR),
    (Decimal, Kind.DECIMAL),
    (datetime, Kind.TIMESTAMP),
    (date, Kind.DATE),
    (timedelta, Kind.DURATION),
    (bytes, Kind.BYTES),
    (Mapping, Kind.MAP),
    (Sequence, Kind.LIST),
)


def to_dtype(annotation: object) -> DType:
    """Return the value type of a Python annotation such as ``int``, ``list[int]`` or ``str | None``.

    Raises:
        TypeError: the annotation has no value type.
    """
    if isinstance(annotation, DType):
        return annotation
    simple = PYTHON_TYPES.get(annotation) if _hashable(annotation) else None
    if simple is not None:
        return simple
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (types.UnionType, Union):
        members = [to_dtype(arg) for arg in args if arg is not type(None)]
        if len(members) == 1:
            return members[0].optional()
    elif origin in (list, Sequence) and len(args) == 1:
        return DType(Kind.LIST, item=to_dtype(args[0]))
    elif origin in (dict, Mapping) and len(args) == 2 and args[0] is str:  # noqa: PLR2004 - key and value
        return DType(Kind.MAP, item=to_dtype(args[1]))
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        return _of_enum(annotation)
    msg = (
        "expected one of int, float, str, bool, bytes, Decimal, datetime, date, timedelta, list[...], "
        f"dict[str, ...], or one of these '| None', got {annotation!r}"
    )
    raise TypeError(msg)


def kind_of(value: object) -> Kind:
    """Return the kind of a value at run time."""
    if value is None:
        return Kind.NULL
    return next((kind for python, kind in _KINDS if isinstance(value, python)), Kind.ANY)


def castable(source: DType, target: DType) -> bool:
    """Tell whether a value of type ``source`` can be converted to ``target``."""
    if source.kind in (Kind.ANY, Kind.NULL) or target.kind is Kind.ANY or (source.kind, target.kind) in CASTS:
        return True
    return source.kind is target.kind and common(source, target) is not None


def cast_any(value: object, name: str) -> object:
    """Convert a value whose type was not known at declaration to the kind ``name``.

    Raises:
        ValueError: there is no such conversion, or it fails for this value.
    """
    source, target = kind_of(value), Kind(name)
    if source is target or (source is Kind.MAP and target is Kind.STRUCT):
        return value
    convert = CASTS.get((source, target))
    if convert is None:
        msg = f"expected a value that converts to {name}, got {type(value).__name__}"
        raise ValueError(msg)
    return convert(value)


def _of_enum(annotation: type[Enum]) -> DType:
    values = tuple(member.value for member in annotation)
    if values and all(isinstance(v, str) for v in values):
        return DType(Kind.STR, choices=values)
    if values and all(isinstance(v, int) for v in values):
        return DType(Kind.INT, choices=values)
    msg = f"expected an enumeration of str or of int values, got {annotation.__name__}"
    raise TypeError(msg)


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
