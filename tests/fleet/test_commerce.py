"""order-revenue, payment-health, fulfilment and user-sessions."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from headrace.testing import TopologyDriver
from schemas.access import LoginAttempted
from schemas.commerce import Address, OrderLine, OrderPlaced, PaymentSettled, ShipmentDispatched
from topologies import fulfilment, order_revenue, payment_health, user_sessions

NOON = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
HOME = Address(street="High Street 1", city="Leeds", postcode="LS1 4AP", country="GB")


def order(number: int, minutes: float, *lines: tuple[str, int, str], tenant: str = "acme") -> OrderPlaced:
    items = [
        OrderLine(line=n, sku=sku, quantity=quantity, unit_price=Decimal(price))
        for n, (sku, quantity, price) in enumerate(lines, 1)
    ]
    return OrderPlaced.of(
        order_id=f"o-{number:08x}",
        user_id="ada",
        items=items,
        shipping_address=HOME,
        tenant=tenant,
        time=NOON + timedelta(minutes=minutes),
    )


def hourly(driver: TopologyDriver) -> dict[tuple[str, str, str], tuple[int, int, Decimal]]:
    return {
        (row["tenant"], row["product"], row["window_start"][11:16]): (
            row["sales"],
            row["units"],
            Decimal(row["revenue"]),
        )
        for row in driver.output("commerce.revenue-per-hour")
    }


def test_revenue_is_summed_exactly_per_tenant_product_and_hour() -> None:
    driver = TopologyDriver(order_revenue.topology, start=NOON)
    driver.pipe("commerce.orders", order(1, 0, ("SK-001", 3, "0.10"), ("SK-002", 1, "5.00")))
    driver.pipe("commerce.orders", order(2, 59, ("SK-001", 1, "0.20")))
    driver.pipe("commerce.orders", order(3, 60, ("SK-001", 1, "0.20")))
    driver.pipe("commerce.orders", order(4, 60, ("SK-001", 2, "7.00"), tenant="globex"))
    driver.finish()
    assert hourly(driver) == {
        ("acme", "SK-001", "12:00"): (2, 4, Decimal("0.50")),
        ("acme", "SK-002", "12:00"): (1, 1, Decimal("5.00")),
        ("acme", "SK-001", "13:00"): (1, 1, Decimal("0.20")),
        ("globex", "SK-001", "13:00"): (1, 2, Decimal("14.00")),
    }


def test_an_order_that_is_sent_twice_counts_once() -> None:
    driver = TopologyDriver(order_revenue.topology, start=NOON)
    once = order(1, 0, ("SK-001", 1, "2.00"))
    driver.pipe("commerce.orders", [once, order(2, 1, ("SK-001", 1, "3.00")), once])
    driver.finish()
    assert hourly(driver) == {("acme", "SK-001", "12:00"): (2, 2, Decimal("5.00"))}


def test_a_product_on_two_lines_of_an_order_counts_twice() -> None:
    driver = TopologyDriver(order_revenue.topology, start=NOON)
    driver.pipe("commerce.orders", order(1, 0, ("SK-001", 1, "2.00"), ("SK-001", 1, "2.00")))
    driver.finish()
    assert hourly(driver) == {("acme", "SK-001", "12:00"): (2, 2, Decimal("4.00"))}


def test_the_trend_covers_the_last_hour_every_quarter() -> None:
    driver = TopologyDriver(order_revenue.topology, start=NOON)
    driver.pipe("commerce.orders", [order(1, 0, ("SK-001", 1, "2.00")), order(2, 20, ("SK-001", 1, "3.00"))])
    driver.finish()
    trend = {row["window_start"][11:16]: Decimal(row["revenue"]) for row in driver.output("commerce.revenue-trend")}
    assert trend == {
        "11:15": Decimal("2.00"),
        "11:30": Decimal("5.00"),
        "11:45": Decimal("5.00"),
        "12:00": Decimal("5.00"),
        "12:15": Decimal("3.00"),
    }


def test_an_order_without_tenant_or_with_a_wrong_quantity_is_a_dead_letter() -> None:
    driver = TopologyDriver(order_revenue.topology, start=NOON)
    good = order(1, 0, ("SK-001", 1, "2.00"))
    nobody = good.to_json().replace(b'"tenant":"acme"', b'"tenant":null')
    negative = good.to_json().replace(b'"quantity":1', b'"quantity":-1')
    driver.pipe("commerce.orders", [nobody, negative, good])
    driver.finish()
    assert hourly(driver) == {("acme", "SK-001", "12:00"): (1, 1, Decimal("2.00"))}
    first, second = driver.dead_letters()
    assert (first.step, first.offset) == ("by-line", 0)
    assert "null" in first.message
    assert (second.step, second.offset) == ("orders", 1)
    assert "quantity" in second.message
    assert "-1" in second.message


def test_tenant_revenue_is_a_running_total() -> None:
    driver = TopologyDriver(order_revenue.topology, start=NOON)
    driver.pipe("commerce.orders", [order(n, n * 30, ("SK-001", 1, "2.50")) for n in range(5)])
    driver.finish()
    assert driver.table("tenant-revenue") == [{"tenant": "acme", "sales": 5, "units": 5, "revenue": Decimal("12.50")}]


def payment(number: int, provider: str, status: str, amount: str) -> PaymentSettled:
    return PaymentSettled.of(
        order_id=f"o-{number:08x}", provider=provider, status=status, amount=Decimal(amount), time=NOON
    )


def test_provider_health_is_the_share_of_declined_payments() -> None:
    driver = TopologyDriver(payment_health.topology, start=NOON)
    driver.pipe("commerce.payments", [payment(n, "paylane", "captured", "10.00") for n in range(3)])
    driver.pipe("commerce.payments", payment(4, "paylane", "declined", "99.00"))
    driver.pipe("commerce.payments", payment(5, "acquira", "declined", "1.00"))
    driver.finish()
    rows = driver.output("commerce.provider-health")
    assert len(rows) == 8  # two providers, four windows of an hour that begin every quarter
    (paylane,) = [r for r in rows if r["provider"] == "paylane" and r["window_start"] == "2024-03-01T12:00:00Z"]
    assert (paylane["payments"], paylane["declined"], paylane["declined_share"]) == (4, 1, 0.25)
    assert Decimal(paylane["captured"]) == Decimal("30.00")
    (acquira,) = [r for r in rows if r["provider"] == "acquira" and r["window_start"] == "2024-03-01T12:00:00Z"]
    assert acquira["captured"] is None


def test_fulfilment_measures_how_long_orders_wait() -> None:
    driver = TopologyDriver(fulfilment.topology, start=NOON)
    for number, hours in enumerate((2, 4, 9, 5, 5, 5, 5, 5, 5, 5)):
        driver.pipe(
            "commerce.shipments",
            ShipmentDispatched.of(
                order_id=f"o-{number:08x}",
                carrier="rapid",
                warehouse="BER1",
                ordered_at=NOON - timedelta(hours=hours),
                weight_kg=0.1,
                time=NOON,
            ),
        )
    driver.finish()
    (row,) = driver.output("commerce.fulfilment-per-day")
    assert (row["warehouse"], row["shipments"], row["parcels"]) == ("BER1", 10, 10)
    assert row["mean_hours"] == 5.0
    assert row["slowest_order"] == "o-00000002"
    assert row["weight_kg"] == 1.0  # compensated: ten times 0.1 would be 0.9999999999999999


def view(minutes: float, path: str, user: str = "ada") -> dict[str, object]:
    moment = NOON + timedelta(minutes=minutes)
    return {"at": int(moment.timestamp() * 1000), "tenant": "acme", "user_id": user, "path": path}


def test_a_session_spans_logins_views_and_orders_and_ends_after_half_an_hour_of_rest() -> None:
    driver = TopologyDriver(user_sessions.topology, start=NOON)
    entered = LoginAttempted.of(user_id="ada", outcome="succeeded", tenant="acme", time=NOON)
    failed = LoginAttempted.of(user_id="ada", outcome="failed", tenant="acme", time=NOON - timedelta(minutes=5))
    driver.pipe("access.logins", [failed, entered])
    driver.pipe("commerce.views", [view(1, "/sale"), view(30, "/basket"), view(5, "/", "bob"), view(120, "/help")])
    driver.pipe("commerce.orders", order(1, 55, ("SK-001", 1, "2.00")))
    driver.finish()
    rows = driver.output("commerce.sessions")
    found = [
        (r["user_id"], r["window_start"][11:16], r["window_end"][11:16], r["actions"], r["orders"], r["landing_page"])
        for r in rows
    ]
    assert sorted(found) == [
        ("ada", "12:00", "13:25", 4, 1, "/login"),
        ("ada", "14:00", "14:30", 1, 0, "/help"),
        ("bob", "12:05", "12:35", 1, 0, "/"),
    ]
    assert {r["exit_page"] for r in rows if r["actions"] == 4} == {"/checkout"}


def test_a_late_login_joins_two_sessions_into_one() -> None:
    driver = TopologyDriver(user_sessions.topology, start=NOON)
    driver.pipe("commerce.views", [view(0, "/"), view(50, "/sale")])
    assert len(driver.table("user-sessions")) == 2
    driver.pipe(
        "access.logins",
        LoginAttempted.of(user_id="ada", outcome="succeeded", tenant="acme", time=NOON + timedelta(minutes=25)),
    )
    (row,) = driver.table("user-sessions")
    assert (row["actions"], row["window_start"], row["window_end"]) == (
        3,
        NOON,
        NOON + timedelta(minutes=80),
    )
