"""Routes by live rules: every task keeps the changes, and one generated function for each state of the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from headrace.event.dtypes import DType
from headrace.operators.agent import OperatorSpec
from headrace.operators.frame import Frame
from headrace.operators.kind import RowForm, Shape, node_of
from headrace.operators.logic import Emit, Logic
from headrace.operators.routes.checking import ChangeRow, change_values
from headrace.operators.routes.deciding import Candidate, Decide, compilable, decider
from headrace.operators.routes.live import LiveLogic, at_hand
from headrace.operators.routes.timeline import Change
from headrace.operators.rows import listed_form
from headrace.operators.view import StateCodec, StateView
from headrace.plan.model import PlannedStep
from headrace.state.protocol import Batch
from headrace.time.instants import START_OF_TIME_MS, to_ms
from headrace.topology.operator import Port
from headrace.topology.routes import ADDED, CHANGE, Route, RouteMode
from headrace.topology.rulechecks import RuleRefusedError
from headrace.topology.rulesets import DEFAULT_PRIORITY

if TYPE_CHECKING:
    from headrace.operators.generator import Generator

_SLOTS = (str, bool, str, int, str, bool, list[str], int, int, int)
"""Of a stored change: name, whether it removes, condition, priority, target, enabled, tags, version, time, start."""


class RouteKind:
    """Generated code asks one function about each record: the steps behind the route run in the same loop."""

    def prepare(self, g: Generator, step: PlannedStep, index: int) -> Shape:
        """Lay out the state: changes."""
        return Shape(index, _SLOTS)

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Take a change in, or match a record."""
        node, logic = node_of(step, Route), f"t.operators[{g.operators[step.id].index}]"
        if port == node.control:
            values = ", ".join(code for code, _ in change_values(frame, CHANGE).values())
            g.writer.line(f"{g.bind(f'{logic}.change', 'rc')}({frame.time}, ({values}))")
            return
        found = _emit_match(g, step, node, frame, logic)
        places = [g.writer.fresh("m_") for _ in ADDED.fields]
        added = {name: (code, dtype) for code, (name, dtype) in zip(places, ADDED.fields, strict=True)}
        matched = Port(step.id, "matched")
        inner = frame.computed(g.plan.columns[matched], added, {})
        with g.writer.block(f"if {found}:"):
            if node.mode is RouteMode.FIRST:
                g.writer.line(f"{', '.join(places)} = {found}")
                g.children(matched, inner, tail=False)
            else:
                with g.writer.block(f"for {', '.join(places)} in {found}:"), g.guarded():
                    g.children(matched, inner, tail=True)
        with g.writer.block("else:"):
            g.children(Port(step.id, "unmatched"), frame, tail=tail)

    def row(self, g: Generator, step: PlannedStep, port: str) -> RowForm:
        """Return the form of rows: rules that have lapsed."""
        return listed_form(g, step, port)

    def delays(self, node: Any, before: int) -> Mapping[str, int]:
        """Return the delays: records pass as they come in."""
        return dict.fromkeys(("matched", "unmatched", "lapsed"), before)

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> DType:
        """Return the columns that rules may read."""
        if not isinstance(step.node, Route):
            raise TypeError(step.id)
        return g.plan.columns[step.node.input]

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> RouteLogic:
        """Return the logic for one task."""
        return RouteLogic(node_of(spec.step, Route), spec.kit, view, emit)

    def preview(self, spec: OperatorSpec, view: StateView, logic: Logic) -> None:
        """Return nothing."""


def _emit_match(g: Generator, step: PlannedStep, node: Route, frame: Frame, logic: str) -> str:
    """Generate the call that matches the record at hand; return the local with what it found."""
    columns = ", ".join(frame.column((name,))[0] for name, _ in g.plan.columns[node.input].fields)
    found, decide = g.writer.fresh("m_"), at_hand(g, frame, logic)
    g.writer.line(f"{found} = {decide}({columns})")
    return found


class RouteLogic(LiveLogic[Decide]):
    """The rules that one task knows, and the functions that match records against those in force."""

    def __init__(self, node: Route, columns: DType, view: StateView, emit: Emit) -> None:
        """Begin with the initial rules."""
        super().__init__(view, node.history_ms, frozenset(rule.name for rule, _ in node.initial), _no_rules)
        self._mode, self._columns, self._emit = node.mode, columns, emit
        self._codec = StateCodec(_SLOTS)
        self._rules: dict[Change, Candidate] = {}
        self._lapsed: list[list[Any]] = []
        for rule, condition in node.initial:
            change = Change(START_OF_TIME_MS, rule.version, START_OF_TIME_MS, b"", rule.name, removes=False)
            match = (rule.name, rule.version, rule.target, list(rule.tags))
            self._rules[change] = Candidate(rule.priority, match, condition)
            self._timeline.add(change)
        self._settle()

    def change(self, time_ms: int, row: ChangeRow) -> None:
        """Take in a change that has been checked. It counts from its own time on, or later."""
        name, op, condition, priority, target, enabled, tags, version, effective_from = row
        start_ms = time_ms if effective_from is None else max(time_ms, to_ms(effective_from))
        number = 1 if version is None else version
        rank = DEFAULT_PRIORITY if priority is None else priority
        rule: list[Any] = ["", 0, None, False, []]
        if op != "remove":
            rule = [condition, rank, target, enabled is not False, tags or []]
        self.take(self._codec.encode([name, op == "remove", *rule, number, time_ms, start_ms]))

    def cut(self, batch: Batch) -> None:
        """Tell of rules that have lapsed; write changes."""
        if self._lapsed:
            self._emit("lapsed", [(None, row) for row in self._lapsed], 0, 0, self._watermark)
            self._lapsed = []
        super().cut(batch)

    def _make(self, changes: Iterator[Change]) -> Decide:
        return decider([self._rules[c] for c in changes if c in self._rules], self._columns, self._mode)

    def _read(self, data: bytes) -> Change:
        name, removes, *_, version, time_ms, start_ms = self._codec.decode(data)
        return Change(start_ms, version, time_ms, data, name, removes)

    def _learn(self, change: Change) -> None:
        """Compile a rule. One that no longer fits the records is left out, and told."""
        name, removes, condition, priority, target, enabled, tags, version, *_ = self._codec.decode(change.data)
        if removes or not enabled:
            return
        try:
            found = compilable(condition, self._columns)
            self._rules[change] = Candidate(priority, (name, version, target, tags), found)
        except RuleRefusedError as error:
            self._lapsed.append([max(self._watermark, 0), name, version, str(error)])

    def _unlearn(self, change: Change) -> None:
        self._rules.pop(change, None)


def _no_rules(*_: object) -> None:
    """Stand for the function of an empty span of time: never called."""
