"""Stateful steps in generated code: how a record reaches its state, and how rows leave it.

A state is one flat list: the operator's own slots first (``base`` of them), then those of the
aggregates. All-time aggregates and tables keep the highest event time in slot 0; sessions
keep the first and the last event time in slots 0 and 1; windows keep nothing of their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.event.dtypes import STR, TIMESTAMP, DType
from headrace.operators.frame import Frame, Value
from headrace.operators.keys import key_text
from headrace.operators.slots import SlotCode, python_type, slot_code
from headrace.plan.model import PlannedStep
from headrace.time.instants import from_ms
from headrace.topology.nodes import Aggregate, Port, Table
from headrace.topology.windows import Hopping, Session

if TYPE_CHECKING:
    from headrace.operators.generator import Generator


Arguments = list[list[tuple[str, bool]]]
"""Per aggregate: the local and whether it may be null, of each argument."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A record at the door of an aggregate. ``tail``: nothing follows in the loop body."""

    frame: Frame
    arguments: Arguments
    tail: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """The state of a stateful step: where its slots are, and the names of its generated helpers."""

    index: int
    base: int
    init_name: str
    merge_name: str
    types: tuple[Any, ...]
    codes: tuple[SlotCode, ...]


def shape(g: Generator, step: PlannedStep, index: int) -> Shape:
    """Lay out the state of a step and generate ``init`` and ``merge``."""
    node = step.node
    if isinstance(node, Table):
        types = (int, *(python_type(dtype) for _, dtype in step.columns.fields))
        codes: list[SlotCode] = []
        base, own = 1, ["None"] * len(types)
    else:
        base, own, types, codes = _aggregate_slots(g, step)
    init_name, merge_name = f"init_{index}", f"merge_{index}"
    w = g.writer
    with w.step(step.id):
        with w.block(f"def {init_name}():"):
            w.line(f"return [{', '.join(own)}]")
        with w.block(f"def {merge_name}(a, b):"):
            for code in codes:
                for line in code.merge:
                    w.line(line)
    return Shape(index, base, init_name, merge_name, types, tuple(codes))


def _aggregate_slots(g: Generator, step: PlannedStep) -> tuple[int, list[str], tuple[Any, ...], list[SlotCode]]:
    node = step.node
    if not isinstance(node, Aggregate):
        raise TypeError(step.id)
    base = {Hopping: 0, Session: 2}.get(type(node.window), 1)
    own, types, codes = ["-1"] * base, [int] * base, []
    for _, spec in node.aggregates:
        dtypes = tuple(g.argument_type(step, arg) for arg in spec.args)
        code = slot_code(spec, dtypes, len(own), g.names)
        own.extend(code.init)
        types.extend(code.types)
        codes.append(code)
    return base, own, tuple(types), codes


def emit_table(g: Generator, step: PlannedStep, node: Table, frame: Frame) -> None:
    """Set the row of the key to this record, or remove it."""
    shape_ = g.operators[step.id]
    hot = g.bind(f"t.operators[{shape_.index}].hot", "hot")
    w = g.writer
    row = ", ".join(frame.column((name,))[0] for name, _ in step.columns.fields)
    if node.delete is None:
        w.line(f"{hot}[{frame.key_code}] = [{frame.time}, {row}]")
        return
    code, _ = g.value(node.delete, frame)
    w.line(f"{hot}[{frame.key_code}] = None if {code} is True else [{frame.time}, {row}]")


def emit_aggregate(g: Generator, step: PlannedStep, node: Aggregate, frame: Frame, *, tail: bool) -> None:
    """Find the state of the record's key and window, and update it; late records go to the late port."""
    visit = Visit(frame, _arguments(g, node, frame), tail)
    match node.window:
        case None:
            _all_time(g, step, visit)
        case Hopping() as window if window.size_ms == window.advance_ms:
            _tumbling(g, step, window, visit)
        case Hopping() as window:
            _hopping(g, step, window, visit)
        case Session():
            _session(g, step, visit)


def _arguments(g: Generator, node: Aggregate, frame: Frame) -> Arguments:
    """Evaluate all arguments before any state is touched: a record that fails changes nothing."""
    arguments: Arguments = []
    for _, spec in node.aggregates:
        values = []
        for arg in spec.args:
            code, dtype = g.value(arg, frame)
            local = g.writer.fresh("a_")
            g.writer.line(f"{local} = {code}")
            values.append((local, dtype.nullable))
        arguments.append(values)
    return arguments


@dataclass(frozen=True, slots=True)
class _Finding:
    """The locals of generated code by which the states of one window are found; see ``WindowedLogic.open``."""

    get: str
    miss: str
    put: str

    @staticmethod
    def bound(g: Generator) -> _Finding:
        """Return locals that are None until a window is open."""
        return _Finding(g.bind("None", "get"), g.bind("None", "miss"), g.bind("None", "put"))

    def open(self, call: str) -> str:
        """Return the line that sets them."""
        return f"{self.get}, {self.miss}, {self.put} = {call}"


def can_wait(g: Generator, step: PlannedStep) -> bool:
    """Tell whether records may be added later than they came: not if that can fail, for whose fault would it be?"""
    node = step.node
    return isinstance(node, Aggregate) and not isinstance(node.window, Session) and not _can_fail(g, step)


def add_function(g: Generator, step: PlannedStep) -> str | None:
    """Generate ``add(st, ts, arguments...)``: what is done with a record that waited; None: none of this step may."""
    node = step.node
    if not isinstance(node, Aggregate) or not can_wait(g, step):
        return None
    name = f"add_{len(g.writer.steps)}"
    arguments: Arguments = []
    parameters: list[str] = []
    for _, spec in node.aggregates:
        values = [(f"v{len(parameters) + n}", g.argument_type(step, arg).nullable) for n, arg in enumerate(spec.args)]
        parameters += [local for local, _ in values]
        arguments.append(values)
    with g.writer.step(step.id), g.writer.block(f"def {name}({', '.join(('st', 'ts', *parameters))}):"):
        _add(g, step, arguments)
    return name


def _add(g: Generator, step: PlannedStep, arguments: Arguments) -> None:
    """Update ``st`` by a record of time ``ts``."""
    node = step.node
    if isinstance(node, Aggregate) and node.window is None:
        g.writer.line("if ts > st[0]: st[0] = ts")
    for code, values in zip(g.operators[step.id].codes, arguments, strict=True):
        _lines(g, code.update, values)


def _find_and_update(g: Generator, step: PlannedStep, visit: Visit, finding: _Finding) -> None:
    w, frame = g.writer, visit.frame
    w.line(f"st = {finding.get}({frame.key_code})")
    w.line(f"if st is None: st = {finding.miss}({frame.key_code})")
    waits = can_wait(g, step)
    if waits:
        given = [local for values in visit.arguments for local, _ in values]
        w.line(f"if st is None: {finding.put}(({', '.join((str(frame.key_code), frame.time, *given))}))")
    with w.block("else:") if waits else nullcontext():
        _update(g, step, visit)


def _prepare(g: Generator, step: PlannedStep, visit: Visit) -> list[str]:
    """Do all of an update that may fail, on a state that is only read; return the locals that hold the results."""
    prepared = []
    for code, values in zip(g.operators[step.id].codes, visit.arguments, strict=True):
        if code.prepare:
            if any(may_be_null for _, may_be_null in values):
                g.writer.line(f"{code.prepared} = None")
            _lines(g, code.prepare, values)
            prepared.append(code.prepared)
    return prepared


def _can_fail(g: Generator, step: PlannedStep) -> bool:
    return any(code.prepare for code in g.operators[step.id].codes)


def _peek(g: Generator, step: PlannedStep) -> str:
    return g.bind(f"t.previews[{g.operators[step.id].index}].state", "peek")


def _update(g: Generator, step: PlannedStep, visit: Visit) -> None:
    frame = visit.frame
    if frame.time != "ts":
        g.writer.line(f"ts = {frame.time}")
    _add(g, step, visit.arguments)


def _lines(g: Generator, template: Sequence[str], values: list[tuple[str, bool]]) -> None:
    """Write the lines of an aggregate with the locals of its arguments; they run where none of these is null."""
    lines = list(template)
    for place, (local, _) in enumerate(values):
        lines = [_renamed(line, f"a{place}", local) for line in lines]
    nullable = [local for local, may_be_null in values if may_be_null]
    with g.writer.block(f"if {' and '.join(f'{x} is not None' for x in nullable)}:") if nullable else nullcontext():
        for line in lines:
            g.writer.line(line)


def _renamed(line: str, old: str, new: str) -> str:
    """Replace a whole word; the templates use a0, a1 as words only for the arguments."""
    return re.sub(rf"\b{old}\b", new, line)


def _late(g: Generator, step: PlannedStep, frame: Frame) -> None:
    g.writer.line(f"t.late({step.id!r})")
    g.children(Port(step.id, "late"), frame, tail=False)


def _refire(g: Generator) -> None:
    if g.refire is not None:
        g.writer.line(g.refire)


def _all_time(g: Generator, step: PlannedStep, visit: Visit) -> None:
    frame = visit.frame
    w, (mark, lag) = g.writer, frame.watermark
    finding = _Finding.bound(g)
    opened = g.bind(f"t.operators[{g.operators[step.id].index}].open", "open")
    if _can_fail(g, step):
        _look(g, step, visit, f"{finding.get}({frame.key_code}) if {finding.get} is not None else None", "0")
    with w.block(f"if {finding.get} is None:"):
        w.line(finding.open(f"{opened}(0, {mark} - {lag})"))
        _refire(g)
    _find_and_update(g, step, visit, finding)


def _look(g: Generator, step: PlannedStep, visit: Visit, hot: str, start: str) -> list[str]:
    """Prepare on the state of a window as it is, which ``hot`` finds if it has changed since the last cut."""
    g.writer.line(f"st = {hot}")
    g.writer.line(f"if st is None: st = {_peek(g, step)}({start}, {visit.frame.key_code})")
    return _prepare(g, step, visit)


def _tumbling(g: Generator, step: PlannedStep, window: Hopping, visit: Visit) -> None:
    frame, tail = visit.frame, visit.tail
    w, index = g.writer, g.operators[step.id].index
    size, (mark, lag) = window.size_ms, frame.watermark
    start, current = w.fresh("s"), g.bind("None", "cur")
    finding = _Finding.bound(g)
    opened = g.bind(f"t.operators[{index}].open", "open")
    w.line(f"{start} = {frame.time} - {frame.time} % {size}")
    with w.block(f"if {start} + {size + window.grace_ms + lag} <= {mark}:"):
        _late(g, step, frame)
        if tail:
            w.line("continue")
    with nullcontext() if tail else w.block("else:"):
        if _can_fail(g, step):
            _look(g, step, visit, f"{finding.get}({frame.key_code}) if {start} == {current} else None", start)
        with w.block(f"if {start} != {current}:"):
            w.line(finding.open(f"{opened}({start}, {mark} - {lag})"))
            w.line(f"{current} = {start}")
            _refire(g)
        _find_and_update(g, step, visit, finding)


def _hopping(g: Generator, step: PlannedStep, window: Hopping, visit: Visit) -> None:
    frame, tail = visit.frame, visit.tail
    w, index = g.writer, g.operators[step.id].index
    size, advance, (mark, lag) = window.size_ms, window.advance_ms, frame.watermark
    start, hit = w.fresh("s"), w.fresh("h")
    opened = g.bind(f"t.operators[{index}].open", "open")
    is_open = f"{start} + {size + window.grace_ms + lag} > {mark}"
    w.line(f"{hit} = False")
    w.line(f"{start} = {frame.time} - {frame.time} % {advance}")
    source = f"while {start} > {frame.time} - {size}:"
    if _can_fail(g, step):
        ready = w.fresh("y")
        w.line(f"{ready} = []")
        with w.block(source):
            with w.block(f"if {is_open}:"):
                prepared = _look(g, step, visit, "None", start)
                w.line(f"{ready}.append(({', '.join((start, *prepared))}))")
            w.line(f"{start} -= {advance}")
        source = f"for {', '.join((start, *prepared))} in {ready}:"
    with w.block(source):
        with nullcontext() if _can_fail(g, step) else w.block(f"if {is_open}:"):
            w.line(f"{hit} = True")
            finding = _Finding(w.fresh("get"), w.fresh("miss"), w.fresh("put"))
            w.line(finding.open(f"{opened}({start}, {mark} - {lag})"))
            _find_and_update(g, step, visit, finding)
        if not _can_fail(g, step):
            w.line(f"{start} -= {advance}")
    with w.block(f"if {hit}:"):
        _refire(g)
    with w.block("else:"):
        _late(g, step, frame)
    if tail:
        w.line("continue")


def _session(g: Generator, step: PlannedStep, visit: Visit) -> None:
    frame, tail = visit.frame, visit.tail
    w, index = g.writer, g.operators[step.id].index
    mark, lag = frame.watermark
    touch = g.bind(f"t.operators[{index}].touch", "touch")
    limit = f"{mark} - {lag}" if lag else mark
    arguments = f"({frame.key_code}, {frame.time}, {limit})"
    w.line(f"st = {_peek(g, step) if _can_fail(g, step) else touch}{arguments}")
    with w.block("if st is None:"):
        _late(g, step, frame)
        if tail:
            w.line("continue")
    with nullcontext() if tail else w.block("else:"):
        if _can_fail(g, step):
            _prepare(g, step, visit)
            w.line(f"st = {touch}{arguments}")
        _refire(g)
        _update(g, step, visit)


def rows_head(g: Generator, step: PlannedStep, port: str, name: str) -> None:
    """Generate the loop over (key, state) that a stateful step emits on a port."""
    w = g.writer
    g.names.update(_from_ms=from_ms, _key_text=key_text)
    key, frame, time = _row_frame(g, step)
    g.failure = f"t.fail_row(e, {step.id!r}, k, ts, {{}})"
    with w.block(f"def {name}(t, items, start, end, wm):"):
        prologue = w.mark()
        with w.block("for k, st in items:"), g.guarded():
            w.line(f"ts = {time}")
            if len(key) > 1:
                w.line(f"{', '.join(key)} = k")
            g.children(Port(step.id, port), frame, tail=True)
    w.fill(prologue, g.prologue)


def _row_frame(g: Generator, step: PlannedStep) -> tuple[list[str], Frame, str]:
    """Return the key's locals, the frame of a row, and the code of its event time."""
    key = [f"k{n}" for n in range(len(step.key))] if len(step.key) > 1 else ["k"]
    window = step.node.window if isinstance(step.node, Aggregate) else None
    bounds = ("start", "end")
    time = "end - 1"
    if isinstance(window, Session):
        bounds = ("st[0]", f"st[1] + {window.gap_ms}")
        time = f"st[1] + {window.gap_ms - 1}"
    elif window is None:
        time = "st[0]"
    columns: dict[tuple[str, ...], Value] = {}
    if window is not None:
        columns[("window_start",)] = (f"_from_ms({bounds[0]})", TIMESTAMP)
        columns[("window_end",)] = (f"_from_ms({bounds[1]})", TIMESTAMP)
    shape_ = g.operators[step.id]
    types = dict(step.columns.fields)
    if isinstance(step.node, Aggregate):
        for (name, _), code in zip(step.node.aggregates, shape_.codes, strict=True):
            columns[(name,)] = (code.result, types[name])
    else:
        for place, (name, dtype) in enumerate(step.columns.fields, 1):
            columns[(name,)] = (f"st[{place}]", dtype)
    pairs: list[tuple[str, DType]] = [(code, dtype) for code, (_, dtype) in zip(key, step.key, strict=True)]
    columns |= {(name,): pair for (name, _), pair in zip(step.key, pairs, strict=True)}
    nothing: Value = ("None", STR.optional())
    metas = {"time": ("_from_ms(ts)", TIMESTAMP), "key": ("_key_text(k)", STR)}
    metas |= dict.fromkeys(("topic", "partition", "offset"), nothing)
    whole = "k"
    return key, Frame(step.columns, columns, "ts", ("wm", 0), "wm", key=tuple(pairs), key_code=whole, metas=metas), time


def row_function(g: Generator, step: PlannedStep) -> str:
    """Generate ``row(k, st, start, end)``: the row as a dict, for queries."""
    key, frame, _ = _row_frame(g, step)
    name = f"row_{len(g.writer.steps)}"
    with g.writer.step(step.id), g.writer.block(f"def {name}(k, st, start, end):"):
        if len(key) > 1:
            g.writer.line(f"{', '.join(key)} = k")
        items = ", ".join(f"{column!r}: {frame.column((column,))[0]}" for column, _ in step.columns.fields)
        g.writer.line(f"return {{{items}}}")
    return name
