"""Typing of CSV cells: text to the JSON value that the schema's field wants."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.event.dtypes import DType, Kind
from headrace.event.model import Event
from headrace.event.schema import schema_type

if TYPE_CHECKING:
    from pydantic import BaseModel

Cell = Callable[[str], object]

_BOOLS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def cells(schema: type[BaseModel] | None, columns: list[str]) -> list[Cell]:
    """Return one function per column. Dotted columns are nested fields; unknown ones stay text.

    A text that does not fit its field stays text as well, so that the record's dead letter
    shows what was in the file. An empty cell is null, but for text that may not be null.
    """
    if schema is None:
        return [_text_or_null] * len(columns)
    types = schema_type(schema)
    return [_cell(_find(types, schema, column)) for column in columns]


def _find(types: DType, schema: type[BaseModel], column: str) -> DType | None:
    parts = column.split(".")
    if issubclass(schema, Event) and parts[0] == "data":
        parts = parts[1:]
    by_alias = {_wire_name(name, info): name for name, info in schema.model_fields.items()}
    found: DType | None = types
    for place, part in enumerate(parts):
        if found is None or found.kind is not Kind.STRUCT:
            return None
        found = found.field(by_alias.get(part, part) if place == 0 else part)
    return found


def _wire_name(name: str, info: Any) -> str:
    alias = info.validation_alias or info.alias
    return alias if isinstance(alias, str) else name


def _cell(dtype: DType | None) -> Cell:
    match dtype.kind if dtype is not None else None:
        case Kind.INT:
            return _int
        case Kind.FLOAT:
            return _float
        case Kind.BOOL:
            return _bool
        case Kind.LIST | Kind.MAP | Kind.STRUCT:
            return _json
        case Kind.STR if dtype is not None and not dtype.nullable:
            return str
        case _:
            return _text_or_null


def _text_or_null(text: str) -> object:
    return text or None


def _int(text: str) -> object:
    try:
        return int(text)
    except ValueError:
        return text or None


def _float(text: str) -> object:
    try:
        number = float(text)
    except ValueError:
        return text or None
    return number if math.isfinite(number) else text


def _bool(text: str) -> object:
    return _BOOLS.get(text.lower(), text or None)


def _json(text: str) -> object:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text or None
    return msgspec.Raw(text)
