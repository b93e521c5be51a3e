"""Every function of the language: value, null rule and registration."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from headrace.topology.expr import Call, Expr, Literal, apply, col, meta, when
from headrace.topology.functions import FUNCTIONS, Functions, Nulls, fn
from tests.language.support import NOON, dtype_of, run

CASES: list[tuple[Expr, Any]] = [
    (fn.lower(col.s), " ada "),
    (fn.upper(col.s), " ADA "),
    (fn.trim(col.s), "Ada"),
    (fn.length(col.s), 5),
    (fn.contains(col.s, "da"), True),
    (fn.starts_with(col.s, "A"), False),
    (fn.ends_with(col.s, "a "), True),
    (fn.replace(col.s, "a", "o"), " Ado "),
    (fn.split("a,b,,c", ","), ["a", "b", "", "c"]),
    (fn.substring("headrace", 4), "race"),
    (fn.substring("headrace", 0, 4), "head"),
    (fn.substring("headrace", -4, 2), "ra"),
    (fn.substring("headrace", 99), ""),
    (fn.concat("a", col.status, "c"), "aopenc"),
    (fn.matches(col.s, "^ A.a"), True),
    (fn.matches(col.s, "^A"), False),
    (fn.abs(-col.i), 7),
    (fn.abs(-col.lasts), timedelta(minutes=5)),
    (fn.round(col.f), 2.0),
    (fn.round(col.d, 1), Decimal("1.2")),
    (fn.round(col.i, -1), 10),
    (fn.floor(-col.f), -3),
    (fn.ceil(col.d), 2),
    (fn.sqrt(16), 4.0),
    (fn.power(2, 10), 1024.0),
    (fn.log(1), 0.0),
    (fn.log(8, 2), 3.0),
    (fn.greatest(col.i, col.f), 7.0),
    (fn.least(col.i, col.d, 9), Decimal("1.25")),
    (fn.year(col.t), 2024),
    (fn.year(col.day), 2024),
    (fn.month(col.t), 2),
    (fn.day(col.t), 29),
    (fn.hour(col.t), 12),
    (fn.minute(col.t), 34),
    (fn.second(col.t), 56),
    (fn.weekday(col.t), 4),
    (fn.date(col.t), date(2024, 2, 29)),
    (fn.truncate(col.t, "1h"), datetime(2024, 2, 29, 12, tzinfo=UTC)),
    (fn.truncate(col.t, timedelta(minutes=15)), datetime(2024, 2, 29, 12, 30, tzinfo=UTC)),
    (fn.epoch_ms(col.t), 1709210096789),
    (fn.from_epoch_ms(1709210096789), NOON),
    (fn.is_null(col.ni), True),
    (fn.is_null(col.i), False),
    (fn.coalesce(col.ni, col.ni, col.i), 7),
    (fn.coalesce(col.ni, col.f), 2.5),
    (fn.if_null(col.ns, "none"), "none"),
    (fn.null_if(col.i, 7), None),
    (fn.null_if(col.i, 8), 7),
    (fn.size(col.items), 3),
    (fn.size(col.tags), 1),
    (fn.element(col.items, 0), 1),
    (fn.element(col.items, -1), 3),
    (fn.element(col.items, 3), None),
    (fn.get(col.tags, "a"), 1),
    (fn.get(col.tags, "b"), None),
    (fn.contains_element(col.items, 2), True),
]


@pytest.mark.parametrize(("expr", "expected"), CASES, ids=lambda v: str(v) if isinstance(v, Expr) else "")
def test_a_function_gives_its_value(expr: Expr, expected: Any) -> None:
    value = run(expr)
    assert value == expected
    assert type(value) is type(expected)
    assert value is not None or dtype_of(expr).nullable


def test_every_function_has_a_case_here() -> None:
    assert {expr.function for expr, _ in CASES if isinstance(expr, Call)} == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_documented_and_uses_each_argument_once(name: str) -> None:
    method = getattr(Functions, name)
    assert method.__doc__
    placeholders = re.findall(r"\{(\d|args)\}", FUNCTIONS[name].code)
    assert len(placeholders) == len(set(placeholders))
    if FUNCTIONS[name].nulls is not Nulls.FIRST:
        assert placeholders


NULLABLE = {"ni", "nf", "nd", "ns", "nb", "nt", "nlasts", "nitems", "naddress"}


@pytest.mark.parametrize(
    "expr",
    [
        fn.lower(col.ns),
        fn.concat("a", col.ns),
        fn.matches(col.ns, "a"),
        fn.substring(col.s, 1, col.ni),
        fn.round(col.nf),
        fn.greatest(col.i, col.ni),
        fn.year(col.nt),
        fn.size(col.nitems),
        fn.element(col.items, col.ni),
        fn.contains_element(col.items, col.ni),
        col.ni + 1,
        1 - col.ni,
        -col.ni,
        ~col.nb,
        col.ns == "x",
        col.ni.is_in([1]),
        col.ni.is_in([]),
        col.ns.cast(int),
        col.naddress.city,
        col.naddress.zip,
        col.nt + timedelta(1),
        meta.key,
    ],
    ids=str,
)
def test_null_in_gives_null_out(expr: Expr) -> None:
    assert run(expr) is None


@pytest.mark.parametrize(
    ("left", "right", "conjunction", "disjunction"),
    [
        (True, True, True, True),
        (True, False, False, True),
        (True, None, None, True),
        (False, False, False, False),
        (False, None, False, None),
        (None, None, None, None),
    ],
)
def test_logic_has_three_values(left: Any, right: Any, conjunction: Any, disjunction: Any) -> None:
    for one, two in ((left, right), (right, left)):
        assert run(col.nb & col.ns.cast(bool), nb=one, ns=None if two is None else str(two)) is conjunction
        assert run(col.nb | col.ns.cast(bool), nb=one, ns=None if two is None else str(two)) is disjunction
        if one is not None:
            assert run(col.b & col.nb, b=one, nb=two) is conjunction
            assert run(col.b | col.nb, b=one, nb=two) is disjunction
            assert run(col.nb & col.b, b=one, nb=two) is conjunction
            assert run(col.nb | col.b, b=one, nb=two) is disjunction


def test_a_conditional_takes_a_branch_only_if_its_condition_is_true() -> None:
    expr = when(col.nb).then("yes").when(col.ni > 1).then("many").otherwise("no")
    assert [run(expr, nb=b, ni=n) for b, n in ((True, None), (None, 2), (False, 1), (None, None))] == [
        "yes",
        "many",
        "no",
        "no",
    ]


def test_a_conditional_widens_to_the_type_it_has() -> None:
    assert repr(run(when(col.b).then(1).otherwise(2.5))) == "1.0"
    assert repr(run(when(col.b).then(col.i).otherwise(col.d))) == "Decimal('7')"
    assert repr(run(when(col.b).then(-3).otherwise(col.nf))) == "-3.0"


def test_later_operands_are_not_evaluated_once_the_result_is_known() -> None:
    assert run((col.i < 0) & (col.i / 0 > 1)) is False
    assert run((col.i > 0) | (col.i / 0 > 1)) is True
    assert run(fn.coalesce(col.f, col.i / 0)) == 2.5


def test_division_by_zero_is_an_error_of_the_record() -> None:
    for zero in (col.i / 0, col.i // 0, col.i % 0, col.f / 0):
        with pytest.raises(ZeroDivisionError):
            run(zero)


def test_nulls_are_passed_to_python_functions() -> None:
    assert run(apply(lambda x: x is None, col.ni, returns=bool)) is True


def test_membership_takes_values_of_every_type() -> None:
    assert run(col.t.is_in([NOON])) is True
    assert run(col.d.is_in([Decimal("1.25"), 3])) is True
    assert run(col.any.is_in([1, "x"]), any="x") is True
    assert run(col.any.is_in([1, "x"]), any=[1]) is False


CASTS: list[tuple[Expr, Any]] = [
    (Literal(" 42 ").cast(int), 42),
    (Literal(-2.9).cast(int), -2),
    (Literal(Decimal("2.9")).cast(int), 2),
    (col.b.cast(int), 1),
    (col.t.cast(int), 1709210096789),
    (col.lasts.cast(int), 300_000),
    (Literal("1e3").cast(float), 1000.0),
    (col.d.cast(float), 1.25),
    (Literal(0.1).cast(Decimal), Decimal("0.1")),
    (Literal("0.10").cast(Decimal), Decimal("0.10")),
    (col.i.cast(str), "7"),
    (col.f.cast(str), "2.5"),
    (col.d.cast(str), "1.25"),
    (col.b.cast(str), "true"),
    (col.t.cast(str), "2024-02-29T12:34:56.789000Z"),
    (col.day.cast(str), "2024-02-29"),
    (col.raw.cast(str), "raw"),
    (col.status.cast(bytes), b"open"),
    (Literal("TRUE").cast(bool), True),
    (Literal(0).cast(bool), False),
    (Literal("2024-02-29T13:34:56.789+01:00").cast(datetime), NOON),
    (Literal(1709210096789).cast(datetime), NOON),
    (col.day.cast(datetime), datetime(2024, 2, 29, tzinfo=UTC)),
    (Literal("2024-02-29").cast(date), date(2024, 2, 29)),
    (col.t.cast(date), date(2024, 2, 29)),
    (Literal("1h30m").cast(timedelta), timedelta(minutes=90)),
    (Literal(250).cast(timedelta), timedelta(milliseconds=250)),
    (col.i.cast(int), 7),
    (Literal(None).cast(int), None),
]


@pytest.mark.parametrize(("expr", "expected"), CASTS, ids=lambda v: str(v) if isinstance(v, Expr) else "")
def test_a_cast_converts(expr: Expr, expected: Any) -> None:
    value = run(expr)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    "expr",
    [
        Literal("1_000").cast(int),
        Literal("x").cast(int),
        Literal(float("inf")).cast(int),
        Literal(float("nan")).cast(int),
        Literal(10**400).cast(float),
        Literal("x").cast(float),
        Literal("x").cast(Decimal),
        Literal("yes").cast(bool),
        Literal("2024-01-01T00:00:00").cast(datetime),
        Literal("0001-01-01T00:00:00+14:00").cast(datetime),
        Literal(10**18).cast(datetime),
        Literal(10**30).cast(timedelta),
        Literal("2024-13-01").cast(date),
        Literal("five").cast(timedelta),
        Literal(b"\xff").cast(str),
    ],
    ids=str,
)
def test_a_cast_that_fails_is_a_value_error(expr: Expr) -> None:
    with pytest.raises(ValueError, match=r"."):
        run(expr)


def test_a_value_of_unknown_type_is_cast_by_what_it_is() -> None:
    assert run(col.any.cast(int), any="7") == 7
    assert run(col.any.cast(str), any=NOON) == "2024-02-29T12:34:56.789000Z"
    assert run(col.any.cast(int)) is None
    with pytest.raises(ValueError, match="expected a value that converts to int, got list"):
        run(col.any.cast(int), any=[1])


def test_a_field_of_an_unknown_value_is_null_if_it_has_none() -> None:
    assert run(col.any.x.y, any={"x": {"y": 1}}) == 1
    assert run(col.any.x.y, any={"x": 3}) is None
