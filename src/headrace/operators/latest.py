"""Tables: the latest row per key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from headrace.operators.agent import OperatorSpec
from headrace.operators.footprint import Footprint, forget
from headrace.operators.frame import Frame
from headrace.operators.kind import RowForm, Shape
from headrace.operators.logic import NEVER_MS, Emit, Logic
from headrace.operators.rows import listed_form
from headrace.operators.slots import python_type
from headrace.operators.view import State, StateView
from headrace.plan.model import Plan, PlannedStep
from headrace.state.protocol import Batch
from headrace.time.instants import START_OF_TIME_MS
from headrace.topology.nodes import Table
from headrace.topology.operator import ROWS, Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator

_UNREAD: Any = object()
_SAMPLE = 16


class TableKind:
    """Tables: a state is the event time and the columns of the latest record."""

    def prepare(self, g: Generator, step: PlannedStep, index: int) -> Shape:
        """Lay out the state."""
        return Shape(index, row_types(step))

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
        return {"update": before, "change": before, ROWS: before}

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> bool:
        """Return whether other steps read the rows."""
        return is_read(g.plan, step)

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> TableLogic:
        """Return the logic for one task."""
        return TableLogic(view, emit, read=spec.kit)

    def preview(self, spec: OperatorSpec, view: StateView, logic: Logic) -> None:
        """Return nothing: what a record does to its row cannot fail."""


def row_types(step: PlannedStep) -> tuple[Any, ...]:
    """Return the Python types of a state: the event time and the columns of a row."""
    return (int, *(python_type(dtype) for _, dtype in step.columns.fields))


def is_read(plan: Plan, step: PlannedStep) -> bool:
    """Tell whether other steps of the task look rows of this table up."""
    return any(plan.consumers(Port(step.id, port)) for port in (ROWS, "change"))


class TableLogic:
    """The latest row per key. None marks a removed key.

    ``hot`` rows have changed since the last cut. ``cold`` ones are as in the store, None for keys that it has not: they
    are kept only where other steps ``read`` the table, for the stream itself never reads it back.
    """

    def __init__(self, view: StateView, emit: Emit, *, read: bool) -> None:
        """Begin with nothing in memory."""
        self._view, self._emit, self._read = view, emit, read
        self._codec, self._keys, self._get = view.codec(), view.keys(), view.store.get
        self.hot: dict[Any, State | None] = {}
        self._cold: dict[Any, State | None] = {}
        self.next_ms = NEVER_MS
        self.closed_ms = START_OF_TIME_MS
        self.footprint = Footprint()
        self._watermark = START_OF_TIME_MS

    def restore(self, watermark_ms: int) -> None:
        """Take the watermark of the last checkpoint."""
        self._watermark = watermark_ms

    def find(self, key: Any) -> State | None:
        """Return the row of a key as it is now."""
        state: State | None = self.hot.get(key, _UNREAD)
        if state is _UNREAD:
            state = self._cold.get(key, _UNREAD)
            if state is _UNREAD:
                raw = self._get(self._view.prefix + self._keys.encode(key))
                state = self._cold[key] = None if raw is None else self._codec.decode(raw)
        return state

    def remove(self, key: Any) -> None:
        """Remove the row of a key, if there is one."""
        if self.find(key) is not None:
            self.hot[key] = None

    def catch_up(self) -> None:
        """Do nothing: rows are set as the records come."""

    def advance(self, watermark_ms: int) -> None:
        """Note the watermark."""
        self._watermark = max(self._watermark, watermark_ms)

    def cut(self, batch: Batch) -> None:
        """Emit the changed rows; write them, and remove the keys that are gone."""
        self._emit("update", [(k, st) for k, st in self.hot.items() if st is not None], 0, 0, self._watermark)
        self._emit("change", [(k, [0] if st is None else st) for k, st in self.hot.items()], 0, 0, self._watermark)
        prefix, encode, pack = self._view.prefix, self._keys.encode, self._codec.encode
        keys = [prefix + encode(key) for key in self.hot]
        values = [None if state is None else pack(state) for state in self.hot.values()]
        # In order: one batch may take several cuts, and what the last one says counts.
        if keys:
            batch.put_all(self._view.name, keys, values)
        sampled = zip(keys[::_SAMPLE], values[::_SAMPLE], strict=True)
        self.footprint.learn([("", key, value) for key, value in sampled if value is not None], 0)
        if self._read:
            self._cold.update(self.hot)
        self.hot.clear()

    def size(self) -> int:
        """Return the number of rows in memory."""
        return len(self.hot) + len(self._cold)

    def evict(self, keep: int) -> None:
        """Forget rows that are in the store, those that came in first."""
        forget(self._cold, self.size() - keep)
