"""Code of the aggregates: each keeps its state in slots of one flat list per key and window.

``init`` is the code of an empty state, ``prepare`` and ``update`` add a value, ``merge`` joins the
slots of ``b`` into those of ``a`` (sessions that grow together), ``result`` reads.

A record that fails must leave no trace. So what may fail, because it calls a user's function or
because values of that type may refuse to be added or compared, is in ``prepare``: it only reads the
state, and runs for all aggregates of the step, and all windows of the record, before any ``update``.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite, sqrt
from typing import Any

from headrace.errors import InternalError
from headrace.event.dtypes import ANY, DType, Kind
from headrace.operators.calls import returned
from headrace.operators.codec import plain
from headrace.operators.collecting import collect_list, collect_set, sketched, top
from headrace.operators.slot import SlotCode, number, python_type
from headrace.topology.aggregates import Aggregate
from headrace.topology.typing import to_dtype


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
    names.update(_add_null=add_null, _number=number)
    init, types = ("None",), (python_type(dtypes[0]),)
    merge, result = (f"a[{at}] = _add_null(a[{at}], b[{at}])",), f"st[{at}]"
    if dtypes[0].kind is Kind.INT:
        return SlotCode(init, types, (f"st[{at}] = a0 if st[{at}] is None else st[{at}] + a0",), merge, result)
    # Decimals overflow, and two infinities may have no sum; anything else may be no number at all
    value = "a0" if dtypes[0].kind is Kind.DECIMAL else "_number(a0)"
    prepare = (f"u{at} = _number(a0) if st[{at}] is None else st[{at}] + {value}",)
    return SlotCode(init, types, (f"st[{at}] = u{at}",), merge, result, prepare, f"u{at}")


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
        test, prepare, prepared = _test(dtypes[0], at, "a0", sign, at)
        return SlotCode(
            ("None",),
            (python_type(dtypes[0]),),
            (f"if {test}: st[{at}] = a0",),
            (f"if b[{at}] is not None and (a[{at}] is None or b[{at}] {sign} a[{at}]): a[{at}] = b[{at}]",),
            f"st[{at}]",
            prepare,
            prepared,
        )

    return build


def _mean(spec: Aggregate, dtypes: tuple[DType, ...], at: int, names: dict[str, object]) -> SlotCode:
    names["_mean"] = mean
    total = _sum(spec, dtypes, at + 1, names)
    return SlotCode(
        ("0", *total.init),
        (int, *total.types),
        (f"st[{at}] += 1", *total.update),
        (f"a[{at}] += b[{at}]", *total.merge),
        f"_mean({total.result}, st[{at}])",
        total.prepare,
        total.prepared,
    )


def _spread(*, root: bool) -> Callable[..., SlotCode]:
    def build(_spec: Aggregate, dtypes: tuple[DType, ...], at: int, names: dict[str, object]) -> SlotCode:
        names.update(_merge_spread=merge_spread, _sqrt=sqrt, _number=number)
        n, mean, m2 = f"st[{at}]", f"st[{at + 1}]", f"st[{at + 2}]"
        # a whole number may be larger than any float
        value = {Kind.FLOAT: "a0", Kind.ANY: "float(_number(a0))"}.get(dtypes[0].kind, "float(a0)")
        prepare = () if value == "a0" else (f"u{at} = {value}",)
        x = f"u{at}" if prepare else "a0"
        update = (
            f"n = {n} + 1",
            f"d = {x} - {mean}",
            f"mean = {mean} + d / n",
            f"st[{at}], st[{at + 1}], st[{at + 2}] = n, mean, {m2} + d * ({x} - mean)",
        )
        merge = (f"a[{at}:{at + 3}] = _merge_spread(a[{at}:{at + 3}], b[{at}:{at + 3}])",)
        value = f"{m2} / ({n} - 1)"
        result = f"({f'_sqrt({value})' if root else value} if {n} > 1 else None)"
        prepared = f"u{at}" if prepare else ""
        return SlotCode(("0", "0.0", "0.0"), (int, float, float), update, merge, result, prepare, prepared)

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
        test, prepare, prepared = _test(dtypes[1], at, "a1", sign, at + 1)
        return SlotCode(
            ("None", "None"),
            (python_type(dtypes[0]), python_type(dtypes[1])),
            (f"if {test}: st[{at}], st[{at + 1}] = a0, a1",),
            (
                f"if b[{at + 1}] is not None and (a[{at + 1}] is None or b[{at + 1}] {sign} a[{at + 1}]):"
                f" a[{at}], a[{at + 1}] = b[{at}], b[{at + 1}]",
            ),
            f"st[{at}]",
            prepare,
            prepared,
        )

    return build


def _test(dtype: DType, at: int, value: str, sign: str, best: int) -> tuple[str, tuple[str, ...], str]:
    """Return the code that tells whether a value is better than the best one, and what prepares it."""
    if dtype.kind not in {Kind.DECIMAL, Kind.ANY}:
        return f"(m := st[{best}]) is None or {value} {sign} m", (), ""
    # NaN does not compare, nor do 1 and "a"; the first value is compared with itself, lest it spoil the state
    line = f"u{at} = {value} {sign} ({value} if (m := st[{best}]) is None else m) or m is None"
    return f"u{at}", (line,), f"u{at}"


def _functions(spec: Aggregate, names: dict[str, object]) -> str:
    """Bind the functions of a custom aggregate; return the prefix of their names."""
    if spec.custom is None:
        msg = f"{spec.function}: no functions"
        raise InternalError(msg)
    returns = to_dtype(spec.returns if spec.returns is not None else ANY)
    prefix = f"_u{len(names)}"
    for part in ("init", "add", "merge", "result"):
        names[f"{prefix}_{part}"] = getattr(spec.custom, part)
    if spec.function == "reduce":
        names[f"{prefix}_add"] = returned(spec.custom.add, returns)
        names[f"{prefix}_merge"] = returned(spec.custom.merge, returns)
    else:
        for part in ("init", "add", "merge"):
            names[f"{prefix}_{part}"] = plain(getattr(spec.custom, part))
        names[f"{prefix}_result"] = returned(spec.custom.result, returns.optional())
    return prefix


def _custom(spec: Aggregate, _dtypes: tuple[DType, ...], at: int, names: dict[str, object]) -> SlotCode:
    prefix = _functions(spec, names)
    args = "".join(f", a{n}" for n in range(len(spec.args)))
    return SlotCode(
        (f"{prefix}_init()",),
        (Any,),
        (f"st[{at}] = u{at}",),
        (f"a[{at}] = {prefix}_merge(a[{at}], b[{at}])",),
        f"{prefix}_result(st[{at}])",
        (f"u{at} = {prefix}_add(st[{at}]{args})",),
        f"u{at}",
    )


def _reduce(spec: Aggregate, dtypes: tuple[DType, ...], at: int, names: dict[str, object]) -> SlotCode:
    prefix, returns = _functions(spec, names), to_dtype(spec.returns if spec.returns is not None else ANY)
    merged = f"{prefix}_merge(a[{at}], b[{at}])"
    return SlotCode(
        ("None",),
        # the first value begins as it is
        (python_type(returns) if returns.kind is dtypes[0].kind else Any,),
        (f"st[{at}] = u{at}",),
        (f"a[{at}] = b[{at}] if a[{at}] is None else a[{at}] if b[{at}] is None else {merged}",),
        f"st[{at}]",
        (f"u{at} = a0 if st[{at}] is None else {prefix}_add(st[{at}], a0)",),
        f"u{at}",
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
    "collect_list": collect_list,
    "collect_set": collect_set,
    "count_distinct": sketched,
    "quantiles": sketched,
    "top_k": sketched,
    "top": top,
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


def mean(total: Any, n: int) -> Any:
    """Return a mean; infinite where it is larger than any float, null over nothing."""
    if not n:
        return None
    try:
        return total / n
    except OverflowError:
        return inf if total > 0 else -inf


__all__ = ["SlotCode", "python_type", "slot_code"]
