"""Errors of pydantic told as data errors: field, expected, got."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING

from headrace.errors import DataError

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["data_error", "show"]

GOT_LENGTH = 80

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = GOT_LENGTH
_repr.maxdict = _repr.maxlist = 5
_repr.maxlevel = 3


def show(value: object) -> str:
    """Return a short form of a value of any size, at most 80 characters."""
    if isinstance(value, str | bytes | bytearray):
        value = value[: GOT_LENGTH + 1]  # cut before repr: the value may be 50 MB
        text = repr(bytes(value) if isinstance(value, bytearray) else value)
    else:
        text = _repr.repr(value)
    return text if len(text) <= GOT_LENGTH else text[: GOT_LENGTH - 3] + "..."


def data_error(error: ValidationError, data: bytes) -> DataError:
    """Tell the first fault that pydantic found."""
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(step) for step in first["loc"])
    message = first["msg"]
    if first["type"] == "json_invalid":
        expected = f"valid JSON ({message.removeprefix('Invalid JSON: ')})"
        got = show(data)
    elif first["type"] == "missing":
        expected, got = "a value", "nothing: the field is missing"
    else:
        expected = message.removeprefix("Input should be ")
        got = "null" if first["input"] is None else show(first["input"])
    where = f"field {field!r}" if field else "record"
    return DataError(f"{where}: expected {expected}, got {got}", field=field, expected=expected, got=got)
