"""Joins of tables by reference in generated code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headrace.operators.agent import OperatorSpec
from headrace.operators.frame import Frame, Value
from headrace.operators.kind import RowForm, Shape, node_of
from headrace.operators.latest import TableKind
from headrace.operators.logic import Emit, Logic
from headrace.operators.lookups.keys import sought_key
from headrace.operators.lookups.pairs import joined_frame
from headrace.operators.lookups.reading import read_row
from headrace.operators.lookups.references_logic import (
    MatchesLogic,
    ReferenceJoinLogic,
    ReferenceKit,
    ReferencesLogic,
)
from headrace.operators.rows import listed_form
from headrace.operators.slots import python_type
from headrace.operators.view import StateView
from headrace.plan.model import PlannedStep
from headrace.plan.projection import Path
from headrace.topology.joins import LEFT, RIGHT
from headrace.topology.operator import Port
from headrace.topology.table_references import GONE, Matches, ReferenceJoin, References, ref_name, side_name

if TYPE_CHECKING:
    from headrace.operators.generator import Generator


class _MessageKind:
    """Steps that send messages at the cut."""

    def prepare(self, g: Generator, step: PlannedStep, index: int) -> Shape:
        """Lay out nothing: the logic knows its states."""
        return Shape(index, ())

    def row(self, g: Generator, step: PlannedStep, port: str) -> RowForm:
        """Return the form of a message."""
        return listed_form(g, step, port)

    def delays(self, node: Any, before: int) -> Mapping[str, int]:
        """Return the delays: messages say what is so now."""
        return {"out": before, "alone": before}

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> ReferenceKit:
        """Return the types of what messages hold."""
        if not isinstance(step.node, References | Matches):
            raise TypeError(step.id)
        return reference_kit(g, step.node.join)

    def preview(self, spec: OperatorSpec, view: StateView, logic: Logic) -> None:
        """Return nothing."""


def reference_kit(g: Generator, join: ReferenceJoin) -> ReferenceKit:
    """Return the types of what the messages of a join hold."""
    key, ref = ([dtype for _, dtype in g.plan.keys[port]] for port in (join.left, join.right))
    one, two = (join.carried(s, g.plan.columns[port]) for s, port in ((LEFT, join.left), (RIGHT, join.right)))
    key_types, ref_types, left = (tuple(map(python_type, found)) for found in (key, ref, [t for _, t in one]))
    return ReferenceKit(tuple(key), key_types, tuple(ref), ref_types, left, len(two), join.how.keeps(LEFT))


class ReferencesKind(_MessageKind):
    """A change of a left row: what it refers to now, and its columns."""

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Note the row of the key as it is now."""
        node, w = node_of(step, References), g.writer
        table = g.plan.step(node.input.step)
        changed = g.bind(f"t.operators[{g.operators[step.id].index}].changed", "note")
        row = read_row(g, table, str(frame.key_code), [code for code, _ in frame.key])
        with w.block(f"if {row.code} is None:"):
            w.line(f"{changed}(({frame.key_code}, {frame.time}, None, None))")
            if tail:
                w.line("continue")
        with nullcontext() if tail else w.block("else:"):
            columns: dict[Path, Value] = {(name,): value for name, value in row.columns.items()}
            inner = replace(frame, schema=table.columns, columns=columns, aliases={}, origin=None)
            ref, _, _ = sought_key(g, step, node.join.on, inner)
            carried = node.join.carried(LEFT, g.plan.columns[node.join.left])
            kept = "".join(f"{row.columns[name][0]}, " for name, _ in carried)
            w.line(f"{changed}(({frame.key_code}, {row.time[0]}, {ref}, ({kept})))")

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> ReferencesLogic:
        """Return the logic for one task."""
        return ReferencesLogic(spec.kit, view, emit)


class MatchesKind(_MessageKind):
    """A message, or a change of the right table: either is noted with the right row."""

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Note the right row as it is now, with the message if there is one."""
        node = node_of(step, Matches)
        join, table = node.join, g.plan.step(node.table.step)
        noted = g.bind(f"t.operators[{g.operators[step.id].index}].noted", "note")
        row = read_row(g, table, str(frame.key_code), [code for code, _ in frame.key])
        carried = join.carried(RIGHT, g.plan.columns[join.right])
        found = "".join(f"{code}, " for code, _ in (row.time, *(row.columns[name] for name, _ in carried)))
        message = "None"
        if port != node.table:
            own = [name for name, _ in g.plan.keys[join.left]]
            columns = [side_name(LEFT, name) for name, _ in join.carried(LEFT, g.plan.columns[join.left])]
            parts = [f"({''.join(f'{frame.column((name,))[0]}, ' for name in names)})" for names in (own, columns)]
            message = f"({frame.time}, {frame.column((GONE,))[0]}, {', '.join(parts)})"
        g.writer.line(f"{noted}(({frame.key_code}, {message}, None if {row.code} is None else ({found})))")

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> MatchesLogic:
        """Return the logic for one task."""
        return MatchesLogic(spec.kit, view, emit)


class ReferenceJoinKind(TableKind):
    """A message that came back: the row that it makes, or that its reference is over."""

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Make the row, and take it."""
        node, w = node_of(step, ReferenceJoin), g.writer
        take = g.bind(f"t.operators[{g.operators[step.id].index}].take", "take")
        there = {name for name, _ in g.plan.columns[port].fields}
        refs = [frame.column((ref_name(number),))[0] for number in range(len(node.on))]
        ref = refs[0] if len(refs) == 1 else f"({', '.join(refs)})"
        with w.block(f"if {frame.column((GONE,))[0]}:"):
            w.line(f"{take}({frame.key_code}, {ref}, None)")
            if tail:
                w.line("continue")
        with nullcontext() if tail else w.block("else:"):
            sides: dict[Path, Value] = {}
            for side, own in ((LEFT, node.left), (RIGHT, node.right)):
                for name, dtype in node.carried(side, g.plan.columns[own]):
                    message = side_name(side, name)
                    code = frame.column((message,))[0] if message in there else "None"
                    optional = side == RIGHT and node.how.keeps(LEFT)
                    sides[side, name] = (code, dtype.optional() if optional else dtype)
            out = joined_frame(g, step, node, frame, sides)
            state = ", ".join((frame.time, *(out.column((name,))[0] for name, _ in step.columns.fields)))
            w.line(f"{take}({frame.key_code}, {ref}, [{state}])")

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> Any:
        """Return the types of what messages hold."""
        if not isinstance(step.node, ReferenceJoin):
            raise TypeError(step.id)
        return reference_kit(g, step.node)

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> ReferenceJoinLogic:
        """Return the logic for one task."""
        return ReferenceJoinLogic(spec.kit, view, emit)


__all__ = ["MatchesKind", "ReferenceJoinKind", "ReferencesKind"]
