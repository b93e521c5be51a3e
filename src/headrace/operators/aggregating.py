"""Aggregates as a kind of stateful step: the layout of their states, and how rows leave them.

A state is one flat list: the operator's own slots first, then those of the aggregates. All-time aggregates keep the
highest event time in slot 0; sessions keep the first and the last event time in slots 0 and 1, sliding windows the time
that they end at, windows by number the lowest and the highest event time and the number; aligned windows keep nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

from headrace.event.dtypes import TIMESTAMP
from headrace.operators.agent import OperatorSpec
from headrace.operators.counted import CountedLogic
from headrace.operators.frame import Frame, Value
from headrace.operators.kind import RowForm, Shape, node_of
from headrace.operators.logic import Emit, Logic
from headrace.operators.preview import SessionPreview, WindowPreview
from headrace.operators.rows import row_form
from headrace.operators.sessions import SessionLogic
from headrace.operators.sliding import SlidingLogic
from headrace.operators.slots import slot_code
from headrace.operators.view import StateView
from headrace.operators.visits import AggregateShape, add_function, aggregate_shape, may_wait, visit_windows
from headrace.operators.windowed import WindowedLogic
from headrace.plan.model import PlannedStep
from headrace.topology.calendars import Calendar
from headrace.topology.nodes import Aggregate
from headrace.topology.operator import ROWS, Port
from headrace.topology.windows import Counted, Hopping, Session, Sliding, Window

if TYPE_CHECKING:
    from headrace.operators.generator import Generator


@dataclass(frozen=True, slots=True)
class AggregateKit:
    """Generated functions of an aggregate.

    ``init`` makes an empty state, ``merge`` joins two, ``add`` adds a record that had to wait for its state (None:
    none may wait).
    """

    init: Callable[[], list[Any]]
    merge: Callable[[list[Any], list[Any]], None]
    add: Callable[..., None] | None


Preview = WindowPreview | SessionPreview | SlidingLogic | CountedLogic

_OWN: dict[type, int] = {Hopping: 0, Calendar: 0, Session: 2, Sliding: 1, Counted: 3}
"""How many slots of a state are the operator's own; 1 if there is no window."""


class AggregateKind:
    """Aggregates over all time and in windows."""

    def prepare(self, g: Generator, step: PlannedStep, index: int) -> Shape:
        """Lay out the slots; generate ``init`` and ``merge``, and ``add`` where records may wait."""
        node = node_of(step, Aggregate)
        base = _OWN.get(type(node.window), 1)
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
        if may_wait(node, shape):
            add_function(g, step, node, shape)
        return shape

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Find the state of the record's key and window, and update it; late records go to the late port."""
        node = node_of(step, Aggregate)
        visit_windows(g, step, node, frame, tail=tail)

    def row(self, g: Generator, step: PlannedStep, port: str) -> RowForm:
        """Return the form of a row: the key, the window and the result of each aggregate."""
        node = node_of(step, Aggregate)
        start, end, time = _bounds(node.window)
        columns: dict[tuple[str, ...], Value] = {}
        if node.window is not None:
            columns[("window_start",)] = (f"_from_ms({start})", TIMESTAMP)
            columns[("window_end",)] = (f"_from_ms({end})", TIMESTAMP)
        types = dict(step.columns.fields)
        for (name, _), code in zip(node.aggregates, aggregate_shape(g, step).codes, strict=True):
            columns[(name,)] = (code.result, types[name])
        return row_form(step.columns, step.key, columns, time)

    def delays(self, node: Any, before: int) -> Mapping[str, int]:
        """Return the delays: rows come out when their window has closed."""
        behind = before + (closing_delay_ms(node.window) if node.window is not None else 0)
        waits = isinstance(node.window, Sliding | Counted)  # for the next turn: the newest rows of all keys at once
        early = {f"every:{ms}": behind + (ms if waits else 0) for ms in node.every_ms}
        return {"update": behind, "close": behind, "late": before, ROWS: before} | early

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> AggregateKit:
        """Return the generated functions."""
        shape, node = aggregate_shape(g, step), step.node
        waits = isinstance(node, Aggregate) and may_wait(node, shape)
        n = shape.index
        return AggregateKit(made(f"init_{n}"), made(f"merge_{n}"), made(f"add_{n}") if waits else None)

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> Logic:
        """Return the logic of the window."""
        window: Window | None = spec.step.node.window  # type: ignore[union-attr]  # of an aggregate
        match window:
            case None | Hopping() | Calendar():
                return WindowedLogic(spec, window, view, emit, opened)
            case Session():
                return SessionLogic(spec, window, view, emit, opened)
            case Sliding():
                return SlidingLogic(spec, window, view, emit, opened)
            case Counted():
                return CountedLogic(spec, window, view, emit, opened)
            case _:
                assert_never(window)

    def preview(self, spec: OperatorSpec, view: StateView, logic: Logic) -> Preview:
        """Return what reads states without a trace."""
        if isinstance(logic, SlidingLogic | CountedLogic):
            return logic
        if isinstance(logic, SessionLogic):
            return SessionPreview(spec, view, logic)
        if not isinstance(logic, WindowedLogic):
            raise TypeError(spec.step.id)
        return WindowPreview(spec, view, logic)


def _bounds(window: Window | None) -> tuple[str, str, str]:
    """Return the code of a row's window, start and end, and of its event time."""
    match window:
        case None:
            return "0", "0", "st[0]"
        case Hopping() | Calendar():
            return "start", "end", "end - 1"
        case Session(gap):
            return "st[0]", f"st[1] + {gap}", f"st[1] + {gap - 1}"
        case Sliding(size):
            return f"st[0] - {size}", "st[0] + 1", "st[0]"
        case Counted():
            return "st[0]", "st[1] + 1", "st[1]"
        case _:
            assert_never(window)


def closing_delay_ms(window: Window) -> int:
    """Return how long a window stays open behind its end: one more for sessions, whose gap is inclusive."""
    return 0 if isinstance(window, Counted) else window.grace_ms + isinstance(window, Session)
