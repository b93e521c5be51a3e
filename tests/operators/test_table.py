from headrace import Topology, col
from headrace.testing import TopologyDriver
from tests.operators.support import click, clicks, moment, only


def stock(partitions: int = 1) -> TopologyDriver:
    topology = Topology("t")
    rows = clicks(topology).select("shape", col.user, col.n, col.at)
    latest = rows.group_by("by", col.user).table("latest", delete=col.n < 0)
    latest.on_update().sink("out", topic="changes")
    return TopologyDriver(topology, partitions=partitions)


def test_a_table_keeps_the_latest_row_per_key_by_arrival() -> None:
    driver = stock()
    driver.pipe("clicks", [click("a", 9, n=1), click("b", 5, n=2), click("a", 3, n=3)])
    assert only(driver.table("latest"), "user", "n") == [("a", 3), ("b", 2)]


def test_delete_removes_the_key() -> None:
    driver = stock()
    driver.pipe("clicks", [click("a", 0, n=1), click("b", 1, n=2)])
    driver.checkpoint()
    driver.pipe("clicks", click("a", 2, n=-1))
    assert only(driver.table("latest"), "user") == ["b"]
    driver.pipe("clicks", click("a", 3, n=4))
    assert only(driver.table("latest"), "user", "n") == [("a", 4), ("b", 2)]


def test_on_update_emits_the_newest_row_per_key_and_checkpoint() -> None:
    driver = stock()
    driver.pipe("clicks", [click("a", 0, n=1), click("a", 1, n=2), click("b", 2, n=5)])
    assert sorted(only(driver.output("changes"), "user", "n")) == [("a", 2), ("b", 5)]
    assert driver.output("changes") == []
    driver.pipe("clicks", click("a", 3, n=7))
    assert driver.output("changes") == [{"user": "a", "n": 7, "at": moment(3)}]


def test_a_table_survives_a_restart() -> None:
    driver = stock(partitions=3)
    driver.pipe("clicks", [click(f"user-{i}", i, n=i) for i in range(20)])
    driver.checkpoint()
    driver.restart()
    driver.pipe("clicks", click("user-3", 50, n=99))
    rows = {row["user"]: row["n"] for row in driver.table("latest")}
    assert rows == {f"user-{i}": i for i in range(20)} | {"user-3": 99}
