"""Code of the aggregates: each keeps its state in slots of one flat list per key and window.

``Slot.init`` is the code of an empty state, ``update`` adds a value, ``merge`` joins the
slots of ``b`` into those of ``a`` (sessions that grow together), ``result`` reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from math import isfinite, sqrt
from typing import Any

from headrace.errors import InternalError
from headrace.event.dtypes import DType, Kind
from headrace.topology.aggregates import Aggregate

PYTHON_TYPES: dict[Kind, Any] = {
    Kind.INT: int,
    Kind.FLOAT: float,
    Kind.DECIMAL: Decimal,
    Kind.STR: str,
    Kind.BOOL: bool,
    Kind.BYTES: bytes,
    Kind.TIMESTAMP: datetime,
    Kind.DATE: date,
    Kind.DURATION: timedelta,
}


@dataclass(frozen=True, slots=True)
class SlotCode:
    """The code of one aggregate at its slots. Lines of ``update`` see the state as ``st``.

    ``types`` are the Python types of the slots in the store; ``None`` in any slot is allowed.
    """

    init: tuple[str, ...]
    types: tuple[Any, ...]
    update: tuple[str, ...]
    merge: tuple[str, ...]
    result: str


def python_type(dtype: DType) -> Any:
    """Return the Python type by which a stored value is decoded."""
    if dtype.kind is Kind.LIST and dtype.item is not None:
        return list[python_type(dtype.item) | None]  # type: ignore[misc]
    if dtype.kind is Kind.MAP and dtype.item is not None:
        return dict[str, python_type(dtype.item) | None]  # type: ignore[misc]
    return PYTHON_TYPES.get(dtype.kind, Any)


def slot_code(spec: Aggregate, dtypes: tuple[DType, ...], at: int, names: dict[str, object]) -> SlotCode:
    """Return the code of an aggregate whose first slot is ``st[at]``.

    The arguments are in the locals ``a0``, ``a1`` and not None when ``update`` runs.
    """
    build = _BUILDERS.get(spec.function)
    if build is None:
        msg = f"no code for aggregate {spec.function!r}"
        raise InternalError(msg)
    return build(spec, dtypes, at, names)


def _count(_spec: Aggregate, _dtypes: tuple[DType, ...], at: int, _names: dict[str, object]) -> SlotCode:
    return SlotCode(("0",), (int,), (f"st[{at}] += 1",), (f"a[{at}] += b[{at}]",), f"st[{at}]")


def _sum(spec: Aggregate, dtypes: tuple[DType, ...], at: int, names: dict[str, object]) -> SlotCode:
    if dtypes[0].kind is Kind.FLOAT:
        return _float_sum(at, names)
    return _exact_sum(spec, dtypes, at, names)


def _exact_sum(_spec: Aggregate, dtypes: tuple[DType, ...], at: int, names: dict[str, object]) -> SlotCode:
    names["_add_null"] = add_null
    kind = python_type(dtypes[0])
    return SlotCode(
        ("None",),
        (kind,),
        (f"st[{at}] = a0 if st[{at}] is None else st[{at}] + a0",),
        (f"a[{at}] = _add_null(a[{at}], b[{at}])",),
        f"st[{at}]",
    )


def _float_sum(at: int, names: dict[str, object]) -> SlotCode:
    # Two sums: the running one and the error of each addition (Knuth's TwoSum, which needs no branch)
    names["_float_total"] = float_total
    update = (
        f"s = st[{at}]",
        "if s is None:",
        f" st[{at}] = a0 + 0.0",
        f" st[{at + 1}] = 0.0",
        "else:",
        " y = s + a0",
        " z = y - s",
        f" st[{at}] = y",
        f" st[{at + 1}] += (s - (y - z)) + (a0 - z)",
    )
    merge = (
        f"if b[{at}] is not None:",
        f" if a[{at}] is None:",
        f"  a[{at}], a[{at + 1}] = b[{at}], b[{at + 1}]",
        " else:",
        f"  s, x = a[{at}], b[{at}]",
        "  y = s + x",
        "  z = y - s",
        f"  a[{at}] = y",
        f"  a[{at + 1}] += b[{at + 1}] + ((s - (y - z)) + (x - z))",
    )
    return SlotCode(("None", "None"), (float, float), update, merge, f"_float_total(st[{at}], st[{at + 1}])")


def _extreme(sign: str) -> Callable[..., SlotCode]:
    def build(_spec: Aggregate, dtypes: tuple[DType, ...], at: int, _names: dict[str, object]) -> SlotCode:
        return SlotCode(
            ("None",),
            (python_type(dtypes[0]),),
            (f"if (m := st[{at}]) is None or a0 {sign} m: st[{at}] = a0",),
            (f"if b[{at}] is not None and (a[{at}] is None or b[{at}] {sign} a[{at}]): a[{at}] = b[{at}]",),
            f"st[{at}]",
        )

    return build


def _mean(spec: Aggregate, dtypes: tuple[DType, ...], at: int, names: dict[str, object]) -> SlotCode:
    total = _sum(spec, dtypes, at + 1, names)
    return SlotCode(
        ("0", *total.init),
        (int, *total.types),
        (f"st[{at}] += 1", *total.update),
        (f"a[{at}] += b[{at}]", *total.merge),
        f"(({total.result}) / st[{at}] if st[{at}] else None)",
    )


def _spread(*, root: bool) -> Callable[..., SlotCode]:
    def build(_spec: Aggregate, _dtypes: tuple[DType, ...], at: int, names: dict[str, object]) -> SlotCode:
        names.update(_merge_spread=merge_spread, _sqrt=sqrt)
        n, mean, m2 = f"st[{at}]", f"st[{at + 1}]", f"st[{at + 2}]"
        update = (
            "x = float(a0)",
            f"n = {n} + 1",
            f"d = x - {mean}",
            f"mean = {mean} + d / n",
            f"st[{at}], st[{at + 1}], st[{at + 2}] = n, mean, {m2} + d * (x - mean)",
        )
        merge = (f"a[{at}:{at + 3}] = _merge_spread(a[{at}:{at + 3}], b[{at}:{at + 3}])",)
        value = f"{m2} / ({n} - 1)"
        result = f"({f'_sqrt({value})' if root else value} if {n} > 1 else None)"
        return SlotCode(("0", "0.0", "0.0"), (int, float, float), update, merge, result)

    return build


def _by_time(sign: str) -> Callable[..., SlotCode]:
    def build(_spec: Aggregate, dtypes: tuple[DType, ...], at: int, _names: dict[str, object]) -> SlotCode:
        strict = sign.rstrip("=")
        return SlotCode(
            ("None", "None"),
            (python_type(dtypes[0]), int),
            (f"if (m := st[{at + 1}]) is None or ts {sign} m: st[{at}], st[{at + 1}] = a0, ts",),
            (
                f"if b[{at + 1}] is not None and (a[{at + 1}] is None or b[{at + 1}] {strict} a[{at + 1}]):"
                f" a[{at}], a[{at + 1}] = b[{at}], b[{at + 1}]",
            ),
            f"st[{at}]",
        )

    return build


def _arg(sign: str) -> Callable[..., SlotCode]:
    def build(_spec: Aggregate, dtypes: tuple[DType, ...], at: int, _names: dict[str, object]) -> SlotCode:
        return SlotCode(
            ("None", "None"),
            (python_type(dtypes[0]), python_type(dtypes[1])),
            (f"if (m := st[{at + 1}]) is None or a1 {sign} m: st[{at}], st[{at + 1}] = a0, a1",),
            (
                f"if b[{at + 1}] is not None and (a[{at + 1}] is None or b[{at + 1}] {sign} a[{at + 1}]):"
                f" a[{at}], a[{at + 1}] = b[{at}], b[{at + 1}]",
            ),
            f"st[{at}]",
        )

    return build


def _collect_list(spec: Aggregate, dtypes: tuple[DType, ...], at: int, _names: dict[str, object]) -> SlotCode:
    return SlotCode(
        ("[]",),
        (list[python_type(dtypes[0])],),  # type: ignore[misc]
        (f"if len(st[{at}]) < {spec.limit}: st[{at}].append(a0)",),
        (f"a[{at}] = (a[{at}] + b[{at}])[:{spec.limit}]",),
        f"list(st[{at}])",
    )


def _collect_set(spec: Aggregate, dtypes: tuple[DType, ...], at: int, names: dict[str, object]) -> SlotCode:
    names["_merge_sets"] = merge_sets
    return SlotCode(
        ("[]",),
        (list[python_type(dtypes[0])],),  # type: ignore[misc]
        (f"if a0 not in st[{at}] and len(st[{at}]) < {spec.limit}: st[{at}].append(a0)",),
        (f"a[{at}] = _merge_sets(a[{at}], b[{at}], {spec.limit})",),
        f"list(st[{at}])",
    )


def _custom(spec: Aggregate, _dtypes: tuple[DType, ...], at: int, names: dict[str, object]) -> SlotCode:
    if spec.custom is None:
        msg = f"{spec.function}: no functions"
        raise InternalError(msg)
    prefix = f"_u{len(names)}"
    for part in ("init", "add", "merge", "result"):
        names[f"{prefix}_{part}"] = getattr(spec.custom, part)
    args = "".join(f", a{n}" for n in range(len(spec.args)))
    return SlotCode(
        (f"{prefix}_init()",),
        (Any,),
        (f"st[{at}] = {prefix}_add(st[{at}]{args})",),
        (f"a[{at}] = {prefix}_merge(a[{at}], b[{at}])",),
        f"{prefix}_result(st[{at}])",
    )


def _reduce(spec: Aggregate, dtypes: tuple[DType, ...], at: int, names: dict[str, object]) -> SlotCode:
    code = _custom(spec, dtypes, at, names)
    add = code.update[0].split(" = ", 1)[1]
    merge = code.merge[0].split(" = ", 1)[1]
    return SlotCode(
        ("None",),
        (python_type(dtypes[0]),),
        (f"st[{at}] = a0 if st[{at}] is None else {add}",),
        (f"a[{at}] = b[{at}] if a[{at}] is None else a[{at}] if b[{at}] is None else {merge}",),
        f"st[{at}]",
    )


_BUILDERS: dict[str, Callable[..., SlotCode]] = {
    "count": _count,
    "sum": _sum,
    "min": _extreme("<"),
    "max": _extreme(">"),
    "mean": _mean,
    "variance": _spread(root=False),
    "stddev": _spread(root=True),
    "first": _by_time("<"),
    "last": _by_time(">="),
    "arg_min": _arg("<"),
    "arg_max": _arg(">"),
    "collect_list": _collect_list,
    "collect_set": _collect_set,
    "custom": _custom,
    "reduce": _reduce,
}


def add_null(a: Any, b: Any) -> Any:
    """Add two values of which either may be None."""
    if a is None or b is None:
        return b if a is None else a
    return a + b


def float_total(total: float | None, error: float | None) -> float | None:
    """Return a compensated sum; an infinite one has no meaningful error."""
    if total is None or error is None:
        return None
    return total + error if isfinite(error) else total


def merge_spread(a: list[Any], b: list[Any]) -> list[Any]:
    """Join two (count, mean, sum of squared deviations), after Chan et al. 1979."""
    n = a[0] + b[0]
    if not n:
        return a
    d = b[1] - a[1]
    return [n, a[1] + d * b[0] / n, a[2] + b[2] + d * d * a[0] * b[0] / n]


def merge_sets(a: list[Any], b: list[Any], limit: int) -> list[Any]:
    """Join two bounded lists of distinct values, in order."""
    return (a + [x for x in b if x not in a])[:limit]
