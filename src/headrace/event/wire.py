"""Events on the wire: the parts of a structured CloudEvents record, and how an old version is read."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import SchemaValidator, from_json, to_json

from headrace.errors import DataError
from headrace.event.core import Core, Record, Schema
from headrace.event.faults import data_error, show
from headrace.event.model import Envelope, Event
from headrace.event.versions import upcast

__all__ = ["ALWAYS_READ", "read_event", "upcast_json", "wire_path", "wire_record"]

E = TypeVar("E", bound=Event)

ALWAYS_READ = ("specversion", "type", "dataversion")
_MADE_AT_CONSTRUCTION = ("id", "source", "time", *ALWAYS_READ)  # on the wire, none of these has a default
_HEADER = SchemaValidator({
    "type": "typed-dict",
    "fields": {
        "specversion": {"type": "typed-dict-field", "schema": {"type": "literal", "expected": ["1.0"]}},
        "type": {"type": "typed-dict-field", "schema": {"type": "str"}},
        "dataversion": {
            "type": "typed-dict-field",
            "required": False,
            "schema": {"type": "default", "schema": {"type": "int", "ge": 1}, "default": 1},
        },
        "data": {"type": "typed-dict-field", "schema": {"type": "dict", "keys_schema": {"type": "str"}}},
    },
    "extra_behavior": "ignore",
})  # fmt: skip

_ENVELOPE = SchemaValidator({
    "type": "typed-dict",
    "fields": {name: {"type": "typed-dict-field", "schema": {"type": "any"}} for name in _MADE_AT_CONSTRUCTION},
    "extra_behavior": "ignore",
})  # fmt: skip


def wire_record(event: type[Event], core: Core) -> Record:
    """Return a record as it stands on the wire: the envelope's attributes, and the data in ``data``."""
    envelope = Core(Envelope)
    record = envelope.record(envelope.root)
    if record is None:  # pragma: no cover - Envelope has no validators
        return Record({})
    fields: dict[str, Schema] = {name: dict(entry) for name, entry in record.fields.items()}
    for name in _MADE_AT_CONSTRUCTION:
        schema = fields[name]["schema"]
        fields[name]["schema"] = schema["schema"] if schema["type"] == "default" else schema
    fields["type"]["schema"] = {"type": "literal", "expected": [event.event_type]}
    fields["dataversion"]["schema"] = {"type": "literal", "expected": [event.event_version]}
    fields["data"] = {"type": "model-field", "schema": core.root}
    return Record(fields, {"validate_by_name": False, "validate_by_alias": True})


def wire_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return where a column of an event lies on the wire."""
    return path[1:] if path[0] == "envelope" else ("data", *path)


def upcast_json(event: type[Event], data: bytes) -> bytes:
    """Return the record with its data in the version of the class.

    A record that names no ``dataversion`` is of version 1.

    Raises:
        DataError: the record is no event of this type, or of a version that cannot be read.
    """
    try:
        head: dict[str, Any] = _HEADER.validate_json(data)
    except ValidationError as error:
        raise data_error(error, data) from error
    if head["type"] != event.event_type:
        expected, got = repr(event.event_type), show(head["type"])
        msg = f"field 'type': expected {expected}, got {got}"
        raise DataError(msg, field="type", expected=expected, got=got)
    version = head["dataversion"]
    body = upcast(event, version, head["data"])
    parsed = from_json(data)
    if version == event.event_version and parsed.get("dataversion") == version:
        return data
    return to_json({**parsed, "dataversion": event.event_version, "data": body}, inf_nan_mode="constants")


def read_event(event: type[E], data: bytes) -> E:
    """Read an event with its envelope.

    Raises:
        DataError: the record is not a good event of this type.
    """
    current = upcast_json(event, data)
    record: dict[str, Any] = from_json(current)
    body = record.pop("data")
    try:
        _ENVELOPE.validate_json(current)
        envelope = Envelope.model_validate_json(to_json(record, inf_nan_mode="constants"))
        made = event.model_validate_json(to_json({**body, "envelope": {}}, inf_nan_mode="constants"))
    except ValidationError as error:
        raise data_error(error, data) from error
    return made.model_copy(update={"envelope": envelope})
