"""The ports of a step that finds a pattern, and the types of what its conditions see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from headrace.event.dtypes import ANY, FLOAT, INT, TIMESTAMP, DType, Kind, struct
from headrace.plan.resolution import Resolution, extended
from headrace.plan.rows import NUMERIC
from headrace.topology.detect import MADE, Detect, Part
from headrace.topology.expr import Column, Expr
from headrace.topology.matching import Matched, Reading, Reference
from headrace.topology.operator import Port
from headrace.topology.trees import metas

SEEN = "seen"
"""Not a port that can be read: the columns that conditions see, those of the event at hand and references."""

_ORDERED = NUMERIC | {Kind.STR, Kind.TIMESTAMP, Kind.DATE, Kind.DURATION, Kind.BOOL}


def resolve_detect(known: Resolution, node: Detect) -> None:
    """Set the ports: rows of key and emitted columns, and late records as they came in."""
    columns, key = known.columns[node.input], () if node.whole else known.keys[node.input]
    _check_conditions(known, node, columns)
    keyed = None if node.whole else tuple(Column((name,)) for name, _ in key)
    for port in MADE:
        row = dict(key)
        for name, dtype in _emitted(known, node, port, columns):
            if name in row:
                remedy = "Choose another name; the key is always there."
                known.fault(node.id, f"emit, {name}", "a new column name", f"{name!r} again", remedy)
            row[name] = dtype
        known.set(Port(node.id, "out" if port == "out" else port), struct(**row), key, keyed, direct=False)
    late = known.columns[node.input], known.keys[node.input], known.keyed[node.input]
    known.set(Port(node.id, "late"), *late, direct=node.input in known.direct)


def _check_conditions(known: Resolution, node: Detect, columns: DType) -> None:
    place = Port(node.id, SEEN)
    known.set(place, _seen(known, node, node.conditions(), columns, complete=False), (), None, direct=False)
    for part in node.steps():
        for name, expr in (("where", part.where), ("until", part.until)):
            if expr is not None:
                parameter = f"pattern, {part.step}, {name}"
                known.boolean(node.id, parameter, expr, place)
                if "key" in metas(expr):
                    remedy = "Compare the column of the key itself."
                    known.fault(node.id, parameter, "columns, references or meta.time", "meta.key", remedy)


def _emitted(known: Resolution, node: Detect, port: str, columns: DType) -> list[tuple[str, DType]]:
    if node.emit is None:
        return [("started", TIMESTAMP), ("ended", TIMESTAMP)]
    key = struct(**dict(() if node.whole else known.keys[node.input]))
    place = Port(node.id, f"{SEEN} by {port}")
    complete = port == "out"
    known.set(place, _seen(known, node, node.emitted(), columns, complete=complete, own=key), (), None, direct=False)
    found = []
    for name, expr in node.emit:
        found.append((name, known.infer(node.id, f"emit, {name}", expr, place)))
        if metas(expr):
            got = ", ".join(f"meta.{meta}" for meta in sorted(metas(expr)))
            known.fault(node.id, f"emit, {name}", "references and key columns", got, "Use matched.start, matched.end.")
    return found


def _seen(  # noqa: PLR0913 - what is seen depends on all of it
    known: Resolution, node: Detect, exprs: Iterable[Expr], columns: DType, *, complete: bool, own: DType | None = None
) -> DType:
    """Return the columns of a record at hand, by default that of the input, with one more for each reference."""
    certain = set(_certain(node.parts)) if complete else set()
    types: dict[str, DType] = {}
    for reference, _ in Matched.references(exprs):
        if reference.name not in types:
            types[reference.name] = _type_of(known, node, reference, columns, sure=reference.step in certain)
    return extended(columns if own is None else own, types)


def _certain(parts: tuple[Part, ...]) -> Iterable[str]:
    """Yield the steps that have taken an event in every match."""
    for part in parts:
        if not part.optional and not part.contiguity.negative:
            yield from _certain(part.group) if part.group else (part.step,)


def _type_of(known: Resolution, node: Detect, reference: Reference, columns: DType, *, sure: bool) -> DType:
    match reference.reading:
        case Reading.COUNT:
            return INT
        case Reading.START | Reading.END:
            return TIMESTAMP
        case Reading.ALL:
            return DType(Kind.LIST, item=columns)
        case Reading.FIRST | Reading.LAST:
            return columns if sure else columns.optional()
        case Reading.SUM | Reading.MIN | Reading.MAX:
            return _folded(known, node, reference, sure=sure)


def _folded(known: Resolution, node: Detect, reference: Reference, *, sure: bool) -> DType:
    if reference.argument is None:
        return ANY
    dtype = replace(known.infer(node.id, str(reference), reference.argument, node.input), choices=())
    if metas(reference.argument):
        known.fault(node.id, str(reference), "columns of one event", str(reference.argument), "Leave meta out.")
    if reference.reading is Reading.SUM:
        if dtype.kind not in NUMERIC:
            known.fault(node.id, str(reference), "a number", str(dtype), "Sum a numeric column, or cast.")
            return FLOAT
        return dtype.required()
    if dtype.kind not in _ORDERED:
        known.fault(node.id, str(reference), "a value with an order", str(dtype), "Compare a number, text or time.")
    return dtype if sure else dtype.optional()


__all__ = ["SEEN", "resolve_detect"]
