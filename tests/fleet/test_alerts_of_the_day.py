"""What patterns and joins find on the simulated day, against plain Python over the same files."""

from __future__ import annotations

from decimal import Decimal

import pytest

from headrace.testing import CrashPoint, TopologyDriver
from tests.fleet import recompute_alerts
from tests.fleet.recompute import epoch_ms
from topologies import account_takeover, order_fulfilment, stock_forecast
from workers.simulation import Day, simulate

START = "2026-01-05T00:00:00Z"


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    return simulate(tmp_path_factory.mktemp("day"), events=30_000, seed=21)


def lines(day: Day, topic: str) -> list[bytes]:
    return day.files[topic].read_bytes().splitlines()


def feed(driver: TopologyDriver, day: Day, *topics: str, parts: int = 8) -> None:
    """Pipe the topics, a part of the day at a time, with a crash behind each."""
    for number in range(parts):
        for topic in topics:
            some = lines(day, topic)
            driver.pipe(topic, some[len(some) * number // parts : len(some) * (number + 1) // parts])
        driver.crash(list(CrashPoint)[number % len(CrashPoint)])
    driver.finish()


def test_guessed_passwords_and_impossible_journeys(day: Day) -> None:
    driver = TopologyDriver(account_takeover.topology, start=START)
    feed(driver, day, "access.logins")
    logins = recompute_alerts.logins(lines(day, "access.logins"))
    guessed = driver.output("access.brute-force")
    found = {(r["user_id"], epoch_ms(r["since"]), epoch_ms(r["entered_at"]), r["failures"]) for r in guessed}
    assert len(guessed) == len(found) > 2
    assert found == recompute_alerts.guessed(logins)
    travelled = driver.output("access.impossible-travel")
    journeys = {(r["user_id"], epoch_ms(r["left_at"]), epoch_ms(r["arrived_at"])) for r in travelled}
    assert len(travelled) == len(journeys) > 2
    assert journeys == recompute_alerts.journeys(logins)


def test_unpaid_orders_and_payments(day: Day) -> None:
    driver = TopologyDriver(order_fulfilment.topology, start=START)
    feed(driver, day, "commerce.orders", "commerce.payments", "commerce.shipments")
    orders = recompute_alerts.orders(lines(day, "commerce.orders"))
    payments = recompute_alerts.payments(lines(day, "commerce.payments"))
    rows = driver.output("commerce.unpaid")
    found = {(r["order_id"], r["tenant"], epoch_ms(r["since"])) for r in rows}
    assert len(rows) == len(found) > 20
    assert found == recompute_alerts.unpaid(orders, payments)
    assert {row["order_id"] for row in driver.table("unpaid-orders")} == {order for order, _, _ in found}
    paid = {r["order_id"]: (Decimal(r["amount"]), Decimal(r["paid"])) for r in driver.output("commerce.orders-paid")}
    half_an_hour = 30 * 60_000
    assert paid == {
        order: (amount, payments[order][1])
        for order, (time, _, amount) in orders.items()
        if order in payments and 0 <= payments[order][0] - time <= half_an_hour
    }
    differ = {row["order_id"] for row in driver.output("commerce.payments-differ")}
    assert differ == {order for order, (amount, sum_) in paid.items() if amount != sum_}
    assert differ


def test_stock_that_runs_out(day: Day) -> None:
    driver = TopologyDriver(stock_forecast.topology, start=START)
    feed(driver, day, "commerce.orders", "inventory.levels")
    rows = driver.output("inventory.stock-outs")
    found = [(r["warehouse"], r["sku"], r["on_hand"], epoch_ms(r["counted_at"])) for r in rows]
    demand = recompute_alerts.sold(lines(day, "commerce.orders"))
    assert sorted(found) == sorted(recompute_alerts.running_out(lines(day, "inventory.levels"), demand))
    assert any(row["on_hand"] == 0 for row in rows)
    assert any(0 < row["hours_left"] < stock_forecast.WARN_HOURS for row in rows)
