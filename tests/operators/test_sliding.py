import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace import Topology, TopologyError, agg, col, sliding
from headrace.testing import CrashPoint, TopologyDriver
from headrace.topology.windows import Sliding
from tests.operators.support import click, clicks, moment, only


def declared(window: Sliding, lag_s: int = 0) -> Topology:
    topology = Topology("t")
    windows = clicks(topology, out_of_orderness=f"{lag_s}s").group_by("by", col.user).window(window)
    counts = windows.aggregate("counts", n=agg.count(), numbers=agg.collect_list(col.n), most=agg.max(col.n))
    counts.on_close().sink("closed", topic="closed")
    counts.on_update().sink("updates", topic="updates")
    counts.every("1m").sink("early", topic="early")
    counts.late().select("shape", col.at).sink("late-out", topic="late")
    return topology


def closed(driver: TopologyDriver) -> list[tuple[str, list[int]]]:
    return only(driver.output("closed"), "window_start", "numbers")


def test_a_window_ends_with_each_event_and_has_both_its_ends() -> None:
    driver = TopologyDriver(declared(sliding("10s")))
    driver.pipe("clicks", [click("a", 0, n=1), click("a", 10, n=2), click("a", 10.001, n=3), click("b", 11, n=4)])
    driver.finish()
    rows = driver.output("closed")
    assert only(rows, "window_start", "window_end", "numbers") == [
        (moment(-10), moment(0.001), [1]),
        (moment(0), moment(10.001), [1, 2]),
        (moment(0.001), moment(10.002), [2, 3]),
        (moment(1), moment(11.001), [4]),
    ]


def test_events_of_one_moment_share_a_window() -> None:
    driver = TopologyDriver(declared(sliding("10s")))
    driver.pipe("clicks", [click("a", 5, n=1), click("a", 5, n=2)])
    driver.finish()
    assert only(driver.output("closed"), "numbers") == [[1, 2]]


def test_an_event_out_of_order_is_in_all_windows_that_hold_its_time() -> None:
    driver = TopologyDriver(declared(sliding("10s"), lag_s=20))
    driver.pipe("clicks", [click("a", 30, n=1), click("a", 25, n=2), click("a", 19, n=3)])
    driver.finish()
    assert closed(driver) == [(moment(9), [3]), (moment(15), [3, 2]), (moment(20), [2, 1])]


def test_an_event_is_late_when_its_own_window_has_closed() -> None:
    driver = TopologyDriver(declared(sliding("10s", grace="2s")))
    driver.pipe("clicks", [click("a", 10, n=1), click("a", 8, n=2), click("a", 7.999, n=3)])
    driver.finish()
    assert only(driver.output("late"), "at") == [moment(7.999)]
    assert closed(driver) == [(moment(-2), [2]), (moment(0), [2, 1])]


def test_a_window_closes_when_the_watermark_has_passed_its_event() -> None:
    driver = TopologyDriver(declared(sliding("10s", grace="2s")))
    driver.pipe("clicks", [click("a", 0, n=1), click("b", 2, n=2)])
    assert closed(driver) == []
    driver.pipe("clicks", click("b", 2.001, n=3))
    assert closed(driver) == [(moment(-10), [1])]


def test_the_table_and_updates_have_the_newest_closed_window_of_a_key() -> None:
    driver = TopologyDriver(declared(sliding("10s")))
    driver.pipe("clicks", [click("a", 0, n=1), click("a", 3, n=2), click("b", 4, n=3), click("a", 5, n=4)])
    assert only(driver.table("counts"), "user", "n") == [("a", 2), ("b", 1)]
    assert only(driver.output("updates"), "user", "window_end") == [("a", moment(3.001)), ("b", moment(4.001))]


def test_early_rows_are_the_newest_of_each_key_since_the_last_turn() -> None:
    driver = TopologyDriver(declared(sliding("10s")))
    driver.pipe("clicks", [click("a", 1, n=1), click("a", 2, n=2), click("b", 3, n=3), click("a", 59, n=4)])
    driver.checkpoint()
    driver.restart()
    driver.pipe("clicks", [click("a", 61, n=5), click("a", 200, n=6)])
    assert only(driver.output("early"), "user", "window_end") == [
        ("a", moment(59.001)), ("b", moment(3.001)), ("a", moment(61.001))
    ]  # fmt: skip


def test_rows_that_cannot_be_computed_become_dead_letters_and_others_go_on() -> None:
    def merge(one: int, other: int) -> int:
        if one + other == 5:
            raise ValueError("five")
        return one + other

    topology = Topology("t")
    windows = clicks(topology).group_by("by", col.user).window(sliding("5s"))
    total = agg.custom(
        col.n, init=int, add=lambda state, n: state + n, merge=merge, result=lambda state: state, returns=int
    )
    windows.aggregate("sums", total=total).on_close().sink("closed", topic="closed")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 0, n=2), click("a", 1, n=3), click("a", 6, n=1), click("a", 7, n=1)])
    driver.finish()
    assert only(driver.output("closed"), "window_end", "total") == [
        (moment(0.001), 2), (moment(6.001), 4), (moment(7.001), 2)
    ]  # fmt: skip
    letters = driver.dead_letters()
    assert [letter.step for letter in letters] == ["sums"]


def test_a_record_that_fails_changes_nothing() -> None:
    def add(state: int, n: int) -> int:
        if n < 0:
            raise ValueError("negative")
        return state + n

    topology = Topology("t")
    windows = clicks(topology).group_by("by", col.user).window(sliding("5s"))
    total = agg.custom(col.n, init=int, add=add, merge=int.__add__, result=int, returns=int)
    windows.aggregate("sums", total=total).on_close().sink("closed", topic="closed")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 0, n=2), click("a", 1, n=-1), click("a", 2, n=3)])
    driver.finish()
    assert only(driver.output("closed"), "window_end", "total") == [(moment(0.001), 2), (moment(2.001), 5)]
    assert len(driver.dead_letters()) == 1


def test_nothing_is_left_of_keys_that_fell_silent() -> None:
    driver = TopologyDriver(declared(sliding("10s", retention="5s")))
    for n in range(50):
        driver.pipe("clicks", click(str(n), n * 10, n=n))
        driver.checkpoint()
        if n % 7 == 0:
            driver.restart()
    driver.pipe("clicks", click("last", 1000, n=0))
    driver.checkpoint()
    kept = [len(list(driver.backend.store(f"t/counts{s}").scan(b"", b"\xff"))) for s in ("", "/live", "/expiry")]
    assert kept == [0, 2, 1]  # of the last key: where it is and one state, and when it goes


def test_a_key_keeps_what_is_in_reach_and_no_more() -> None:
    driver = TopologyDriver(declared(sliding("10s")))
    for n in range(100):
        driver.pipe("clicks", click("a", n, n=n))
        driver.checkpoint()
    assert len(list(driver.backend.store("t/counts/live").scan(b"", b"\xff"))) == 13  # head, [88, 98], 99


def test_a_size_that_is_none_is_a_fault() -> None:
    topology = Topology("t")
    clicks(topology).group_by("by", col.user).window(sliding("0s")).aggregate("counts", n=agg.count())
    with pytest.raises(TopologyError, match="a size above 0"):
        TopologyDriver(topology)


def spread(turns: list[object], batch: int | None, cache: int, seed: int) -> list[object]:
    topology = Topology("t")
    windows = clicks(topology, out_of_orderness="20s").group_by("by", col.user).window(sliding("90s"))
    sums = windows.aggregate("sums", total=agg.sum(col.rate), spread=agg.stddev(col.rate), mean=agg.mean(col.rate))
    sums.on_close().sink("closed", topic="closed")
    driver, draw = TopologyDriver(topology, batch=batch, cache_bytes=cache), random.Random(seed)
    rows = [
        click(draw.choice("ab"), at + draw.randrange(20), rate=draw.lognormvariate(0, 4)) for at in range(0, 400, 2)
    ]
    size = len(rows) // (len(turns) + 1) + 1
    for place, begin in enumerate(range(0, len(rows), size)):
        driver.pipe("clicks", rows[begin : begin + size])
        turn = turns[place] if place < len(turns) else "go on"
        if turn == "restart":
            driver.checkpoint()
            driver.restart()
        elif isinstance(turn, CrashPoint):
            driver.crash(turn)
    driver.finish()
    return driver.output("closed")


turns = st.lists(st.sampled_from(["go on", "restart", *CrashPoint]), max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(turns, st.integers(1, 40), st.integers(0, 99))
def test_floats_are_the_same_to_the_last_bit_whatever_happens_on_the_way(turns, batch, seed) -> None:
    assert spread(turns, batch, 1, seed) == spread([], None, 64 << 20, seed)
