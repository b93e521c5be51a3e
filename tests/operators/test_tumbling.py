from headrace import Topology, agg, col, tumbling
from headrace.testing import TopologyDriver
from tests.operators.support import click, clicks, moment, only


def counting(grace: str = "0s", out_of_orderness: str = "0s", partitions: int = 1) -> TopologyDriver:
    topology = Topology("t")
    windows = (
        clicks(topology, out_of_orderness=out_of_orderness).group_by("by", col.user).window(tumbling("1m", grace=grace))
    )
    counts = windows.aggregate("counts", n=agg.count())
    counts.on_close().sink("closed", topic="closed")
    counts.late().select("shape", col.user, col.at).sink("late-out", topic="late")
    return TopologyDriver(topology, partitions=partitions)


def test_a_window_is_closed_when_the_watermark_reaches_its_end() -> None:
    driver = counting()
    driver.pipe("clicks", [click("a", 0), click("a", 59.999)])
    assert driver.output("closed") == []
    driver.pipe("clicks", click("b", 60))
    assert driver.output("closed") == [
        {"user": "a", "window_start": moment(0), "window_end": moment(60), "n": 2}
    ]  # fmt: skip


def test_a_closed_row_has_the_last_moment_of_its_window_as_event_time() -> None:
    driver = counting()
    driver.pipe("clicks", [click("a", 0), click("b", 61)])
    (record,) = driver.records("closed")
    assert record.time is not None
    assert record.time.isoformat() == "2024-01-01T00:00:59.999000+00:00"


def test_grace_keeps_a_window_open_for_late_records() -> None:
    driver = counting(grace="10s")
    driver.pipe("clicks", [click("a", 0), click("a", 69), click("a", 5)])
    assert driver.output("closed") == []
    driver.pipe("clicks", click("a", 70))
    assert only(driver.output("closed"), "n") == [2]


def test_out_of_orderness_holds_the_watermark_back() -> None:
    driver = counting(out_of_orderness="30s")
    driver.pipe("clicks", [click("a", 0), click("a", 89), click("a", 1)])
    assert driver.output("closed") == []
    driver.pipe("clicks", click("a", 90))
    assert only(driver.output("closed"), "window_start", "n") == [(moment(0), 2)]


def test_a_record_behind_the_watermark_of_its_window_is_late_and_counted() -> None:
    driver = counting()
    driver.pipe("clicks", [click("a", 0), click("a", 60), click("a", 59)])
    assert driver.output("late") == [{"user": "a", "at": moment(59)}]
    assert driver.stats.late == 1
    driver.finish()
    assert only(driver.output("closed"), "n") == [1, 1]


def test_every_key_is_closed_exactly_once() -> None:
    driver = counting()
    driver.pipe("clicks", [click(user, s) for s in range(0, 180, 10) for user in "abc"])
    driver.finish()
    rows = driver.output("closed")
    assert sorted(only(rows, "user", "window_start", "n")) == [
        (user, moment(start), 6) for user in "abc" for start in (0, 60, 120)
    ]


def test_windows_are_aligned_to_the_epoch_and_keep_their_order_per_key() -> None:
    driver = counting()
    driver.pipe("clicks", [click("a", 30), click("a", 90), click("a", 200)])
    driver.finish()
    assert only(driver.output("closed"), "window_start") == [moment(0), moment(60), moment(180)]


def test_the_last_window_closes_although_no_event_follows() -> None:
    driver = counting()
    driver.pipe("clicks", click("a", 10))
    driver.advance("29s")
    assert driver.output("closed") == []
    driver.advance("5m")
    assert only(driver.output("closed"), "n") == [1]


def test_a_silent_partition_holds_windows_open_only_until_it_is_idle() -> None:
    driver = counting(partitions=2)
    driver.pipe("clicks", [click("a", 0), click("a", 70)], partition=0)
    assert driver.output("closed") == []
    driver.advance("20s")
    driver.pipe("clicks", [click("a", 80)], partition=0)
    driver.advance("15s")
    driver.pipe("clicks", [click("a", 81)], partition=0)
    assert only(driver.output("closed"), "n") == [1]


def test_the_table_holds_open_and_closed_windows() -> None:
    driver = counting()
    driver.pipe("clicks", [click("a", 0), click("a", 70), click("b", 71)])
    rows = driver.table("counts")
    assert [(r["user"], r["window_start"].isoformat(), r["n"]) for r in rows] == [
        ("a", "2024-01-01T00:00:00+00:00", 1),
        ("a", "2024-01-01T00:01:00+00:00", 1),
        ("b", "2024-01-01T00:01:00+00:00", 1),
    ]


def test_windows_of_windows_lose_nothing() -> None:
    topology = Topology("t")
    minutes = clicks(topology).group_by("by", col.user).window(tumbling("1m", grace="10s"))
    per_minute = minutes.aggregate("per-minute", n=agg.count()).on_close()
    hours = per_minute.group_by("all", every=col.user.is_not_null()).window(tumbling("5m"))
    hours.aggregate("per-five", n=agg.sum(col.n), rows=agg.count()).on_close().sink("out", topic="out")
    driver = TopologyDriver(topology, batch=3)
    driver.pipe("clicks", [click(user, s) for s in range(0, 600, 20) for user in "ab"])
    driver.finish()
    assert only(driver.output("out"), "window_start", "n", "rows") == [(moment(0), 30, 10), (moment(300), 30, 10)]
