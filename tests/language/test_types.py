"""The type of every operation, and every fault with its remedy."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Optional

import pytest

from headrace.event.dtypes import ANY, INT, STR, DType, Kind
from headrace.topology.expr import Call, Column, Expr, Literal, apply, col, meta, when
from headrace.topology.functions import fn
from headrace.topology.promotion import common
from headrace.topology.typing import to_dtype
from tests.language.support import NOON, dtype_of, faults


class Level(Enum):
    LOW = "low"
    HIGH = "high"


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (col.i + col.i, "int"),
        (col.i + col.f, "float"),
        (col.i * col.d, "decimal"),
        (col.i / col.i, "float"),
        (col.d / col.i, "decimal"),
        (col.i // 2, "int"),
        (col.f % 2, "float"),
        (col.ni + 1, "int?"),
        (-col.nf, "float?"),
        (col.s + "!", "str"),
        (col.t - col.t, "duration"),
        (col.t + timedelta(hours=1), "timestamp"),
        (timedelta(hours=1) + col.nt, "timestamp?"),
        (col.t - col.nlasts, "timestamp?"),
        (col.day - col.day, "duration"),
        (col.lasts * 2, "duration"),
        (col.lasts / timedelta(seconds=1), "float"),
        (col.i > 1.5, "bool"),
        (col.d == 1, "bool"),
        (col.ns == "x", "bool?"),
        (col.b & col.nb, "bool?"),
        (~col.b, "bool"),
        (col.ns.is_null(), "bool"),
        (col.ns.is_not_null(), "bool"),
        (col.ns.fill_null("x"), "str"),
        (col.ni.fill_null(col.nf), "float?"),
        (col.ni.is_in([1, 2]), "bool?"),
        (col.address.city, "str"),
        (col.address.zip, "str?"),
        (col.naddress.city, "str?"),
        (col.tags.a, "int?"),
        (col.any.whatever, "any?"),
        (when(col.b).then(1).otherwise(2.5), "float"),
        (when(col.nb).then(1).otherwise(None), "int?"),
        (when(col.b).then(1).when(col.nb).then(col.d).otherwise(2), "decimal"),
        (col.s.cast(int), "int"),
        (col.ns.cast(Decimal), "decimal?"),
        (col.any.cast(int), "int?"),
        (apply(len, col.s, returns=int), "int"),
        (apply(sorted, col.s, returns=list[str]), "list[str]"),
        (meta.time, "timestamp"),
        (meta.key, "str?"),
        (meta.topic, "str"),
        (meta.partition, "int"),
        (meta.offset, "int"),
    ],
    ids=str,
)
def test_every_operation_has_a_type(expr: Expr, expected: str) -> None:
    assert str(dtype_of(expr)) == expected


@pytest.mark.parametrize(
    ("expr", "expected", "got", "remedy"),
    [
        (col.statuss == "open", "a field", "'statuss'", "Did you mean 'status'?"),
        (col.address.citty, "a field of address", "'citty'", "Did you mean 'city'?"),
        (col.s.x, "a field with fields of its own", "s, which is str", "Use col.s itself."),
        (
            col.i + col.s,
            "operands that '+' takes",
            "int + str in (col.i + col.s)",
            "Text and numbers do not mix: convert one side with .cast(...).",
        ),
        (
            col.f * col.d,
            "operands that '*' takes",
            "float * decimal in (col.f * col.d)",
            "Decimal and float do not mix: convert one side with .cast(Decimal) or .cast(float).",
        ),
        (
            col.d % 2,
            "operands that '%' takes",
            "decimal % int in (col.d % 2)",
            "These take int and float only: convert with .cast(...).",
        ),
        (
            col.i == None,  # noqa: E711 - what a user writes
            "operands that '==' takes",
            "int == null? in (col.i == None)",
            "The result would always be null: use is_null() or is_not_null().",
        ),
        (
            col.t > col.day,
            "operands that '>' takes",
            "timestamp > date in (col.t > col.day)",
            "Take the date of the time with fn.date(...), or .cast(datetime) the date.",
        ),
        (
            col.t > "2024",
            "operands that '>' takes",
            "timestamp > str in (col.t > '2024')",
            "Use a constant of the same type (datetime with tzinfo, date, timedelta), or convert with .cast(...).",
        ),
        (
            col.items < col.items,
            "operands that '<' takes",
            "list[int] < list[int] in (col.items < col.items)",
            "Values of this type have no order.",
        ),
        (
            col.t > datetime(2024, 1, 1),  # noqa: DTZ001 - the mistake itself
            "a time with an offset",
            "datetime.datetime(2024, 1, 1, 0, 0)",
            "Give the constant a time zone: datetime(..., tzinfo=UTC).",
        ),
        (col.status == "opne", "one of 'open', 'closed'", "'opne'", "Did you mean 'open'?"),
        (col.status.is_in(["open", "x"]), "one of 'open', 'closed'", "'x'", "The test would never hold."),
        (
            col.b & col.i,
            "bool on both sides of '&'",
            "int (col.i)",
            "Compare it with something; mind that & and | bind tighter than comparisons: use parentheses.",
        ),
        (~col.i, "bool for '~'", "int in (~col.i)", "Use a comparison."),
        (-col.s, "a number or a duration for '-'", "str in (-col.s)", "Use a number."),
        (fn.lower(col.i), "str for text of lower(text)", "int (col.i)", "Convert it with .cast(...)."),
        (
            fn.substring(col.s, "x"),
            "int for index of substring(text, index, [length])",
            "str ('x')",
            "Convert it with .cast(...).",
        ),
        (
            Call("lower", (col.s, col.s)),
            "lower(text)",
            "2 arguments",
            "Give it the arguments that it takes.",
        ),
        (Call("lowr", (col.s,)), "a function", "'lowr'", "Did you mean 'lower' or 'power' or 'floor'?"),
        (
            Call("matches", (col.s, col.s)),
            "a constant for pattern of matches(text, pattern)",
            "col.s",
            "Write the value itself.",
        ),
        (
            fn.truncate(col.t, "0s"),
            "a valid step for truncate(time, step)",
            "'0s': expected a positive duration, got 0",
            "Mend the constant.",
        ),
        (
            fn.greatest(col.i, col.s),
            "arguments of greatest that fit each other",
            "(int, str)",
            "Convert one of them with .cast(...).",
        ),
        (
            when(col.i).then(1).otherwise(2),
            "bool as the condition of when()",
            "int",
            "Use a comparison.",
        ),
        (
            when(col.b).then(1).otherwise("x"),
            "values of one type in when().then().otherwise()",
            "int, str",
            "Convert them with .cast(...).",
        ),
        (col.items.cast(str), "a type that converts to str", "list[int]", "Convert in two steps, or use apply()."),
        (
            meta.time > col.i,
            "operands that '>' takes",
            "timestamp > int in (meta.time > col.i)",
            "Use a constant of the same type (datetime with tzinfo, date, timedelta), or convert with .cast(...).",
        ),
    ],
    ids=str,
)
def test_a_fault_says_what_was_expected_what_there_is_and_what_to_do(
    expr: Expr, expected: str, got: str, remedy: str
) -> None:
    assert faults(expr) == [(expected, got, remedy)]


def test_all_faults_are_reported_and_none_twice() -> None:
    expr = ((col.amont + 1) * 2 > col.s + 1) & fn.lower(col.i)
    assert [got for _, got, _ in faults(expr)] == ["'amont'", "str + int in (col.s + 1)", "int (col.i)"]


def test_an_invalid_pattern_is_refused_at_declaration() -> None:
    ((expected, got, _),) = faults(fn.matches(col.s, "(a"))
    assert expected == "a valid pattern for matches(text, pattern)"
    assert "unterminated subpattern" in got


@pytest.mark.parametrize("returns", [set, int | str, list[set[int]], "int"])
def test_a_type_that_is_none_is_refused(returns: Any) -> None:
    ((expected, got, remedy),) = faults(apply(len, col.s, returns=returns))
    assert expected == "a value type for returns of len"
    assert got == repr(returns)
    assert remedy.startswith("Expected one of int, float, str")


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, "int"),
        (float, "float"),
        (str, "str"),
        (bool, "bool"),
        (bytes, "bytes"),
        (Decimal, "decimal"),
        (datetime, "timestamp"),
        (date, "date"),
        (timedelta, "duration"),
        (list[int], "list[int]"),
        (dict[str, list[int]], "map[list[int]]"),
        (int | None, "int?"),
        (Optional[str], "str?"),  # noqa: UP045 - the old spelling
        (list[str | None], "list[str?]"),
        (object, "any?"),
        (Level, "str"),
    ],
)
def test_python_annotations_have_value_types(annotation: Any, expected: str) -> None:
    assert str(to_dtype(annotation)) == expected


def test_an_enumeration_keeps_its_choices() -> None:
    assert to_dtype(Level).choices == ("low", "high")


def test_common_types_do_not_convert_what_is_inside() -> None:
    ints, floats = DType(Kind.LIST, item=INT), DType(Kind.LIST, item=to_dtype(float))
    assert common(ints, floats) is None
    assert common(ints, ints.optional()) == ints.optional()
    assert common(ints, ANY) == ANY
    one, two = DType(Kind.STRUCT, fields=(("a", INT), ("b", STR))), DType(Kind.STRUCT, fields=(("b", STR), ("a", INT)))
    assert common(one, two) == one
    assert common(one, DType(Kind.STRUCT, fields=(("a", INT),))) is None


def test_a_time_of_another_zone_is_compared_as_utc() -> None:
    assert dtype_of(Literal(NOON.astimezone(UTC)) == col.t).kind is Kind.BOOL


def test_names_that_python_takes_are_reached_by_item() -> None:
    assert faults(Column(("address",))["city"] == "x") == []
