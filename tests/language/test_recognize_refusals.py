"""Patterns as text: what is refused and where, and that no text does anything else."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace import col, recognize
from headrace.topology.recognize import RecognizeSyntaxError
from headrace.topology.rules import MAX_LENGTH


def refusal(text: str) -> str:
    with pytest.raises(RecognizeSyntaxError) as caught:
        recognize(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        (
            "PATTERN (A B+)",
            1,
            12,
            "expected an end that is known when it comes, got the greedy B+: a longer match may always follow. "
            "Add a step behind it, or write B+? for the shortest match.",
        ),
        (
            "PATTERN (A+ B? C)",
            1,
            10,
            "expected a step that must come behind the greedy A+, got B?, which may be left out. Write A+? to "
            "follow every way on.",
        ),
        (
            "PATTERN (A (B C)+ D)",
            1,
            13,
            "expected a greedy loop of one step, got a group: (B C)+. Write (B C)+? to follow every way on.",
        ),
        (
            "PATTERN ((A B+){2} C)",
            1,
            13,
            "expected a step behind the greedy B+ in its group, got none. Write B+? to follow every way on.",
        ),
        (
            "PATTERN ((A{2})+? C)",
            1,
            11,
            "expected one quantifier, got a loop of a loop: (A{2})+?. Write one of them.",
        ),
        (
            "PATTERN (A B A)",
            1,
            14,
            "expected each step once, got 'A' again. Give it another name and the same condition.",
        ),
        (
            "PATTERN (A{3,2} B)",
            1,
            12,
            "expected bounds that let something through, got {3,2}. Write {1,3}, or leave the step out.",
        ),
        (
            "PATTERN (A{0} B)",
            1,
            12,
            "expected bounds that let something through, got {0,0}. Write {1,3}, or leave the step out.",
        ),
        (
            "PATTERN (A{1.5} B)",
            1,
            12,
            "expected a whole number up to 1000, got '1.5'. Use + or * for any number.",
        ),
        (
            "PATTERN (A | B)",
            1,
            12,
            "alternatives (A | B) are not supported: use one step whose condition is true for both",
        ),
        (
            "PARTITION BY user ORDER BY at PATTERN (A B)",
            1,
            1,
            "PARTITION BY is no part of the text: write stream.group_by(...).detect(...)",
        ),
        (
            "PATTERN (A B)\nDEFINE B AS B.x > 1\nORDER BY at",
            3,
            1,
            "ORDER BY is no part of the text: detect(order=...) says in which order events are matched",
        ),
        (
            "PATTERN (A B)\nALL ROWS PER MATCH",
            2,
            1,
            "ALL ROWS PER MATCH is not supported: a match makes one row",
        ),
        (
            "DEFINE A AS x > 1",
            1,
            1,
            "expected PATTERN ( ... ), got none. Say which rows follow each other: PATTERN (A B+ C).",
        ),
        (
            "PATTERN (A) PATTERN (B)",
            1,
            13,
            "expected one PATTERN, got a second one. Say all in one PATTERN.",
        ),
        (
            "PATTERN (A B) DEFINE C AS x > 1",
            1,
            22,
            "expected a step of PATTERN (A, B), got 'C'. Mend the name.",
        ),
        (
            "PATTERN (A B) DEFINE A AS x > 1, A AS y",
            1,
            34,
            "expected one condition of step 'A', got a second one. Join them with 'and'.",
        ),
        (
            "PATTERN (A B) DEFINE B AS A",
            1,
            27,
            "expected a field of step 'A', got the step itself. Write A.price, say.",
        ),
        (
            "PATTERN (A B) MEASURES price AS p",
            1,
            24,
            "expected a field of a step, got 'price'. Write LAST(B.price).",
        ),
        (
            "PATTERN (A B) MEASURES LAST(C.price) AS p",
            1,
            29,
            "expected a field of a step of PATTERN (A, B), got 'C.price'. Mend the name.",
        ),
        (
            "PATTERN (A B) MEASURES SUM(A.x + B.x) AS p",
            1,
            24,
            "expected fields of one step in SUM(...), got A and B. Write SUM(A.price).",
        ),
        (
            "PATTERN (A B) MEASURES SUM(1) AS p",
            1,
            24,
            "expected fields of one step in SUM(...), got none. Write SUM(A.price).",
        ),
        (
            "PATTERN (A B) MEASURES SUM(A.x, 1) AS p",
            1,
            24,
            "expected one field, got something else. Write SUM(A.price).",
        ),
        (
            "PATTERN (A B) MEASURES SUM(LAST(A.x)) AS p",
            1,
            28,
            "expected a field in SUM(...), got LAST(...). Functions over steps do not nest.",
        ),
        (
            "PATTERN (A B) MEASURES LAST(A.x, 2) AS p",
            1,
            24,
            "expected no number of rows to go back, except 1 in LAST of the step's own condition, got 2. Only "
            "the first and the last row of a step are kept at hand.",
        ),
        (
            "PATTERN (A B) MEASURES COUNT(A.x) AS p",
            1,
            24,
            "expected rows to be counted, got a field. Write COUNT(A.*).",
        ),
        (
            "PATTERN (A B) MEASURES SUM(A.*) AS p",
            1,
            24,
            "expected a field such as SUM(A.price), got '*'. Only COUNT counts rows.",
        ),
        (
            "PATTERN (A B) MEASURES A.x AS p, B.x AS p",
            1,
            41,
            "expected each name once, got 'p' again. Give it another name.",
        ),
        (
            "PATTERN (A B) DEFINE B AS price < PREV(price)",
            1,
            35,
            "PREV is not supported. Write LAST(A.price): the row before is the last one that was taken.",
        ),
        (
            "PATTERN (A B) DEFINE B AS AVG(A.price) > 1",
            1,
            27,
            "AVG is not supported, because of nulls. Write SUM(A.price) / COUNT(A.*).",
        ),
        (
            "PATTERN (A B) DEFINE B AS MATCH_ROWTIME() > 1",
            1,
            27,
            "expected MATCH_ROWTIME() among the MEASURES: it is the time of the last row of a match.",
        ),
        (
            "PATTERN (A B) DEFINE B AS lenght(name) > 1",
            1,
            27,
            "there is no function 'lenght'; did you mean length or element?",
        ),
        (
            "PATTERN (A B) WITHIN 5 FORTNIGHTS",
            1,
            24,
            "expected a unit of time (MILLISECONDS, SECONDS, MINUTES, HOURS, DAYS, WEEKS), got 'FORTNIGHTS'. "
            "Write WITHIN 5 MINUTES.",
        ),
        (
            "PATTERN (A B) WITHIN 0 SECONDS",
            1,
            22,
            "expected a duration of more than 0 ms, got '0s'. Write WITHIN 5 MINUTES.",
        ),
        (
            "PATTERN (A B) AFTER MATCH SKIP TO FIRST C",
            1,
            41,
            "expected a step of PATTERN (A, B), got 'C'. Mend the name.",
        ),
        (
            "PATTERN (A B",
            1,
            13,
            "the pattern ends too early: expected '(', ')', '*', '+', '?', '{', a name",
        ),
        (
            "PATTERN (A B) DEFINE B AS x >",
            1,
            30,
            "the pattern ends too early: expected '(', '-', a name, a number, a text in quotes, case, cast, "
            "date, duration, false, null, timestamp, true",
        ),
        (
            "",
            1,
            1,
            "the pattern ends too early: expected after, define, measures, one, pattern, within",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, line: int, column: int, reason: str) -> None:
    place = text.split("\n")[line - 1]
    assert refusal(text) == f"line {line}, column {column}: {reason}\n  {place}\n  {' ' * (column - 1)}^"


def test_a_text_has_bounds() -> None:
    assert refusal(f"PATTERN (A) {' ' * MAX_LENGTH}").startswith(
        "line 1, column 1: a pattern may have at most 10000 characters, this one has 10012\n"
    )
    assert refusal(f"PATTERN ({'(' * 200}A{')' * 200})").startswith(
        "line 1, column 109: a pattern may be nested at most 100 deep\n"
    )
    long = " + ".join(["x"] * 200)
    for text in (f"PATTERN (A) DEFINE A AS {long} > 1", f"PATTERN (A) MEASURES SUM({long}) AS n"):
        assert "expected an expression of at most 100 levels, got more. Take it apart." in refusal(text)
    assert "expected an expression of at most 100 levels" in refusal(f"PATTERN (A) DEFINE A AS {'not ' * 500} x")


@pytest.mark.parametrize("text", ["__import__('os').system('x')", "A.__class__", "x.__class__.__mro__", "().a", "x; y"])
def test_nothing_is_evaluated_as_python(text: str) -> None:
    try:
        found = recognize(f"PATTERN (A) DEFINE A AS {text}")
    except RecognizeSyntaxError:
        return
    expected = col["__class__"] if text[0] == "A" else col.x["__class__"]["__mro__"]
    assert str(found.pattern.elements[0].where) == str(expected)


WORDS = """
PATTERN DEFINE WITHIN AFTER MATCH SKIP PAST LAST ROW TO NEXT FIRST MEASURES ONE PER INTERVAL A B C A.x B.y price AS
and or not in between like is null case when then else end cast ( ) ( ) + * ? { } { , . , | ^ $ < > = - / % 1 2 3 0 1e9
99999999999999999999 'a' '5m' "b" `c` ` ' SUM( COUNT( LAST( FIRST( MIN( COUNT(*) COUNT(A.*) 5 MINUTES duration
timestamp date PARTITION BY ORDER BY ALL ROWS SUBSET PERMUTE [ ] ; -- \0 é 𝔸
"""
words = st.sampled_from([*WORDS.split(), "\n", "\t"])
openings = st.sampled_from(["", "PATTERN (", "PATTERN (A B) ", "PATTERN (A B) DEFINE B AS ", "PATTERN (A B) MEASURES "])
texts = st.one_of(
    st.text(max_size=60),
    st.builds(lambda start, rest: start + " ".join(rest), openings, st.lists(words, max_size=25)),
    st.builds(lambda start, rest: start + rest, openings, st.text(max_size=40)),
)


@settings(max_examples=1_000, deadline=None)
@given(texts)
@example("PATTERN (A) DEFINE A AS timestamp '99999-01-01' > x")
@example("PATTERN (A) WITHIN 99999999999999999999 WEEKS")
@example("PATTERN (A) WITHIN 1e400 DAYS")
@example("PATTERN (A{99999999999999999999})")
@example("PATTERN (A) DEFINE A AS x like '%%%\\")
@example("PATTERN (A)\n\nDEFINE\n\n\n")
def test_any_text_is_a_pattern_or_a_syntax_error(text: str) -> None:
    try:
        found = recognize(text)
    except RecognizeSyntaxError as error:
        line, column = error.line, error.column
    else:
        assert str(found.pattern)
        return
    lines = text.split("\n")
    assert 1 <= line <= len(lines)
    assert 1 <= column <= len(lines[line - 1]) + 1
