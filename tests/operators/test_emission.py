import pytest

from headrace import Topology, agg, col, session, tumbling
from headrace.testing import TopologyDriver
from tests.operators.support import click, clicks, moment, only

WINDOWS = [None, tumbling("1h"), session("1h")]


def counting(window=None, *, every: bool = False) -> TopologyDriver:
    topology = Topology("t")
    grouped = clicks(topology).group_by("by", col.user)
    counts = (grouped.window(window) if window else grouped).aggregate("counts", n=agg.count())
    counts.on_update().sink("update", topic="update")
    if every:
        counts.every("20s").sink("every", topic="every")
    if window:
        counts.on_close().sink("close", topic="close")
    return TopologyDriver(topology)


def test_on_update_emits_at_most_one_row_per_key_and_checkpoint() -> None:
    driver = counting()
    driver.pipe("clicks", [click("a", 0), click("a", 1), click("b", 2)])
    assert sorted(only(driver.output("update"), "user", "n")) == [("a", 2), ("b", 1)]
    driver.checkpoint()
    assert driver.output("update") == []
    driver.pipe("clicks", click("a", 3))
    assert only(driver.output("update"), "user", "n") == [("a", 3)]


def test_on_update_of_a_window_that_closes_has_its_final_row() -> None:
    driver = counting(tumbling("1m"))
    driver.pipe("clicks", [click("a", 0), click("a", 1), click("b", 60)])
    rows = [r for r in driver.output("update") if r["user"] == "a"]
    assert only(rows, "window_start", "n") == [(moment(0), 2)]
    assert only(driver.output("close"), "n") == [2]


@pytest.mark.parametrize("window", WINDOWS, ids=["all-time", "tumbling", "session"])
def test_every_emits_changed_rows_when_the_watermark_passes_a_multiple(window) -> None:
    driver = counting(window, every=True)
    driver.pipe("clicks", [click("a", 1), click("b", 5), click("a", 19)])
    assert driver.output("every") == []
    driver.pipe("clicks", click("a", 20))
    assert sorted(only(driver.output("every"), "user", "n")) == [("a", 2), ("b", 1)]
    driver.pipe("clicks", click("a", 45))
    assert only(driver.output("every"), "user", "n") == [("a", 3)]
    driver.finish()
    assert only(driver.output("every"), "user", "n") == [("a", 4)]


def test_every_gives_the_final_result_too() -> None:
    driver = counting(tumbling("1m"), every=True)
    driver.pipe("clicks", [click("a", 1), click("a", 21), click("a", 41)])
    assert only(driver.output("every"), "n") == [1, 2]
    driver.finish()
    assert only(driver.output("every"), "n") == [3]
    assert only(driver.output("close"), "n") == [3]


@pytest.mark.parametrize("window", WINDOWS, ids=["all-time", "tumbling", "session"])
def test_every_does_not_repeat_after_a_restart(window) -> None:
    driver = counting(window, every=True)
    driver.pipe("clicks", [click("a", 1), click("b", 2), click("a", 21)])
    driver.checkpoint()
    driver.restart()
    driver.pipe("clicks", click("a", 41))
    assert sorted(only(driver.output("every"), "user", "n")) == [("a", 1), ("a", 2), ("b", 1)]


def test_a_final_row_is_emitted_once_across_restarts() -> None:
    driver = counting(session("10s"))
    driver.pipe("clicks", [click("a", 0), click("a", 5)])
    driver.checkpoint()
    driver.restart()
    driver.pipe("clicks", click("b", 30))
    driver.checkpoint()
    driver.restart()
    driver.finish()
    assert sorted(only(driver.output("close"), "user", "n")) == [("a", 2), ("b", 1)]
