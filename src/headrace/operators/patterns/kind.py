"""Patterns in generated code: how an event reaches its runs, and how matches leave them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from headrace.event.dtypes import TIMESTAMP
from headrace.operators.agent import OperatorSpec
from headrace.operators.frame import Frame, Path, Value
from headrace.operators.kind import RowForm, Shape, node_of, shape_of
from headrace.operators.late import behind, unless
from headrace.operators.logic import Emit, Logic
from headrace.operators.patterns.automaton import Automaton
from headrace.operators.patterns.code import PatternCode, Writing
from headrace.operators.patterns.logic import DetectLogic, PatternKit
from headrace.operators.patterns.matcher import Rules
from headrace.operators.rows import row_form
from headrace.operators.view import StateView
from headrace.plan.model import PlannedStep
from headrace.time.instants import from_ms
from headrace.topology.detect import MADE, Detect, Part
from headrace.topology.expr import Expr
from headrace.topology.matching import Matched
from headrace.topology.operator import Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator


@dataclass(frozen=True, slots=True)
class PatternShape(Shape):
    """A pattern in its agent's code."""

    code: PatternCode


class DetectKind:
    """An event is put into a list; the logic takes it from there when it is its turn."""

    def prepare(self, g: Generator, step: PlannedStep, index: int) -> Shape:
        """Generate the conditions and the columns of matches."""
        code = Writing(g, step, node_of(step, Detect), index).write()
        return PatternShape(index, code.layout.python_types, code)

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Keep what the pattern reads of an event, and whether a run may begin with it."""
        node = node_of(step, Detect)
        if node.arrival:
            _arrive(g, step, node, frame)
            return
        with unless(g, step, frame, behind(frame, frame.time, 0), tail=tail):
            _arrive(g, step, node, frame)

    def row(self, g: Generator, step: PlannedStep, port: str) -> RowForm:
        """Return the form of rows: (event time, what was taken)."""
        place = Port(step.id, port)
        schema, key = g.plan.columns[place], g.plan.keys[place]
        g.names["_from_ms"] = from_ms
        columns: dict[Path, Value] = {
            ("started",): ("_from_ms(st[1].start_ms)", TIMESTAMP),
            ("ended",): ("_from_ms(st[1].end_ms)", TIMESTAMP),
        }
        if node_of(step, Detect).emit is not None:
            made = shape_of(g, step, PatternShape).code.columns
            columns = {(name,): (f"{made[port, name]}(k, st[1])", dtype) for name, dtype in schema.fields[len(key) :]}
        form = row_form(schema, key, columns, "st[0]")
        if key:
            return form
        return RowForm([], replace(form.frame, key_code=None), form.time)

    def delays(self, node: Any, before: int) -> Mapping[str, int]:
        """Return the delays: rows leave before the watermark has passed the time at which they became known."""
        return dict.fromkeys((*MADE, "late"), before)

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> PatternKit:
        """Return the automaton, and the rules beside it."""
        node, code = node_of(step, Detect), shape_of(g, step, PatternShape).code
        steps = tuple(part.step for part in node.steps())
        rules = Rules(
            node.within_ms,
            node.skip,
            steps.index(node.skip.step) if isinstance(node.skip.step, str) else -1,
            node.runs,
            code.nothing,
            {number: made(name) for number, name in code.folds.items()},
        )
        automaton = Automaton(node.parts, code.conditions(code.wheres, made), code.conditions(code.untils, made))
        return PatternKit(automaton, rules, code.layout, steps, node.arrival)

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> DetectLogic:
        """Return the logic for one task."""
        return DetectLogic(spec.kit, view, emit, opened)

    def preview(self, spec: OperatorSpec, view: StateView, logic: Logic) -> None:
        """Return nothing."""


def _arrive(g: Generator, step: PlannedStep, node: Detect, frame: Frame) -> None:
    shape = shape_of(g, step, PatternShape)
    # a head works through a batch, at the end of which the logic catches up; rows come from another step's advance
    intake = "intake()" if g.refire is not None else "arrived.append"
    append = g.bind(f"t.operators[{shape.index}].{intake}", "arr")
    values = [frame.time, "()" if node.whole else str(frame.key_code), _begins(g, node, frame)]
    if node.arrival:
        mark, lag = frame.watermark
        own = f"{mark} - {lag}" if lag else mark
        values.append(f"max({frame.time}, min({own}, {frame.bound}))")
    values += [frame.column(path)[0] for path in shape.code.layout.paths]
    g.writer.line(f"{append}(({', '.join(values)}))")


def _begins(g: Generator, node: Detect, frame: Frame) -> str:
    """Return code of whether a run may begin with the record at hand; True where that asks for the events before."""
    tests: list[str] = []
    for part in _beginners(node.parts):
        if part.where is None or Matched.references([part.where]):
            return "True"
        tests.append(_condition(g, part.where, frame))
    return " or ".join(tests)


def _condition(g: Generator, expr: Expr, frame: Frame) -> str:
    return g.emitter.condition(expr, frame)


def _beginners(parts: tuple[Part, ...]) -> list[Part]:
    """Return the steps that may take the first event of a match."""
    found: list[Part] = []
    for part in parts:
        found += _beginners(part.group) if part.group else [part]
        if not part.may_be_empty:
            break
    return found


__all__ = ["DetectKind"]
