"""What the code of an aggregate is made of, and the types in which its state is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from headrace.errors import DataError
from headrace.event.dtypes import DType, Kind
from headrace.event.faults import show

PYTHON_TYPES: dict[Kind, Any] = {
    Kind.INT: int,
    Kind.FLOAT: float,
    Kind.DECIMAL: Decimal,
    Kind.STR: str,
    Kind.BOOL: bool,
    Kind.BYTES: bytes,
    Kind.TIMESTAMP: datetime,
    Kind.DATE: date,
    Kind.DURATION: timedelta,
}


@dataclass(frozen=True, slots=True)
class SlotCode:
    """The code of one aggregate at its slots. Lines of ``prepare`` and ``update`` see the state as ``st``.

    ``types`` are the Python types of the slots in the store; ``None`` in any slot is allowed.
    ``prepared`` names the local that hands on what ``prepare`` has found. Without it nothing can fail.
    """

    init: tuple[str, ...]
    types: tuple[Any, ...]
    update: tuple[str, ...]
    merge: tuple[str, ...]
    result: str
    prepare: tuple[str, ...] = ()
    prepared: str = ""


def python_type(dtype: DType) -> Any:
    """Return the Python type by which a stored value is decoded."""
    if dtype.kind is Kind.LIST and dtype.item is not None:
        return list[python_type(dtype.item) | None]  # type: ignore[misc]
    if dtype.kind is Kind.MAP and dtype.item is not None:
        return dict[str, python_type(dtype.item) | None]  # type: ignore[misc]
    return PYTHON_TYPES.get(dtype.kind, Any)


def number(value: Any) -> Any:
    """Return a value of unknown type if it is a number: others have sums of their own, or none."""
    if isinstance(value, int | float) or (isinstance(value, Decimal) and not value.is_snan()):
        return value
    expected, got = "a number", show(value)
    msg = f"aggregate: expected {expected}, got {got}. Cast the column, or filter such records out"
    raise DataError(msg, expected=expected, got=got)
