"""The rows of an aggregate: its key, its window and the type of every aggregate."""

from __future__ import annotations

from headrace.event.dtypes import ANY, FLOAT, INT, TIMESTAMP, DType, Kind, struct
from headrace.plan.resolution import Columns, Resolution
from headrace.topology.aggregates import Aggregate as AggregateSpec
from headrace.topology.expr import Column
from headrace.topology.nodes import Aggregate
from headrace.topology.operator import Port
from headrace.topology.typing import to_dtype
from headrace.topology.windows import Hopping, Session

NUMERIC = frozenset({Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.ANY})
_ORDERED = NUMERIC | {Kind.STR, Kind.TIMESTAMP, Kind.DATE, Kind.DURATION, Kind.BOOL}
_WINDOW: dict[str, DType] = {"window_start": TIMESTAMP, "window_end": TIMESTAMP}


def resolve_aggregate(known: Resolution, node: Aggregate) -> None:
    """Set the ports of an aggregate."""
    key = known.keys[node.input]
    _check_window(known, node)
    row = dict(key)
    if node.window is not None:
        _check_key(known, node, key)
        row |= _WINDOW
    if not node.aggregates:
        known.fault(node.id, "aggregates", "at least one aggregate", "none", "Add one, such as n=agg.count().")
    for name, spec in node.aggregates:
        if name in row:
            known.fault(node.id, name, "a new column name", f"{name!r}, which the row has", "Choose another name.")
        row[name] = _aggregate_type(known, node, name, spec)
    keyed = tuple(Column((name,)) for name, _ in key)
    for port in ("update", "close", *(f"every:{ms}" for ms in node.every_ms)):
        known.set(Port(node.id, port), struct(**row), key, keyed, direct=False)
    late = known.columns[node.input], key, known.keyed[node.input]
    known.set(Port(node.id, "late"), *late, direct=node.input in known.direct)


def _check_key(known: Resolution, node: Aggregate, key: Columns) -> None:
    for name, _ in key:
        if name in _WINDOW:
            got = f"{name!r}, which the window sets"
            known.fault(node.id, name, "a key without it", got, f"Group by it under another name: of={name!r}.")


def _check_window(known: Resolution, node: Aggregate) -> None:
    match node.window:
        case None:
            pass
        case Hopping(errors=errors) | Session(errors=errors) if errors:
            for error in errors:
                remedy = "Give text with a unit, or a timedelta."
                known.fault(node.id, f"window, {error.parameter}", error.expected, error.got, remedy)
        case Hopping(size, advance):
            if size <= 0 or advance <= 0 or advance > size:
                got = f"size {size} ms, advance {advance} ms"
                known.fault(node.id, "window", "0 < advance <= size", got, "Records between windows would be lost.")
        case Session(gap):
            if gap <= 0:
                known.fault(node.id, "window", "a gap above 0", f"{gap} ms", "Give the longest pause within a session.")


def _aggregate_type(known: Resolution, node: Aggregate, name: str, spec: AggregateSpec) -> DType:
    step = node.id
    types = [known.infer(step, name, arg, node.input) for arg in spec.args]
    first = types[0] if types else INT
    match spec.function:
        case "count":
            return INT
        case "collect_list" | "collect_set":
            if not isinstance(spec.limit, int) or spec.limit <= 0:
                known.fault(step, f"{name}.limit", "a limit above 0", repr(spec.limit), "Collections are bounded.")
            return DType(Kind.LIST, item=first.required())
        case "custom" | "reduce":
            return _custom_type(known, step, name, spec)
        case "sum" | "mean" | "variance" | "stddev":
            if first.kind not in NUMERIC:
                known.fault(step, name, "a number", f"{first}: {spec}", "Aggregate a numeric column, or cast.")
            return _numeric_result(spec.function, first).optional()
        case "arg_min" | "arg_max":
            _check_ordered(known, step, name, spec, types[1])
            return first.optional()
        case "min" | "max":
            _check_ordered(known, step, name, spec, first)
            return first.optional()
        case _:
            return first.optional()


def _custom_type(known: Resolution, step: str, name: str, spec: AggregateSpec) -> DType:
    if spec.custom is not None:
        # A reduce is given one function only.
        for part in ("add",) if spec.function == "reduce" else ("init", "add", "merge", "result"):
            function = getattr(spec.custom, part)
            if not callable(function):
                known.fault(step, f"{name}.{part}", "a function", repr(function), "Give the function itself.")
    try:
        return to_dtype(spec.returns if spec.returns is not None else ANY).optional()
    except TypeError as error:
        remedy = f"{str(error)[0].upper()}{str(error)[1:]}."
        known.fault(step, f"{name}.returns", "a value type", repr(spec.returns), remedy)
        return ANY


def _numeric_result(function: str, dtype: DType) -> DType:
    if function == "sum" or (function == "mean" and dtype.kind is Kind.DECIMAL):
        return dtype
    return FLOAT


def _check_ordered(known: Resolution, step: str, name: str, spec: AggregateSpec, dtype: DType) -> None:
    if dtype.kind not in _ORDERED:
        known.fault(step, name, "a value with an order", f"{dtype}: {spec}", "Compare a number, text or time.")
