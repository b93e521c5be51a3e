"""A record that fails in an aggregate changes nothing of that step: not its counts, not its windows."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from headrace import Topology, agg, apply, col, hopping, session, tumbling
from headrace.event.dtypes import ANY
from headrace.testing import TopologyDriver
from tests.operators.support import moment

BAD = 13


class Item(BaseModel):
    user: str
    at: datetime
    n: int
    text: str = "1"


def unlucky(state: int, n: int) -> int:
    if n == BAD:
        msg = "thirteen"
        raise ValueError(msg)
    return state + n


def plus(a: int, b: int) -> int:
    return a + b


def same(state: int) -> int:
    return state


def stretched(n: int) -> Any:
    return "x" if n == BAD else n


def listed(n: int) -> Any:
    return {"n": object()} if n == BAD else n


def unplain(state: int, n: int) -> Any:
    return object() if n == BAD else state + n


ODD = apply(stretched, col.n, returns=ANY)
DECIMAL = col.text.cast(Decimal)
FAILING = {
    "custom": agg.custom(col.n, init=int, add=unlucky, merge=plus, result=same, returns=int),
    "custom of no plain data": agg.custom(col.n, init=int, add=unplain, merge=plus, result=same, returns=int),
    "sum": agg.sum(ODD),
    "sum of decimals": agg.sum(DECIMAL),
    "mean": agg.mean(ODD),
    "mean of decimals": agg.mean(DECIMAL),
    "variance": agg.variance(ODD),
    "stddev of decimals": agg.stddev(DECIMAL),
    "min": agg.min(apply(listed, col.n, returns=ANY)),
    "max of decimals": agg.max(DECIMAL),
    "arg_min": agg.arg_min(col.n, apply(listed, col.n, returns=ANY)),
    "arg_max": agg.arg_max(col.n, DECIMAL),
    "set": agg.collect_set(DECIMAL),
    "a function that returns another type": agg.sum(apply(stretched, col.n, returns=int)),
}
WINDOWS = {
    "all time": None,
    "tumbling": tumbling("1m"),
    "hopping": hopping("1m", "20s"),
    "session": session("20s"),
}
GOOD_AND_BAD = [
    ("a", 0, 1), ("a", 1, BAD), ("a", 25, 2),
    ("a", 12, BAD),  # would join two sessions
    ("c", 5, BAD),  # would be the first of its key
    ("b", 70, 3),
    ("a", 65, BAD),  # would open windows
    ("a", 26, 4), ("a", 27, BAD), ("a", 40, 5), ("b", 71, 6),
]  # fmt: skip


def declared(spec, window) -> Topology:
    topology = Topology("t")
    items = topology.source("items", topic="items", schema=Item, time=col.at, key=col.user, out_of_orderness="2m")
    grouped = items.group_by("by", col.user)
    grouped = grouped if window is None else grouped.window(window)
    table = grouped.aggregate("table", before=agg.count(), value=spec, after=agg.sum(col.n), last=agg.last(col.n))
    table.on_update().sink("update-out", topic="update")
    table.every("15s").sink("every-out", topic="every")
    if window is not None:
        table.on_close().sink("close-out", topic="close")
    return topology


def run(spec, window, records, *, checkpoints: bool) -> tuple[list[Any], TopologyDriver]:
    driver = TopologyDriver(declared(spec, window))
    for user, second, n in records:
        text = "sNaN" if n == BAD else str(n)
        driver.pipe("items", {"user": user, "at": moment(second), "n": n, "text": text})
        if checkpoints:
            driver.checkpoint()
            driver.restart()
    table = driver.table("table")
    driver.finish()
    topics = ["update", "every"] + ["close"] * (window is not None)
    return [table, *(driver.output(topic) for topic in topics)], driver


@pytest.mark.parametrize("checkpoints", [False, True], ids=["at-once", "restart-after-each"])
@pytest.mark.parametrize("window", WINDOWS.values(), ids=list(WINDOWS))
@pytest.mark.parametrize("spec", FAILING.values(), ids=list(FAILING))
def test_a_record_that_fails_changes_nothing(spec, window, checkpoints) -> None:
    got, driver = run(spec, window, GOOD_AND_BAD, checkpoints=checkpoints)
    expected, _ = run(spec, window, [r for r in GOOD_AND_BAD if r[2] != BAD], checkpoints=checkpoints)
    assert got == expected
    assert [(d.step, d.offset) for d in driver.dead_letters()] == [("table", n) for n in (1, 3, 4, 6, 8)]


@pytest.mark.parametrize("window", WINDOWS.values(), ids=list(WINDOWS))
def test_a_record_that_fails_to_reduce_changes_nothing(window) -> None:
    records = [("a", 0, 1), ("a", 1, BAD), ("a", 2, 3), ("a", 2, BAD)]
    spec = agg.reduce(unlucky, col.n, returns=int)
    got, driver = run(spec, window, records, checkpoints=False)
    assert got == run(spec, window, [("a", 0, 1), ("a", 2, 3)], checkpoints=False)[0]
    assert [letter.offset for letter in driver.dead_letters()] == [1, 3]


def joining_fails(a: int, b: int) -> int:
    msg = "these do not join"
    raise ValueError(msg)


def test_an_event_that_joins_sessions_that_do_not_join_changes_nothing() -> None:
    spec = agg.custom(col.n, init=int, add=plus, merge=joining_fails, result=same, returns=int)
    rows, driver = run(spec, session("20s"), [("a", 0, 1), ("a", 30, 2), ("a", 15, 4)], checkpoints=False)
    assert [(row["before"], row["value"]) for row in rows[0]] == [(1, 1), (1, 2)]
    assert [letter.offset for letter in driver.dead_letters()] == [2]


def test_a_late_record_is_late_before_it_is_bad() -> None:
    topology = Topology("t")
    items = topology.source("items", topic="items", schema=Item, time=col.at)
    for name, window in WINDOWS.items():
        if window is not None:
            grouped = items.group_by(f"by-{name}", col.user).window(window)
            table = grouped.aggregate(name, value=agg.reduce(unlucky, col.n, returns=int))
            table.late().select(f"late-{name}", col.n).sink(f"late-out-{name}", topic=name)
    driver = TopologyDriver(topology)
    rows = [("a", 500, 1), ("a", 0, BAD), ("a", 500, 2)]
    driver.pipe("items", [{"user": user, "at": moment(second), "n": n} for user, second, n in rows])
    assert [driver.output(name) for name in WINDOWS if name != "all time"] == [[{"n": BAD}]] * 3
    assert driver.dead_letters() == []


@pytest.mark.parametrize(
    ("returns", "value", "message"),
    [
        (int, "x", "expected a result of type int, got str 'x'"),
        (int, 1.5, "expected a result of type int, got float 1.5"),
        (int, None, "expected a result of type int, got NoneType None"),
        (str, 1, "expected a result of type str, got int 1"),
        (datetime, datetime(2024, 1, 1), "expected a result of type timestamp, got datetime datetime.datetime(2024"),  # noqa: DTZ001
        (list[int], [1, "x"], "expected a result of type list[int], got list [1, 'x']"),
    ],
)
def test_a_function_that_returns_what_it_did_not_promise(returns, value, message) -> None:
    def liar(n: int) -> Any:
        return value

    topology = Topology("t")
    items = topology.source("items", topic="items", schema=Item, time=col.at)
    items.select("s", x=apply(liar, col.n, returns=returns)).sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("items", {"user": "a", "at": moment(0), "n": 1})
    (letter,) = driver.dead_letters()
    assert "liar: expected" in letter.message
    assert message in letter.message
    assert "Mend it, or what 'returns' says" in letter.message


@pytest.mark.parametrize(
    ("returns", "value", "expected"), [(float, 1, 1.0), (int, True, 1), (list[float], (1,), [1.0])]
)
def test_a_close_type_is_converted(returns, value, expected) -> None:
    def near(n: int) -> Any:
        return value

    topology = Topology("t")
    items = topology.source("items", topic="items", schema=Item, time=col.at)
    items.select("s", x=apply(near, col.n, returns=returns)).sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("items", {"user": "a", "at": moment(0), "n": 1})
    (got,) = (row["x"] for row in driver.output("out"))
    assert (type(got), got) == (type(expected), expected)
