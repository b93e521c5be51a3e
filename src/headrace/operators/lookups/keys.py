"""Keys in generated code: the one that a record looks up, and the one that a record sets in a table."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from headrace.operators.frame import Frame, Value
from headrace.operators.keys import canonical_decimal, checks, no_key
from headrace.plan.model import PlannedStep
from headrace.topology.expr import Expr
from headrace.topology.joins import Selected

if TYPE_CHECKING:
    from headrace.operators.generator import Generator


def sought_key(
    g: Generator, step: PlannedStep, on: tuple[Expr, ...] | None, frame: Frame
) -> tuple[str, list[str], bool]:
    """Return the code of the key to look up, that of its columns, and whether it may be None: then there is no row.

    ``on`` None: the record's own key.
    """
    if on is None:
        return str(frame.key_code), [code for code, _ in frame.key], False
    w, parts, optional = g.writer, [], []
    g.names.update(_no_key=no_key, _canonical=canonical_decimal)
    for number, expr in enumerate(on, 1):
        code, dtype = g.value(expr, frame)
        w.line(f"{(local := w.fresh('k_'))} = {code}")
        lines = checks(dtype, local, f"raise _no_key({step.id!r}, 'on {number}', 'NaN')")
        with w.block(f"if {local} is not None:") if dtype.nullable and lines else nullcontext():
            for line in lines:
                w.line(line)
        parts.append(local)
        optional += [local] if dtype.nullable else []
    if len(parts) == 1:
        return parts[0], parts, bool(optional)
    missing = " or ".join(f"{local} is None" for local in optional)
    whole = f"({', '.join(parts)})"
    w.line(f"{(key := w.fresh('k_'))} = {f'None if {missing} else {whole}' if missing else whole}")
    return key, parts, bool(optional)


def table_key(g: Generator, step: PlannedStep, keys: Selected, table: PlannedStep, frame: Frame) -> tuple[str, Frame]:
    """Return the code of the key that a record sets in a table, and the record with the columns of that key."""
    w = g.writer
    g.names.update(_no_key=no_key, _canonical=canonical_decimal)
    values: dict[str, Value] = {}
    for (name, expr), (_, dtype) in zip(keys, table.key, strict=True):
        code, found = g.value(expr, frame)
        w.line(f"{(local := w.fresh('k_'))} = {code}")
        if found.nullable:
            w.line(f"if {local} is None: raise _no_key({step.id!r}, {name!r}, 'null')")
        for line in checks(found, local, f"raise _no_key({step.id!r}, {name!r}, 'NaN')"):
            w.line(line)
        values[name] = (local, dtype)
    codes = [code for code, _ in values.values()]
    key = codes[0] if len(codes) == 1 else f"({', '.join(codes)})"
    return key, frame.computed(table.columns, values, {})


__all__ = ["sought_key", "table_key"]
