"""Functions of users: what they return is what they were declared to return, or the record is at fault.

Steps behind a function rely on the type of its result: a text among numbers would break a sum, or
a stored state that is read back as a number.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

from headrace.errors import DataError
from headrace.event.dtypes import DType, Kind
from headrace.event.faults import show
from headrace.topology.names import callable_name

_EXACT: dict[Kind, type] = {
    Kind.INT: int,
    Kind.FLOAT: float,
    Kind.DECIMAL: Decimal,
    Kind.STR: str,
    Kind.BOOL: bool,
    Kind.BYTES: bytes,
    Kind.DATE: date,
    Kind.DURATION: timedelta,
}


def returned(function: Callable[..., Any], dtype: DType) -> Callable[..., Any]:
    """Return the function with its result checked. Close types are converted, such as int to float."""
    exact = _EXACT.get(dtype.kind)
    if exact is None and dtype.kind not in {Kind.LIST, Kind.MAP, Kind.TIMESTAMP}:
        return function

    def checked(*args: Any) -> Any:
        value = function(*args)
        if value.__class__ is exact:
            return value
        try:
            return _fitted(value, dtype)
        except (TypeError, ValueError):
            expected, got, name = str(dtype), f"{type(value).__name__} {show(value)}", callable_name(function)
            msg = f"function {name}: expected a result of type {expected}, got {got}. Mend it, or what 'returns' says"
            raise DataError(msg, field=name, expected=expected, got=got) from None

    return checked


def _fitted(value: Any, dtype: DType) -> Any:
    match dtype.kind, value:
        case (Kind.ANY | Kind.STRUCT, _):
            return value
        case (_, None):
            if dtype.nullable:
                return None
        case (Kind.INT, Integral()):
            return int(value)
        case (Kind.FLOAT, Real()):
            return float(value)
        case (Kind.STR, str()):
            return str.__str__(value)
        case (Kind.TIMESTAMP, datetime()) if value.tzinfo is not None:
            return value.astimezone(UTC)
        case (Kind.DATE, date()) if not isinstance(value, datetime):
            return value
        case (Kind.BYTES, bytes()) | (Kind.DECIMAL, Decimal()) | (Kind.BOOL, bool()) | (Kind.DURATION, timedelta()):
            return value
        case (Kind.LIST, list() | tuple()):
            return value if dtype.item is None else [_fitted(item, dtype.item) for item in value]
        case (Kind.MAP, dict()):
            return value if dtype.item is None else {key: _fitted(item, dtype.item) for key, item in value.items()}
    raise TypeError
