"""Every state that is stored comes back as it was."""

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace import DataError, Topology, agg, col
from headrace.operators.codec import StateCodec
from headrace.operators.distinct import Distinct
from headrace.testing import TopologyDriver
from tests.operators.support import click, clicks

big_ints = st.integers() | st.integers(-(2**63) - 2, -(2**63) + 2) | st.integers(2**64 - 2, 2**64 + 2)
texts = st.text(st.characters())
decimals = st.decimals(allow_nan=False) | st.sampled_from([Decimal("1.50"), Decimal("1E+3"), Decimal("-Infinity")])
times = st.datetimes(timezones=st.just(UTC))
TYPED = {
    int: big_ints,
    float: st.floats(),
    str: texts,
    bool: st.booleans(),
    bytes: st.binary(),
    Decimal: decimals,
    datetime: times,
    date: st.dates(),
    timedelta: st.timedeltas(),
}
hashable = st.one_of(st.none(), *(v for t, v in TYPED.items() if t is not float), st.datetimes())
anything = st.recursive(
    hashable | st.floats(),
    lambda part: (
        st.lists(part, max_size=4)
        | st.lists(part, max_size=4).map(tuple)
        | st.sets(hashable, max_size=3)
        | st.frozensets(hashable, max_size=3)
        | st.dictionaries(texts | hashable | st.tuples(hashable), part, max_size=3)
    ),
    max_leaves=8,
)


def shown(value: Any) -> Any:
    """Return a value with its types, so that 1, 1.0 and True differ, and NaN equals itself."""
    match value:
        case list() | tuple():
            return (type(value), [shown(item) for item in value])
        case dict():
            return (dict, [(shown(key), shown(item)) for key, item in value.items()])
        case set() | frozenset():
            return (type(value), {(type(item), item) for item in value})
        case float() if math.isnan(value):
            return "NaN"
        case _:
            return (type(value), str(value) if isinstance(value, float | Decimal) else value)


@st.composite
def typed_states(draw) -> tuple[tuple[Any, ...], list[Any]]:
    types, state = [], []
    for kind in draw(st.lists(st.sampled_from(list(TYPED)), max_size=5)):
        in_list = draw(st.booleans())
        types.append(list[kind | None] if in_list else kind)
        values = st.none() | TYPED[kind]
        state.append(draw(st.lists(values, max_size=3) if in_list else values))
    return tuple(types), state


@settings(max_examples=300, deadline=None)
@given(typed_states())
def test_typed_states_survive(drawn) -> None:
    types, state = drawn
    codec = StateCodec(types)
    assert shown(codec.decode(codec.encode(state))) == shown(state)


@settings(max_examples=300, deadline=None)
@given(st.lists(anything, min_size=1, max_size=3), st.none() | big_ints)
def test_states_of_any_type_survive(values, number) -> None:
    codec = StateCodec((int, *[Any] * len(values)))
    state = [number, *values]
    assert shown(codec.decode(codec.encode(state))) == shown(state)


def test_an_ordinary_state_is_plain_msgpack() -> None:
    state = [1, 2.5, None, "a"]
    assert StateCodec((int, float, str, str)).encode(state) == msgspec.msgpack.encode(state)


def test_distinct_values_are_stored_as_their_list() -> None:
    codec = StateCodec((list[int],))
    assert codec.decode(codec.encode([Distinct([3, 1, 2**70])])) == [[3, 1, 2**70]]


def test_infinity_beside_a_large_integer_survives() -> None:
    topology = Topology("t")
    clicks(topology).group_by("by", col.user).aggregate(
        "table", total=agg.sum(col.n), top=agg.max(col.rate), low=agg.min(col.rate)
    )
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", i, n=2**62, rate=rate) for i, rate in enumerate(["Infinity", "-Infinity", 1, 1])])
    driver.checkpoint()
    driver.restart()
    assert driver.table("table") == [{"user": "a", "total": 2**64, "top": math.inf, "low": -math.inf}]


def pairs(state: tuple, n: int) -> tuple:
    return (*state, (n, b"\xff", Decimal(n)))


def joined(left: tuple, right: tuple) -> tuple:
    return left + right


def test_a_custom_state_keeps_its_tuples_and_bytes() -> None:
    topology = Topology("t")
    clicks(topology).group_by("by", col.user).aggregate(
        "table", value=agg.custom(col.n, init=tuple, add=pairs, merge=joined, result=repr, returns=str)
    )
    driver = TopologyDriver(topology)
    for n in (1, 2**70):
        driver.pipe("clicks", click("a", 0, n=n))
        driver.checkpoint()
        driver.restart()
    (row,) = driver.table("table")
    assert row["value"] == repr(((1, b"\xff", Decimal(1)), (2**70, b"\xff", Decimal(2**70))))


class Odd:
    """A class of a user's."""


def test_what_is_no_plain_data_is_refused() -> None:
    with pytest.raises(DataError, match=r"the state of an aggregate: expected plain data.*, got a Odd. Mend"):
        StateCodec((Any,)).encode([[Odd()]])
