"""Aggregates by their definitions: over the whole list of what came in, in order of arrival."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from headrace.topology.aggregates import Aggregate


@dataclass(frozen=True)
class Entry:
    """One record's arguments of one aggregate, with its event time."""

    time_ms: int
    args: tuple[Any, ...]


def result(spec: Aggregate, entries: list[Entry]) -> Any:
    """Return the aggregate over entries in order of arrival."""
    if spec.function == "count":
        return sum(1 for e in entries if not e.args or e.args[0] is not None)
    kept = [e for e in entries if all(a is not None for a in e.args)]
    values = [e.args[0] for e in kept]
    if spec.function == "collect_list":
        return values[: spec.limit]
    if spec.function == "collect_set":
        distinct: list[Any] = []
        for value in values:
            if value not in distinct:
                distinct.append(value)
        return distinct[: spec.limit]
    if spec.function == "count_distinct":
        return sum(1 for place, value in enumerate(values) if value not in values[:place])
    if spec.function == "top_k":
        different = [value for place, value in enumerate(values) if value not in values[:place]]
        ranked = sorted(different, key=values.count, reverse=True)
        return [{"value": value, "count": values.count(value)} for value in ranked[: spec.limit]]
    if spec.function == "top":
        best = sorted(kept, key=lambda e: e.args[1], reverse=True)[: spec.limit]
        return [{"rank": rank, "value": e.args[0], "by": e.args[1]} for rank, e in enumerate(best, 1)]
    if spec.function == "custom":
        state = spec.custom.init()
        for entry in kept:
            state = spec.custom.add(state, *entry.args)
        return spec.custom.result(state)
    if not kept:
        return None
    return _nonempty(spec, kept, values)


def _nonempty(spec: Aggregate, kept: list[Entry], values: list[Any]) -> Any:  # noqa: PLR0911 - one definition a case
    match spec.function:
        case "sum":
            return _total(values)
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "mean":
            return _mean(values)
        case "variance":
            return _variance(values)
        case "stddev":
            variance = _variance(values)
            return None if variance is None else math.sqrt(variance)
        case "first":
            lowest = min(e.time_ms for e in kept)
            return next(e.args[0] for e in kept if e.time_ms == lowest)
        case "last":
            highest = max(e.time_ms for e in kept)
            return next(e.args[0] for e in reversed(kept) if e.time_ms == highest)
        case "arg_min":
            least = min(e.args[1] for e in kept)
            return next(e.args[0] for e in kept if e.args[1] == least)
        case "arg_max":
            most = max(e.args[1] for e in kept)
            return next(e.args[0] for e in kept if e.args[1] == most)
        case "quantiles":
            return [
                0.0 + float(min(v for v in values if sum(w <= v for w in values) >= p * len(values)))
                for p in spec.probabilities
            ]
        case "reduce":
            accumulated = values[0]
            for value in values[1:]:
                accumulated = spec.custom.add(accumulated, value)
            return accumulated
    raise NotImplementedError(spec.function)


def _total(values: list[Any]) -> Any:
    if isinstance(values[0], float) and not all(map(math.isfinite, values)):
        return sum(values)
    return math.fsum(values) if isinstance(values[0], float) else sum(values[1:], start=values[0])


def _mean(values: list[Any]) -> Any:
    if isinstance(values[0], Decimal):
        return sum(values[1:], start=values[0]) / len(values)
    if not all(map(math.isfinite, values)):
        return sum(values) / len(values)
    return float(sum(map(Fraction, values)) / len(values))


def _variance(values: list[Any]) -> float | None:
    if len(values) < 2:
        return None
    if not all(map(math.isfinite, values)):
        return math.nan
    try:
        return float(statistics.variance([Fraction(v) for v in values]))
    except OverflowError:  # larger than any float
        return math.inf
