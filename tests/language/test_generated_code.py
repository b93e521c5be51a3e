"""Generated code means what the tree means."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from headrace.event.dtypes import INT, Kind
from headrace.operators.expressions import bare
from headrace.topology.casts import kind_of
from headrace.topology.expr import Binary, Call, Case, Expr, Literal, Unary, apply, col
from headrace.topology.rules import parse_rule
from headrace.topology.typing import MAX_DEPTH, infer
from tests.language.programs import VALUES, expressions, records
from tests.language.support import METAS, RECORD, SCHEMA, compiled, faults, run
from tests.naive.expressions import evaluate

ERRORS = (ArithmeticError, ValueError, KeyError, OverflowError)


def outcome(function: Any) -> tuple[str, Any]:
    try:
        return "value", function()
    except ERRORS as error:
        return "error", type(error).__name__


def same(one: Any, two: Any) -> bool:
    if isinstance(one, float) and isinstance(two, float) and math.isnan(one):
        return math.isnan(two)
    return type(one) is type(two) and one == two


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_generated_code_agrees_with_a_naive_walk(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(VALUES)))
    expr = data.draw(expressions(kind, 3))
    refused = faults(expr)
    if refused:  # a random comparison with a constant outside of the choices of a field
        assert all("one of 'open', 'closed'" in fault[0] for fault in refused)
        return
    dtype = infer(expr, SCHEMA, lambda *_: None)
    function, _, text = compiled(expr)
    note(text)
    for record in data.draw(st.lists(records, min_size=1, max_size=3)):
        expected = outcome(lambda record=record: evaluate(expr, record, METAS))
        if expected[0] == "error":
            # Which operand is evaluated first is open, so an error may give way to a null, or to another error.
            continue
        got = outcome(lambda record=record: function(record, **{f"m_{n}": v for n, v in METAS.items()}))
        assert got[0] == "value", (got, expected)
        assert same(got[1], expected[1]), (got, expected)
        assert dtype.nullable if got[1] is None else kind_of(got[1]) is dtype.kind is kind


logic = st.recursive(
    st.sampled_from([col.b, col.nb, col.ni > 0, col.i > 0, col.ns.is_null()]),
    lambda part: st.builds(Binary, st.sampled_from("&|"), part, part) | st.builds(Unary, st.just("~"), part),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(expr=logic, b=st.booleans(), nb=st.sampled_from([None, True, False]), ni=st.sampled_from([None, 1, -1]))
def test_logic_agrees_with_a_naive_walk(expr: Expr, b: bool, nb: bool | None, ni: int | None) -> None:
    record = {**RECORD, "b": b, "nb": nb, "ni": ni}
    expected = evaluate(expr, record, METAS)
    assert run(expr, b=b, nb=nb, ni=ni) is expected
    function, _, _ = compiled(expr, condition=True)
    assert bool(function(record, **{f"m_{n}": v for n, v in METAS.items()})) is (expected is True)


indexes = st.integers(-4, 4).map(Literal) | st.just(col.ni)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), record=records)
def test_functions_of_positions_agree_with_a_naive_walk(data: st.DataObject, record: dict[str, Any]) -> None:
    expr = data.draw(
        st.sampled_from([(col.items,), (col.nitems,)]).flatmap(
            lambda items: indexes.map(lambda i: Call("element", (*items, i)))
        )
        | st.tuples(st.just(col.s), indexes, indexes).map(lambda args: Call("substring", args))
    )
    expected = outcome(lambda: evaluate(expr, record, METAS))
    function, _, _ = compiled(expr)
    got = outcome(lambda: function(record, **{f"m_{n}": v for n, v in METAS.items()}))
    assert got == expected


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(expr=expressions(Kind.BOOL, 3), record=records)
def test_a_condition_is_truthy_exactly_where_the_expression_is_true(expr: Expr, record: dict[str, Any]) -> None:
    if faults(expr):
        return
    expected = outcome(lambda: evaluate(expr, record, METAS))
    if expected[0] == "value":
        function, _, _ = compiled(expr, condition=True)
        assert bool(function(record, **{f"m_{n}": v for n, v in METAS.items()})) is (expected[1] is True)


def test_operands_that_cannot_be_null_are_not_guarded() -> None:
    assert compiled(col.i > 100)[2] == "(r['i'] > 100)"


def test_a_tree_of_operators_is_guarded_once() -> None:
    assert compiled((col.ni + 1) * 2 > col.i)[2] == (
        "(None if (_t0 := r.get('ni')) is None else (((_t0 + 1) * 2) > r['i']))"
    )


@pytest.mark.parametrize(
    ("wrap", "leaf"),
    [
        (lambda e: e + 1, col.ni),
        (lambda e: 1 - e, col.ni),
        (lambda e: Call("coalesce", (e, col.ni)), col.ni),
        (lambda e: Call("null_if", (e, col.ni)), col.ni),
        (lambda e: Call("null_if", (col.ni, e)), col.ni),
        (lambda e: Call("greatest", (e, col.nf)), col.ni),
        (lambda e: Call("element", (col.items, e)), col.ni),
        (lambda e: Call("is_null", (e,)), col.ni),
        (lambda e: apply(int, e, returns=INT.optional()), col.ni),
        (lambda e: Unary("~", e), col.nb),
        (lambda e: Binary("&", col.nb, Binary("|", col.nb, e)), col.nb),
        (lambda e: Binary("&", Binary("|", e, col.nb), col.nb), col.nb),
        (lambda e: Case(((e, col.nb),), col.nb), col.nb),
        (lambda e: Case(((col.nb, e),), col.nb), col.nb),
        (lambda e: Case(((col.nb, col.nb),), e), col.nb),
        (lambda e: Call("if_null", (Unary("~", e), col.nb)), col.nb),
    ],
)
def test_the_deepest_expression_that_is_allowed_compiles(wrap: Any, leaf: Expr) -> None:
    expr = leaf
    while not faults(wrap(expr)):
        expr = wrap(expr)
    assert "at most 100 levels" in faults(wrap(expr))[0][0]
    for condition in (False, True) if infer(expr, SCHEMA, lambda *_: None).kind is Kind.BOOL else (False,):
        compiled(expr, condition=condition)


def test_a_chain_of_a_thousand_tests_compiles() -> None:
    expr: Expr = col.ni == 0
    for number in range(1, 900):
        expr = expr | (col.ni == number)
    assert run(expr, ni=899) is True
    assert run(expr, ni=-1) is False
    assert run(expr) is None
    rule = parse_rule(" or ".join(f"ni = {n}" for n in range(800)))
    assert run(rule, ni=799) is True


def test_constants_are_never_pasted_as_code() -> None:
    text = "'; import os; '{x}\" ) ("
    assert run(col.s + text) == " Ada " + text
    assert run(Literal(10**5000) > col.i) is True
    assert run(col.f < float("inf")) is True


@pytest.mark.parametrize(
    "expr",
    [
        Literal(5),
        Unary("-", Literal(-19)),
        Binary("+", Literal(1), Literal(2)),
        Call("coalesce", (Literal(0), col.i)),
    ],
)
def test_a_constant_may_be_tested_for_null(expr: Expr) -> None:
    assert run(Call("is_null", (expr,))) is False


def test_names_do_not_collide_with_those_of_the_caller() -> None:
    from headrace.operators.expressions import Emitter
    from tests.language.support import DictScope

    names: dict[str, object] = {"_f0": "taken", "_c0": "taken"}
    code = Emitter(names).emit(apply(str, col.t > RECORD["t"], returns=str), DictScope())
    assert names["_f0"] == names["_c0"] == "taken"
    assert code.text == "_f1(r['t'] > _c1)"


@pytest.mark.parametrize(
    ("text", "expected"), [("(a)", "a"), ("(a) + (b)", "(a) + (b)"), ("(a + ')')", "a + ')'"), ("f(a)", "f(a)")]
)
def test_only_parentheses_around_all_are_taken_off(text: str, expected: str) -> None:
    assert bare(text) == expected


def test_the_depth_limit_is_the_documented_one() -> None:
    assert MAX_DEPTH == 100
