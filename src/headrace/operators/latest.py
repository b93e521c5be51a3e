"""Tables: the latest row per key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from headrace.operators.agent import OperatorSpec
from headrace.operators.footprint import Footprint
from headrace.operators.frame import Frame
from headrace.operators.kind import RowForm, Shape
from headrace.operators.logic import NEVER_MS, Emit, Logic
from headrace.operators.rows import listed_form
from headrace.operators.slots import python_type
from headrace.operators.view import State, StateView
from headrace.plan.model import PlannedStep
from headrace.state.protocol import Batch
from headrace.time.instants import START_OF_TIME_MS
from headrace.topology.nodes import Table
from headrace.topology.operator import Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator


class TableKind:
    """Tables: a state is the event time and the columns of the latest record."""

    def prepare(self, g: Generator, step: PlannedStep, index: int) -> Shape:
        """Lay out the state."""
        return Shape(index, (int, *(python_type(dtype) for _, dtype in step.columns.fields)))

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Set the row of the key to this record, or remove it."""
        if not isinstance(step.node, Table):
            raise TypeError(step.id)
        hot = g.bind(f"t.operators[{g.operators[step.id].index}].hot", "hot")
        row = ", ".join((frame.time, *(frame.column((name,))[0] for name, _ in step.columns.fields)))
        state = f"[{row}]"
        if step.node.delete is not None:
            state = f"None if {g.value(step.node.delete, frame)[0]} is True else {state}"
        g.writer.line(f"{hot}[{frame.key_code}] = {state}")

    def row(self, g: Generator, step: PlannedStep, port: str) -> RowForm:
        """Return the form of a row."""
        return listed_form(g, step, port)

    def delays(self, node: Any, before: int) -> Mapping[str, int]:
        """Return the delays: changes come out as the records come in."""
        return {"update": before}

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> None:
        """Return nothing."""

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> TableLogic:
        """Return the logic for one task."""
        return TableLogic(view, emit)

    def preview(self, spec: OperatorSpec, view: StateView, logic: Logic) -> None:
        """Return nothing: what a record does to its row cannot fail."""


class TableLogic:
    """The latest row per key: written, never read back by the stream itself. None marks a removed key."""

    def __init__(self, view: StateView, emit: Emit) -> None:
        """Begin with nothing in memory."""
        self._view, self._emit = view, emit
        self._codec, self._keys = view.codec(), view.keys()
        self.hot: dict[Any, State | None] = {}
        self.next_ms = NEVER_MS
        self.closed_ms = START_OF_TIME_MS
        self.footprint = Footprint()
        self._watermark = START_OF_TIME_MS

    def restore(self, watermark_ms: int) -> None:
        """Take the watermark of the last checkpoint."""
        self._watermark = watermark_ms

    def catch_up(self) -> None:
        """Do nothing: rows are set as the records come."""

    def advance(self, watermark_ms: int) -> None:
        """Note the watermark."""
        self._watermark = max(self._watermark, watermark_ms)

    def cut(self, batch: Batch) -> None:
        """Emit the changed rows; write them, and remove the keys that are gone."""
        self._emit("update", [(k, st) for k, st in self.hot.items() if st is not None], 0, 0, self._watermark)
        name, prefix, begin = self._view.name, self._view.prefix, len(batch.puts)
        for key, state in self.hot.items():
            raw = prefix + self._keys.encode(key)
            if state is None:
                batch.delete(name, raw)
            else:
                batch.put(name, raw, self._codec.encode(state))
        self.footprint.learn(batch.puts, begin)
        self.hot.clear()

    def size(self) -> int:
        """Return the number of rows in memory."""
        return len(self.hot)

    def evict(self, keep: int) -> None:
        """Keep all: what is in memory is not yet written."""
