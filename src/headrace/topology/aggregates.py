"""Aggregates as data: which function over which expressions. ``agg`` is the namespace to use.

    >>> from headrace import agg, col
    >>> str(agg.sum(col.amount))
    'sum(col.amount)'

Nulls are left out of every aggregate, as in SQL; over no values the result is null
(count: 0, collections: empty).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from headrace.event.dtypes import DType
from headrace.topology.expr import Expr, lift
from headrace.topology.names import callable_name

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
    probabilities: tuple[float, ...] = ()

    def __str__(self) -> str:
        """Return the readable form."""
        parts = [str(a) for a in self.args]
        if self.limit is not None:
            parts.append(f"limit={self.limit}")
        if self.probabilities:
            parts.append(str(list(self.probabilities)))
        if self.custom is not None:
            parts.insert(0, callable_name(self.custom.add))
        return f"{self.function}({', '.join(parts)})"


class _Aggregates:
    """The aggregates of the language."""

    __slots__ = ()

    def count(self, value: object = None) -> Aggregate:
        """Count records, or the non-null values of an expression.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.count(), amount=[5, None]), aggregated(agg.count(col.amount), amount=[5, None])
        (2, 1)
        """
        return Aggregate("count", () if value is None else (lift(value),))

    def sum(self, value: object) -> Aggregate:
        """Sum. Exact for int and Decimal; floats are compensated (Neumaier), so that they do not drift.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.sum(col.amount), amount=[5, None, 7])
        12
        """
        return Aggregate("sum", (lift(value),))

    def min(self, value: object) -> Aggregate:
        """Return the smallest value.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.min(col.amount), amount=[5, 3, 7])
        3
        """
        return Aggregate("min", (lift(value),))

    def max(self, value: object) -> Aggregate:
        """Return the largest value.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.max(col.amount), amount=[5, 3, 7])
        7
        """
        return Aggregate("max", (lift(value),))

    def mean(self, value: object) -> Aggregate:
        """Return the arithmetic mean: a compensated sum divided by the count.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.mean(col.amount), amount=[5, None, 7])
        6.0
        """
        return Aggregate("mean", (lift(value),))

    def variance(self, value: object) -> Aggregate:
        """Return the sample variance (n - 1), by Welford's method; null for fewer than two values.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.variance(col.amount), amount=[5, 7])
        2.0
        """
        return Aggregate("variance", (lift(value),))

    def stddev(self, value: object) -> Aggregate:
        """Return the sample standard deviation, by Welford's method; null for fewer than two values.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.stddev(col.amount), amount=[3, 5, 7])
        2.0
        """
        return Aggregate("stddev", (lift(value),))

    def first(self, value: object) -> Aggregate:
        """Return the value with the lowest event time; the first to arrive among equals.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.first(col.city), time=col.at, city=["Delft", "Leiden"], at=[2_000, 1_000])
        'Leiden'
        """
        return Aggregate("first", (lift(value),))

    def last(self, value: object) -> Aggregate:
        """Return the value with the highest event time; the last to arrive among equals.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.last(col.city), time=col.at, city=["Delft", "Leiden"], at=[2_000, 1_000])
        'Delft'
        """
        return Aggregate("last", (lift(value),))

    def arg_min(self, value: object, by: object) -> Aggregate:
        """Return ``value`` where ``by`` is smallest; the first to arrive among equals.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.arg_min(col.sku, col.price), sku=["tea", "cup"], price=[9, 4])
        'cup'
        """
        return Aggregate("arg_min", (lift(value), lift(by)))

    def arg_max(self, value: object, by: object) -> Aggregate:
        """Return ``value`` where ``by`` is largest; the first to arrive among equals.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.arg_max(col.sku, col.price), sku=["tea", "cup"], price=[9, 4])
        'tea'
        """
        return Aggregate("arg_max", (lift(value), lift(by)))

    def collect_list(self, value: object, *, limit: int = DEFAULT_LIMIT) -> Aggregate:
        """Collect values in order of arrival; the first ``limit`` of them.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.collect_list(col.sku, limit=3), sku=["tea", "cup", "tea", "pot"])
        ['tea', 'cup', 'tea']
        """
        return Aggregate("collect_list", (lift(value),), limit=limit)

    def collect_set(self, value: object, *, limit: int = DEFAULT_LIMIT) -> Aggregate:
        """Collect distinct values in order of first arrival; the first ``limit`` of them.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.collect_set(col.sku, limit=3), sku=["tea", "cup", "tea", "pot"])
        ['tea', 'cup', 'pot']
        """
        return Aggregate("collect_set", (lift(value),), limit=limit)

    def count_distinct(self, value: object) -> Aggregate:
        """Count different values: exactly up to 1,000 of them, beyond that by a HyperLogLog sketch.

        Its standard error is 1.6 %: in 95 of 100 cases the count is wrong by less than 3.3 %. It takes 4 KB.
        Values are scalars; 1 and 1.0 are one value. Needs ``headrace[sketches]``.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.count_distinct(col.user), user=["ada", "bob", "ada"])
        2
        """
        return Aggregate("count_distinct", (lift(value),))

    def quantiles(self, value: object, probabilities: Iterable[float]) -> Aggregate:
        """Return quantiles as a list of floats: for 0.99 the lowest value that 99 % of all values do not exceed.

        Exact up to 1,000 values, beyond that by a KLL sketch: in 99 of 100 cases the rank of the result is wrong by
        less than 0.28 % of the number of values: 0.99 gives what lies between 0.9872 and 0.9928. It takes 24 KB.
        The sketch leaves out values at random: what is computed anew after a crash, or read on another machine, may
        differ within that bound. NaN is left out. Needs ``headrace[sketches]``.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.quantiles(col.amount, [0.5, 0.99]), amount=[4, 1, 3, 2])
        [2.0, 4.0]
        """
        given: object = probabilities  # whatever it is: it is checked with the rest
        return Aggregate("quantiles", (lift(value),), probabilities=tuple(given) if isinstance(given, Iterable) else ())

    def top_k(self, value: object, k: int) -> Aggregate:
        """Return the ``k`` most frequent values: a list of structs of ``value`` and ``count``, most frequent first.

        Exact up to 1,000 different values; beyond that by a sketch of frequent items, whose counts are never too low
        for a value that it names, and too high by at most 0.34 % of the number of all values. So every value that is
        more frequent than that is found. Among equals the first to arrive comes first while it is exact. Needs
        ``headrace[sketches]``.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.top_k(col.page, 1), page=["/", "/tea", "/tea"])
        [{'value': '/tea', 'count': 2}]
        """
        return Aggregate("top_k", (lift(value),), limit=k)

    def top(self, n: int, *, by: object, of: object) -> Aggregate:
        """Rank: the ``n`` highest values of ``by``, as a list of structs of ``rank``, ``value`` (of ``of``) and ``by``.

        Exact; the first to arrive comes first among equals (where sessions merge: those of the longer one). Records in
        which either is null, or ``by`` is NaN, are left out. For the lowest, negate: ``by=-col.amount``.

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.top(2, by=col.amount, of=col.id), id=["a", "b", "c"], amount=[3, 9, 5])
        [{'rank': 1, 'value': 'b', 'by': 9}, {'rank': 2, 'value': 'c', 'by': 5}]
        """
        return Aggregate("top", (lift(of), lift(by)), limit=n)

    def reduce(self, function: Callable[[Any, Any], Any], value: object, *, returns: DType | type) -> Aggregate:
        """Fold values with an associative Python function of (accumulated, value); the first value starts.

        >>> from math import gcd
        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> aggregated(agg.reduce(gcd, col.pieces, returns=int), pieces=[12, 18, 30])
        6
        """
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

        >>> from headrace import agg, col
        >>> from headrace.testing import aggregated
        >>> def add(state, price, pieces):
        ...     return state + price * pieces
        >>> total = agg.custom(
        ...     col.price, col.pieces, init=int, add=add, merge=lambda a, b: a + b, result=lambda s: s, returns=int
        ... )
        >>> aggregated(total, price=[3, 5], pieces=[2, 1])
        11
        """
        return Aggregate(
            "custom", tuple(lift(v) for v in values), custom=Custom(init, add, merge, result), returns=returns
        )


def _nothing() -> None:
    return None


def _same(state: object) -> object:
    return state


agg = _Aggregates()
