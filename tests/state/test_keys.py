"""Keys sort as bytes the way their values sort."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import InternalError, StateError
from headrace.event.dtypes import (
    BOOL,
    BYTES,
    DATE,
    DECIMAL,
    DURATION,
    FLOAT,
    INT,
    NULL,
    STR,
    TIMESTAMP,
    DType,
    Kind,
)
from headrace.state.keys import key_codec, prefix_end

ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11))])
TEXT = st.text(st.characters(codec=None) | st.sampled_from("\0\x01a\ud800\U0010ffff"), max_size=5)
VALUES: dict[DType, st.SearchStrategy[Any]] = {
    INT: st.integers() | st.sampled_from([2**63, 2**63 - 1, -(2**63), -(2**63) - 1, 2**64, 0, 10**400, -(10**400)]),
    STR: TEXT,
    BOOL: st.booleans(),
    BYTES: st.binary(max_size=5) | st.lists(st.sampled_from([0, 1, 254, 255]), max_size=5).map(bytes),
    FLOAT: st.floats(allow_nan=False),
    DECIMAL: st.decimals(allow_nan=False) | st.sampled_from([Decimal("1E+30"), Decimal("-1E-9000"), Decimal("1.10")]),
    TIMESTAMP: st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=ZONES),  # noqa: DTZ001
    DATE: st.dates(),
    DURATION: st.timedeltas(),
}


@st.composite
def rows(draw: st.DrawFn, count: int) -> tuple[list[DType], list[tuple[Any, ...]]]:
    """Draw the types of 1 to 3 columns, and rows of them."""
    dtypes = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=3))
    row = st.tuples(*(st.none() | VALUES[dtype] for dtype in dtypes))
    return dtypes, [draw(row) for _ in range(count)]


def sortable(row: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return [(0,) if value is None else (1, value) for value in row]


@given(rows(1))
def test_every_key_comes_back(case: tuple[list[DType], list[tuple[Any, ...]]]) -> None:
    dtypes, (row,) = case
    codec = key_codec(dtypes)
    back = codec.decode(codec.encode(row))
    assert back == row
    assert [type(value) for value in back] == [type(value) for value in row]


@given(rows(2))
def test_bytes_sort_as_the_tuples_do(case: tuple[list[DType], list[tuple[Any, ...]]]) -> None:
    dtypes, (a, b) = case
    codec = key_codec(dtypes)
    assert (codec.encode(a) < codec.encode(b)) == (sortable(a) < sortable(b))
    assert (codec.encode(a) == codec.encode(b)) == (a == b)


@given(rows(2), st.integers(0, 3))
def test_a_prefix_of_the_tuple_bounds_exactly_the_tuples_that_begin_with_it(
    case: tuple[list[DType], list[tuple[Any, ...]]], length: int
) -> None:
    dtypes, (a, b) = case
    codec = key_codec(dtypes)
    prefix = codec.encode_prefix(a[:length])
    end = prefix_end(prefix)
    assert codec.encode(a).startswith(prefix)
    assert codec.encode(b).startswith(prefix) == (b[:length] == a[:length])
    assert codec.encode(b).startswith(prefix) == (prefix <= codec.encode(b) and (end is None or codec.encode(b) < end))


@given(st.binary(max_size=4), st.binary(max_size=6))
def test_prefix_end_is_after_all_that_begins_with_the_prefix_and_before_the_rest(prefix: bytes, key: bytes) -> None:
    end = prefix_end(prefix)
    assert key.startswith(prefix) == (key >= prefix and (end is None or key < end))


def test_prefix_end_of_what_nothing_comes_after_is_none() -> None:
    assert prefix_end(b"") is None
    assert prefix_end(b"\xff\xff") is None
    assert prefix_end(b"a\xff") == b"b"


def test_equal_values_of_other_looks_are_one_key() -> None:
    for dtype, a, b in (
        (FLOAT, 0.0, -0.0),
        (FLOAT, math.nan, -math.nan),
        (DECIMAL, Decimal("1.50"), Decimal("1.5")),
        (DECIMAL, Decimal("-0"), Decimal("0E+5")),
        (TIMESTAMP, datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
    ):
        codec = key_codec([dtype])
        assert codec.encode((a,)) == codec.encode((b,))


def test_floats_that_are_no_numbers_sort_last_and_come_back() -> None:
    codec = key_codec([FLOAT])
    ordered = [-math.inf, -1.5, -5e-324, 0.0, 5e-324, 1.5, math.inf, math.nan]
    encoded = [codec.encode((value,)) for value in ordered]
    assert encoded == sorted(encoded)
    assert math.isnan(codec.decode(encoded[-1])[0])


def test_the_longest_spans_of_time_fit() -> None:
    codec = key_codec([DURATION, DATE])
    for row in ((timedelta.max, date.max), (timedelta.min, date.min)):
        assert codec.decode(codec.encode(row)) == row


def test_a_column_of_the_null_type_holds_null_only() -> None:
    codec = key_codec([NULL, INT])
    assert codec.decode(codec.encode((None, 1))) == (None, 1)
    with pytest.raises(InternalError, match="type null got 5"):
        codec.encode((5, 1))


def test_a_tuple_of_another_length_is_refused() -> None:
    for dtypes in ([STR], [INT], [STR, INT]):
        with pytest.raises(ValueError, match=r"unpack|zip|shorter|longer"):
            key_codec(dtypes).encode(("a", 1, 2))


def test_a_type_that_is_no_key_is_refused() -> None:
    with pytest.raises(InternalError) as caught:
        key_codec([DType(Kind.LIST, item=INT)])
    assert str(caught.value) == "a key column cannot be of type list[int]: the declaration should have been refused"


@pytest.mark.parametrize("data", [b"", b"\x01abc", b"\x40\x00", b"\x01a\x00\x01rest", b"\x01\xff\x00\x01", b"\x41\xff"])
@pytest.mark.parametrize("dtype", [STR, INT, DECIMAL, FLOAT, TIMESTAMP, DATE, DURATION])
def test_bytes_that_are_no_key_are_a_state_error(data: bytes, dtype: DType) -> None:
    with pytest.raises(StateError, match="a stored key cannot be read"):
        key_codec([dtype]).decode(data)
