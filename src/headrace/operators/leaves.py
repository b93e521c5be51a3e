"""Ends of generated code: sinks, exchanges and handlers; and the key that leads there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from headrace.errors import DataError
from headrace.event.dtypes import STR, DType, Kind
from headrace.event.faults import show
from headrace.operators.agent import ExchangeSpec, SinkSpec
from headrace.operators.frame import Frame, Value, column_path
from headrace.operators.heads import exchange_columns
from headrace.operators.keys import canonical_decimal, checks, key_bytes, key_text, no_key
from headrace.operators.traces import packed, trace_of, unpacked
from headrace.plan.model import PlannedStep
from headrace.topology.expr import Expr
from headrace.topology.nodes import GroupBy, Handle, Sink
from headrace.topology.operator import Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator

_ESCAPED = re.compile(r'["\\\x00-\x1f]')  # characters that JSON escapes in a name
_LEGAL_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,200}")
encode_value = msgspec.json.Encoder(decimal_format="string").encode


def emit_group_by(g: Generator, step: PlannedStep, node: GroupBy, frame: Frame, *, tail: bool) -> None:
    """Compute the key; then either go on in this task or send the row to the task that owns the key."""
    w = g.writer
    g.names.update(_no_key=no_key, _canonical=canonical_decimal, _key_text=key_text)
    key: list[Value] = []
    for (name, expr), (_, dtype) in zip(node.keys, step.key, strict=True):
        code, found = g.value(expr, frame)
        local = w.fresh("k_")
        w.line(f"{local} = {code}")
        if found.nullable:
            w.line(f"if {local} is None: raise _no_key({step.id!r}, {name!r}, 'null')")
        for line in checks(found, local, f"raise _no_key({step.id!r}, {name!r}, 'NaN')"):
            w.line(line)
        key.append((local, dtype))
    codes = [code for code, _ in key]
    key_code = codes[0]
    if len(codes) > 1:
        key_code = w.fresh("k_")
        w.line(f"{key_code} = ({', '.join(codes)})")
    values = {name: value for (name, _), value in zip(node.keys, key, strict=True)}
    same = all(column_path(expr) == (name,) for name, expr in node.keys)
    raw = frame.raw if same else None
    metas = {**frame.metas, "key": (f"_key_text({key_code})", STR)}
    inner = frame.computed(step.columns, values, {})
    inner = replace(inner, key=tuple(key), key_code=key_code, raw=raw, metas=metas)
    if step.exchange:
        _emit_exchange(g, step, inner)
    else:
        g.children(Port(step.id), inner, tail=tail)


def emit_broadcast(g: Generator, step: PlannedStep, frame: Frame) -> None:
    """Send the row to all tasks."""
    index = _exchange(g, step)
    row = _row(g, step, frame, "()")
    with g.writer.block(f"for _a in {g.bind(f't.exchanges[{index}].appends', 'xa')}:"):
        g.writer.line(f"_a(({row}))")


def _exchange(g: Generator, step: PlannedStep) -> int:
    index = _index(g.exchanges, step.id)
    if index == len(g.exchanges):
        g.exchanges.append(ExchangeSpec(step.id, g.delays[Port(step.id)]))
    return index


def _row(g: Generator, step: PlannedStep, frame: Frame, key: str) -> str:
    """Return what travels: time, watermark, bound, key, columns, and the trace where a sink takes it."""
    code, lag = frame.watermark
    watermark = f"{code} - {lag}" if lag else code
    columns = [frame.column(path)[0] for path in exchange_columns(g.plan, step)]
    if step.id in g.traced:
        columns.append(_travelling(g, frame))
    return ", ".join([frame.time, watermark, frame.bound, key, *columns])


def _travelling(g: Generator, frame: Frame) -> str:
    """Return code of the record's trace as it travels with a row."""
    if frame.headers is None:
        return frame.trace or "None"
    g.names["_packed"] = packed
    return f"(_packed({_own_headers(frame)}) if {frame.headers} else None)"


def _own_headers(frame: Frame) -> str:
    """Return code of the headers of the record at hand.

    Looked up by place: a column more in the loop would cost all those records that have no headers.
    """
    return f"{frame.headers}[len(values) - it.__length_hint__() - 1]"


def _emit_exchange(g: Generator, step: PlannedStep, frame: Frame) -> None:
    index = _exchange(g, step)
    place = g.bind(f"t.exchanges[{index}].places.get", "xp")
    find = g.bind(f"t.exchanges[{index}].find", "xf")
    appends = g.bind(f"t.exchanges[{index}].appends", "xa")
    row = _row(g, step, frame, f"{frame.key_code}" if len(frame.key) > 1 else f"({frame.key_code},)")
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
    columns = [("keys", "sk", key), ("times", "st_", frame.time), ("values", "sv", local)]
    if isinstance(node.topic, Expr):
        columns.append(("topics", "sn", _topic(g, step, node.topic, frame)))
    # everything that can fail is computed before the first append: a record is in all lists or in none
    appends = []
    for number, (name, prefix, code) in enumerate(columns):
        w.line(f"_{number} = {code}")
        appends.append(f"{g.bind(f't.sinks[{index}].{name}.append', prefix)}(_{number})")
    _pass_headers(g, index, frame)
    for line in appends:
        w.line(line)


def _pass_headers(g: Generator, index: int, frame: Frame) -> None:
    """Note the record's headers at the place that its value is about to take.

    Bytes that are passed on untouched keep all of them. Of a record that was made anew they would say what is not so
    (its type, its encoding): it keeps only the trace that it belongs to.
    """
    if frame.headers is None and frame.trace is None:
        return
    note, values = g.bind(f"t.sinks[{index}].headers.__setitem__", "sh"), g.bind(f"t.sinks[{index}].values", "sl")
    if frame.headers is None:
        g.names["_unpacked"] = unpacked
        g.writer.line(f"if {frame.trace}: {note}(len({values}), _unpacked({frame.trace}))")
        return
    own = _own_headers(frame)
    if frame.raw is None:
        g.names["_trace"] = trace_of
        own = f"_trace({own})"
    g.writer.line(f"if {frame.headers} and (_h := {own}): {note}(len({values}), _h)")


@lru_cache(maxsize=10_000)
def topic_name(step: str, name: object) -> str:
    """Return a computed topic name if it is a legal one: an illegal one would fail the whole checkpoint."""
    if isinstance(name, str) and _LEGAL_TOPIC.fullmatch(name) and name not in {".", ".."}:
        return name
    expected, got = "letters, digits, '.', '_', '-', at most 200", "null" if name is None else show(name)
    message = f"step {step!r}: topic: expected {expected}, got {got}. Mend the expression that names the topic"
    raise DataError(message, field="topic", expected=expected, got=got)


def _topic(g: Generator, step: PlannedStep, topic: Expr, frame: Frame) -> str:
    g.names["_topic_name"] = topic_name
    return f"_topic_name({step.id!r}, {g.value(topic, frame)[0]})"


def _sink_key(g: Generator, node: Sink, frame: Frame) -> str:
    g.names["_key_bytes"] = key_bytes
    if node.key is not None:
        return _as_bytes(*g.value(node.key, frame))
    if len(frame.key) == 1:
        return _as_bytes(*frame.key[0])
    if frame.key_code is not None:
        return f"_key_bytes({frame.key_code})"
    return frame.record_key()


def _as_bytes(code: str, dtype: DType) -> str:
    if dtype.kind is Kind.STR and not dtype.nullable:
        return f"{code}.encode()"
    return f"_key_bytes({code})"


def _encoded(g: Generator, schema: DType, frame: Frame) -> str:
    """Return code that encodes all columns of the record: a generated struct is the fastest encoder's food."""
    g.names["_encode"] = encode_value
    codes = {name: frame.column((name,))[0] for name, _ in schema.fields}
    if any(_ESCAPED.search(name) for name in codes):  # no names for msgspec's structs
        return f"_encode({{{', '.join(f'{name!r}: {code}' for name, code in codes.items())}}})"
    fields = {f"f{n}": name for n, name in enumerate(codes)}
    row = f"_Row{len(g.names)}"
    g.names[row] = msgspec.defstruct("Row", [(field, object) for field in fields], rename=fields, gc=False)
    return f"_encode({row}({', '.join(codes.values())}))"


def emit_handle(g: Generator, step: PlannedStep, node: Handle, frame: Frame) -> None:
    """Queue the record, as a dict, for the async function that runs before the checkpoint."""
    index = next((n for n, handle in enumerate(g.handles) if handle.id == step.id), len(g.handles))
    if index == len(g.handles):
        g.handles.append(node)
    queue = g.bind(f"t.handles[{index}].append", "hq")
    items = ", ".join(f"{name!r}: {frame.column((name,))[0]}" for name, _ in step.input.fields)
    g.writer.line(f"{queue}(({frame.time}, {{{items}}}))")
