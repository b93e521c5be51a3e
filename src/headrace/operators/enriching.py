"""Enrichment: records wait for values, and go on in the order in which they came.

They wait within a batch only: before event time moves on, and before a cut, the runtime is asked for the values. So no
record is ever late for it, and nothing need be stored. Each keeps the watermark by which it is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from headrace.errors import InternalError
from headrace.event.dtypes import STR
from headrace.operators.agent import OperatorSpec
from headrace.operators.footprint import Footprint
from headrace.operators.frame import Frame, Value, type_at
from headrace.operators.kind import RowForm, Shape, node_of
from headrace.operators.logic import NEVER_MS, Emit, Logic
from headrace.operators.rows import row_form
from headrace.operators.view import StateView
from headrace.plan.model import PlannedStep
from headrace.plan.projection import Path
from headrace.state.protocol import Batch
from headrace.time.instants import START_OF_TIME_MS
from headrace.topology.enrich import Enrich
from headrace.topology.operator import Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator

Arguments = tuple[Any, ...]
_OWN = 3  # of a row: event time, watermark of its input, lowest watermark of the others


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no value."""

    error: Exception


class EnrichKind:
    """A record is put aside, with its arguments."""

    def prepare(self, g: Generator, step: PlannedStep, index: int) -> Shape:
        """Lay out nothing: there is no state."""
        return Shape(index, ())

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Put the record aside; where an argument is null there is nothing to ask for."""
        node, w = node_of(step, Enrich), g.writer
        wait = g.bind(f"t.operators[{g.operators[step.id].index}].wait", "wait")
        args, optional = [], []
        for expr in node.args:
            code, dtype = g.value(expr, frame)
            w.line(f"{(local := w.fresh('a_'))} = {code}")
            args.append(local)
            optional += [local] if dtype.nullable else []
        missing = " or ".join(f"{local} is None" for local in optional)
        asked = f"({''.join(f'{local}, ' for local in args)})"
        mark, lag = frame.watermark
        own = [frame.time, f"{mark} - {lag}" if lag else mark, frame.bound]
        columns = [frame.column(path)[0] for path in _carried(g, step)]
        key = frame.key_code if frame.key_code is not None else frame.record_key()
        asked = f"None if {missing} else {asked}" if missing else asked
        w.line(f"{wait}(({key}, {asked}, ({', '.join((*own, *columns))},)))")

    def row(self, g: Generator, step: PlannedStep, port: str) -> RowForm:
        """Return the form of a row: its times, what is needed of the record, the value."""
        schema, key, paths = g.plan.columns[Port(step.id)], g.plan.keys[Port(step.id)], _carried(g, step)
        columns: dict[Path, Value] = {p: (f"st[{n}]", type_at(schema, p)) for n, p in enumerate(paths, _OWN)}
        columns[node_of(step, Enrich).name,] = (
            f"st[{_OWN + len(paths)}]",
            type_at(schema, (node_of(step, Enrich).name,)),
        )
        form = row_form(schema, key, columns, "st[0]")
        frame = replace(form.frame, watermark=("st[1]", 0), bound="st[2]")
        if not key:  # the key that the record came with, as bytes
            metas = {**frame.metas, "key": ("(None if k is None else _key_text(k))", STR.optional())}
            frame = replace(frame, metas=metas)
        return replace(form, frame=frame)

    def delays(self, node: Any, before: int) -> Mapping[str, int]:
        """Return the delays: event time waits for the records."""
        return {"out": before}

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> tuple[str, ...]:
        """Return the names of what is kept of a record, for dead letters."""
        return tuple(".".join(path) for path in _carried(g, step))

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> EnrichLogic:
        """Return the logic for one task."""
        return EnrichLogic(node_of(spec.step, Enrich), spec.kit, emit)

    def preview(self, spec: OperatorSpec, view: StateView, logic: Logic) -> None:
        """Return nothing."""


class EnrichLogic:
    """The records that wait. The runtime sets ``fetch`` and ``failed``: it alone may do what takes time."""

    def __init__(self, node: Enrich, columns: tuple[str, ...], emit: Emit) -> None:
        """Begin with none."""
        self.node, self._columns, self._emit = node, columns, emit
        self._waiting: list[tuple[Any, Arguments | None, tuple[Any, ...]]] = []
        self.wait = self._waiting.append
        self.fetch: Callable[[set[Arguments]], Mapping[Arguments, Any]] = _unset
        self.failed: Callable[[Exception, str, dict[str, Any], int], None] = _unset
        self.next_ms = NEVER_MS
        self.closed_ms = START_OF_TIME_MS
        self.footprint = Footprint()

    def restore(self, watermark_ms: int) -> None:
        """Do nothing: nobody waits over a checkpoint."""

    def catch_up(self) -> None:
        """Ask for the values that records wait for, and let these go on; those that get none are dead letters."""
        if not self._waiting:
            return
        waiting = self._waiting[:]
        self._waiting.clear()
        values = self.fetch({asked for _, asked, _ in waiting if asked is not None})
        rows = []
        for key, asked, state in waiting:
            value = None if asked is None else values[asked]
            if isinstance(value, Failed):
                columns = dict(zip(self._columns, state[_OWN:], strict=True))
                self.failed(value.error, self.node.id, {"arguments": asked, "columns": columns}, state[0])
            else:
                rows.append((key, (*state, value)))
        self._emit("out", rows, 0, 0, START_OF_TIME_MS)

    def advance(self, watermark_ms: int) -> None:
        """Let the records go on before those steps behind are told of the time."""
        self.catch_up()

    def cut(self, batch: Batch) -> None:
        """Let the records go on: they belong to this checkpoint."""
        self.catch_up()

    def size(self) -> int:
        """Return 0: there is no state."""
        return 0

    def evict(self, keep: int) -> None:
        """Do nothing."""


def _unset(*_: Any) -> Any:
    msg = "an enrichment was not connected to the runtime"
    raise InternalError(msg)


def _carried(g: Generator, step: PlannedStep) -> list[Path]:
    """Return what the steps behind it read of the record."""
    name = node_of(step, Enrich).name
    return sorted(p for p in g.plan.required.get(Port(step.id), frozenset()) if p[0] != name)


__all__ = ["EnrichKind", "EnrichLogic", "Failed"]
