"""Code of the aggregates that keep values, or sketches of them."""

from __future__ import annotations

from headrace.event.dtypes import DType, Kind
from headrace.operators.distinct import SCANNED, add_distinct, hashed, merge_sets
from headrace.operators.slot import SlotCode, number, python_type
from headrace.operators.tops import insert, merge_tops, place_of, ranked
from headrace.topology.aggregates import Aggregate


def collect_list(spec: Aggregate, dtypes: tuple[DType, ...], at: int, _names: dict[str, object]) -> SlotCode:
    """Keep the first values."""
    return SlotCode(
        ("[]",),
        (list[python_type(dtypes[0])],),  # type: ignore[misc]
        (f"if len(st[{at}]) < {spec.limit}: st[{at}].append(a0)",),
        (f"a[{at}] = (a[{at}] + b[{at}])[:{spec.limit}]",),
        f"list(st[{at}])",
    )


def collect_set(spec: Aggregate, dtypes: tuple[DType, ...], at: int, names: dict[str, object]) -> SlotCode:
    """Keep the first different values."""
    names.update(_merge_sets=merge_sets, _add_distinct=add_distinct, _hashed=hashed)
    scalar = dtypes[0].kind not in {Kind.LIST, Kind.MAP, Kind.STRUCT, Kind.ANY, Kind.DECIMAL}
    mark = "a0" if scalar else f"u{at}"
    return SlotCode(
        ("[]",),
        (list[python_type(dtypes[0])],),  # type: ignore[misc]
        (
            f"if len(m := st[{at}]) >= {SCANNED}: st[{at}] = _add_distinct(m, a0, {mark}, {spec.limit})",
            f"elif a0 not in m and len(m) < {spec.limit}: m.append(a0)",
        ),
        (f"a[{at}] = _merge_sets(a[{at}], b[{at}], {spec.limit})",),
        f"list(st[{at}])",
        () if scalar else (f"u{at} = _hashed(a0)",),
        "" if scalar else mark,
    )


def top(spec: Aggregate, dtypes: tuple[DType, ...], at: int, names: dict[str, object]) -> SlotCode:
    """Keep the best rows."""
    names.update(_place_of=place_of, _insert_top=insert, _merge_tops=merge_tops, _ranked=ranked)
    place = f"_place_of(st[{at}], a1, {spec.limit})"
    # NaN of a Decimal may not be compared, nor 1 and "a"
    fails = dtypes[1].kind in {Kind.DECIMAL, Kind.ANY}
    return SlotCode(
        ("[]", "[]"),
        (list[python_type(dtypes[1])], list[python_type(dtypes[0])]),  # type: ignore[misc]
        (f"_insert_top(st[{at}], st[{at + 1}], {f'u{at}' if fails else place}, (a1, a0), {spec.limit})",),
        (f"a[{at}], a[{at + 1}] = _merge_tops(a[{at}], a[{at + 1}], b[{at}], b[{at + 1}], {spec.limit})",),
        f"_ranked(st[{at}], st[{at + 1}])",
        (f"u{at} = {place}",) if fails else (),
        f"u{at}" if fails else "",
    )


def sketched(spec: Aggregate, dtypes: tuple[DType, ...], at: int, names: dict[str, object]) -> SlotCode:
    """Keep a sketch."""
    from headrace.operators import sketches  # noqa: PLC0415 - only these need datasketches

    kind, options = {
        "count_distinct": (sketches.Uniques, ""),
        "quantiles": (sketches.Ranks, f", {list(spec.probabilities)!r}"),
        "top_k": (sketches.Frequencies, f", {spec.limit}"),
    }[spec.function]
    name = f"_{kind.__name__}"
    names.update({name: kind, "_scalar": sketches.scalar, "_number": number})
    value, known = "a0", dtypes[0].kind
    if spec.function == "quantiles" and known is not Kind.FLOAT:
        value = "float(_number(a0))"  # a whole number may be larger than any float, what is of any type no number
    elif spec.function != "quantiles" and known in {Kind.ANY, Kind.DECIMAL}:
        value = "_scalar(a0)"
    fails = value != "a0"
    return SlotCode(
        ("None",),
        (bytes,),
        (
            f"if (m := st[{at}]).__class__ is not {name}: m = st[{at}] = {name}.load(m)",
            f"m.add({f'u{at}' if fails else value})",
        ),
        (f"a[{at}] = {name}.merged(a[{at}], b[{at}])",),
        f"{name}.result(st[{at}]{options})",
        (f"u{at} = {value}",) if fails else (),
        f"u{at}" if fails else "",
    )
