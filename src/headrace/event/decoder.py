"""Compiled decoders: read only the planned fields of a record, as fast as msgspec can.

The promise: a record is good if and only if pydantic takes its planned fields, and the values
are those of pydantic. The fast path refuses whatever it is not sure of; pydantic then decides.
What is not planned is checked for JSON structure only, unless validation is full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from headrace.errors import DataError
from headrace.event.core import Core
from headrace.event.fast import StructBuilder
from headrace.event.faults import data_error, show
from headrace.event.model import Envelope, Event
from headrace.event.values import dig, plain
from headrace.event.versions import check_versions
from headrace.event.view import Node, Path, View, access, build_view, mark_clock, project, rebuild
from headrace.event.wire import ALWAYS_READ, upcast_json, wire_path, wire_record

__all__ = ["REFUSALS", "Decoder", "compile_decoder"]

#: What ``Decoder.decode`` raises for a record that it leaves to ``recover``. Invalid UTF-8 and extreme
#: nesting leave msgspec as Python's own errors.
REFUSALS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Decoder:
    """A compiled decoder.

    ``decode`` is the fast path, which raises one of :data:`REFUSALS` on anything doubtful.
    ``access`` gives, per column path, a Python expression over ``r`` (the decoded object);
    ``names`` are the globals of these expressions. ``recover`` decodes what ``decode`` refused,
    for the same expressions, or raises DataError.
    """

    decode: Callable[[bytes], Any]
    access: Mapping[tuple[str, ...], str]
    names: Mapping[str, object]
    recover: Callable[[bytes], Any]


def compile_decoder(
    schema: type[BaseModel],
    paths: Iterable[tuple[str, ...]],
    *,
    full: bool = False,
) -> Decoder:
    """Compile the decoder of a model for the columns that are read.

    ``full`` validates the whole record. A path may end at a nested value, which is then plain
    dicts and lists. In the time of an event's envelope years 1 and 9999 are refused: it drives the
    watermark, and no window around them can be computed.

    Raises:
        ValueError: a path begins with no field of the model.
        TopologyError: the versions of an event have a gap.
    """
    wanted = tuple(dict.fromkeys(tuple(path) for path in paths))
    core = Core(schema)
    if issubclass(schema, Event):
        check_versions(schema)
        return _event_decoder(schema, core, wanted, full=full)
    record = core.record(core.root)
    if record is None:  # validators of the whole model: nothing less than the model will do
        return _whole_decoder(schema, wanted)
    view = build_view(core, record, wanted, full=full)
    return _compile(core, view, {path: access(view, path) for path in wanted}, full=full)


def _event_decoder(event: type[Event], core: Core, wanted: tuple[Path, ...], *, full: bool) -> Decoder:
    record = wire_record(event, core)
    attributes = tuple(name for name in record.fields if name != "data")
    whole = ("envelope",) in wanted
    paths = [wire_path(path) for path in wanted if path != ("envelope",)]
    paths += [(name,) for name in (attributes if whole or full else ALWAYS_READ)]
    view = build_view(core, record, [*paths, ("data",)] if full and ("data",) not in wanted else paths, full=False)
    data = core.record(core.root)
    if data is not None:
        fields = {name: entry for name, entry in data.fields.items() if name != "envelope"}
        inner = build_view(core, replace(data, fields=fields), [p[1:] for p in paths if p[0] == "data"], full=full)
        view = replace(view, nodes={**view.nodes, "data": Node("data", core.root, nullable=False, view=inner)})
    view = mark_clock(view, "time")
    columns = {path: access(view, wire_path(path)) for path in wanted if path != ("envelope",)}
    if whole:
        pairs = ", ".join(f"{name!r}: {access(view, (name,))}" for name in Envelope.model_fields)
        columns["envelope",] = f"{{{pairs}}}"
    return _compile(core, view, columns, full=full, prepare=lambda data: upcast_json(event, data))


def _compile(
    core: Core,
    view: View,
    columns: Mapping[Path, str],
    *,
    full: bool,
    prepare: Callable[[bytes], bytes] | None = None,
) -> Decoder:
    validate = core.validator(project(core, view)).validate_json

    def recover(data: bytes) -> Any:
        ready = prepare(data) if prepare else data
        return rebuild(view, _checked(validate, ready))

    builder = StructBuilder(core)
    struct = builder.build(view)
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(struct).decode
    if builder.deferred:
        decode = _deferring(recover)
    elif full:
        decode = _whole_text(decode)
    return Decoder(decode, columns, {"_e_dig": dig}, recover)


def _whole_decoder(model: type[BaseModel], wanted: tuple[Path, ...]) -> Decoder:
    def recover(data: bytes) -> Any:
        return _checked(lambda text: plain(model.model_validate_json(text)), data)

    columns = {path: f"_e_dig(r, {', '.join(map(repr, path))})" for path in wanted}
    return Decoder(_deferring(recover), columns, {"_e_dig": dig}, recover)


def _checked(validate: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return validate(data)
    except ValidationError as error:
        raise data_error(error, data) from error
    except DataError:
        raise
    except Exception as error:  # a validator of the user's may raise anything
        expected = "a value that the validators of the schema take"
        msg = f"record: expected {expected}, got {show(data)} ({type(error).__name__}: {error})"
        raise DataError(msg, expected=expected, got=show(data)) from error


def _deferring(recover: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def decode(data: bytes) -> Any:
        try:
            return recover(data)
        except DataError as error:
            raise msgspec.ValidationError(str(error)) from error

    return decode


def _whole_text(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Check the encoding of the fields that are skipped, too: msgspec does not look at them."""

    def checked(data: bytes) -> Any:
        return decode(data.decode())  # type: ignore[arg-type]  # msgspec takes text as well

    return checked
