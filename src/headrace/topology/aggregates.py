"""Aggregates as data: which function over which expressions. ``agg`` is the namespace to use.

    >>> from headrace import agg, col
    >>> str(agg.sum(col.amount))
    'sum(col.amount)'

Nulls are left out of every aggregate, as in SQL; over no values the result is null
(count: 0, collections: empty).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headrace.event.dtypes import DType
from headrace.topology.expr import Expr, callable_name, lift

DEFAULT_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Custom:
    """The functions of a custom aggregate. All must be pure; the state must be plain data.

    Plain data: None, bool, int, float, str, bytes, and lists, tuples and str-keyed dicts of these.
    """

    init: Callable[[], Any]
    add: Callable[..., Any]
    merge: Callable[[Any, Any], Any]
    result: Callable[[Any], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate:
    """One aggregate: a function's name, its arguments and its options."""

    function: str
    args: tuple[Expr, ...] = ()
    limit: int | None = None
    custom: Custom | None = None
    returns: DType | type | None = None

    def __str__(self) -> str:
        """Return the readable form."""
        parts = [str(a) for a in self.args]
        if self.limit is not None:
            parts.append(f"limit={self.limit}")
        if self.custom is not None:
            parts.insert(0, callable_name(self.custom.add))
        return f"{self.function}({', '.join(parts)})"


class _Aggregates:
    """The aggregates of the language."""

    __slots__ = ()

    def count(self, value: object = None) -> Aggregate:
        """Count records, or the non-null values of an expression."""
        return Aggregate("count", () if value is None else (lift(value),))

    def sum(self, value: object) -> Aggregate:
        """Sum. Exact for int and Decimal; floats are compensated (Neumaier), so that they do not drift."""
        return Aggregate("sum", (lift(value),))

    def min(self, value: object) -> Aggregate:
        """Return the smallest value."""
        return Aggregate("min", (lift(value),))

    def max(self, value: object) -> Aggregate:
        """Return the largest value."""
        return Aggregate("max", (lift(value),))

    def mean(self, value: object) -> Aggregate:
        """Return the arithmetic mean: a compensated sum divided by the count."""
        return Aggregate("mean", (lift(value),))

    def variance(self, value: object) -> Aggregate:
        """Return the sample variance (n - 1), by Welford's method; null for fewer than two values."""
        return Aggregate("variance", (lift(value),))

    def stddev(self, value: object) -> Aggregate:
        """Return the sample standard deviation, by Welford's method; null for fewer than two values."""
        return Aggregate("stddev", (lift(value),))

    def first(self, value: object) -> Aggregate:
        """Return the value with the lowest event time; the first to arrive among equals."""
        return Aggregate("first", (lift(value),))

    def last(self, value: object) -> Aggregate:
        """Return the value with the highest event time; the last to arrive among equals."""
        return Aggregate("last", (lift(value),))

    def arg_min(self, value: object, by: object) -> Aggregate:
        """Return ``value`` where ``by`` is smallest; the first to arrive among equals."""
        return Aggregate("arg_min", (lift(value), lift(by)))

    def arg_max(self, value: object, by: object) -> Aggregate:
        """Return ``value`` where ``by`` is largest; the first to arrive among equals."""
        return Aggregate("arg_max", (lift(value), lift(by)))

    def collect_list(self, value: object, *, limit: int = DEFAULT_LIMIT) -> Aggregate:
        """Collect values in order of arrival; the first ``limit`` of them."""
        return Aggregate("collect_list", (lift(value),), limit=limit)

    def collect_set(self, value: object, *, limit: int = DEFAULT_LIMIT) -> Aggregate:
        """Collect distinct values in order of first arrival; the first ``limit`` of them."""
        return Aggregate("collect_set", (lift(value),), limit=limit)

    def reduce(self, function: Callable[[Any, Any], Any], value: object, *, returns: DType | type) -> Aggregate:
        """Fold values with an associative Python function of (accumulated, value); the first value starts."""
        custom = Custom(_nothing, function, function, _same)
        return Aggregate("reduce", (lift(value),), custom=custom, returns=returns)

    def custom(
        self,
        *values: object,
        init: Callable[[], Any],
        add: Callable[..., Any],
        merge: Callable[[Any, Any], Any],
        result: Callable[[Any], Any],
        returns: DType | type,
    ) -> Aggregate:
        """Aggregate with Python functions: ``add(state, *values)`` per record, ``result(state)`` at the end.

        Records in which any of the values is null are left out. The state must be plain data.
        """
        return Aggregate(
            "custom", tuple(lift(v) for v in values), custom=Custom(init, add, merge, result), returns=returns
        )


def _nothing() -> None:
    return None


def _same(state: object) -> object:
    return state


agg = _Aggregates()
