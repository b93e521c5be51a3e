from headrace import Topology, agg, col, session
from headrace.testing import TopologyDriver
from tests.operators.support import click, clicks, moment, only


def sessions(gap: str = "10s", grace: str = "0s", out_of_orderness: str = "0s") -> TopologyDriver:
    topology = Topology("t")
    windows = (
        clicks(topology, out_of_orderness=out_of_orderness).group_by("by", col.user).window(session(gap, grace=grace))
    )
    table = windows.aggregate("visits", n=agg.count(), seen=agg.collect_list(col.n))
    table.on_close().sink("closed", topic="closed")
    table.late().select("shape", col.user, col.at).sink("late-out", topic="late")
    return TopologyDriver(topology)


def spans(driver: TopologyDriver, user: str = "a") -> list[tuple[str, str, int]]:
    return [(r["window_start"], r["window_end"], r["n"]) for r in driver.output("closed") if r["user"] == user]


def test_a_session_lasts_from_its_first_event_to_a_gap_after_its_last() -> None:
    driver = sessions()
    driver.pipe("clicks", [click("a", 0), click("a", 8), click("a", 15)])
    driver.finish()
    assert spans(driver) == [(moment(0), moment(25), 3)]


def test_events_exactly_a_gap_apart_share_a_session() -> None:
    driver = sessions(out_of_orderness="1m")
    driver.pipe("clicks", [click("a", 0), click("a", 10), click("a", 20.001)])
    driver.finish()
    assert spans(driver) == [(moment(0), moment(20), 2), (moment(20.001), moment(30.001), 1)]


def test_an_event_between_two_sessions_merges_them() -> None:
    driver = sessions(out_of_orderness="1m")
    driver.pipe("clicks", [click("a", 0, n=1), click("a", 18, n=2), click("a", 9, n=3)])
    driver.finish()
    (row,) = driver.output("closed")
    assert (row["window_start"], row["window_end"], row["n"]) == (moment(0), moment(28), 3)
    assert sorted(row["seen"]) == [1, 2, 3]


def test_merged_sessions_leave_one_row_in_the_table() -> None:
    driver = sessions(out_of_orderness="1m")
    driver.pipe("clicks", [click("a", 0), click("a", 18)])
    assert [row["n"] for row in driver.table("visits")] == [1, 1]
    driver.pipe("clicks", click("a", 9))
    assert [row["n"] for row in driver.table("visits")] == [3]


def test_a_session_extended_after_a_checkpoint_moves_its_row() -> None:
    driver = sessions(out_of_orderness="1m")
    driver.pipe("clicks", click("a", 5))
    driver.checkpoint()
    driver.pipe("clicks", click("a", 0))
    driver.restart()
    rows = driver.table("visits")
    assert [(row["window_start"].second, row["window_end"].second, row["n"]) for row in rows] == [(0, 15, 2)]


def test_a_session_closes_when_the_watermark_passes_its_end() -> None:
    driver = sessions()
    driver.pipe("clicks", [click("a", 0), click("b", 10)])
    assert spans(driver) == []
    driver.pipe("clicks", click("b", 10.001))
    assert spans(driver) == [(moment(0), moment(10), 1)]


def test_events_that_are_just_the_gap_apart_share_a_session_though_nothing_is_out_of_order() -> None:
    driver = sessions()
    driver.pipe("clicks", [click("a", 0), click("a", 10), click("a", 20), click("a", 30.001)])
    driver.finish()
    assert spans(driver) == [(moment(0), moment(30), 3), (moment(30.001), moment(40.001), 1)]


def test_grace_keeps_a_session_open_for_late_records() -> None:
    driver = sessions(grace="20s")
    driver.pipe("clicks", [click("a", 0), click("b", 29), click("a", 4)])
    driver.pipe("clicks", click("b", 34.001))
    assert spans(driver) == [(moment(0), moment(14), 2)]


def test_a_record_that_no_live_session_takes_is_late() -> None:
    driver = sessions()
    driver.pipe("clicks", [click("b", 50), click("a", 39.999)])
    assert driver.output("late") == [{"user": "a", "at": moment(39.999)}]
    assert driver.stats.late == 1


def test_a_record_behind_the_watermark_is_not_late_if_a_live_session_takes_it() -> None:
    driver = sessions()
    driver.pipe("clicks", [click("a", 48), click("a", 55), click("b", 60), click("a", 45)])
    driver.finish()
    assert driver.output("late") == []
    assert spans(driver) == [(moment(45), moment(65), 3)]


def test_sessions_of_different_keys_do_not_touch() -> None:
    driver = sessions(out_of_orderness="1m")
    driver.pipe("clicks", [click("a", 0), click("b", 5), click("a", 12)])
    driver.finish()
    assert sorted(only(driver.output("closed"), "user", "n")) == [("a", 1), ("a", 1), ("b", 1)]
