"""Aggregates in generated code: how a record reaches its state, and how rows leave it.

A state is one flat list: the operator's own slots first, then those of the aggregates. All-time aggregates keep the
highest event time in slot 0; sessions keep the first and the last event time in slots 0 and 1; windows keep nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

from headrace.event.dtypes import TIMESTAMP
from headrace.operators.agent import OperatorSpec
from headrace.operators.frame import Frame, Value
from headrace.operators.kind import RowForm, Shape
from headrace.operators.late import emit_late, unless
from headrace.operators.logic import Emit, Logic
from headrace.operators.preview import SessionPreview, WindowPreview
from headrace.operators.rows import row_form
from headrace.operators.sessions import SessionLogic
from headrace.operators.slots import SlotCode, slot_code
from headrace.operators.view import StateView
from headrace.operators.windowed import WindowedLogic
from headrace.plan.model import PlannedStep
from headrace.topology.nodes import Aggregate
from headrace.topology.operator import Port
from headrace.topology.windows import Hopping, Session, Window

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
class AggregateShape(Shape):
    """The state of an aggregate: the code of each of its parts."""

    codes: tuple[SlotCode, ...]


@dataclass(frozen=True, slots=True)
class AggregateKit:
    """Generated functions of an aggregate.

    ``init`` makes an empty state, ``merge`` joins two, ``add`` adds a record that had to wait for its state (None:
    none may wait).
    """

    init: Callable[[], list[Any]]
    merge: Callable[[list[Any], list[Any]], None]
    add: Callable[..., None] | None


class AggregateKind:
    """Aggregates over all time and in windows."""

    def prepare(self, g: Generator, step: PlannedStep, index: int) -> Shape:
        """Lay out the slots; generate ``init`` and ``merge``, and ``add`` where records may wait."""
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
        w = g.writer
        with w.step(step.id):
            with w.block(f"def init_{index}():"):
                w.line(f"return [{', '.join(own)}]")
            with w.block(f"def merge_{index}(a, b):"):
                for line in (line for code in codes for line in code.merge):
                    w.line(line)
        shape = AggregateShape(index, tuple(types), tuple(codes))
        if _may_wait(node, shape):
            _add_function(g, step, node, shape)
        return shape

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Find the state of the record's key and window, and update it; late records go to the late port."""
        node = step.node
        if not isinstance(node, Aggregate):
            raise TypeError(step.id)
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

    def row(self, g: Generator, step: PlannedStep, port: str) -> RowForm:
        """Return the form of a row: the key, the window and the result of each aggregate."""
        node = step.node
        if not isinstance(node, Aggregate):
            raise TypeError(step.id)
        bounds, time = ("start", "end"), "end - 1"
        if isinstance(node.window, Session):
            bounds = ("st[0]", f"st[1] + {node.window.gap_ms}")
            time = f"st[1] + {node.window.gap_ms - 1}"
        elif node.window is None:
            time = "st[0]"
        columns: dict[tuple[str, ...], Value] = {}
        if node.window is not None:
            columns[("window_start",)] = (f"_from_ms({bounds[0]})", TIMESTAMP)
            columns[("window_end",)] = (f"_from_ms({bounds[1]})", TIMESTAMP)
        types = dict(step.columns.fields)
        for (name, _), code in zip(node.aggregates, _shape(g, step).codes, strict=True):
            columns[(name,)] = (code.result, types[name])
        return row_form(step.columns, step.key, columns, time)

    def delays(self, node: Any, before: int) -> Mapping[str, int]:
        """Return the delays: rows come out when their window has closed."""
        behind = before + (closing_delay_ms(node.window) if node.window is not None else 0)
        ports = ("update", "close", *(f"every:{ms}" for ms in node.every_ms))
        return dict.fromkeys(ports, behind) | {"late": before}

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> AggregateKit:
        """Return the generated functions."""
        shape, node = _shape(g, step), step.node
        waits = isinstance(node, Aggregate) and _may_wait(node, shape)
        n = shape.index
        return AggregateKit(made(f"init_{n}"), made(f"merge_{n}"), made(f"add_{n}") if waits else None)

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> Logic:
        """Return the logic of the window."""
        window: Window | None = spec.step.node.window  # type: ignore[union-attr]  # of an aggregate
        match window:
            case None | Hopping():
                return WindowedLogic(spec, window, view, emit, opened)
            case Session():
                return SessionLogic(spec, window, view, emit, opened)
            case _:
                assert_never(window)

    def preview(self, spec: OperatorSpec, view: StateView, logic: Logic) -> WindowPreview | SessionPreview:
        """Return what reads states without a trace."""
        if isinstance(logic, SessionLogic):
            return SessionPreview(spec, view, logic)
        if not isinstance(logic, WindowedLogic):
            raise TypeError(spec.step.id)
        return WindowPreview(spec, view, logic)


def closing_delay_ms(window: Window) -> int:
    """Return how long a window stays open behind its end: one more for sessions, whose gap is inclusive."""
    return window.grace_ms + isinstance(window, Session)


def _shape(g: Generator, step: PlannedStep) -> AggregateShape:
    shape = g.operators[step.id]
    if not isinstance(shape, AggregateShape):
        raise TypeError(step.id)
    return shape


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


def _may_wait(node: Aggregate, shape: AggregateShape) -> bool:
    """Tell whether records may be added later than they came: not if that can fail, for whose fault would it be?"""
    return not isinstance(node.window, Session) and not any(code.prepare for code in shape.codes)


def _add_function(g: Generator, step: PlannedStep, node: Aggregate, shape: AggregateShape) -> None:
    """Generate ``add(st, ts, arguments...)``: what is done with a record that waited."""
    arguments: Arguments = []
    parameters: list[str] = []
    for _, spec in node.aggregates:
        values = [(f"v{len(parameters) + n}", g.argument_type(step, arg).nullable) for n, arg in enumerate(spec.args)]
        parameters += [local for local, _ in values]
        arguments.append(values)
    with g.writer.step(step.id), g.writer.block(f"def add_{shape.index}({', '.join(('st', 'ts', *parameters))}):"):
        _add(g, node, shape, arguments)


def _add(g: Generator, node: Aggregate, shape: AggregateShape, arguments: Arguments) -> None:
    """Update ``st`` by a record of time ``ts``."""
    if node.window is None:
        g.writer.line("if ts > st[0]: st[0] = ts")
    for code, values in zip(shape.codes, arguments, strict=True):
        _lines(g, code.update, values)


def _find_and_update(g: Generator, step: PlannedStep, visit: Visit, finding: _Finding) -> None:
    w, frame = g.writer, visit.frame
    w.line(f"st = {finding.get}({frame.key_code})")
    w.line(f"if st is None: st = {finding.miss}({frame.key_code})")
    waits = isinstance(step.node, Aggregate) and _may_wait(step.node, _shape(g, step))
    if waits:
        given = [local for values in visit.arguments for local, _ in values]
        w.line(f"if st is None: {finding.put}(({', '.join((str(frame.key_code), frame.time, *given))}))")
    with w.block("else:") if waits else nullcontext():
        _update(g, step, visit)


def _prepare(g: Generator, step: PlannedStep, visit: Visit) -> list[str]:
    """Do all of an update that may fail, on a state that is only read; return the locals that hold the results."""
    prepared = []
    for code, values in zip(_shape(g, step).codes, visit.arguments, strict=True):
        if code.prepare:
            if any(may_be_null for _, may_be_null in values):
                g.writer.line(f"{code.prepared} = None")
            _lines(g, code.prepare, values)
            prepared.append(code.prepared)
    return prepared


def _can_fail(g: Generator, step: PlannedStep) -> bool:
    return any(code.prepare for code in _shape(g, step).codes)


def _peek(g: Generator, step: PlannedStep) -> str:
    return g.bind(f"t.previews[{g.operators[step.id].index}].state", "peek")


def _update(g: Generator, step: PlannedStep, visit: Visit) -> None:
    frame = visit.frame
    if frame.time != "ts":
        g.writer.line(f"ts = {frame.time}")
    if isinstance(step.node, Aggregate):
        _add(g, step.node, _shape(g, step), visit.arguments)


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
    with unless(g, step, frame, f"{start} + {size + window.grace_ms + lag} <= {mark}", tail=tail):
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
        emit_late(g, step, frame)
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
    with unless(g, step, frame, "st is None", tail=tail):
        if _can_fail(g, step):
            _prepare(g, step, visit)
            w.line(f"st = {touch}{arguments}")
        _refire(g)
        _update(g, step, visit)
