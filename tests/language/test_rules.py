"""Rule strings parse into the expressions that users would declare, and into nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.topology.expr import Expr, col, when
from headrace.topology.functions import FUNCTIONS, fn
from headrace.topology.rules import MAX_LENGTH, RuleSyntaxError, parse_rule
from tests.language.support import faults, run


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amount > 100 and country in ['DE', 'FR']", (col.amount > 100) & col.country.is_in(["DE", "FR"])),
        ("a = 1 or b <> 2 and not c", (col.a == 1) | ((col.b != 2) & ~col.c)),
        ("A == 1 AND b != 2", (col.A == 1) & (col.b != 2)),
        ("a and b and c and d", (col.a & col.b) & (col.c & col.d)),
        ("(a or b) and c", (col.a | col.b) & col.c),
        ("a + b * -c - 1 < d", (col.a + col.b * -col.c - 1) < col.d),
        ("a - b - c = 0", (col.a - col.b - col.c) == 0),
        ("a / b // c % d = 0", (col.a / col.b // col.c % col.d) == 0),
        ("a = -1 or a = +2.5e3 or a = .5", ((col.a == -1) | (col.a == 2500.0)) | (col.a == 0.5)),
        ("a in (1, -2, 'x', null, true)", col.a.is_in([1, -2, "x", None, True])),
        ("a not in []", ~col.a.is_in([])),
        ("x between 1 and 2 and y", ((col.x >= 1) & (col.x <= 2)) & col.y),
        ("x not between 1 and 2", ~((col.x >= 1) & (col.x <= 2))),
        ("x is null or y is not null", col.x.is_null() | ~col.y.is_null()),
        ("name like 'A%b_.'", fn.matches(col.name, r"(?s)\AA.*b.\.\Z")),
        ("name not like '%%'", ~fn.matches(col.name, r"(?s)\A.*\Z")),
        ("a.b.c = true", col.a.b.c == True),  # noqa: E712 - a tree
        ("`order id`.`and` = false", col["order id"]["and"] == False),  # noqa: E712 - a tree
        ("Lower(trim(name)) = 'x'", fn.lower(fn.trim(col.name)) == "x"),
        ("coalesce(a, b, 0) > 1", fn.coalesce(col.a, col.b, 0) > 1),
        ("case when a then 1 when b then 2 end = 1", when(col.a).then(1).when(col.b).then(2).otherwise(None) == 1),
        ("case when a then 1 else 0 end = 1", when(col.a).then(1).otherwise(0) == 1),
        ("at > timestamp '2024-01-01T00:00:00Z'", col.at > datetime(2024, 1, 1, tzinfo=UTC)),
        ("at - duration '5m' < at", (col.at - timedelta(minutes=5)) < col.at),
        ("day = date '2024-02-29'", col.day == date(2024, 2, 29)),
        ("date(at) = date and timestamp = duration", (fn.date(col.at) == col.date) & (col.timestamp == col.duration)),
        ("order_id = 1 and notes = 2 and inside = 3", ((col.order_id == 1) & (col.notes == 2)) & (col.inside == 3)),
        ("a\n  and\tb", col.a & col.b),
        ("größe > 1", col.größe > 1),
    ],
)
def test_a_rule_is_the_expression_that_a_user_would_write(text: str, expected: Expr) -> None:
    assert str(parse_rule(text)) == str(expected)


def test_quotes_inside_of_a_text_are_doubled_or_escaped() -> None:
    assert str(parse_rule("a = 'it''s'")) == str(col.a == "it's")
    assert str(parse_rule('a = "say ""x"""')) == str(col.a == 'say "x"')
    assert str(parse_rule(r"a = 'it\'s \\ n'")) == str(col.a == "it's \\ n")


def test_a_cast_names_a_type() -> None:
    assert str(parse_rule("cast(a as int) > 1 and cast = 2")) == "((cast(col.a, int) > 1) & (col.cast == 2))"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i between 1 and 7 and s like ' a%'", False),
        ("s like '%Ada_'", True),
        ("ni = 1 or i = 7", True),
        ("ni in (1, 2)", None),
        ("case when nb then 'x' else 'y' end = 'y'", True),
        ("t > timestamp '2024-01-01T00:00:00Z' and lasts <= duration '5m'", True),
        ("round(f) = 2 and log(8, 2) = 3", True),
    ],
)
def test_a_rule_runs(text: str, expected: bool | None) -> None:
    assert run(parse_rule(text)) is expected


def test_a_rule_is_type_checked_like_any_expression() -> None:
    assert [got for _, got, _ in faults(parse_rule("i > 'x' and stauts = 'open'"))] == [
        "int > str in (col.i > 'x')",
        "'stauts'",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a > 1 && b",
            "line 1, column 7: unexpected '&': use 'and'\n  a > 1 && b\n        ^",
        ),
        ("a\nand b = = 2", "line 2, column 9: expected '(', '-', a name, a number, a text in quotes, "),
        ("x = 'abc", "line 1, column 5: the quote ' is never closed\n  x = 'abc\n      ^"),
        ("lowr(x)", "line 1, column 1: there is no function 'lowr'; did you mean lower or power or floor?\n  lowr(x)"),
        ("cast(x as inte)", "line 1, column 11: there is no type 'inte' to cast to; there are: int, float, decimal"),
        ("a < b < c", "line 1, column 7: expected '-', and, or, the end, got '<'\n  a < b < c\n        ^"),
        ("", "line 1, column 1: the rule ends too early: expected "),
        ("at > timestamp '2024-01-01T00:00:00'", "line 1, column 16: expected a time with an offset"),
        ("x > duration '5 years'", "line 1, column 14: duration: expected a duration such as"),
        ("a in [b]", "line 1, column 7: expected "),
        ("12abc = 1", "line 1, column 1: unexpected '1'"),
        ("a = " + "9" * 500, "line 1, column 5: a number may have at most 400 digits"),
        ("(" * 101 + "a" + ")" * 101, "line 1, column 101: a rule may be nested at most 100 deep"),
        ("not " * 200 + "a", "line 1, column 1: a rule may be nested at most 100 deep"),
        ("a" + " + a" * 200, "line 1, column 1: a rule may be nested at most 100 deep"),
        ("a" * (MAX_LENGTH + 1), "line 1, column 1: a rule may have at most 10000 characters, this one has 10001"),
        ("__import__('os').system('x')", "line 1, column 17: expected '-', a comparison, an operator"),
        ("a; b", "line 1, column 2: unexpected ';'"),
    ],
)
def test_an_error_points_at_the_place(text: str, message: str) -> None:
    with pytest.raises(RuleSyntaxError) as caught:
        parse_rule(text)
    assert str(caught.value).startswith(message)


words = st.sampled_from(
    [
        "and",
        "or",
        "not",
        "in",
        "between",
        "like",
        "is",
        "null",
        "true",
        "false",
        "case",
        "when",
        "then",
        "else",
        "end",
        "cast",
        "as",
        "duration",
        "timestamp",
        "date",
        "a",
        "b.c",
        "1",
        "2.5",
        "-1",
        "'x'",
        '"y"',
        "`z",
        "q`",
        "(",
        ")",
        "[",
        "]",
        ",",
        ".",
        "=",
        "==",
        "!=",
        "<>",
        "<",
        "<=",
        ">",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
        "'open",
        "\\",
        "\n",
        "\x00",
        "é",
    ]
    + [f"{name}(" for name in FUNCTIONS]
)


def parse_safely(text: str) -> None:
    try:
        found = parse_rule(text)
    except RuleSyntaxError:
        return
    faults(found)


@settings(max_examples=500, deadline=None)
@given(st.lists(words, max_size=25).map(" ".join))
def test_any_words_give_an_expression_or_a_syntax_error(text: str) -> None:
    parse_safely(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text_gives_an_expression_or_a_syntax_error(text: str) -> None:
    parse_safely(text)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30))
def test_any_text_can_be_quoted(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace("'", "''")
    assert str(parse_rule(f"a = '{quoted}'")) == str(col.a == text)
