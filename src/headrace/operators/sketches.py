"""Aggregates of bounded size over any number of values: exact for a few, then the sketches of Apache DataSketches.

A state in memory is an object; in the store it is its bytes, and it becomes an object again when it is next added to.
Values go into sketches under names: equal values have one name, in any process.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any, Generic, TypeVar

from headrace.errors import DataError
from headrace.event.faults import show
from headrace.operators.codec import pack, unpack
from headrace.operators.dumped import Dumped
from headrace.operators.keys import canonical_decimal

try:
    from datasketches import (
        HLL_8,
        frequent_items_error_type,
        frequent_strings_sketch,
        hll_sketch,
        hll_union,
        kll_doubles_sketch,
    )
except ImportError as error:
    msg = "count_distinct, quantiles and top_k need datasketches: pip install 'headrace[sketches]'"
    raise ImportError(msg) from error

EXACT = 1000
"""So many different values, or for quantiles values, are kept as they are."""

LG_REGISTERS = 12  # of the HLL: 4,096, a standard error of 1.04 / sqrt(4096) = 1.6 %
KLL_K = 1000  # a rank is wrong by 0.28 % at most in 99 of 100 cases
LG_COUNTERS = 10  # 1,024: a count is too high by 3.5 / 1024 = 0.34 % of all values at most

_INT64 = 1 << 63
_NAN = float("nan")  # one object for all: a dict finds it by identity
_ANY_COUNT = frequent_items_error_type.NO_FALSE_NEGATIVES

_S = TypeVar("_S")


class Sketched(Dumped, Generic[_S]):
    """A state: ``exact`` as long as it is small, ``sketch`` from then on."""

    __slots__ = ("exact", "sketch")

    def __init__(self) -> None:
        """Begin with no values."""
        self.exact: Any = self._empty()
        self.sketch: _S | None = None

    @staticmethod
    def _empty() -> Any:
        return {}

    def _spill(self) -> _S:
        """Move what is exact into a sketch."""
        raise NotImplementedError

    def dump(self) -> bytes:
        """Return it as bytes: what is exact, or the sketch."""
        if self.sketch is None:
            return b"\0" + pack(list(self._items()))
        serialize = getattr(self.sketch, "serialize_compact", None) or self.sketch.serialize  # type: ignore[attr-defined]
        return b"\1" + bytes(serialize())

    def _items(self) -> Any:
        return self.exact


class Uniques(Sketched[hll_sketch]):
    """Different values: a dict in order of arrival, then a HyperLogLog."""

    __slots__ = ()

    def add(self, value: Any) -> None:
        """Add a scalar."""
        if self.sketch is not None:
            self.sketch.update(named(value))
            return
        self.exact[value if value == value else _NAN] = None  # noqa: PLR0124 - NaN does not equal itself
        if len(self.exact) > EXACT:
            self._spill()

    def _spill(self) -> hll_sketch:
        made = hll_sketch(LG_REGISTERS, HLL_8)
        for value in self.exact:
            made.update(named(value))
        self.sketch, self.exact = made, {}
        return made

    @staticmethod
    def load(data: bytes | Uniques | None) -> Uniques:
        """Return the object of a slot."""
        if isinstance(data, Uniques):
            return data
        made = Uniques()
        if data is not None and data[0]:
            made.sketch = hll_sketch.deserialize(data[1:])
        elif data is not None:
            made.exact = dict.fromkeys(_one_nan(value) for value in unpack(data[1:]))
        return made

    @staticmethod
    def merged(a: bytes | Uniques | None, b: bytes | Uniques | None) -> Uniques:
        """Return both in one; neither is changed."""
        one, other, made = Uniques.load(a), Uniques.load(b), Uniques()
        if one.sketch is None and other.sketch is None:
            made.exact = one.exact | other.exact
            if len(made.exact) > EXACT:
                made._spill()
        elif one.sketch is not None and other.sketch is not None:
            union = hll_union(LG_REGISTERS)
            union.update(one.sketch)
            union.update(other.sketch)
            made.sketch = union.get_result(HLL_8)
        else:
            large, small = (one, other) if one.sketch is not None else (other, one)
            made.sketch = hll_sketch.deserialize(large.sketch.serialize_compact())  # type: ignore[union-attr]
            for value in small.exact:
                made.sketch.update(named(value))
        return made

    @staticmethod
    def result(data: bytes | Uniques | None) -> int:
        """Return the number of different values."""
        found = Uniques.load(data)
        return len(found.exact) if found.sketch is None else round(found.sketch.get_estimate())


class Ranks(Sketched[kll_doubles_sketch]):
    """Numbers by rank: a list, then a KLL sketch."""

    __slots__ = ()

    @staticmethod
    def _empty() -> list[float]:
        return []

    def add(self, value: float) -> None:
        """Add a number; NaN has no rank and is left out."""
        if value != value:  # noqa: PLR0124 - NaN does not equal itself
            return
        value += 0.0  # one zero: -0.0 and 0.0 have one rank
        if self.sketch is not None:
            self.sketch.update(value)
            return
        self.exact.append(value)
        if len(self.exact) > EXACT:
            self._spill()

    def _spill(self) -> kll_doubles_sketch:
        made = kll_doubles_sketch(KLL_K)
        for value in self.exact:
            made.update(value)
        self.sketch, self.exact = made, []
        return made

    @staticmethod
    def load(data: bytes | Ranks | None) -> Ranks:
        """Return the object of a slot."""
        if isinstance(data, Ranks):
            return data
        made = Ranks()
        if data is not None and data[0]:
            made.sketch = kll_doubles_sketch.deserialize(data[1:])
        elif data is not None:
            made.exact = unpack(data[1:])
        return made

    @staticmethod
    def merged(a: bytes | Ranks | None, b: bytes | Ranks | None) -> Ranks:
        """Return both in one; neither is changed."""
        one, other, made = Ranks.load(a), Ranks.load(b), Ranks()
        if one.sketch is None and other.sketch is None:
            made.exact = one.exact + other.exact
            if len(made.exact) > EXACT:
                made._spill()
            return made
        large, small = (one, other) if one.sketch is not None else (other, one)
        made.sketch = copy(large.sketch)
        if made.sketch is not None and small.sketch is not None:
            made.sketch.merge(small.sketch)
        for value in small.exact:
            made.add(value)
        return made

    @staticmethod
    def result(data: bytes | Ranks | None, probabilities: Sequence[float]) -> list[float] | None:
        """Return the lowest values that so great a part of all values does not exceed."""
        found = Ranks.load(data)
        if found.sketch is not None:
            return [_quantile(found.sketch, p) for p in probabilities]
        values = sorted(found.exact)
        return [values[max(ceil(p * len(values)) - 1, 0)] for p in probabilities] if values else None


class Frequencies(Sketched[frequent_strings_sketch]):
    """How often values came: a dict of counts, then a sketch of the most frequent ones."""

    __slots__ = ()

    def add(self, value: Any, times: int = 1) -> None:
        """Add a scalar."""
        if self.sketch is not None:
            self.sketch.update(_text(value), times)
            return
        value = _one_form(value)
        self.exact[value] = self.exact.get(value, 0) + times
        if len(self.exact) > EXACT:
            self._spill()

    def _spill(self) -> frequent_strings_sketch:
        made = frequent_strings_sketch(LG_COUNTERS)
        for value, times in self.exact.items():
            made.update(_text(value), times)
        self.sketch, self.exact = made, {}
        return made

    def _items(self) -> Any:
        return self.exact.items()

    @staticmethod
    def load(data: bytes | Frequencies | None) -> Frequencies:
        """Return the object of a slot."""
        if isinstance(data, Frequencies):
            return data
        made = Frequencies()
        if data is not None and data[0]:
            made.sketch = frequent_strings_sketch.deserialize(data[1:])
        elif data is not None:
            made.exact = {_one_nan(value): times for value, times in unpack(data[1:])}
        return made

    @staticmethod
    def merged(a: bytes | Frequencies | None, b: bytes | Frequencies | None) -> Frequencies:
        """Return both in one; neither is changed."""
        one, other, made = Frequencies.load(a), Frequencies.load(b), Frequencies()
        if one.sketch is None and other.sketch is None:
            made.exact = dict(one.exact)
        else:
            made.sketch = frequent_strings_sketch(LG_COUNTERS)
            for part in (one, other):
                if part.sketch is not None:
                    made.sketch.merge(part.sketch)
        for part in (one, other):
            if made.sketch is not None or part is other:
                for value, times in part.exact.items():
                    made.add(value, times)
        return made

    @staticmethod
    def result(data: bytes | Frequencies | None, k: int) -> list[dict[str, Any]]:
        """Return the most frequent values and how often they came, the most frequent first."""
        found = Frequencies.load(data)
        if found.sketch is None:  # sorted() keeps the order of arrival among equals
            ranked = sorted(found.exact.items(), key=lambda item: -item[1])[:k]
            return [{"value": value, "count": times} for value, times in ranked]
        rows = found.sketch.get_frequent_items(_ANY_COUNT, 0)
        names = sorted((-most, name) for name, most, *_ in rows)[:k]
        return [{"value": unpack(name.encode("latin-1")), "count": -most} for most, name in names]


def _quantile(sketch: kll_doubles_sketch, probability: float) -> float:
    """Return a quantile; the ends are known exactly."""
    if not probability:
        return float(sketch.get_min_value())
    if probability == 1:
        return float(sketch.get_max_value())
    return float(sketch.get_quantile(probability, True))  # noqa: FBT003 - ranks are inclusive


def scalar(value: Any) -> Any:
    """Return a value of unknown type if it can be told from others; others raise a DataError."""
    if isinstance(value, Decimal) and value.is_snan():
        value = Decimal("NaN")
    if isinstance(value, list | dict):
        expected, got = "a scalar", show(value)
        message = f"aggregate: expected {expected}, got {got}. Take a nested field of it, or filter such records out"
        raise DataError(message, expected=expected, got=got)
    return value


def named(value: Any) -> int | float | str:
    """Return what stands for a value in a sketch of different values."""
    match value:
        case str():
            try:
                value.encode()
            except UnicodeEncodeError:
                return f"x{value.encode('utf-8', 'surrogatepass').hex()}"
            return f"s{value}"
        case int():
            return int(value) if -_INT64 <= value < _INT64 else f"i{value}"
        case float():
            return named(int(value)) if value.is_integer() else value if value == value else "nan"  # noqa: PLR0124
        case Decimal():
            whole = value.is_finite() and value == value.to_integral_value()
            return named(int(value)) if whole else f"d{canonical_decimal(value)}".lower()
        case bytes():
            return f"b{value.hex()}"
        case datetime():
            return f"t{(value.astimezone(UTC) if value.tzinfo is not None else value).isoformat()}"
        case date():
            return f"t{value.isoformat()}"
        case timedelta():
            return f"p{value // timedelta(microseconds=1)}"
        case _:
            return f"o{pack(value).hex()}"


def _one_nan(value: Any) -> Any:
    return value if value == value else _NAN  # noqa: PLR0124 - NaN does not equal itself


def _one_form(value: Any) -> Any:
    """Return the one form of all values that equal this one."""
    if isinstance(value, float):
        return value + 0.0 if value == value else _NAN  # noqa: PLR0124
    return _one_nan(canonical_decimal(value)) if isinstance(value, Decimal) else value


def _text(value: Any) -> str:
    """Return text from which the value can be read again."""
    return pack(_one_form(value)).decode("latin-1")


__all__ = ["EXACT", "Frequencies", "Ranks", "Uniques", "scalar"]
