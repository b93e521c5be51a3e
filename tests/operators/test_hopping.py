from headrace import Topology, agg, col, hopping
from headrace.testing import TopologyDriver
from tests.operators.support import click, clicks, moment, only


def counting(size: str = "1m", advance: str = "20s", grace: str = "0s") -> TopologyDriver:
    topology = Topology("t")
    windows = clicks(topology).group_by("by", col.user).window(hopping(size, advance, grace=grace))
    counts = windows.aggregate("counts", n=agg.count())
    counts.on_close().sink("closed", topic="closed")
    counts.late().select("shape", col.at).sink("late-out", topic="late")
    return TopologyDriver(topology)


def test_a_record_counts_in_every_window_that_holds_it() -> None:
    driver = counting()
    driver.pipe("clicks", click("a", 65))
    driver.finish()
    assert only(driver.output("closed"), "window_start", "n") == [(moment(s), 1) for s in (20, 40, 60)]


def test_a_size_that_is_no_multiple_of_the_advance() -> None:
    driver = counting(size="50s", advance="20s")
    driver.pipe("clicks", [click("a", 60), click("a", 75)])
    driver.finish()
    assert only(driver.output("closed"), "window_start", "n") == [
        (moment(20), 1), (moment(40), 2), (moment(60), 2)
    ]  # fmt: skip


def test_windows_close_one_after_the_other() -> None:
    driver = counting()
    driver.pipe("clicks", [click("a", 65), click("b", 80)])
    assert only(driver.output("closed"), "window_start") == [moment(20)]
    driver.pipe("clicks", click("b", 100))
    assert [r["window_start"] for r in driver.output("closed") if r["user"] == "a"] == [moment(40)]


def test_lateness_is_judged_per_window_and_reported_once() -> None:
    driver = counting()
    driver.pipe("clicks", [click("x", 85), click("a", 65)])
    assert driver.output("late") == []
    driver.pipe("clicks", [click("x", 120), click("a", 59), click("a", 65)])
    assert driver.output("late") == [{"at": moment(59)}, {"at": moment(65)}]
    assert driver.stats.late == 2
    driver.finish()
    closed = [(r["window_start"], r["n"]) for r in driver.output("closed") if r["user"] == "a"]
    assert closed == [(moment(40), 1), (moment(60), 1)]
