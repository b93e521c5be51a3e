"""The simulated day through the fleet's topologies, against plain Python over the same files."""

from decimal import Decimal
from pathlib import Path

import pytest

from headrace.testing import CrashPoint, TopologyDriver
from tests.fleet import recompute
from topologies import access_guard, low_stock, order_revenue
from workers.simulation import Day, simulate

EVENTS = 30_000


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    return simulate(tmp_path_factory.mktemp("day"), events=EVENTS, seed=21)


def lines(day: Day, topic: str) -> list[bytes]:
    return day.files[topic].read_bytes().splitlines()


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first, again, other = (
        simulate(tmp_path / name, events=500, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    for topic, path in first.files.items():
        assert path.read_bytes() == again.files[topic].read_bytes()
        assert path.read_bytes() != other.files[topic].read_bytes()
    assert first.tallies == again.tallies


def test_the_day_has_every_mistake_and_a_hundred_tenants(day: Day) -> None:
    for kind in ("duplicates", "late", "unreadable", "invalid"):
        assert sum(getattr(tally, kind) for tally in day.tallies.values()) > 0
    tenants = {envelope["tenant"] for _, envelope, _ in recompute.read(lines(day, "access.logins"))}
    assert len(tenants) == 100
    assert day.records == sum(len(lines(day, topic)) for topic in day.files)


@pytest.mark.parametrize("batch", [None, 7])
def test_failed_logins_and_alerts_are_what_plain_python_counts(day: Day, batch: int | None) -> None:
    driver = TopologyDriver(access_guard.topology, start="2026-01-05T00:00:00Z", batch=batch)
    driver.pipe("access.logins", lines(day, "access.logins"))
    driver.finish()
    rows = driver.output("access.failures-per-minute")
    found = {(r["user_id"], r["window_start"]): (r["attempts"], r["addresses"]) for r in rows}
    expected, late = recompute.failures(lines(day, "access.logins"))
    assert len(rows) == len(found)
    assert found == expected
    assert driver.stats.late == len(driver.output("access.late-failures")) == late > 0
    alerts = {(r["user_id"], r["since"]): r["attempts"] for r in driver.output("access.alerts")}
    assert alerts == {key: count for key, (count, _) in expected.items() if count >= 5}
    assert alerts
    tally = day.tallies["access.logins"]
    assert len(driver.dead_letters()) == tally.unreadable + tally.invalid


def check_revenue(driver: TopologyDriver, day: Day) -> None:
    sales = recompute.sales(lines(day, "commerce.orders"))
    hourly = {
        (r["tenant"], r["product"], r["window_start"]): (r["sales"], r["units"], Decimal(r["revenue"]))
        for r in driver.output("commerce.revenue-per-hour")
    }
    assert hourly == recompute.revenue_per_hour(sales)
    trend = {
        (r["tenant"], r["window_start"]): (r["sales"], Decimal(r["revenue"]), Decimal(r["largest"]))
        for r in driver.output("commerce.revenue-trend")
    }
    assert trend == recompute.revenue_trend(sales)
    assert sum(row["revenue"] for row in driver.table("tenant-revenue")) == sum(sale[-1] for sale in sales)
    tally = day.tallies["commerce.orders"]
    assert len(driver.dead_letters()) == tally.unreadable + tally.invalid


def test_revenue_is_what_plain_python_adds_up(day: Day) -> None:
    driver = TopologyDriver(order_revenue.topology, start="2026-01-05T00:00:00Z", batch=500)
    driver.pipe("commerce.orders", lines(day, "commerce.orders"))
    driver.finish()
    check_revenue(driver, day)


def test_revenue_is_the_same_after_crashes_at_every_point_of_a_checkpoint(day: Day) -> None:
    driver = TopologyDriver(order_revenue.topology, start="2026-01-05T00:00:00Z", batch=500)
    everything = lines(day, "commerce.orders")
    for number, start in enumerate(range(0, len(everything), 300)):
        driver.pipe("commerce.orders", everything[start : start + 300])
        match number % 4:
            case 0:
                driver.checkpoint()
            case 1:
                driver.crash(list(CrashPoint)[number // 4 % len(CrashPoint)])
            case 2:
                driver.restart()
    driver.finish()
    check_revenue(driver, day)


def test_notices_of_low_stock_are_the_low_counts_in_their_order(day: Day) -> None:
    driver = TopologyDriver(low_stock.topology, start="2026-01-05T00:00:00Z")
    driver.pipe("inventory.levels", lines(day, "inventory.levels"))
    driver.finish()
    found = [(r["warehouse"], r["sku"], r["on_hand"], r["missing"]) for r in driver.output("inventory.low")]
    assert found == recompute.low_stock(lines(day, "inventory.levels"))
