"""Tables that every task has, and joins of tables: both keep one row per key, as other tables do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from headrace.operators.frame import Frame, Value
from headrace.operators.kind import node_of
from headrace.operators.latest import TableKind
from headrace.operators.lookups.keys import table_key
from headrace.operators.lookups.pairs import joined_frame
from headrace.operators.lookups.reading import Row, read_row
from headrace.plan.model import PlannedStep
from headrace.plan.projection import Path
from headrace.topology.joins import LEFT, RIGHT
from headrace.topology.lookups import GlobalTable, TableJoin
from headrace.topology.operator import Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator


class GlobalTableKind(TableKind):
    """A table whose key is computed of each record: by a broadcast it comes in without one."""

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Set the row of the record's key, or remove it."""
        node = node_of(step, GlobalTable)
        key, inner = table_key(g, step, node.keys, step, frame)
        hot = g.bind(f"t.operators[{g.operators[step.id].index}].hot", "hot")
        state = f"[{', '.join((frame.time, *(inner.column((name,))[0] for name, _ in step.columns.fields)))}]"
        if node.delete is not None:
            state = f"None if {g.value(node.delete, frame)[0]} is True else {state}"
        g.writer.line(f"{hot}[{key}] = {state}")


class TableJoinKind(TableKind):
    """A change of either table makes the row of its key anew, or removes it."""

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> bool:
        """Return that rows are read: a key that has none is not removed."""
        return True

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Read both tables' rows of a key, and set the row that they make."""
        node, w = node_of(step, TableJoin), g.writer
        operator = g.bind(f"t.operators[{g.operators[step.id].index}]", "join")
        parts = [code for code, _ in frame.key]
        rows = {
            side: read_row(g, g.plan.step(own.step), str(frame.key_code), parts)
            for side, own in ((LEFT, node.left), (RIGHT, node.right))
        }
        if node.left == node.right:
            rows[RIGHT] = rows[LEFT]
        one, two = rows[LEFT], rows[RIGHT]
        missing = {
            (False, False): f"{one.code} is None or {two.code} is None",
            (True, False): f"{one.code} is None",
            (False, True): f"{two.code} is None",
            (True, True): f"{one.code} is None and {two.code} is None",
        }[node.how.keeps(LEFT), node.how.keeps(RIGHT)]
        with w.block(f"if {missing}:"):
            w.line(f"{operator}.remove({frame.key_code})")
            if tail:
                w.line("continue")
        with nullcontext() if tail else w.block("else:"):
            sides = _sides(g, node, rows)
            out = joined_frame(g, step, node, frame, sides)
            time = f"max({one.time[0]}, {two.time[0]})"
            state = f"[{', '.join((time, *(out.column((name,))[0] for name, _ in step.columns.fields)))}]"
            w.line(f"{operator}.hot[{frame.key_code}] = {state}")


def _sides(g: Generator, node: TableJoin, rows: dict[str, Row]) -> dict[Path, Value]:
    """Return the columns of both sides; nulls stand for a row that is not there."""
    found: dict[Path, Value] = {}
    for side, other in ((LEFT, RIGHT), (RIGHT, LEFT)):
        optional = node.how.keeps(other)
        if optional:
            g.writer.line(rows[side].or_nulls(g))
        for name, (code, dtype) in rows[side].columns.items():
            found[side, name] = (code, dtype.optional() if optional else dtype)
    return found


__all__ = ["GlobalTableKind", "TableJoinKind"]
