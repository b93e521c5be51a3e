"""Lookups of the row that is there: the record goes on in the loop that it came in by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from headrace.operators.agent import OperatorSpec
from headrace.operators.frame import Frame
from headrace.operators.kind import RowForm, Shape
from headrace.operators.logic import Emit, Logic
from headrace.operators.lookups.keys import sought_key
from headrace.operators.lookups.pairs import with_row
from headrace.operators.lookups.reading import read_row
from headrace.operators.rows import listed_form
from headrace.operators.stateless import Stateless
from headrace.operators.view import StateView
from headrace.plan.model import PlannedStep
from headrace.topology.joins import LEFT
from headrace.topology.lookups import Lookup
from headrace.topology.operator import Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator


class LookupKind:
    """A record finds a row, or nothing happens; of a left join it goes on with nulls."""

    def prepare(self, g: Generator, step: PlannedStep, index: int) -> Shape:
        """Lay out nothing: there is no state."""
        return Shape(index, ())

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Go on with the record and the row of its key."""
        if not isinstance(step.node, Lookup):
            raise TypeError(step.id)
        node, w, table = step.node, g.writer, g.plan.step(step.node.right.step)
        key, parts, nullable = sought_key(g, step, node.on, frame)
        row = read_row(g, table, key, parts, nullable=nullable)
        optional = node.how.keeps(LEFT)
        columns = {name: (code, t.optional() if optional else t) for name, (code, t) in row.columns.items()}
        if optional:
            w.line(row.or_nulls(g))
        elif tail:
            w.line(f"if {row.code} is None: continue")
        with nullcontext() if optional or tail else w.block(f"if {row.code} is not None:"):
            g.children(Port(step.id), with_row(g, step, node, frame, columns), tail=tail)

    def row(self, g: Generator, step: PlannedStep, port: str) -> RowForm:
        """Return the form of rows: there are none."""
        return listed_form(g, step, port)

    def delays(self, node: Any, before: int) -> Mapping[str, int]:
        """Return the delays: records pass as they come in."""
        return {"out": before}

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> None:
        """Return nothing."""

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> Stateless:
        """Return the logic for one task."""
        return Stateless()

    def preview(self, spec: OperatorSpec, view: StateView, logic: Logic) -> None:
        """Return nothing."""


__all__ = ["LookupKind"]
