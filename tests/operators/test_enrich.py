import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace import Topology, TopologyError, agg, col, tumbling
from headrace.plan import compile_plan
from headrace.testing import CrashPoint, TopologyDriver
from tests.operators.support import click, clicks, moment, only

calls: list[Any] = []


async def double(n: int) -> int:
    calls.append(n)
    await asyncio.sleep(0)
    if n == 13:
        msg = "unlucky"
        raise ValueError(msg)
    return n * 2


def declared(**options: Any) -> Topology:
    topology = Topology("t")
    enriched = clicks(topology).enrich("twice", double, col.n, returns=int, **{"attempts": 1} | options)
    enriched.sink("out", topic="out")
    return topology


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


def test_every_record_gets_the_value_of_its_arguments_in_order() -> None:
    driver = TopologyDriver(declared())
    driver.pipe("clicks", [click("a", 0, n=1), click("b", 1, n=None), click("c", 2, n=1), click("d", 3, n=4)])
    assert only(driver.output("out"), "user", "n", "value") == [
        ("a", 1, 2),
        ("b", None, None),
        ("c", 1, 2),
        ("d", 4, 8),
    ]
    assert sorted(calls) == [1, 4]


def test_values_are_remembered_for_a_time_and_up_to_a_number() -> None:
    driver = TopologyDriver(declared(cache="10s", entries=2))
    for n in (1, 2, 1, 3, 1, 2):
        driver.pipe("clicks", click("a", 0, n=n))
    assert calls == [1, 2, 3, 2]  # of three values the one that was asked for longest ago is forgotten
    driver.advance("10s")
    driver.pipe("clicks", click("a", 1, n=1))
    assert calls == [1, 2, 3, 2, 1]


def test_records_that_get_no_value_are_dead_letters_and_are_tried_again_later() -> None:
    driver = TopologyDriver(declared(attempts=2, backoff="1ms"))
    driver.pipe("clicks", [click("a", 0, n=13), click("b", 1, n=1), click("c", 2, n=13)])
    assert only(driver.output("out"), "user") == ["b"]
    assert [(letter.step, letter.message) for letter in driver.dead_letters()] == [("twice", "ValueError: unlucky")] * 2
    assert Counter(calls) == {13: 2, 1: 1}
    driver.pipe("clicks", click("a", 3, n=13))
    assert Counter(calls) == {13: 4, 1: 1}


def test_a_call_that_takes_too_long_or_returns_something_else_has_failed() -> None:
    async def slow(n: int) -> object:
        return await asyncio.sleep(3600) if n else "text"

    topology = Topology("t")
    enriched = clicks(topology).enrich("slow", slow, col.n, returns=int, timeout="10ms", attempts=1)
    enriched.sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 0, n=1), click("a", 0, n=0)])
    assert driver.output("out") == []
    assert [letter.error for letter in driver.dead_letters()] == ["TimeoutError", "DataError"]


def test_event_time_waits_for_the_records_and_lateness_stays_theirs() -> None:
    """What is late is decided by the records before it in its input, not by where a batch ends."""

    def counted(batch: int | None) -> tuple[list[Any], list[Any]]:
        topology = Topology("t")
        enriched = clicks(topology).enrich("twice", double, col.n, returns=int)
        counts = enriched.group_by("by", col.user).window(tumbling("10s")).aggregate("counts", total=agg.sum(col.value))
        counts.on_close().sink("out", topic="out")
        counts.late().sink("late-out", topic="late")
        driver = TopologyDriver(topology, batch=batch)
        seconds = (1, 12, 5, 14, 25, 11, 26, 4)
        driver.pipe("clicks", [click("a", second, n=second) for second in seconds])
        driver.finish()
        return only(driver.output("out"), "window_start", "total"), only(driver.output("late"), "at")

    assert counted(None) == counted(1) == counted(3)
    assert counted(None) == (
        [(moment(0), 2), (moment(10), 52), (moment(20), 102)],
        [moment(5), moment(11), moment(4)],
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.none() | st.integers(0, 5)), max_size=30),
    st.integers(1, 9),
    st.lists(st.sampled_from(["restart", "checkpoint", *CrashPoint]), max_size=5),
)
def test_restarts_and_crashes_change_nothing(found, batch, jumps) -> None:
    driver = TopologyDriver(declared(cache="0s"), batch=batch)
    size = len(found) // (len(jumps) + 1) + 1
    for place, begin in enumerate(range(0, len(found), size)):
        driver.pipe("clicks", [click(key, 0, n=n) for key, n in found[begin : begin + size]])
        jump = jumps[place] if place < len(jumps) else "checkpoint"
        if jump == "restart":
            driver.restart()
        elif jump == "checkpoint":
            driver.checkpoint()
        elif isinstance(jump, CrashPoint):
            driver.crash(jump)
    expected = [(key, n, None if n is None else 2 * n) for key, n in found]
    assert only(driver.output("out"), "user", "n", "value") == expected


def test_it_works_where_a_loop_runs() -> None:
    async def run() -> list[Any]:
        driver = TopologyDriver(declared())
        driver.pipe("clicks", click("a", 0, n=1))
        return [record.json()["value"] for record in driver.records("out")]

    assert asyncio.run(run()) == [2]


def test_what_cannot_be_enriched_is_refused() -> None:
    topology = Topology("t")
    source = clicks(topology)
    source.enrich("twice", double, col.lines, returns=int, name="n").sink("1", topic="1")
    source.enrich("sync", len, col.user, returns=int).sink("2", topic="2")  # type: ignore[arg-type]
    with pytest.raises(TopologyError) as raised:
        compile_plan(topology)
    assert [str(fault) for fault in raised.value.faults] == [
        "step 'twice', argument 1: expected a scalar, got list[{sku: str, quantity: int}]?."
        " Take a scalar, such as a field of it: values are remembered by their arguments.",
        "step 'twice', name: expected a new column name, got 'n', which the record has."
        " Choose another name: name='...'.",
        "step 'sync', function: expected an async function, got builtins.len."
        " Declare it with 'async def': it is awaited, so that many calls may wait at once.",
    ]
