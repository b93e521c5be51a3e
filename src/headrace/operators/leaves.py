"""Ends of generated code: sinks, exchanges and handlers; and the key that leads there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from headrace.errors import DataError
from headrace.event.dtypes import DType, Kind
from headrace.operators.agent import ExchangeSpec, SinkSpec
from headrace.operators.frame import Frame, Value, column_path
from headrace.operators.heads import exchange_columns
from headrace.plan.model import PlannedStep
from headrace.topology.expr import Expr
from headrace.topology.nodes import GroupBy, Handle, Port, Sink

if TYPE_CHECKING:
    from headrace.operators.generator import Generator

_encode_key = msgspec.json.Encoder(decimal_format="string").encode
encode_value = msgspec.json.Encoder(decimal_format="string").encode


def key_bytes(key: object) -> bytes | None:
    """Return the bytes by which a key is partitioned and written: text as it is, several columns as a JSON array."""
    match key:
        case None:
            return None
        case bytes():
            return key
        case str():
            return key.encode()
        case bool() | tuple():
            return _encode_key(key)
        case int() | float() | Decimal():
            return str(key).encode()
        case datetime() | date():
            return key.isoformat().encode()
        case _:
            return _encode_key(key)


def null_key(step: str, column: str) -> DataError:
    """Return the error for a record without a key."""
    message = f"step {step!r}: key is null: expected a value in key column {column!r}, got null"
    return DataError(message, field=column, expected="a key", got="null")


def emit_group_by(g: Generator, step: PlannedStep, node: GroupBy, frame: Frame, *, tail: bool) -> None:
    """Compute the key; then either go on in this task or send the row to the task that owns the key."""
    w = g.writer
    g.names["_null_key"] = null_key
    key: list[Value] = []
    for (name, expr), (_, dtype) in zip(node.keys, step.key, strict=True):
        code, found = g.value(expr, frame)
        local = w.fresh("k_")
        w.line(f"{local} = {code}")
        if found.nullable:
            w.line(f"if {local} is None: raise _null_key({step.id!r}, {name!r})")
        key.append((local, dtype))
    codes = [code for code, _ in key]
    key_code = codes[0]
    if len(codes) > 1:
        key_code = w.fresh("k_")
        w.line(f"{key_code} = ({', '.join(codes)})")
    values = {name: value for (name, _), value in zip(node.keys, key, strict=True)}
    same = all(column_path(expr) == (name,) for name, expr in node.keys)
    raw = frame.raw if same else None
    inner = replace(frame.computed(step.columns, values, {}), key=tuple(key), key_code=key_code, raw=raw)
    if step.exchange:
        _emit_exchange(g, step, inner)
    else:
        g.children(Port(step.id), inner, tail=tail)


def _emit_exchange(g: Generator, step: PlannedStep, frame: Frame) -> None:
    index = _index(g.exchanges, step.id)
    if index == len(g.exchanges):
        g.exchanges.append(ExchangeSpec(step.id, g.delays[Port(step.id)]))
    place = g.bind(f"t.exchanges[{index}].places.get", "xp")
    find = g.bind(f"t.exchanges[{index}].find", "xf")
    appends = g.bind(f"t.exchanges[{index}].appends", "xa")
    code, lag = frame.watermark
    watermark = f"{code} - {lag}" if lag else code
    parts = []
    for path in exchange_columns(g, step):
        text, _ = frame.column(path)
        parts.append(text)
    key = frame.key_code if len(frame.key) > 1 else f"({frame.key_code},)"
    row = ", ".join([frame.time, watermark, frame.bound, str(key), *parts])
    w = g.writer
    # keys of one column travel as a tuple too: the head on the other side unpacks them alike
    w.line(f"p = {place}({frame.key_code})")
    w.line(f"if p is None: p = {find}({frame.key_code})")
    w.line(f"{appends}[p](({row}))")


def _index(specs: Sequence[SinkSpec | ExchangeSpec], step: str) -> int:
    """Return the place of a step's buffer: streams that merge share it, so that order is kept."""
    return next((n for n, spec in enumerate(specs) if spec.step == step), len(specs))


def emit_sink(g: Generator, step: PlannedStep, node: Sink, frame: Frame) -> None:
    """Encode the record and put it into the sink's buffer."""
    w = g.writer
    key = _sink_key(g, node, frame)
    index = _index(g.sinks, step.id)
    if index == len(g.sinks):
        g.sinks.append(SinkSpec(step.id, node.topic if isinstance(node.topic, str) else None))
    value = frame.raw if frame.raw is not None else _encoded(g, step.input, frame)
    local = w.fresh("o")
    w.line(f"{local} = {value}")
    lines = [f"{g.bind(f't.sinks[{index}].keys.append', 'sk')}({key})"]
    if isinstance(node.topic, Expr):
        code, _ = g.value(node.topic, frame)
        lines.append(f"{g.bind(f't.sinks[{index}].topics.append', 'sn')}({code})")
    lines.append(f"{g.bind(f't.sinks[{index}].times.append', 'st_')}({frame.time})")
    lines.append(f"{g.bind(f't.sinks[{index}].values.append', 'sv')}({local})")
    # everything that can fail is computed before the first append: a record is in all lists or in none
    for n, line in enumerate(lines):
        call, argument = line.split("(", 1)
        temp = f"_{n}"
        w.line(f"{temp} = {argument[:-1]}")
        lines[n] = f"{call}({temp})"
    for line in lines:
        w.line(line)


def _sink_key(g: Generator, node: Sink, frame: Frame) -> str:
    g.names["_key_bytes"] = key_bytes
    if node.key is not None:
        return _as_bytes(*g.value(node.key, frame))
    if len(frame.key) == 1:
        return _as_bytes(*frame.key[0])
    if frame.key_code is not None:
        return f"_key_bytes({frame.key_code})"
    return frame.raw_key or "None"


def _as_bytes(code: str, dtype: DType) -> str:
    if dtype.kind is Kind.STR and not dtype.nullable:
        return f"{code}.encode()"
    return f"_key_bytes({code})"


def _encoded(g: Generator, schema: DType, frame: Frame) -> str:
    """Return code that encodes all columns of the record: a generated struct is the fastest encoder's food."""
    fields = [(f"f{n}", name) for n, (name, _) in enumerate(schema.fields)]
    kind = msgspec.defstruct(
        "Row",
        [(field, object) for field, _ in fields],
        rename=dict(fields),
        gc=False,
    )
    struct_name, encode_name = f"_Row{len(g.names)}", "_encode"
    g.names[struct_name] = kind
    g.names[encode_name] = encode_value
    args = ", ".join(frame.column((name,))[0] for _, name in fields)
    return f"{encode_name}({struct_name}({args}))"


def emit_handle(g: Generator, step: PlannedStep, node: Handle, frame: Frame) -> None:
    """Queue the record, as a dict, for the async function that runs before the checkpoint."""
    index = next((n for n, handle in enumerate(g.handles) if handle.id == step.id), len(g.handles))
    if index == len(g.handles):
        g.handles.append(node)
    queue = g.bind(f"t.handles[{index}].append", "hq")
    items = ", ".join(f"{name!r}: {frame.column((name,))[0]}" for name, _ in step.input.fields)
    g.writer.line(f"{queue}(({frame.time}, {{{items}}}))")
