"""Versions of event data: upcasters from version n to n+1, and what a schema change breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headrace.errors import DataError, Fault, TopologyError
from headrace.event.faults import show
from headrace.event.model import Event

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["check_versions", "compatible", "schema_json", "upcast", "upcaster", "upcasts_from"]

Data = dict[str, Any]
Upcaster = Callable[[Data], Data]

_upcasters: dict[type[Event], dict[int, Upcaster]] = {}
# Constraints of JSON Schema that narrow when they grow, and those that narrow when they shrink.
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


def upcaster(event: type[Event], *, from_version: int) -> Callable[[Upcaster], Upcaster]:
    """Register a function that turns data of ``from_version`` into data of the next version.

    The function gets the JSON data of the event as a dict and returns a dict.

    Raises:
        ValueError: the version is not below the event's, or has its upcaster already.
    """
    known = _upcasters.setdefault(event, {})
    if not 1 <= from_version < event.event_version:
        msg = (
            f"upcaster of {event.__name__}: expected from_version between 1 and {event.event_version - 1}, "
            f"got {from_version}; raise the version of the event first"
        )
        raise ValueError(msg)
    if from_version in known:
        msg = f"upcaster of {event.__name__}: from_version {from_version} has one already, {known[from_version]!r}"
        raise ValueError(msg)

    def register(function: Upcaster) -> Upcaster:
        known[from_version] = function
        return function

    return register


def check_versions(event: type[Event]) -> None:
    """Refuse a gap in the chain of upcasters.

    An event without any upcaster reads its own version only, which is no gap.

    Raises:
        TopologyError: upcasters exist, and a later one is missing.
    """
    known = _upcasters.get(event, {})
    if not known:
        return
    missing = [version for version in range(min(known), event.event_version) if version not in known]
    if missing:
        faults = tuple(
            Fault(
                step=event.event_type,
                parameter="upcaster",
                expected=f"an upcaster from version {version} to {version + 1}",
                got="none",
                remedy=f"Declare @upcaster({event.__name__}, from_version={version}).",
            )
            for version in missing
        )
        raise TopologyError(event.event_type, faults)


def upcasts_from(event: type[Event], version: int) -> bool:
    """Tell whether upcasters lead from a version to that of the class; runs none of them."""
    known = _upcasters.get(event, {})
    return all(step in known for step in range(version, event.event_version))


def upcast(event: type[Event], version: int, data: Data) -> Data:
    """Return the data in the version of the class.

    Raises:
        DataError: the version is newer than the class, no upcaster begins at it, or an upcaster failed.
    """
    newest = event.event_version
    known = _upcasters.get(event, {})
    if not 1 <= version <= newest or (version < newest and version not in known):
        oldest = min(known, default=newest)
        expected = f"a version between {oldest} and {newest}" if oldest < newest else f"version {newest}"
        msg = f"field 'dataversion': expected {expected} of {event.event_type}, got {version}"
        raise DataError(msg, field="dataversion", expected=expected, got=str(version))
    for step in range(version, newest):
        try:
            data = known[step](data)
        except Exception as error:
            expected = f"data that the upcaster from version {step} takes"
            msg = f"field 'data': expected {expected}, got {show(data)} ({type(error).__name__}: {error})"
            raise DataError(msg, field="data", expected=expected, got=show(data)) from error
    return data


def schema_json(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of a model's data, as a record is validated (no envelope)."""
    schema = model.model_json_schema(mode="validation")
    if issubclass(model, Event):
        schema["properties"].pop("envelope", None)
        schema.get("$defs", {}).pop("Envelope", None)
        schema |= {"x-event-type": model.event_type, "x-event-version": model.event_version}
        if not schema.get("$defs", True):
            del schema["$defs"]
    return schema


def compatible(old_schema: dict[str, Any], new_schema: dict[str, Any]) -> list[str]:
    """Return why records of the old schema are not good by the new one; empty if they all are.

    Told are: a removed or renamed field that was required, a changed type, a new required field,
    a narrowed enumeration or constraint, extra fields newly forbidden.
    """
    return list(dict.fromkeys(_compare(_Side(old_schema), _Side(new_schema), "", ())))


class _Side:
    """One schema of a comparison, with its definitions and the place looked at."""

    def __init__(self, schema: dict[str, Any], root: dict[str, Any] | None = None) -> None:
        self.root = root or schema
        while "$ref" in schema:
            schema = self.root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
        self.schema = schema

    def at(self, schema: dict[str, Any]) -> _Side:
        return _Side(schema, self.root)

    def variants(self) -> list[_Side]:
        choices = self.schema.get("anyOf") or self.schema.get("oneOf")
        return [variant for choice in choices for variant in self.at(choice).variants()] if choices else [self]

    def kind(self) -> str:
        values = self.values()
        if "type" not in self.schema and values:
            return {"str": "string", "int": "integer", "bool": "boolean"}.get(type(values[0]).__name__, "any")
        kind = str(self.schema.get("type", "any"))
        return f"{kind}:{self.schema['format']}" if "format" in self.schema else kind

    def values(self) -> list[Any] | None:
        if "const" in self.schema:
            return [self.schema["const"]]
        values: list[Any] | None = self.schema.get("enum")
        return values


def _compare(old: _Side, new: _Side, path: str, stack: tuple[tuple[int, int], ...]) -> list[str]:
    where = (id(old.schema), id(new.schema))
    if where in stack:
        return []
    olds, news = old.variants(), new.variants()
    if len(olds) == len(news) == 1:
        return _compare_one(olds[0], news[0], path, (*stack, where))
    faults = []
    for variant in olds:
        tries: list[list[str]] = [_compare_one(variant, other, path, (*stack, where)) for other in news]
        if all(tries):
            same = [found for found, other in zip(tries, news, strict=True) if variant.kind() == other.kind()]
            gone = f"{path or 'record'}: {variant.kind()} was allowed and is not any more"
            faults += sorted(same, key=len)[0] if same else [gone]
    return faults


def _compare_one(old: _Side, new: _Side, path: str, stack: tuple[tuple[int, int], ...]) -> list[str]:
    name = path or "record"
    before, after = old.kind(), new.kind()
    if after not in {before, "any"} and (before, after) != ("integer", "number"):
        return [f"{name}: type changed from {before} to {after}"]
    faults = _narrowed(old, new, name)
    for key in ("items", "additionalProperties"):
        if isinstance(old.schema.get(key), dict) and isinstance(new.schema.get(key), dict):
            faults += _compare(old.at(old.schema[key]), new.at(new.schema[key]), f"{path}[]", stack)
    if "properties" in old.schema or "properties" in new.schema:
        faults += _compare_fields(old, new, path, stack)
    return faults


def _narrowed(old: _Side, new: _Side, name: str) -> list[str]:
    faults = []
    values, allowed = old.values(), new.values()
    if allowed is not None:
        gone = [value for value in values if value not in allowed] if values is not None else ["any other value"]
        if gone:
            faults.append(f"{name}: enumeration narrowed, no longer allows {', '.join(map(str, gone))}")
    for key in (*_LOWER, *_UPPER):
        before, after = old.schema.get(key), new.schema.get(key)
        if after is not None and (before is None or (after > before if key in _LOWER else after < before)):
            faults.append(f"{name}: {key} narrowed from {before} to {after}")
    for key in ("pattern", "multipleOf", "uniqueItems"):
        before, after = old.schema.get(key), new.schema.get(key)
        if after is not None and after is not False and before != after:
            faults.append(f"{name}: {key} changed from {before} to {after}")
    if new.schema.get("additionalProperties") is False and old.schema.get("additionalProperties") is not False:
        faults.append(f"{name}: fields that the schema does not name are now refused")
    return faults


def _compare_fields(old: _Side, new: _Side, path: str, stack: tuple[tuple[int, int], ...]) -> list[str]:
    before, after = old.schema.get("properties", {}), new.schema.get("properties", {})
    was, now = set(old.schema.get("required", ())), set(new.schema.get("required", ()))
    prefix = f"{path}." if path else ""
    faults = [f"{prefix}{name}: required field was removed or renamed" for name in before if name in was - set(after)]
    for name, schema in after.items():
        if name in before:
            faults += _compare(old.at(before[name]), new.at(schema), prefix + name, stack)
        if name in now - was:
            kind = "field became required" if name in before else "new required field without a default"
            faults.append(f"{prefix}{name}: {kind}")
    return faults
