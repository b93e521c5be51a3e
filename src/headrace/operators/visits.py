"""Aggregates in generated code: how a record reaches its states, and updates them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.operators.frame import Frame
from headrace.operators.kind import Shape, shape_of
from headrace.operators.late import emit_late, unless
from headrace.operators.slots import SlotCode
from headrace.plan.model import PlannedStep
from headrace.topology.calendars import Calendar
from headrace.topology.nodes import Aggregate
from headrace.topology.windows import Counted, Hopping, Session, Sliding

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


def visit_windows(g: Generator, step: PlannedStep, node: Aggregate, frame: Frame, *, tail: bool) -> None:
    """Generate what a record does in the windows of an aggregate."""
    visit = Visit(frame, _arguments(g, node, frame), tail)
    match node.window:
        case None:
            _all_time(g, step, visit)
        case Hopping() as window if window.size_ms == window.advance_ms:
            _tumbling(g, step, window, visit)
        case Hopping() as window:
            _hopping(g, step, window, visit)
        case Calendar() as window:
            _calendar(g, step, window, visit)
        case Session() | Sliding():
            _touching(g, step, visit)
        case Counted() as window:
            _counted(g, step, window, visit)


def aggregate_shape(g: Generator, step: PlannedStep) -> AggregateShape:
    """Return the state of an aggregate that has been prepared."""
    return shape_of(g, step, AggregateShape)


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


def may_wait(node: Aggregate, shape: AggregateShape) -> bool:
    """Tell whether records may be added later than they came: not if that can fail, for whose fault would it be?"""
    batched = not isinstance(node.window, Session | Sliding | Counted)
    return batched and not any(code.prepare for code in shape.codes)


def add_function(g: Generator, step: PlannedStep, node: Aggregate, shape: AggregateShape) -> None:
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
    waits = isinstance(step.node, Aggregate) and may_wait(step.node, aggregate_shape(g, step))
    if waits:
        given = [local for values in visit.arguments for local, _ in values]
        w.line(f"if st is None: {finding.put}(({', '.join((str(frame.key_code), frame.time, *given))}))")
    with w.block("else:") if waits else nullcontext():
        _update(g, step, visit)


def _prepare(g: Generator, step: PlannedStep, visit: Visit) -> list[str]:
    """Do all of an update that may fail, on a state that is only read; return the locals that hold the results."""
    prepared = []
    for code, values in zip(aggregate_shape(g, step).codes, visit.arguments, strict=True):
        if code.prepare:
            if any(may_be_null for _, may_be_null in values):
                g.writer.line(f"{code.prepared} = None")
            _lines(g, code.prepare, values)
            prepared.append(code.prepared)
    return prepared


def _can_fail(g: Generator, step: PlannedStep) -> bool:
    return any(code.prepare for code in aggregate_shape(g, step).codes)


def _peek(g: Generator, step: PlannedStep) -> str:
    return g.bind(f"t.previews[{g.operators[step.id].index}].state", "peek")


def _update(g: Generator, step: PlannedStep, visit: Visit) -> None:
    frame = visit.frame
    if frame.time != "ts":
        g.writer.line(f"ts = {frame.time}")
    if isinstance(step.node, Aggregate):
        _add(g, step.node, aggregate_shape(g, step), visit.arguments)


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
    size, start = window.size_ms, g.writer.fresh("s")
    g.writer.line(f"{start} = {visit.frame.time} - {visit.frame.time} % {size}")
    _one_window(g, step, visit, start, f"{start} + {size + window.grace_ms + visit.frame.watermark[1]}")


def _calendar(g: Generator, step: PlannedStep, window: Calendar, visit: Visit) -> None:
    time, span = visit.frame.time, f"_span_{g.operators[step.id].index}"
    g.names[span] = window.span
    start, end = g.bind("0", "s"), g.bind("0", "e")
    g.writer.line(f"if not {start} <= {time} < {end}: {start}, {end} = {span}({time})")
    _one_window(g, step, visit, start, f"{end} + {window.grace_ms + visit.frame.watermark[1]}")


def _one_window(g: Generator, step: PlannedStep, visit: Visit, start: str, closing: str) -> None:
    """Update the state in the one window of the record; it is late when its watermark has reached ``closing``."""
    frame, w = visit.frame, g.writer
    mark, lag = frame.watermark
    current, finding = g.bind("None", "cur"), _Finding.bound(g)
    opened = g.bind(f"t.operators[{g.operators[step.id].index}].open", "open")
    with unless(g, step, frame, f"{closing} <= {mark}", tail=visit.tail):
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


def _limit(frame: Frame) -> str:
    """Return the code of the watermark of the record's input."""
    mark, lag = frame.watermark
    return f"{mark} - {lag}" if lag else mark


def _touching(g: Generator, step: PlannedStep, visit: Visit) -> None:
    """Have the logic find the state: it knows which windows of the key the record belongs to."""
    frame, w = visit.frame, g.writer
    touch = g.bind(f"t.operators[{g.operators[step.id].index}].touch", "touch")
    arguments = f"({frame.key_code}, {frame.time}, {_limit(frame)})"
    w.line(f"st = {_peek(g, step) if _can_fail(g, step) else touch}{arguments}")
    with unless(g, step, frame, "st is None", tail=visit.tail):
        if _can_fail(g, step):
            _prepare(g, step, visit)
            w.line(f"st = {touch}{arguments}")
        _refire(g)
        _update(g, step, visit)


def _counted(g: Generator, step: PlannedStep, window: Counted, visit: Visit) -> None:
    """Update the pane that the key is at; tell the logic when it is full."""
    frame, w, operator = visit.frame, g.writer, f"t.operators[{g.operators[step.id].index}]"
    touch, fill = g.bind(f"{operator}.touch", "touch"), g.bind(f"{operator}.fill", "fill")
    if _can_fail(g, step):
        w.line(f"st = {_peek(g, step)}({frame.key_code})")
        _prepare(g, step, visit)
    w.line(f"st = {touch}({frame.key_code}, {frame.time})")
    _update(g, step, visit)
    with w.block(f"if st[2] == {window.pane}:"):
        w.line(f"{fill}({frame.key_code}, {_limit(frame)})")
        _refire(g)
