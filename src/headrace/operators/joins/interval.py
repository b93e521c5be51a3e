"""Interval joins in generated code: what is kept of a record, and how a row is made of two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.event.dtypes import DType
from headrace.operators.agent import OperatorSpec
from headrace.operators.frame import Frame, Value, column_path, type_at
from headrace.operators.joins.interval_logic import IntervalJoinLogic, JoinKit
from headrace.operators.kind import RowForm, Shape, node_of, shape_of
from headrace.operators.late import behind, unless
from headrace.operators.logic import Emit, Logic
from headrace.operators.rows import row_form
from headrace.operators.slots import python_type
from headrace.operators.view import StateView
from headrace.plan.joins import PAIR, joined_columns
from headrace.plan.model import PlannedStep
from headrace.plan.projection import Path, minimal
from headrace.topology.joins import LEFT, RIGHT, IntervalJoin
from headrace.topology.operator import Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator


@dataclass(frozen=True, slots=True)
class JoinShape(Shape):
    """What is kept of the records of each side, beside their key and time."""

    paths: Mapping[str, tuple[Path, ...]]


class IntervalJoinKind:
    """A record is kept by its key and time; a row is (event time, left record, right record)."""

    def prepare(self, g: Generator, step: PlannedStep, index: int) -> JoinShape:
        """Find what is kept."""
        node = node_of(step, IntervalJoin)
        return JoinShape(index, (), {side: _kept(g, node, side) for side in (LEFT, RIGHT)})

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Put a record that is not late to those that wait to be joined: of both sides, if these are one stream."""
        node, shape = node_of(step, IntervalJoin), shape_of(g, step, JoinShape)
        sides = [side for side, own in ((LEFT, node.left), (RIGHT, node.right)) if own == port]
        late = [f"late:{side}" for side in sides]
        operator = g.bind(f"t.operators[{shape.index}]", "join")
        w = g.writer
        with unless(g, step, frame, behind(frame, frame.time, node.grace_ms), tail=tail, ports=late):
            # everything that can fail is computed before the first append
            records = []
            for side in sides:
                record = w.fresh("rec")
                columns = "".join(f", {frame.column(path)[0]}" for path in shape.paths[side])
                w.line(f"{record} = ({frame.key_code}, ({frame.time},{columns.removeprefix(',')}))")
                records.append(record)
            for side, record in zip(sides, records, strict=True):
                w.line(f"{g.bind(f't.operators[{shape.index}].{side}.rows.append', 'keep')}({record})")
                if node.how.keeps(side):
                    due = f"{frame.time} + {node.reach_ms(side) + 1}"
                    with w.block(f"if {due} < {operator}.next_ms:"):
                        w.line(f"{operator}.plan({due})")
                        if g.refire is not None:
                            w.line(g.refire)

    def row(self, g: Generator, step: PlannedStep, port: str) -> RowForm:
        """Return the form of a row: ``select`` is computed as the row leaves."""
        node, shape = node_of(step, IntervalJoin), shape_of(g, step, JoinShape)
        schema = g.plan.columns[Port(step.id)]
        schemas = g.plan.columns[node.left], g.plan.columns[node.right]
        keys = g.plan.keys[node.left], g.plan.keys[node.right]
        pair = row_form(g.plan.columns[Port(step.id, PAIR)], step.key, _sides(g, node, shape), "st[0]")
        needed = {path[0] for path in g.plan.required.get(Port(step.id), frozenset())}
        values: dict[str, Value] = {}
        aliases: dict[str, Path] = {}
        lines = []
        for name, expr in joined_columns(node, schemas, keys):
            path = column_path(expr)
            if path is not None:
                aliases[name] = path
            elif name in needed:
                code, dtype = g.value(expr, pair.frame)
                lines.append(f"{(local := g.writer.fresh('c'))} = {code}")
                values[name] = (local, dtype)
        return RowForm(pair.key, pair.frame.computed(schema, values, aliases), pair.time, tuple(lines))

    def delays(self, node: Any, before: int) -> Mapping[str, int]:
        """Return the delays: what has no partner is returned when its window closes."""
        return {"out": before + node.behind_ms} | {f"late:{side}": before for side in (LEFT, RIGHT)}

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> JoinKit:
        """Return the types of what is kept."""
        node, shape = node_of(step, IntervalJoin), shape_of(g, step, JoinShape)
        return JoinKit(_types(g.plan.columns[node.left], shape, LEFT), _types(g.plan.columns[node.right], shape, RIGHT))

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> IntervalJoinLogic:
        """Return the logic for one task."""
        return IntervalJoinLogic(node_of(spec.step, IntervalJoin), spec.kit, view, emit, opened)

    def preview(self, spec: OperatorSpec, view: StateView, logic: Logic) -> None:
        """Return nothing: keeping a record cannot fail."""


def _port(node: IntervalJoin, side: str) -> Port:
    return node.left if side == LEFT else node.right


def _kept(g: Generator, node: IntervalJoin, side: str) -> tuple[Path, ...]:
    """Return the paths that are kept of a side: the key is kept anyway."""
    port = _port(node, side)
    keys = {name for name, _ in g.plan.keys[port]}
    return tuple(sorted(p for p in minimal(node.paths(side, g.plan.columns[port])) if p[0] not in keys))


def _types(schema: DType, shape: JoinShape, side: str) -> tuple[Any, ...]:
    return (int, *(python_type(type_at(schema, path)) for path in shape.paths[side]))


def _sides(g: Generator, node: IntervalJoin, shape: JoinShape) -> dict[Path, Value]:
    """Return where the columns of both sides lie in a row."""
    found: dict[Path, Value] = {}
    for place, side, other in ((1, LEFT, RIGHT), (2, RIGHT, LEFT)):
        port, optional = _port(node, side), node.how.keeps(other)
        schema, key = g.plan.columns[port], g.plan.keys[port]
        for number, path in enumerate(shape.paths[side], 1):
            dtype = type_at(schema, path)
            found[side, *path] = (f"st[{place}][{number}]", dtype.optional() if optional else dtype)
        for number, (name, dtype) in enumerate(key):
            code = f"k{number}" if len(key) > 1 else "k"
            if optional:
                code, dtype = f"(None if st[{place}][0] is None else {code})", dtype.optional()  # noqa: PLW2901
            found[side, name] = (code, dtype)
    return found


__all__ = ["IntervalJoinKind"]
