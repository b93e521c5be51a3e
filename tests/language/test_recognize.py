"""Patterns as text: what they mean."""

from __future__ import annotations

from datetime import datetime

import pytest
from pydantic import BaseModel

from headrace import Topology, col, fn, matched, recognize, when
from headrace.testing import TopologyDriver
from headrace.topology.expr import Binary, Expr
from headrace.topology.patterns import Pattern

MAX_C = matched.max("C", col.price)


def conditions(pattern: Pattern) -> dict[str, str]:
    """Return the conditions of a pattern by step, those of groups too."""
    found: dict[str, str] = {}
    for element in pattern.elements:
        if isinstance(element.step, Pattern):
            found |= conditions(element.step)
        elif element.where is not None:
            found[str(element.step)] = str(element.where)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", "A"),
        ("A B C", "A, next B, next C"),
        ("A B+ C", "A, next B{1,} consecutive greedy, next C"),
        ("A B* C", "A, next B{1,}? consecutive greedy, next C"),
        ("A B? C", "A, next B?, next C"),
        ("A B{3} C", "A, next B{3} consecutive, next C"),
        ("A B{3}? C", "A, next B{3} consecutive, next C"),
        ("A B{2,3} C", "A, next B{2,3} consecutive greedy, next C"),
        ("A B{2,} C", "A, next B{2,} consecutive greedy, next C"),
        ("A B{,3} C", "A, next B{1,3}? consecutive greedy, next C"),
        ("A B{0,1} C", "A, next B?, next C"),
        ("A B{1} C", "A, next B, next C"),
        ("A B+? C", "A, next B{1,} consecutive, next C"),
        ("A B*?", "A, next B{1,}? consecutive"),
        ("A B{2,3}?", "A, next B{2,3} consecutive"),
        ("A B??", "A, next B?"),
        ("(A B)+? C", "(A, next B){1,} consecutive, next C"),
        ("A (B C){2}", "A, next (B, next C){2} consecutive"),
        ("A (B C+ D)? E", "A, next (B, next C{1,} consecutive greedy, next D)?, next E"),
        ("(A (B)) ((C))+ D", "A, next B, next C{1,} consecutive greedy, next D"),
        ("`first step` größe", "first step, next größe"),
        ("LAST First\n\t pattern", "LAST, next First, next pattern"),
    ],
)
def test_rows_of_a_text_follow_each_other_directly_and_loops_are_greedy_as_in_sql(text: str, expected: str) -> None:
    assert str(recognize(f"PATTERN ({text})").pattern) == f"{expected}, skip past last"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B AS price > 1", {"B": col.price > 1}),
        ("B AS B.price > 1 and B.address.city = 'x'", {"B": (col.price > 1) & (col.address.city == "x")}),
        ("B AS B.price < LAST(A.price)", {"B": Binary("<", col.price, matched.last("A").price)}),
        ("B AS B.price < A.price, C AS FIRST(B.a.b) = x", {
            "B": Binary("<", col.price, matched.last("A").price),
            "C": matched.first("B").a.b == col.x,
        }),
        ("B AS LAST(B.price) < last(B.price, 1)", {"B": Binary("<", col.price, matched.last("B").price)}),
        ("B AS FIRST(B.price) > 1", {
            "B": when(matched.count("B") == 0).then(col.price).otherwise(matched.first("B").price) > 1
        }),
        ("B AS COUNT(B.*) < 3 and count(A.*) = 1", {"B": ((matched.count("B") + 1) < 3) & (matched.count("A") == 1)}),
        ("C AS COUNT(*) < 9", {"C": (matched.count("A") + matched.count("B") + matched.count("C") + 1) < 9}),
        ("C AS SUM(B.price * 2) > SUM(C.price)", {
            "C": matched.sum("B", col.price * 2) > matched.sum("C", col.price) + col.price.fill_null(0)
        }),
        ("C AS MIN(B.price) > 1 and MAX(C.price) > 2", {
            "C": (matched.min("B", col.price) > 1)
            & (fn.greatest(MAX_C.fill_null(col.price), col.price.fill_null(MAX_C)) > 2)
        }),
        ("`order id` AS A.`order id` is null", None),
        ("B AS case when cast(A.n as int) in (1, 2) then lower(s) like 'a%' else not x between 1 and 2 end", {
            "B": when(matched.last("A").n.cast(int).is_in([1, 2]))
            .then(fn.matches(fn.lower(col.s), r"(?s)\Aa.*\Z"))
            .otherwise(~((col.x >= 1) & (col.x <= 2)))
        }),
        ("B AS after = within and measures > skip", {"B": (col.after == col.within) & (col.measures > col.skip)}),
    ],
)  # fmt: skip
def test_conditions_are_those_of_rules_with_fields_of_steps(text: str, expected: dict[str, Expr] | None) -> None:
    if expected is None:
        found = recognize(f"PATTERN (A `order id`) DEFINE {text}")
        assert conditions(found.pattern) == {"order id": str(fn.is_null(matched.last("A")["order id"]))}
    else:
        found = recognize(f"PATTERN (A B C) DEFINE {text}")
        assert conditions(found.pattern) == {name: str(expr) for name, expr in expected.items()}


def test_measures_are_what_a_match_returns() -> None:
    found = recognize("""
        PATTERN (A B+ C)
        MEASURES FIRST(A.price) AS start_price, B.price AS last_b, COUNT(B.*) AS n, COUNT(*) AS `all rows`,
                 SUM(B.price) / COUNT(B.*) AS mean, MAX(B.price) - min(B.price) as spread, MATCH_ROWTIME() AS at
    """)
    assert found.emit is not None
    assert {name: str(expr) for name, expr in found.emit.items()} == {
        "start_price": str(matched.first("A").price),
        "last_b": str(matched.last("B").price),
        "n": str(matched.count("B")),
        "all rows": str(matched.count("A") + matched.count("B") + matched.count("C")),
        "mean": str(matched.sum("B", col.price) / matched.count("B")),
        "spread": str(matched.max("B", col.price) - matched.min("B", col.price)),
        "at": str(matched.end),
    }
    assert recognize("PATTERN (A)").emit is None


@pytest.mark.parametrize(
    ("text", "window", "skip"),
    [
        ("", None, "past last"),
        ("WITHIN 5 MINUTES", "5m", "past last"),
        ("within 1.5 second", "1.5s", "past last"),
        ("WITHIN INTERVAL '2' DAY", "2d", "past last"),
        ("WITHIN '1h30m'", "1h30m", "past last"),
        ("WITHIN DURATION '1h30m'", "1h30m", "past last"),
        ("AFTER MATCH SKIP PAST LAST ROW", None, "past last"),
        ("AFTER MATCH SKIP TO NEXT ROW", None, "to next"),
        ("AFTER MATCH SKIP TO FIRST B ONE ROW PER MATCH", None, "to first B or fail"),
        ("after match skip to last A", None, "to last A or fail"),
        ("AFTER MATCH SKIP TO B", None, "to last B or fail"),
    ],
)
def test_the_window_and_what_is_skipped(text: str, window: str | None, skip: str) -> None:
    for found in (recognize(f"PATTERN (A B) {text}"), recognize(f"{text} DEFINE A AS x > 1 PATTERN (A B)")):
        assert (found.pattern.window, str(found.pattern.skip)) == (window, skip)


class Tick(BaseModel):
    symbol: str
    at: datetime
    price: int


TEXT = """
    PATTERN (A B+ C)
    DEFINE B AS price < coalesce(LAST(B.price, 1), A.price),
           C AS price > LAST(B.price)
    WITHIN 1 HOUR
    AFTER MATCH SKIP PAST LAST ROW
    MEASURES FIRST(A.price) AS top, LAST(B.price) AS low, COUNT(B.*) AS falls, C.at AS turned
"""


def test_a_text_detects() -> None:
    topology = Topology("stocks")
    ticks = topology.source("ticks", topic="ticks", schema=Tick, time=col.at)
    ticks.group_by("by-symbol", col.symbol).detect("dips", recognize(TEXT)).sink("out", topic="dips")
    driver = TopologyDriver(topology)
    prices = [12, 17, 13, 9, 8, 14, 20]
    driver.pipe("ticks", [{"symbol": "x", "at": f"2024-01-01T00:0{n}:00Z", "price": p} for n, p in enumerate(prices)])
    driver.finish()
    assert driver.output("dips") == [
        {"symbol": "x", "top": 17, "low": 8, "falls": 3, "turned": "2024-01-01T00:05:00Z"},
    ]


SUMS = (
    "PATTERN (A+ B) DEFINE A AS SUM(A.price) < 30 MEASURES FIRST(A.price) AS first, COUNT(*) AS rows, B.price AS last"
)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("", [(7, 4, 5), (10, 3, 14)]),
        ("AFTER MATCH SKIP PAST LAST ROW", [(7, 4, 5), (10, 3, 14)]),
        ("AFTER MATCH SKIP TO NEXT ROW", [(7, 4, 5), (9, 4, 10), (10, 4, 7), (5, 4, 14), (10, 3, 14)]),
    ],
)
def test_matches_are_those_of_the_example_in_flinks_documentation(after: str, expected: list[tuple[int, ...]]) -> None:
    topology = Topology("stocks")
    ticks = topology.source("ticks", topic="ticks", schema=Tick, time=col.at)
    found = ticks.group_by("by-symbol", col.symbol).detect("sums", recognize(f"{SUMS} {after}"))
    found.sink("out", topic="sums")
    driver = TopologyDriver(topology)
    prices = [7, 9, 10, 5, 10, 7, 14]
    driver.pipe("ticks", [{"symbol": "x", "at": f"2024-01-01T00:0{n}:00Z", "price": p} for n, p in enumerate(prices)])
    driver.finish()
    assert [(row["first"], row["rows"], row["last"]) for row in driver.output("sums")] == expected
