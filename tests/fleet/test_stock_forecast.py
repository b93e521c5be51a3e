"""stock-forecast: what is sold out, or will be soon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from headrace.testing import CrashPoint, TopologyDriver
from schemas.commerce import Address, OrderLine, OrderPlaced
from schemas.inventory import StockLevel, StockOutForecast
from topologies import stock_forecast

NOON = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
HOME = Address(street="High Street 1", city="Leeds", postcode="LS1 4AP", country="GB")


def order(number: int, minutes: float, units: int, sku: str = "SK-001") -> OrderPlaced:
    return OrderPlaced.of(
        order_id=f"o-{number:08x}",
        user_id="ada",
        items=[OrderLine(line=1, sku=sku, quantity=units, unit_price=Decimal("1.00"))],
        shipping_address=HOME,
        tenant="acme",
        time=NOON + timedelta(minutes=minutes),
    )


def level(on_hand: int, minutes: float, *, sku: str = "SK-001", discontinued: bool = False) -> StockLevel:
    return StockLevel(
        warehouse="BER1",
        sku=sku,
        on_hand=on_hand,
        reorder_point=60,
        capacity=500,
        counted_at=NOON + timedelta(minutes=minutes),
        discontinued=discontinued,
    )


def warnings(orders: list[OrderPlaced], levels: list[StockLevel]) -> list[StockOutForecast]:
    driver = TopologyDriver(stock_forecast.topology, start=NOON)
    driver.pipe("inventory.levels", levels)
    driver.pipe("commerce.orders", orders)
    driver.finish()
    assert driver.dead_letters() == []
    return [StockOutForecast.model_validate(row) for row in driver.output("inventory.stock-outs")]


def test_stock_that_lasts_for_less_than_six_hours_of_the_last_sales_is_told_of() -> None:
    (warning,) = warnings([order(1, 5, 100), order(2, 50, 60)], [level(100, 70)])
    assert warning == StockOutForecast(
        warehouse="BER1",
        sku="SK-001",
        on_hand=100,
        units_per_hour=20.0,
        hours_left=5.0,
        demand_of=NOON,
        counted_at=NOON + timedelta(minutes=70),
    )


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (level(119, 70), []),
        (level(0, 70), [0.0]),
        (level(0, 70, discontinued=True), []),
        (level(0, 70, sku="SK-002"), []),
        (level(0, 30), []),
    ],
    ids=["enough", "empty", "discontinued", "not sold", "before the hour has ended"],
)
def test_what_is_told_of(one: StockLevel, told: list[float]) -> None:
    assert [warning.hours_left for warning in warnings([order(1, 5, 158)], [one])] == told


def test_the_sales_are_those_of_the_last_hour_before_the_count_whatever_is_read_first() -> None:
    sales = [order(1, 5, 80), order(2, 65, 800), order(3, 125, 8)]
    found = warnings(sales, [level(10, 61), level(10, 121), level(10, 181)])
    assert [(w.demand_of - NOON, w.units_per_hour) for w in found] == [
        (timedelta(0), 10.0),
        (timedelta(hours=1), 100.0),
    ]


def test_sales_per_day_are_those_of_a_day_in_berlin() -> None:
    driver = TopologyDriver(stock_forecast.topology, start=NOON)
    driver.pipe("commerce.orders", [order(1, 0, 1), order(2, 10 * 60, 2), order(3, 11 * 60 + 1, 4)])
    driver.finish()
    rows = [(row["window_start"], row["units"]) for row in driver.output("commerce.sales-per-day")]
    assert rows == [("2024-02-29T23:00:00Z", 3), ("2024-03-01T23:00:00Z", 4)]


def test_the_table_forgets_a_place_that_was_filled_up_also_after_crashes() -> None:
    driver = TopologyDriver(stock_forecast.topology, start=NOON, batch=1, cache_bytes=1)
    told = []
    for number, (on_hand, point) in enumerate(zip((3, 500, 2), CrashPoint, strict=False)):
        driver.pipe("commerce.orders", order(number, 70 * number, 80))
        driver.pipe("inventory.levels", level(on_hand, 70 * number + 65))
        driver.crash(point)
        driver.pipe("commerce.orders", order(10 + number, 70 * number + 69, 1))
        driver.pipe("inventory.levels", level(on_hand, 70 * number + 69, sku="SK-009"))
        driver.checkpoint()
        told.append(len(driver.table("stock-outs")))
    driver.finish()
    assert [row["on_hand"] for row in driver.output("inventory.stock-outs") if row["sku"] == "SK-001"] == [3, 2]
    assert [row["on_hand"] for row in driver.table("stock-outs")] == [2]
    assert told[0] <= 1
