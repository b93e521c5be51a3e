"""order-fulfilment: what is not paid or not shipped in time, and which payment an order has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from headrace.testing import CrashPoint, TopologyDriver
from schemas.commerce import (
    Address,
    OrderLine,
    OrderOverdue,
    OrderPaid,
    OrderPlaced,
    PaymentSettled,
    ShipmentDispatched,
)
from topologies import order_fulfilment

NOON = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
HOME = Address(street="High Street 1", city="Leeds", postcode="LS1 4AP", country="GB")


def order(number: int, minutes: float, *, quantity: int = 2, price: str = "4.50") -> OrderPlaced:
    return OrderPlaced.of(
        order_id=f"o-{number:08x}",
        user_id="ada",
        items=[OrderLine(line=1, sku="SK-001", quantity=quantity, unit_price=Decimal(price))],
        shipping_address=HOME,
        tenant="acme",
        time=NOON + timedelta(minutes=minutes),
    )


def payment(number: int, minutes: float, *, status: str = "captured", amount: str = "9.00") -> PaymentSettled:
    return PaymentSettled.of(
        order_id=f"o-{number:08x}",
        provider="paylane",
        status=status,
        amount=Decimal(amount),
        tenant="acme",
        time=NOON + timedelta(minutes=minutes),
    )


def shipment(number: int, hours: float) -> ShipmentDispatched:
    return ShipmentDispatched.of(
        order_id=f"o-{number:08x}",
        carrier="rapid",
        warehouse="BER1",
        ordered_at=NOON,
        weight_kg=0.1,
        tenant="acme",
        time=NOON + timedelta(hours=hours),
    )


def driver_after(
    placed: list[OrderPlaced], paid: list[PaymentSettled], shipped: list[ShipmentDispatched] | None = None
) -> TopologyDriver:
    driver = TopologyDriver(order_fulfilment.topology, start=NOON)
    driver.pipe("commerce.orders", placed)
    driver.pipe("commerce.payments", paid)
    driver.pipe("commerce.shipments", shipped or [])
    return driver


def unpaid(driver: TopologyDriver) -> list[str]:
    return [row["order_id"][-2:] for row in driver.output("commerce.unpaid")]


def test_an_order_that_nobody_pays_within_half_an_hour_is_told_of_when_it_is_due() -> None:
    driver = driver_after([order(1, 0)], [])
    driver.advance("25m")
    assert unpaid(driver) == []
    driver.advance("10m")
    (row,) = driver.output("commerce.unpaid")
    assert Decimal(row.pop("amount")) == Decimal("9.00")
    assert OrderOverdue.model_validate(row) == OrderOverdue(
        order_id="o-00000001", tenant="acme", since=NOON, due_at=NOON + timedelta(minutes=30)
    )
    (kept,) = driver.table("unpaid-orders")
    assert (kept["tenant"], kept["order_id"], kept["amount"]) == ("acme", "o-00000001", Decimal("9.00"))


@pytest.mark.parametrize(
    ("minutes", "status", "late"),
    [(29, "captured", []), (30, "captured", ["01"]), (5, "declined", ["01"]), (0, "captured", [])],
)
def test_only_a_captured_payment_in_time_counts(minutes: float, status: str, late: list[str]) -> None:
    driver = driver_after([order(1, 0)], [payment(1, minutes, status=status)])
    driver.finish()
    assert unpaid(driver) == late


def test_a_payment_that_is_read_before_its_order_counts() -> None:
    driver = TopologyDriver(order_fulfilment.topology, start=NOON)
    driver.pipe("commerce.payments", payment(1, 3))
    driver.pipe("commerce.orders", order(1, 0))
    driver.finish()
    assert unpaid(driver) == []
    assert len(driver.output("commerce.orders-paid")) == 1


def test_an_order_or_a_payment_that_is_sent_twice_counts_once() -> None:
    driver = driver_after([order(1, 0), order(1, 0), order(2, 1), order(2, 1)], [payment(1, 5), payment(1, 5)])
    driver.finish()
    assert unpaid(driver) == ["02"]
    assert len(driver.output("commerce.orders-paid")) == 1


def test_a_paid_order_that_does_not_leave_within_two_days_is_told_of() -> None:
    placed, paid = [order(n, 0) for n in (1, 2, 3)], [payment(n, 10) for n in (1, 2)]
    driver = driver_after(placed, paid, [shipment(1, 40), shipment(3, 1)])
    driver.advance("3d")
    (row,) = driver.output("commerce.unshipped")
    due = NOON + timedelta(days=2, minutes=10)
    assert OrderOverdue.model_validate(row) == OrderOverdue(
        order_id="o-00000002", tenant="acme", since=NOON + timedelta(minutes=10), due_at=due
    )


def test_an_order_meets_its_payment_and_a_wrong_sum_is_told_of() -> None:
    driver = driver_after([order(1, 0), order(2, 0)], [payment(1, 5), payment(2, 6, amount="4.50")])
    driver.finish()
    first, second = [OrderPaid.model_validate(row) for row in driver.output("commerce.orders-paid")]
    assert first == OrderPaid(
        order_id="o-00000001",
        tenant="acme",
        amount=Decimal("9.00"),
        paid=Decimal("9.00"),
        currency="EUR",
        provider="paylane",
        placed_at=NOON,
        paid_at=NOON + timedelta(minutes=5),
    )
    (wrong,) = driver.output("commerce.payments-differ")
    assert OrderPaid.model_validate(wrong) == second
    assert (second.amount, second.paid) == (Decimal("9.00"), Decimal("4.50"))


def test_crashes_neither_lose_nor_repeat_what_is_overdue() -> None:
    driver = TopologyDriver(order_fulfilment.topology, start=NOON, batch=1, cache_bytes=1)
    told: list[Any] = []
    for number, point in enumerate(CrashPoint):
        driver.pipe("commerce.orders", [order(2 * number, 40 * number), order(2 * number + 1, 40 * number)])
        driver.pipe("commerce.payments", payment(2 * number, 40 * number + 5))
        driver.crash(point)
        told += unpaid(driver)
    driver.finish()
    told += unpaid(driver)
    assert sorted(told) == [f"{2 * number + 1:02x}" for number in range(len(CrashPoint))]
