import pytest

from headrace import Topology, TopologyError, agg, col, count_window, tumbling
from headrace.testing import TopologyDriver
from headrace.topology.windows import Counted
from tests.operators.support import click, clicks, moment, only


def declared(window: Counted) -> Topology:
    topology = Topology("t")
    counts = clicks(topology).group_by("by", col.user).window(window)
    rows = counts.aggregate("counts", numbers=agg.collect_list(col.n), total=agg.sum(col.n))
    rows.on_close().sink("closed", topic="closed")
    rows.on_update().sink("updates", topic="updates")
    rows.every("1m").sink("early", topic="early")
    return topology


def numbers(driver: TopologyDriver) -> list[list[int]]:
    return only(driver.output("closed"), "numbers")


def test_a_window_is_full_after_so_many_records_of_a_key() -> None:
    driver = TopologyDriver(declared(count_window(3)))
    driver.pipe("clicks", [click(user, n, n=n) for n, user in enumerate("aababbbba")])
    assert only(driver.output("closed"), "user", "numbers") == [("a", [0, 1, 3]), ("b", [2, 4, 5])]
    driver.finish()
    assert driver.output("closed") == []


def test_a_sliding_one_ends_with_every_so_many_records() -> None:
    driver = TopologyDriver(declared(count_window(5, every=2)))
    driver.pipe("clicks", [click("a", n, n=n) for n in range(9)])
    assert numbers(driver) == [[0, 1], [0, 1, 2, 3], [1, 2, 3, 4, 5], [3, 4, 5, 6, 7]]


def test_it_lasts_from_the_lowest_event_time_to_the_highest() -> None:
    driver = TopologyDriver(declared(count_window(3)))
    driver.pipe("clicks", [click("a", 7), click("a", 90), click("a", 3)])
    assert only(driver.output("closed"), "window_start", "window_end") == [(moment(3), moment(90.001))]


def test_what_is_not_full_survives_a_restart() -> None:
    driver = TopologyDriver(declared(count_window(4, every=2)), cache_bytes=1)
    for n in range(8):
        driver.pipe("clicks", click("a", n, n=n))
        driver.checkpoint()
        driver.restart()
    assert numbers(driver) == [[0, 1], [0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]


def test_a_key_keeps_no_more_than_a_window() -> None:
    driver = TopologyDriver(declared(count_window(5)))
    driver.pipe("clicks", [click("a", n, n=n) for n in range(57)])
    driver.checkpoint()
    assert len(list(driver.backend.store("t/counts/live").scan(b"", b"\xff"))) == 2


def test_the_table_and_updates_have_the_newest_window_of_a_key() -> None:
    driver = TopologyDriver(declared(count_window(2)))
    driver.pipe("clicks", [click("a", n, n=n) for n in range(5)])
    assert only(driver.table("counts"), "numbers") == [[2, 3]]
    assert only(driver.output("updates"), "numbers") == [[2, 3]]


def test_early_rows_are_the_newest_of_each_key_since_the_last_turn() -> None:
    driver = TopologyDriver(declared(count_window(1)))
    driver.pipe("clicks", [click("a", 1, n=1), click("b", 2, n=2), click("a", 3, n=3)])
    driver.checkpoint()
    driver.restart()
    driver.pipe("clicks", [click("c", 60, n=4), click("c", 121, n=5)])
    assert only(driver.output("early"), "user", "numbers") == [("a", [3]), ("b", [2]), ("c", [4])]


def test_windows_behind_it_take_its_rows_as_they_come() -> None:
    topology = Topology("t")
    source = clicks(topology, out_of_orderness="10s")
    pairs = source.group_by("by", col.user).window(count_window(2)).aggregate("pairs", total=agg.sum(col.n))
    minutes = pairs.on_close().group_by("again", col.user).window(tumbling("10s"))
    minutes.aggregate("minutes", totals=agg.collect_list(col.total)).on_close().sink("out", topic="out")
    driver = TopologyDriver(topology, batch=1)
    driver.pipe("clicks", [click("a", at, n=at) for at in (1, 2, 8, 5, 13, 11, 33)])
    assert only(driver.output("out"), "window_start", "totals") == [(moment(0), [3, 13]), (moment(10), [24])]


def test_no_record_is_late() -> None:
    topology = Topology("t")
    windows = clicks(topology).group_by("by", col.user).window(count_window(2))
    windows.aggregate("counts", n=agg.count()).late().sink("late-out", topic="late")
    with pytest.raises(TopologyError, match="one by the number of records"):
        TopologyDriver(topology)


@pytest.mark.parametrize(("size", "every"), [(0, None), (3, 4), (3, 0), (True, None), ("9", None), (2.5, 1)])
def test_numbers_that_make_no_windows_are_faults(size, every) -> None:
    topology = Topology("t")
    clicks(topology).group_by("by", col.user).window(count_window(size, every=every)).aggregate("c", n=agg.count())
    with pytest.raises(TopologyError, match="0 < every <= size"):
        TopologyDriver(topology)
