"""Lookups as of event time in generated code: what is kept of a record, and of a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from headrace.event.dtypes import STR
from headrace.operators.agent import OperatorSpec
from headrace.operators.frame import Frame, Value, type_at
from headrace.operators.kind import RowForm, Shape, node_of, shape_of
from headrace.operators.late import behind, unless
from headrace.operators.logic import Emit, Logic
from headrace.operators.lookups.keys import sought_key, table_key
from headrace.operators.lookups.pairs import pair_form
from headrace.operators.lookups.temporal_logic import TemporalKit, TemporalLogic
from headrace.operators.slots import python_type
from headrace.operators.view import StateView
from headrace.plan.model import PlannedStep
from headrace.plan.projection import Path, minimal
from headrace.topology.joins import LEFT, RIGHT
from headrace.topology.lookups import TemporalLookup
from headrace.topology.operator import Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator


@dataclass(frozen=True, slots=True)
class TemporalShape(Shape):
    """What is kept of a record and of a row, beside their keys."""

    record: tuple[Path, ...]
    row: tuple[Path, ...]


class TemporalKind:
    """A record waits, with its key; a row is kept, with its key and time."""

    def prepare(self, g: Generator, step: PlannedStep, index: int) -> TemporalShape:
        """Find what is kept."""
        node = node_of(step, TemporalLookup)
        own = {name for name, _ in g.plan.keys[node.left]}
        record = sorted(p for p in minimal(node.paths(LEFT, g.plan.columns[node.left])) if p[0] not in own)
        row = sorted(minimal(node.paths(RIGHT, g.plan.columns[node.right])))
        return TemporalShape(index, (), tuple(record), tuple(row))

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Keep a version, or a record; of a stream that looks itself up, both."""
        node = node_of(step, TemporalLookup)
        both = node.left == node.changes
        if port == node.changes:
            self._change(g, step, frame, tail=tail and not both)
        if port == node.left:
            self._record(g, step, frame, tail=tail)

    def _change(self, g: Generator, step: PlannedStep, frame: Frame, *, tail: bool) -> None:
        node, shape, w = node_of(step, TemporalLookup), shape_of(g, step, TemporalShape), g.writer
        note = g.bind(f"t.operators[{shape.index}].note", "note")
        with unless(g, step, frame, behind(frame, frame.time, 0), tail=tail, ports=("late:table",)):
            key, inner = str(frame.key_code), frame
            if node.keys is not None:
                key, inner = table_key(g, step, node.keys, g.plan.step(node.right.step), frame)
            row = _tuple(inner.column(path)[0] for path in shape.row)
            if node.delete is not None:
                row = f"None if {g.value(node.delete, frame)[0]} is True else {row}"
            w.line(f"{note}(({key}, {frame.time}, {row}))")

    def _record(self, g: Generator, step: PlannedStep, frame: Frame, *, tail: bool) -> None:
        node, shape, w = node_of(step, TemporalLookup), shape_of(g, step, TemporalShape), g.writer
        keep = g.bind(f"t.operators[{shape.index}].keep", "keep")
        with unless(g, step, frame, behind(frame, frame.time, node.versions_ms), tail=tail):
            own = [code for code, _ in frame.key] or [frame.record_key()]
            asked = sought_key(g, step, node.on, frame)[1] if node.on is not None else []
            kept = _tuple([*own, *asked, *(frame.column(path)[0] for path in shape.record)])
            w.line(f"{keep}(({frame.time}, {kept}))")

    def row(self, g: Generator, step: PlannedStep, port: str) -> RowForm:
        """Return the form of a row: the event time, the record's columns, those that were found."""
        node, shape = node_of(step, TemporalLookup), shape_of(g, step, TemporalShape)
        key, optional = g.plan.keys[node.left], node.how.keeps(LEFT)
        sides: dict[Path, Value] = {
            (LEFT, name): (f"k{number}" if len(key) > 1 else "k", dtype) for number, (name, dtype) in enumerate(key)
        }
        for place, path in enumerate(shape.record, 1):
            sides[LEFT, *path] = (f"st[{place}]", type_at(g.plan.columns[node.left], path))
        for place, path in enumerate(shape.row, 1 + len(shape.record)):
            dtype = type_at(g.plan.columns[node.right], path)
            sides[RIGHT, *path] = (f"st[{place}]", dtype.optional() if optional else dtype)
        form = pair_form(g, step, node, sides)
        if key:
            return form
        metas = {**form.frame.metas, "key": ("(None if k is None else _key_text(k))", STR.optional())}
        return replace(form, frame=replace(form.frame, metas=metas))  # the key that the record came with, as bytes

    def delays(self, node: Any, before: int) -> Mapping[str, int]:
        """Return the delays: records leave when the watermark has passed them, late ones that still find versions."""
        return {"out": before + node.versions_ms, "late": before, "late:table": before}

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> TemporalKit:
        """Return the types of what is kept."""
        node, shape = node_of(step, TemporalLookup), shape_of(g, step, TemporalShape)
        key, sought = g.plan.keys[node.left], g.plan.keys[node.right] if node.on is not None else ()
        own = [python_type(dtype) for _, dtype in key] or [bytes]
        record = [python_type(type_at(g.plan.columns[node.left], path)) for path in shape.record]
        row = tuple(python_type(type_at(g.plan.columns[node.right], path)) for path in shape.row)
        types = (*own, *(python_type(dtype) for _, dtype in sought), *record)
        table_key = tuple(dtype for _, dtype in g.plan.keys[node.right])
        return TemporalKit(types, len(key), len(sought), row, table_key)

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> TemporalLogic:
        """Return the logic for one task."""
        return TemporalLogic(node_of(spec.step, TemporalLookup), spec.kit, view, emit, opened)

    def preview(self, spec: OperatorSpec, view: StateView, logic: Logic) -> None:
        """Return nothing: what is kept cannot fail."""


def _tuple(codes: Any) -> str:
    return f"({''.join(f'{code}, ' for code in codes)})"


__all__ = ["TemporalKind"]
