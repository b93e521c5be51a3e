from headrace import Topology, agg, col, tumbling
from headrace.testing import TopologyDriver
from tests.operators.support import click, clicks, moment, only


def test_late_records_are_a_stream_like_any_other() -> None:
    topology = Topology("t")
    counts = clicks(topology).group_by("by", col.user).window(tumbling("1m")).aggregate("counts", n=agg.count())
    late = counts.late()
    late.filter("big", col.n > 1).select("shape", col.user, col.n).sink("late-out", topic="late")
    late.group_by("again", col.user).aggregate("late-counts", n=agg.count())
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 100), click("a", 1, n=1), click("a", 2, n=2), click("b", 59, n=3)])
    assert driver.output("late") == [{"user": "a", "n": 2}, {"user": "b", "n": 3}]
    assert only(driver.table("late-counts"), "user", "n") == [("a", 2), ("b", 1)]
    assert driver.stats.late == 3


def test_a_record_may_be_late_for_one_window_and_in_time_for_another() -> None:
    topology = Topology("t")
    keyed = clicks(topology).group_by("by", col.user)
    keyed.window(tumbling("10s")).aggregate("short", n=agg.count()).late().select("s", col.at).sink("l", topic="late")
    keyed.window(tumbling("1h")).aggregate("long", n=agg.count()).on_close().sink("c", topic="closed")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 20), click("a", 5)])
    driver.finish()
    assert driver.output("late") == [{"at": moment(5)}]
    assert only(driver.output("closed"), "n") == [2]


def test_lateness_is_judged_by_the_records_own_input() -> None:
    topology = Topology("t")
    counts = clicks(topology).group_by("by", col.user).window(tumbling("1m")).aggregate("counts", n=agg.count())
    counts.on_close().sink("out", topic="closed")
    driver = TopologyDriver(topology, partitions=2)
    driver.pipe("clicks", [click("a", 500), click("a", 501)], partition=0)
    driver.pipe("clicks", [click("a", s) for s in range(50, 130, 10)], partition=1)
    driver.finish()
    assert driver.stats.late == 0
    assert only(driver.output("closed"), "window_start", "n") == [
        (moment(0), 1), (moment(60), 6), (moment(120), 1), (moment(480), 2)
    ]  # fmt: skip


def test_lateness_does_not_depend_on_batches() -> None:
    records = [click("a", s) for s in (0, 61, 59, 120, 119, 121, 60)]
    found = set()
    for batch in (1, 2, 3, None):
        topology = Topology("t")
        counts = clicks(topology).group_by("by", col.user).window(tumbling("1m")).aggregate("counts", n=agg.count())
        counts.late().select("s", col.at).sink("out", topic="late")
        driver = TopologyDriver(topology, batch=batch)
        driver.pipe("clicks", records)
        found.add(tuple(only(driver.output("late"), "at")))
    assert found == {(moment(59), moment(119), moment(60))}
