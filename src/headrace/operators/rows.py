"""Rows that leave a stateful step: (key, state) pairs, and the loops over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from headrace.event.dtypes import STR, TIMESTAMP, DType
from headrace.operators.frame import Frame, Value
from headrace.operators.keys import key_text
from headrace.operators.kind import RowForm
from headrace.plan.model import KeyColumns, PlannedStep
from headrace.plan.projection import Path
from headrace.time.instants import from_ms
from headrace.topology.operator import Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator


def row_form(schema: DType, key: KeyColumns, columns: Mapping[Path, Value], time: str) -> RowForm:
    """Return the form of rows with these columns, beside those of the key."""
    locals_ = [f"k{n}" for n in range(len(key))] if len(key) > 1 else ["k"]
    pairs: list[Value] = [(code, dtype) for code, (_, dtype) in zip(locals_, key, strict=False)]
    found = dict(columns) | {(name,): pair for (name, _), pair in zip(key, pairs, strict=True)}
    nothing: Value = ("None", STR.optional())
    metas = {"time": ("_from_ms(ts)", TIMESTAMP), "key": ("_key_text(k)", STR)}
    metas |= dict.fromkeys(("topic", "partition", "offset"), nothing)
    frame = Frame(schema, found, "ts", ("wm", 0), "wm", key=tuple(pairs), key_code="k", metas=metas)
    return RowForm(locals_, frame, time)


def listed_form(g: Generator, step: PlannedStep, port: str) -> RowForm:
    """Return the form of rows whose state is [event time in ms, column, column, ...], in the order of the schema."""
    place = Port(step.id, port)
    schema, key = g.plan.columns[place], g.plan.keys[place]
    columns: dict[Path, Value] = {(name,): (f"st[{n}]", dtype) for n, (name, dtype) in enumerate(schema.fields, 1)}
    return row_form(schema, key, columns, "st[0]")


def rows_head(g: Generator, step: PlannedStep, port: str, form: RowForm, name: str) -> None:
    """Generate the loop over (key, state) that a stateful step emits on a port."""
    w = g.writer
    g.names.update(_from_ms=from_ms, _key_text=key_text)
    g.failure = f"t.fail_row(e, {step.id!r}, k, ts, {{}})"
    with w.block(f"def {name}(t, items, start, end, wm):"):
        prologue = w.mark()
        with w.block("for k, st in items:"), g.guarded():
            w.line(f"ts = {form.time}")
            if len(form.key) > 1:
                w.line(f"{', '.join(form.key)} = k")
            for line in form.lines:
                w.line(line)
            g.children(Port(step.id, port), form.frame, tail=True)
    w.fill(prologue, g.prologue)


def row_function(g: Generator, step: PlannedStep, form: RowForm) -> str:
    """Generate ``row(k, st, start, end)``: the row as a dict, for queries."""
    name = f"row_{len(g.writer.steps)}"
    with g.writer.step(step.id), g.writer.block(f"def {name}(k, st, start, end):"):
        if len(form.key) > 1:
            g.writer.line(f"{', '.join(form.key)} = k")
        items = ", ".join(f"{column!r}: {form.frame.column((column,))[0]}" for column, _ in step.columns.fields)
        g.writer.line(f"return {{{items}}}")
    return name
