"""The rows of an aggregate: its key, its window and the type of every aggregate."""

from __future__ import annotations

from difflib import get_close_matches

from headrace.event.dtypes import ANY, FLOAT, INT, TIMESTAMP, DType, Kind, struct
from headrace.plan.resolution import Columns, Resolution
from headrace.topology.aggregates import Aggregate as AggregateSpec
from headrace.topology.calendars import UNITS, WEEKDAYS, Calendar, find_zone
from headrace.topology.expr import Column
from headrace.topology.nodes import Aggregate
from headrace.topology.operator import ROWS, Port
from headrace.topology.typing import to_dtype
from headrace.topology.windows import Counted, Hopping, Session, Sliding

NUMERIC = frozenset({Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.ANY})
_ORDERED = NUMERIC | {Kind.STR, Kind.TIMESTAMP, Kind.DATE, Kind.DURATION, Kind.BOOL}
MOST = 1000
"""The longest ranking."""
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
    known.set(Port(node.id, ROWS), struct(**row), key, keyed, direct=False)
    late = known.columns[node.input], key, known.keyed[node.input]
    known.set(Port(node.id, "late"), *late, direct=node.input in known.direct)


def _check_key(known: Resolution, node: Aggregate, key: Columns) -> None:
    for name, _ in key:
        if name in _WINDOW:
            got = f"{name!r}, which the window sets"
            known.fault(node.id, name, "a key without it", got, f"Group by it under another name: of={name!r}.")


def _check_window(known: Resolution, node: Aggregate) -> None:
    errors = () if node.window is None or isinstance(node.window, Counted) else node.window.errors
    for error in errors:
        remedy = "Give text with a unit, or a timedelta."
        known.fault(node.id, f"window, {error.parameter}", error.expected, error.got, remedy)
    match node.window:
        case Calendar():
            _check_calendar(known, node.id, node.window)
        case Counted(size, every):
            if not (_whole(size) and _whole(every) and 0 < every <= size):
                got = f"size {size!r}, every {every!r}"
                known.fault(node.id, "window", "0 < every <= size", got, "Records between windows would be lost.")
        case _ if errors:
            pass
        case Hopping(size, advance):
            if size <= 0 or advance <= 0 or advance > size:
                got = f"size {size} ms, advance {advance} ms"
                known.fault(node.id, "window", "0 < advance <= size", got, "Records between windows would be lost.")
        case Session(gap):
            if gap <= 0:
                known.fault(node.id, "window", "a gap above 0", f"{gap} ms", "Give the longest pause within a session.")
        case Sliding(size):
            if size <= 0:
                known.fault(node.id, "window", "a size above 0", f"{size} ms", "Give how far a window reaches back.")


def _check_calendar(known: Resolution, step: str, window: Calendar) -> None:
    for parameter, value, choices in (("unit", window.unit, UNITS), ("week_starts", window.week_starts, WEEKDAYS)):
        if value not in choices:
            close = get_close_matches(value.lower(), choices, n=1)
            remedy = f"Did you mean {close[0]!r}?" if close else "Choose one of them."
            known.fault(step, f"window, {parameter}", " or ".join(map(repr, choices)), repr(value), remedy)
    if find_zone(window.tz) is None:
        expected = "the name of a time zone, such as 'Europe/Berlin'"
        known.fault(step, "window, tz", expected, repr(window.tz), "Take one from the IANA database.")


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
        case "count_distinct" | "quantiles" | "top_k" | "top":
            return _bounded_type(known, step, name, spec, types)
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


def _bounded_type(known: Resolution, step: str, name: str, spec: AggregateSpec, types: list[DType]) -> DType:
    """Return the type of an aggregate that keeps only some of the values."""
    first = types[0].required()
    if spec.function in {"top_k", "top"} and (not _whole(spec.limit) or not 0 < spec.limit <= MOST):  # type: ignore[operator]
        known.fault(step, f"{name}, how many", f"a number from 1 to {MOST}", repr(spec.limit), "Rankings are bounded.")
    if spec.function in {"count_distinct", "top_k"} and first.kind in {Kind.LIST, Kind.MAP, Kind.STRUCT}:
        known.fault(step, name, "a scalar", f"{first}: {spec}", "Take a nested field of it.")
    match spec.function:
        case "count_distinct":
            return INT
        case "top_k":
            return DType(Kind.LIST, item=struct(value=first, count=INT))
        case "top":
            _check_ordered(known, step, name, spec, types[1])
            return DType(Kind.LIST, item=struct(rank=INT, value=first, by=types[1].required()))
        case _:
            if first.kind not in NUMERIC:
                known.fault(step, name, "a number", f"{first}: {spec}", "Aggregate a numeric column, or cast.")
            given: tuple[object, ...] = spec.probabilities
            if not given or not all(isinstance(p, int | float) and 0 <= p <= 1 for p in given):
                remedy = "Give fractions: [0.5, 0.99]."
                known.fault(step, f"{name}.probabilities", "numbers from 0 to 1", repr(list(given)), remedy)
            return DType(Kind.LIST, item=FLOAT, nullable=True)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


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
