"""Stateless steps in generated code: filter, select, explode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.event.dtypes import ANY, Kind
from headrace.operators.frame import Frame, Value, column_path
from headrace.plan.model import PlannedStep
from headrace.plan.projection import Path
from headrace.topology.nodes import Explode, Filter, Select
from headrace.topology.operator import Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator


def emit_filter(g: Generator, node: Filter, frame: Frame, *, tail: bool) -> None:
    """Go on only where the condition is true. At the tail of the loop body ``continue`` saves a level."""
    code, dtype = g.value(node.condition, frame)
    exact = dtype.kind is Kind.BOOL and not dtype.nullable
    if tail:
        g.writer.line(f"if not {code}: continue" if exact else f"if {code} is not True: continue")
        g.children(Port(node.id), frame, tail=True)
    else:
        with g.writer.block(f"if {code}:" if exact else f"if {code} is True:"):
            g.children(Port(node.id), frame, tail=False)


def emit_select(g: Generator, step: PlannedStep, node: Select, frame: Frame, *, tail: bool) -> None:
    """Compute the columns that something behind this step reads; a renamed column costs nothing."""
    needed = {path[0] for path in g.plan.required.get(Port(step.id), frozenset())}
    values: dict[str, Value] = {}
    aliases: dict[str, Path] = {}
    for name, expr in node.columns:
        path = column_path(expr)
        if name not in needed:
            continue
        if path is not None:
            aliases[name] = path
        else:
            code, dtype = g.value(expr, frame)
            local = g.writer.fresh("c")
            g.writer.line(f"{local} = {code}")
            values[name] = (local, dtype)
    g.children(Port(step.id), frame.computed(step.columns, values, aliases), tail=tail)


def emit_explode(g: Generator, step: PlannedStep, node: Explode, frame: Frame) -> None:
    """Loop over the elements of a list; null counts as empty. One that fails does not take the rest with it."""
    code, dtype = g.value(node.items, frame)
    local = g.writer.fresh("i")
    items = code if not dtype.nullable else f"({code} or ())"
    with g.writer.block(f"for {local} in {items}:"), g.guarded():
        item = dtype.item if dtype.item is not None else ANY
        inner = frame.computed(step.columns, {node.name: (local, item)}, {})
        g.children(Port(step.id), inner, tail=True)
