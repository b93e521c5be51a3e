"""Generated msgspec structs: the fast path of decoding.

The rule is that a struct may refuse what pydantic takes (the slow path then decides), and
never the reverse. A type or constraint without an exact counterpart in msgspec is read as raw
JSON and given to pydantic's validator of that one field.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import Enum
from itertools import count
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from headrace.event.core import Core, Record, Schema
from headrace.event.patterns import shared_pattern
from headrace.event.values import clock, parse_time, plain
from headrace.event.view import Node, View, build_view

__all__ = ["StructBuilder"]

_INT64 = range(-(2**63), 2**63)
_NEUTRAL = frozenset({"type", "ref", "metadata", "serialization", "strict", "fail_fast"})
_BOUNDS = ("gt", "ge", "lt", "le")


@dataclass(frozen=True, slots=True)
class Value:
    """How to read one value: a type for msgspec, and source that turns what it made into the final value."""

    type: Any
    convert: Callable[[str], str] | None = None


class StructBuilder:
    """Build struct types of views. ``deferred`` is set where only pydantic can decide at all."""

    def __init__(self, core: Core) -> None:
        """Begin with no names; ``names`` are the globals of the generated conversions."""
        self._core = core
        self._variables = count()
        self.deferred = False
        self.names: dict[str, object] = {
            "_e_Raw": msgspec.Raw,
            "_e_plain": plain,
            "_e_time": parse_time,
            "_e_clock": clock,
        }

    def build(self, view: View) -> type[msgspec.Struct]:
        """Return the struct type of a view."""
        return self._struct(view, ())

    def _struct(self, view: View, stack: tuple[str, ...]) -> type[msgspec.Struct]:
        fields: list[tuple[str, Any, Any]] = []
        rename: dict[str, str] = {}
        lines: list[str] = []
        for node in view.nodes.values():
            wires = view.record.wires(node.name)
            if wires is None or (node.view is None and self._core.wants_context(node.schema)):
                self.deferred = True
                continue
            value = self._field(view.record, node, stack)
            raw = value is None
            value = value or self._raw(node.schema, view.record.config)
            if node.is_clock:
                value = _checked_clock(value)
            default = _default(self._core.resolve(node.schema), raw or value.convert is None)
            if len(wires) > 1 or not view.record.fast:
                default = msgspec.NODEFAULT  # absent here, it may be there by its other name
            kind = value.type
            fields.append((node.attr, kind, default))
            rename[node.attr] = wires[0]
            if value.convert:
                guard = "v.__class__ is _e_Raw" if raw else "v is not None"
                lines += [f"    v = self.{node.attr}", f"    if {guard}:"]
                lines += [f"        self.{node.attr} = {value.convert('v')}"]
        namespace = {"__post_init__": self._function("__post_init__", "self", lines)} if lines else {}
        return msgspec.defstruct(
            f"Record{len(self.names)}",
            fields,
            namespace=namespace,
            rename=rename,
            kw_only=True,
            gc=False,  # decoded from JSON, so without cycles
            forbid_unknown_fields=view.full and view.record.extra == "forbid",
        )

    def _field(self, record: Record, node: Node, stack: tuple[str, ...]) -> Value | None:
        if not record.fast:
            return None
        if node.view is not None:
            kind = self._struct(node.view, stack)
            return Value(_or_none(kind) if node.nullable else kind)
        schema = self._core.resolve(node.schema)
        return self._value(schema["schema"] if schema["type"] == "default" else schema, stack)

    def _raw(self, schema: Schema, config: Schema) -> Value:
        resolved = self._core.resolve(schema)
        inner = resolved["schema"] if resolved["type"] == "default" else schema
        name = self._name("check", _refusing(self._core.validator(inner, config).validate_json))
        return Value(msgspec.Raw, lambda v: f"_e_plain({name}(bytes({v})))")

    def _value(self, schema: Schema, stack: tuple[str, ...]) -> Value | None:
        schema = self._core.resolve(schema)
        extra = {key: item for key, item in schema.items() if key not in _NEUTRAL}
        match schema["type"]:
            case "bool" if not extra:
                return Value(bool)
            case "int" | "float" | "str":
                return _constrained(schema["type"], extra)
            case "datetime" if not extra or extra == {"microseconds_precision": "truncate"}:
                return Value(str, lambda v: f"_e_time({v})")
            case "date" if not extra or extra == {"microseconds_precision": "truncate"}:
                return Value(date)
            case "uuid" if not extra:
                return Value(UUID, lambda v: f"str({v})")
            case "literal" | "enum" if "missing" not in schema:
                return _choices(schema.get("expected") or [member.value for member in schema["members"]])
            case "nullable":
                return _optional(self._value(schema["schema"], stack))
            case "list" | "dict":
                return self._container(schema, extra, stack)
            case "model":
                return self._model(schema, stack)
            case _:
                return None

    def _container(self, schema: Schema, extra: Schema, stack: tuple[str, ...]) -> Value | None:
        lengths = {key: extra.pop(key) for key in ("min_length", "max_length") if key in extra}
        item_schema = extra.pop("items_schema" if schema["type"] == "list" else "values_schema", None)
        key_schema = extra.pop("keys_schema", {"type": "str"})
        item = self._value(item_schema, stack) if item_schema else None
        if item is None or extra or {key for key in key_schema if key not in _NEUTRAL} or key_schema["type"] != "str":
            return None
        inner = item.convert
        var = f"x{next(self._variables)}"
        if schema["type"] == "list":
            kind: Any = list.__class_getitem__(item.type)
            convert = inner and (lambda v: f"[{inner(var)} for {var} in {v}]")
        else:
            kind = dict.__class_getitem__((str, item.type))
            convert = inner and (lambda v: f"{{k: {inner(var)} for k, {var} in {v}.items()}}")
        return Value(Annotated[kind, msgspec.Meta(**lengths)] if lengths else kind, convert)

    def _model(self, schema: Schema, stack: tuple[str, ...]) -> Value | None:
        record = self._core.record(schema)
        ref = schema.get("ref", repr(schema["cls"]))
        if record is None or ref in stack:
            return None
        view = build_view(self._core, record, [(name,) for name in record.fields], full=True)
        kind = self._struct(view, (*stack, ref))
        pairs = ", ".join(f"{node.name!r}: v.{node.attr}" for node in view.nodes.values())
        name = self._name("dict", self._function("to_dict", "v", [f"    return {{{pairs}}}"]))
        return Value(kind, lambda v: f"{name}({v})")

    def _name(self, stem: str, value: object) -> str:
        name = f"_e_{stem}{len(self.names)}"
        self.names[name] = value
        return name

    def _function(self, name: str, parameter: str, lines: list[str]) -> Callable[..., Any]:
        source = "\n".join([f"def {name}({parameter}):", *lines])
        scope: dict[str, Any] = {}
        exec(compile(source, f"<headrace decoder {name}>", "exec"), self.names, scope)  # noqa: S102 - our own text
        function: Callable[..., Any] = scope[name]
        return function


def _refusing(validate: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Turn whatever a validator of the user's raises into a refusal: msgspec passes only ValueError on as its own."""

    def check(data: bytes) -> Any:
        try:
            return validate(data)
        except Exception as error:
            raise ValueError(str(error)) from error

    return check


def _checked_clock(value: Value) -> Value:
    inner = value.convert
    return replace(value, convert=lambda v: f"_e_clock({inner(v) if inner else v})")


def _or_none(kind: Any) -> Any:
    return kind | None


def _optional(value: Value | None) -> Value | None:
    if value is None:
        return None
    inner = value.convert
    convert = inner and (lambda v: f"(None if {v} is None else {inner(v)})")
    return replace(value, type=_or_none(value.type), convert=convert)


def _constrained(kind: str, extra: Schema) -> Value | None:
    meta: dict[str, Any] = {}
    for key, limit in extra.items():
        if key in _BOUNDS and kind in {"int", "float"} and isinstance(limit, int | float):
            if kind == "int" and (not isinstance(limit, int) or limit not in _INT64):
                return None
            meta[key] = limit
        elif key in {"min_length", "max_length"} and kind == "str":
            meta[key] = limit
        elif key == "pattern" and kind == "str" and isinstance(limit, str):
            meta[key] = shared_pattern(limit)
            if meta[key] is None:
                return None
        elif key not in {"allow_inf_nan", "coerce_numbers_to_str"} and limit is not False and limit is not None:
            return None
    base: Any = {"int": int, "float": float, "str": str}[kind]
    return Value(Annotated[base, msgspec.Meta(**meta)] if meta else base)


def _choices(values: list[Any]) -> Value | None:
    present = [plain(value) for value in values if value is not None]
    texts = all(type(value) is str for value in present)
    numbers = all(type(value) is int and value in _INT64 for value in present)
    if not present or not (texts or numbers):
        return None
    kind: Any = Literal.__getitem__(tuple(present))
    return Value(_or_none(kind) if len(present) < len(values) else kind)


def _default(schema: Schema, plain_ok: bool) -> Any:  # noqa: FBT001
    """Return the default for msgspec, or NODEFAULT: a record without the field is then pydantic's."""
    if schema["type"] != "default" or schema.get("validate_default") or schema.get("default_factory_takes_data"):
        return msgspec.NODEFAULT
    factory = schema.get("default_factory")
    default = schema.get("default")
    if factory in {list, dict}:
        return msgspec.field(default_factory=factory)
    if factory is not None:
        return msgspec.NODEFAULT
    if type(default) in {list, dict} and not default:
        return msgspec.field(default_factory=type(default))
    if isinstance(default, Enum) and plain_ok:
        default = plain(default)
    simple = default is None or (plain_ok and type(default) in {bool, int, float, str, Decimal, date})
    return default if simple else msgspec.NODEFAULT
