"""Pairs in generated code: a record and a row, and the columns that are made of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from headrace.operators.frame import Frame, Value, column_path
from headrace.operators.kind import RowForm
from headrace.operators.rows import row_form
from headrace.plan.joins import PAIR, joined_columns
from headrace.plan.model import PlannedStep
from headrace.plan.projection import Path
from headrace.topology.joins import LEFT, RIGHT, Pairing
from headrace.topology.operator import Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator


def with_row(g: Generator, step: PlannedStep, node: Pairing, frame: Frame, row: Mapping[str, Value]) -> Frame:
    """Return the record at hand with the columns of a row: what ``select`` computes is written as lines."""
    columns: dict[Path, Value] = {(RIGHT, name): value for name, value in row.items()}
    schema = g.plan.columns[Port(step.id, PAIR)]
    pair = replace(frame, schema=schema, columns=columns, aliases={LEFT: ()}, origin=frame, raw=None)
    return _written(g, step, node, pair, needed=_needed(g, step))


def pair_form(g: Generator, step: PlannedStep, node: Pairing, sides: Mapping[Path, Value]) -> RowForm:
    """Return the form of rows that hold the columns of both sides; ``select`` is computed as a row leaves."""
    key = g.plan.keys[Port(step.id)]
    form = row_form(g.plan.columns[Port(step.id, PAIR)], key, sides, "st[0]")
    values, aliases, lines = _computed(g, node, form.frame, _needed(g, step))
    return RowForm(form.key, form.frame.computed(g.plan.columns[Port(step.id)], values, aliases), form.time, lines)


def joined_frame(g: Generator, step: PlannedStep, node: Pairing, frame: Frame, sides: Mapping[Path, Value]) -> Frame:
    """Return all columns of a joined row, made of those of both sides; ``frame`` has its key."""
    keys: dict[Path, Value] = {(name,): value for (name, _), value in zip(step.key, frame.key, strict=True)}
    pair = replace(
        frame, schema=g.plan.columns[Port(step.id, PAIR)], columns={**sides, **keys}, aliases={}, origin=None
    )
    return _written(g, step, node, pair, needed=None)


def _needed(g: Generator, step: PlannedStep) -> set[str]:
    return {path[0] for path in g.plan.required.get(Port(step.id), frozenset())}


def _written(g: Generator, step: PlannedStep, node: Pairing, pair: Frame, *, needed: set[str] | None) -> Frame:
    values, aliases, lines = _computed(g, node, pair, needed)
    for line in lines:
        g.writer.line(line)
    return pair.computed(step.columns, values, aliases)


def _computed(
    g: Generator, node: Pairing, pair: Frame, needed: set[str] | None
) -> tuple[dict[str, Value], dict[str, Path], tuple[str, ...]]:
    """Return computed columns, renamed ones, and the lines that compute: of those ``needed``, or of all."""
    values: dict[str, Value] = {}
    aliases: dict[str, Path] = {}
    lines = []
    schemas = g.plan.columns[node.left], g.plan.columns[node.right]
    for name, expr in joined_columns(node, schemas, (g.plan.keys[node.left], g.plan.keys[node.right])):
        path = column_path(expr)
        if path is not None:
            aliases[name] = path
        elif needed is None or name in needed:
            code, dtype = g.value(expr, pair)
            lines.append(f"{(local := g.writer.fresh('c'))} = {code}")
            values[name] = (local, dtype)
    return values, aliases, tuple(lines)


__all__ = ["joined_frame", "pair_form", "with_row"]
