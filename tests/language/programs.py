"""Random well-typed expressions and random records, for hypothesis."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from hypothesis import strategies as st

from headrace.event.dtypes import Kind
from headrace.topology.expr import Apply, Binary, Call, Case, Cast, Column, Expr, In, Literal, Meta, Unary
from tests.language.support import SCHEMA

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
texts = st.text(alphabet="aAbB 1'\"\\{}()%_é", max_size=6)
integers = st.integers(-20, 20)
floats = st.sampled_from([-2.5, -1.0, -0.5, 0.0, 0.1, 0.5, 1.0, 1.5, 3.25])
decimals = st.integers(-300, 300).map(lambda n: Decimal(n).scaleb(-2))
times = st.integers(-(10**9), 2 * 10**12).map(lambda ms: EPOCH + timedelta(milliseconds=ms))
days = st.dates(date(1999, 1, 1), date(2030, 1, 1))
durations = st.integers(-10_000_000, 10_000_000).map(lambda n: timedelta(milliseconds=n))

VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.INT: integers,
    Kind.FLOAT: floats,
    Kind.DECIMAL: decimals,
    Kind.STR: texts,
    Kind.BOOL: st.booleans(),
    Kind.TIMESTAMP: times,
    Kind.DATE: days,
    Kind.DURATION: durations,
}
address = st.fixed_dictionaries({"city": texts, "zip": st.none() | texts})
records = st.fixed_dictionaries(
    {
        **{
            name: st.none() | VALUES[dtype.kind] if dtype.nullable else VALUES[dtype.kind]
            for name, dtype in SCHEMA.fields
            if dtype.kind in VALUES and not dtype.choices
        },
        "status": st.sampled_from(["open", "closed"]),
        "items": st.lists(integers, max_size=3),
        "nitems": st.none() | st.lists(st.none() | texts, max_size=3),
        "tags": st.dictionaries(st.sampled_from(["a", "b"]), integers),
        "address": address,
        "naddress": st.none() | address,
        "raw": st.binary(max_size=3),
        "any": st.none(),
    }
)


def length_or_none(text: str | None) -> int | None:
    return None if text is None else len(text)


def leaves(kind: Kind) -> st.SearchStrategy[Expr]:
    named = [Column((name,)) for name, dtype in SCHEMA.fields if dtype.kind is kind]
    if kind is Kind.STR:
        named += [Column(("address", "zip")), Column(("naddress", "city")), Column(("naddress", "zip"))]
    extra: list[Expr] = [Column(("tags", "a"))] if kind is Kind.INT else []
    if kind is Kind.TIMESTAMP:
        extra.append(Meta("time"))
    return st.sampled_from([*named, *extra]) | VALUES[kind].map(Literal)


def call(name: str, *args: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    return st.tuples(*args).map(lambda made: Call(name, made))


def binary(ops: list[str], left: st.SearchStrategy[Expr], right: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    return st.builds(Binary, st.sampled_from(ops), left, right)


@cache
def expressions(kind: Kind, depth: int) -> st.SearchStrategy[Expr]:
    """Expressions of one kind; operands of mixed numbers where the language allows them."""
    if depth == 0:
        return leaves(kind)

    def sub(other: Kind) -> st.SearchStrategy[Expr]:
        return st.deferred(lambda: expressions(other, depth - 1))

    same, boolean, text, integer = sub(kind), sub(Kind.BOOL), sub(Kind.STR), sub(Kind.INT)
    general = [
        leaves(kind),
        st.builds(
            Case, st.lists(st.tuples(boolean, same), min_size=1, max_size=2).map(tuple), same | st.just(Literal(None))
        ),
        call("coalesce", same, same),
        call("coalesce", same, same, same),
        call("if_null", same, same),
        call("null_if", same, same),
        call("greatest", same, same),
        call("least", same, same, same),
    ]
    return st.one_of(*general, *_specific(kind, sub, text, integer))


def _specific(kind: Kind, sub: Any, text: Any, integer: Any) -> list[st.SearchStrategy[Expr]]:
    same, time = sub(kind), sub(Kind.TIMESTAMP)
    match kind:
        case Kind.BOOL:
            return _tests(sub, text)
        case Kind.INT:
            names = ["year", "month", "day", "hour", "minute", "second", "weekday", "epoch_ms"]
            return [
                binary(["+", "-", "*", "//", "%"], same, same),
                st.builds(Unary, st.just("-"), same),
                call("abs", same),
                call("round", same),
                call("length", text),
                st.sampled_from(["floor", "ceil"]).flatmap(
                    lambda n: call(n, sub(Kind.FLOAT) | sub(Kind.DECIMAL) | same)
                ),
                st.sampled_from(names).flatmap(lambda n: call(n, time)),
                call("element", st.just(Column(("items",))), same),
                call("get", st.just(Column(("tags",))), text | st.just(Literal("a"))),
                call("size", st.sampled_from([Column(("items",)), Column(("nitems",)), Column(("tags",))])),
                st.builds(Cast, sub(Kind.FLOAT) | sub(Kind.DECIMAL) | sub(Kind.BOOL) | time | text, st.just(int)),
                text.map(lambda e: Apply(length_or_none, (e,), int | None)),
            ]
        case Kind.FLOAT:
            return [
                binary(["+", "-", "*", "/", "//", "%"], same, same | integer),
                binary(["/"], integer, integer),
                binary(["/"], sub(Kind.DURATION), sub(Kind.DURATION)),
                st.builds(Unary, st.just("-"), same),
                call("abs", same),
                call("round", same, st.sampled_from([Literal(0), Literal(1)])),
                call("sqrt", same | integer),
                call("power", same, st.sampled_from([Literal(2), Literal(0.5)])),
                call("log", same, st.just(Literal(2))),
                call("log", same),
                st.builds(Cast, sub(Kind.INT) | sub(Kind.DECIMAL) | text, st.just(float)),
            ]
        case Kind.DECIMAL:
            return [
                binary(["+", "-", "*", "/"], same, same | integer),
                st.builds(Unary, st.just("-"), same),
                call("abs", same),
                call("round", same, st.just(Literal(1))),
                st.builds(Cast, integer | sub(Kind.FLOAT) | text, st.just(Decimal)),
            ]
        case _:
            return _texts_and_times(kind, sub, text, integer)


def _texts_and_times(kind: Kind, sub: Any, text: Any, integer: Any) -> list[st.SearchStrategy[Expr]]:
    time, span = sub(Kind.TIMESTAMP), sub(Kind.DURATION)
    match kind:
        case Kind.STR:
            return [
                st.sampled_from(["lower", "upper", "trim"]).flatmap(lambda n: call(n, text)),
                binary(["+"], text, text),
                call("concat", text, text, text),
                call("replace", text, text, text),
                call("substring", text, integer),
                call("substring", text, integer, integer),
                call("element", call("split", text, text), integer),
                call("element", st.just(Column(("nitems",))), integer),
                st.builds(Cast, integer | sub(Kind.FLOAT) | sub(Kind.BOOL) | time | sub(Kind.DATE), st.just(str)),
            ]
        case Kind.TIMESTAMP:
            return [
                binary(["+", "-"], time, span),
                call("truncate", time, st.sampled_from(["1h", "1d", "250ms"]).map(Literal)),
                call("from_epoch_ms", integer),
                st.builds(Cast, sub(Kind.DATE) | integer | call_text(time), st.just(datetime)),
            ]
        case Kind.DATE:
            return [call("date", time), st.builds(Cast, time, st.just(date))]
        case _:
            return [
                binary(["-"], time, time),
                binary(["+", "-"], span, span),
                binary(["*"], span, integer),
                binary(["/"], span, integer),
                binary(["-"], sub(Kind.DATE), sub(Kind.DATE)),
                st.builds(Unary, st.just("-"), span),
                call("abs", span),
                st.builds(Cast, integer, st.just(timedelta)),
            ]


def call_text(time: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    """Times as text, which can be read back."""
    return time.map(lambda e: Cast(e, str))


def _tests(sub: Any, text: Any) -> list[st.SearchStrategy[Expr]]:
    boolean = sub(Kind.BOOL)
    comparisons = ["==", "!=", "<", "<=", ">", ">="]
    kinds = list(VALUES)
    number = sub(Kind.INT) | sub(Kind.FLOAT)
    return [
        binary(["&", "|"], boolean, boolean),
        binary(["&", "|"], binary(["&", "|"], boolean, boolean), boolean),
        st.builds(Unary, st.just("~"), boolean),
        st.sampled_from(kinds).flatmap(lambda k: binary(comparisons, sub(k), sub(k))),
        binary(comparisons, number, number),
        binary(comparisons, sub(Kind.DECIMAL), sub(Kind.INT)),
        st.sampled_from(kinds).flatmap(lambda k: call("is_null", sub(k))),
        st.sampled_from(kinds).flatmap(
            lambda k: st.builds(In, sub(k).filter(_not_status), st.lists(VALUES[k], max_size=3).map(tuple))
        ),
        st.sampled_from(["contains", "starts_with", "ends_with"]).flatmap(lambda n: call(n, text, text)),
        call("matches", text, st.sampled_from(["^a", "b+", "[({]", "é$"]).map(Literal)),
        call("contains_element", st.just(Column(("items",))), sub(Kind.INT)),
        st.builds(Cast, sub(Kind.INT), st.just(bool)),
    ]


def _not_status(expr: Expr) -> bool:
    # A test against a constant outside of the choices is refused.
    return not (isinstance(expr, Column) and expr.path == ("status",))
