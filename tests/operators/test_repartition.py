import pytest

from headrace import Topology, agg, col, tumbling
from headrace.testing import CrashPoint, TopologyDriver
from tests.operators.support import click, clicks, only

RECORDS = [click(f"user-{i % 7}", i, n=i % 5) for i in range(100)]


def driver_of(partitions: int, batch: int | None = None) -> TopologyDriver:
    topology = Topology("t")
    users = clicks(topology).group_by("by-user", col.user).window(tumbling("10s", grace="5s"))
    per_user = users.aggregate("per-user", n=agg.count(), total=agg.sum(col.n))
    rest = per_user.on_close().group_by("by-count", col.n)
    rest.aggregate("per-count", users=agg.count(), total=agg.sum(col.total))
    per_user.on_close().sink("out", topic="closed")
    return TopologyDriver(topology, partitions=partitions, batch=batch)


def results(driver: TopologyDriver) -> tuple[list, list]:
    closed = sorted(only(driver.output("closed"), "window_start", "user", "n", "total"))
    return closed, sorted(only(driver.table("per-count"), "n", "users", "total"))


def expected() -> tuple[list, list]:
    driver = driver_of(1, 1)
    driver.pipe("clicks", RECORDS)
    driver.finish()
    return results(driver)


@pytest.mark.parametrize("partitions", [2, 3, 8])
@pytest.mark.parametrize("batch", [1, 7, None])
def test_the_number_of_partitions_does_not_change_results(partitions, batch) -> None:
    driver = driver_of(partitions, batch)
    driver.pipe("clicks", RECORDS)
    driver.finish()
    assert results(driver) == expected()


@pytest.mark.parametrize("point", list(CrashPoint))
def test_a_crash_between_two_repartitions_loses_and_doubles_nothing(point) -> None:
    driver = driver_of(3, 4)
    for start in range(0, 100, 20):
        driver.pipe("clicks", RECORDS[start : start + 20])
        driver.crash(point)
    driver.finish()
    assert results(driver) == expected()


def test_records_of_a_key_meet_whatever_partition_they_came_from() -> None:
    driver = driver_of(4)
    for partition in range(4):
        driver.pipe("clicks", [click("u", 1), click("u", 2)], partition=partition)
    driver.finish()
    assert only(driver.output("closed"), "user", "n") == [("u", 8)]
