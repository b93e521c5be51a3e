"""Live parameters in generated code: one tuple of values, bound once per batch as long as nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headrace.operators.agent import OperatorSpec
from headrace.operators.frame import Frame
from headrace.operators.kind import RowForm, Shape, node_of
from headrace.operators.logic import Emit, Logic
from headrace.operators.routes.checking import change_values, operation
from headrace.operators.routes.live import LiveLogic, at_hand
from headrace.operators.routes.timeline import Change
from headrace.operators.rows import listed_form
from headrace.operators.view import StateCodec, StateView
from headrace.plan.model import PlannedStep
from headrace.time.instants import to_ms
from headrace.topology.operator import Port
from headrace.topology.parameters import SETTING, ParameterCheck, Parameters, Value, types_of

if TYPE_CHECKING:
    from headrace.operators.generator import Generator

Setting = tuple[str, str | None, object, int | None, datetime | None]
"""A change, in the order of its columns."""

_SLOTS = (str, bool, Any, int, int, int)
"""Of a stored change: name, whether it removes, value, version, time, start."""


def parameter_checker(_: Generator, step: PlannedStep) -> Callable[[Setting], str | None]:
    """Return the function that says what is wrong with a change of a step's parameters."""
    if not isinstance(step.node, ParameterCheck):
        raise TypeError(step.id)
    return setting_checker(dict(step.node.defaults))


def setting_checker(defaults: dict[str, Value]) -> Callable[[Setting], str | None]:
    """Return the function that says what is wrong with a change of these parameters; None if nothing is."""

    def check(change: Setting) -> str | None:
        name, op, value, version, _ = change
        if name not in defaults:
            return f"expected the name of a parameter ({', '.join(defaults)}), got {name!r}."
        wrong = operation(f"parameter {name!r}", op, version)
        if wrong is not None or op == "remove":
            return wrong
        kind = type(defaults[name])
        if type(value) is kind or (kind is float and type(value) is int):
            return None
        return f"parameter {name!r}: expected a value of type {kind.__name__}, got {value!r}."

    return check


class ParametersKind:
    """A record gets its columns and goes on in the same loop."""

    def prepare(self, g: Generator, step: PlannedStep, index: int) -> Shape:
        """Lay out the state: changes."""
        return Shape(index, _SLOTS)

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Take a change in, or add the values to a record."""
        node, logic = node_of(step, Parameters), f"t.operators[{g.operators[step.id].index}]"
        if port == node.control:
            values = ", ".join(code for code, _ in change_values(frame, SETTING).values())
            g.writer.line(f"{g.bind(f'{logic}.change', 'pc')}({frame.time}, ({values}))")
            return
        types = types_of(node.defaults)
        found = {name: (g.writer.fresh("p_"), dtype) for name, dtype in types.items()}
        g.writer.line(f"{''.join(f'{code}, ' for code, _ in found.values())}= {at_hand(g, frame, logic)}")
        out = Port(step.id, "with")
        g.children(out, frame.computed(g.plan.columns[out], found, {}), tail=tail)

    def row(self, g: Generator, step: PlannedStep, port: str) -> RowForm:
        """Return the form of rows: there are none."""
        return listed_form(g, step, port)

    def delays(self, node: Any, before: int) -> Mapping[str, int]:
        """Return the delays: records pass as they come in."""
        return {"with": before}

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> None:
        """Return nothing."""

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> ParametersLogic:
        """Return the logic for one task."""
        return ParametersLogic(node_of(spec.step, Parameters), view)

    def preview(self, spec: OperatorSpec, view: StateView, logic: Logic) -> None:
        """Return nothing."""


class ParametersLogic(LiveLogic[tuple[Value, ...]]):
    """The changes that one task knows, and the values that follow from them."""

    def __init__(self, node: Parameters, view: StateView) -> None:
        """Begin with the defaults."""
        super().__init__(view, node.history_ms, frozenset(), ())
        self._defaults = dict(node.defaults)
        self._codec = StateCodec(_SLOTS)
        self._settle()

    def change(self, time_ms: int, row: Setting) -> None:
        """Take in a change that has been checked. It counts from its own time on, or later."""
        name, op, value, version, effective_from = row
        start_ms = time_ms if effective_from is None else max(time_ms, to_ms(effective_from))
        removes = op == "remove"
        widened = float(value) if isinstance(value, int) and isinstance(self._defaults[name], float) else value
        kept = None if removes else widened
        number = 1 if version is None else version
        self.take(self._codec.encode([name, removes, kept, number, time_ms, start_ms]))

    def _make(self, changes: Iterator[Change]) -> tuple[Value, ...]:
        values = dict(self._defaults)
        for change in changes:
            if not change.removes and change.name in values:
                values[change.name] = self._codec.decode(change.data)[2]
        return tuple(values.values())

    def _read(self, data: bytes) -> Change:
        name, removes, _, version, time_ms, start_ms = self._codec.decode(data)
        return Change(start_ms, version, time_ms, data, name, removes)
