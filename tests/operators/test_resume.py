"""Bounded input that ended, and more of it later: the end of a file is no point in time."""

from __future__ import annotations

from headrace import Topology, agg, col, session, tumbling
from headrace.testing import TopologyDriver
from tests.operators.support import click, clicks, moment, only


def counting(window) -> TopologyDriver:
    topology = Topology("t")
    counts = clicks(topology).group_by("by", col.user).window(window).aggregate("counts", n=agg.count())
    counts.on_close().sink("close", topic="close")
    counts.late().sink("late", topic="late")
    return TopologyDriver(topology)


def test_what_follows_an_ended_input_is_not_late() -> None:
    driver = counting(tumbling("1m"))
    driver.pipe("clicks", click("a", 10))
    driver.finish()
    assert only(driver.output("close"), "window_start", "n") == [(moment(0), 1)]
    driver.restart()
    driver.pipe("clicks", [click("a", 70), click("a", 80)])
    driver.finish()
    assert only(driver.output("close"), "window_start", "n") == [(moment(60), 2)]
    assert driver.output("late") == []


def test_a_window_closed_by_the_end_of_input_stays_closed() -> None:
    driver = counting(tumbling("1m"))
    driver.pipe("clicks", click("a", 10))
    driver.finish()
    driver.restart()
    driver.pipe("clicks", click("a", 20))
    driver.finish()
    assert only(driver.output("close"), "n") == [1]
    assert only(driver.output("late"), "at") == [moment(20)]


def test_a_session_closed_by_the_end_of_input_stays_closed() -> None:
    driver = counting(session("30s"))
    driver.pipe("clicks", click("a", 10))
    driver.finish()
    driver.restart()
    driver.pipe("clicks", [click("a", 5), click("a", 50)])
    driver.finish()
    assert only(driver.output("close"), "window_start", "n") == [(moment(10), 1), (moment(50), 1)]
    assert only(driver.output("late"), "at") == [moment(5)]
