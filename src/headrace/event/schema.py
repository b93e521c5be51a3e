"""The column types of an event model, derived from what pydantic validates by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.event.core import Core, Schema
from headrace.event.dtypes import (
    ANY,
    BOOL,
    BYTES,
    DATE,
    DECIMAL,
    DURATION,
    FLOAT,
    INT,
    STR,
    TIMESTAMP,
    DType,
    Kind,
    struct,
)
from headrace.event.model import Envelope, Event

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["default_time", "schema_type"]

_SCALARS = {
    "int": INT,
    "float": FLOAT,
    "decimal": DECIMAL,
    "str": STR,
    "bool": BOOL,
    "bytes": BYTES,
    "datetime": TIMESTAMP,
    "date": DATE,
    "timedelta": DURATION,
    "uuid": STR,
    "url": STR,
    "multi-host-url": STR,
}
# Wrappers and the place of what they wrap, as far as JSON input is concerned.
_WRAPPERS = {
    "function-before": "schema",
    "function-after": "schema",
    "function-wrap": "schema",
    "json-or-python": "json_schema",
    "lax-or-strict": "lax_schema",
}


def schema_type(model: type[BaseModel]) -> DType:
    """Return the STRUCT type of the records of a model; fields go by their Python names.

    An :class:`Event` has one more field, ``envelope``, with the CloudEvents attributes.
    What the type language cannot say is ANY.
    """
    core = Core(model)
    dtype = _dtype(core, core.root, ())
    if not issubclass(model, Event):
        return dtype
    data = tuple(pair for pair in dtype.fields if pair[0] != "envelope")
    envelope = Core(Envelope)
    return DType(Kind.STRUCT, fields=(*data, ("envelope", _dtype(envelope, envelope.root, ()))))


def default_time(model: type[BaseModel]) -> tuple[str, ...] | None:
    """Return the path of the event time of an :class:`Event`; a plain model has none."""
    return ("envelope", "time") if issubclass(model, Event) else None


def _dtype(core: Core, schema: Schema, stack: tuple[str, ...]) -> DType:
    schema = core.resolve(schema)
    kind = schema["type"]
    ref = schema.get("ref", "")
    if ref and ref in stack:
        return ANY  # a type within itself has no finite STRUCT
    inner = (*stack, ref) if ref else stack
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind in _WRAPPERS:
        return _dtype(core, schema[_WRAPPERS[kind]], inner)
    match kind:
        case "default":
            dtype = _dtype(core, schema["schema"], inner)
            return dtype.optional() if schema.get("default", ...) is None else dtype
        case "nullable":
            return _dtype(core, schema["schema"], inner).optional()
        case "chain":
            return _dtype(core, schema["steps"][-1], inner)
        case "enum":
            return _choices([member.value for member in schema["members"]])
        case "literal":
            return _choices(schema["expected"])
        case _:
            return _nested(core, schema, inner)


def _nested(core: Core, schema: Schema, stack: tuple[str, ...]) -> DType:
    match schema["type"]:
        case "list" | "set" | "frozenset":
            return DType(Kind.LIST, item=_dtype(core, schema.get("items_schema", {"type": "any"}), stack))
        case "tuple" if schema.get("variadic_item_index") == 0 and len(schema["items_schema"]) == 1:
            return DType(Kind.LIST, item=_dtype(core, schema["items_schema"][0], stack))
        case "dict" if _dtype(core, schema.get("keys_schema", {"type": "any"}), stack).kind is Kind.STR:
            return DType(Kind.MAP, item=_dtype(core, schema.get("values_schema", {"type": "any"}), stack))
        case "model":
            inner = schema["schema"]
            if inner["type"] == "model-fields":
                return _fields(core, inner["fields"], stack)
            return _dtype(core, inner, stack)
        case "typed-dict":
            return _fields(core, schema["fields"], stack, total=schema.get("total", True))
        case "tagged-union":
            return _merged([_dtype(core, choice, stack) for choice in schema["choices"].values()])
        case "union":
            members = {_dtype(core, _member(choice), stack) for choice in schema["choices"]}
            return members.pop() if len(members) == 1 else ANY
        case _:
            return ANY


def _member(choice: Any) -> Schema:
    member: Schema = choice[0] if isinstance(choice, tuple) else choice
    return member


def _fields(core: Core, fields: dict[str, Schema], stack: tuple[str, ...], *, total: bool = True) -> DType:
    types = {name: _dtype(core, entry["schema"], stack) for name, entry in fields.items()}
    return struct(
        **{name: dtype if fields[name].get("required", total) else dtype.optional() for name, dtype in types.items()}
    )


def _merged(members: list[DType]) -> DType:
    """Join the members of a union: a field that some member lacks is nullable there."""
    if any(member.kind is not Kind.STRUCT for member in members):
        return ANY
    merged: dict[str, DType] = {}
    for name in dict.fromkeys(name for member in members for name, _ in member.fields):
        types = [dtype for member in members if (dtype := member.field(name)) is not None]
        optional = len(types) < len(members) or any(dtype.nullable for dtype in types)
        bare = list(dict.fromkeys(dtype.required() for dtype in types))
        joined = bare[0] if len(bare) == 1 else _joined(bare)
        merged[name] = joined.optional() if optional else joined
    return struct(**merged)


def _joined(types: list[DType]) -> DType:
    """Join different types of one field: choices of one kind add up, anything else is ANY."""
    kinds = {dtype.kind for dtype in types}
    if len(kinds) == 1 and kinds <= {Kind.STR, Kind.INT}:
        known = all(dtype.choices for dtype in types)
        choices = tuple(dict.fromkeys(choice for dtype in types for choice in dtype.choices)) if known else ()
        return DType(kinds.pop(), choices=choices)
    return ANY


def _choices(values: list[Any]) -> DType:
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, bool) for value in present):
        dtype = BOOL
    elif present and all(isinstance(value, str) for value in present):
        dtype = DType(Kind.STR, choices=tuple(str.__str__(value) for value in present))
    elif present and all(isinstance(value, int) and not isinstance(value, bool) for value in present):
        dtype = DType(Kind.INT, choices=tuple(present))
    else:
        return ANY
    return dtype.optional() if len(present) < len(values) else dtype
