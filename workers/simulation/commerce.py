"""Page views, orders, payments and shipments of the simulated day."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from random import Random

from workers.simulation.world import (
    DAY_MS,
    HOUR_MS,
    START_MS,
    WAREHOUSES,
    Timed,
    World,
    envelope,
    iso,
    pick,
    product,
    times,
)

PATHS = ("/", "/search", "/sale", "/basket", "/account", "/help")
PROVIDERS = ("acquira", "paylane", "northbank")
DECLINED_SHARE = {"acquira": 0.02, "paylane": 0.04, "northbank": 0.11}
FORGOTTEN_SHARE = 0.004
OVERDUE_SHARE = 0.002
GIVEN_UP_SHARE = 0.1
WRONG_SUM_SHARE = 0.001
CARRIERS = ("rapid", "parcelo", "railpost")
CITIES = (("Berlin", "10115", "DE"), ("Lyon", "69001", "FR"), ("Madrid", "28001", "ES"), ("Leeds", "LS1 4AP", "GB"))


def views(world: World, rng: Random, count: int) -> Iterator[Timed]:
    """Yield page views, each with the time in epoch milliseconds."""
    for ms in times(rng, count):
        tenant = world.tenant(rng)
        user = world.user(rng, tenant)
        path = f"/p/{product(rng, tenant)[0]}" if rng.random() < 0.6 else pick(rng, PATHS)  # noqa: PLR2004
        yield (
            ms,
            {
                "at": ms,
                "tenant": world.tenants[tenant],
                "user_id": user,
                "path": path,
                "duration_ms": rng.randrange(20_000),
            },
        )


def orders(world: World, rng: Random, count: int) -> Iterator[Timed]:
    """Yield orders of one to four lines; sometimes one product on two lines."""
    for ms in times(rng, count):
        tenant = world.tenant(rng)
        lines = []
        for line in range(1, 2 + int(4 * rng.random() ** 2)):
            sku, price = product(rng, tenant)
            lines.append({"line": line, "sku": sku, "quantity": 1 + int(5 * rng.random() ** 3), "unit_price": price})
        city, postcode, country = rng.choice(CITIES)
        data = {
            "order_id": f"o-{rng.getrandbits(48):012x}",
            "user_id": world.user(rng, tenant),
            "currency": "EUR",
            "items": lines,
            "shipping_address": {
                "street": f"High Street {rng.randrange(1, 300)}",
                "city": city,
                "postcode": postcode,
                "country": country,
            },
        }
        yield ms, envelope(rng, ms, ("commerce.order.placed", 1), world.tenants[tenant], data)


def _placed(world: World) -> Iterator[tuple[int, str, str, Decimal]]:
    """Yield time, tenant, number and sum of the orders of the day, as :func:`orders` yields them."""
    for ms, message in orders(world, world.stream("commerce.orders"), world.orders):
        data = message["data"]
        if isinstance(data, dict):
            amount = sum(Decimal(line["unit_price"]) * line["quantity"] for line in data["items"])
            yield ms, str(message["tenant"]), data["order_id"], Decimal(amount)


def payments(world: World, rng: Random, count: int) -> Iterator[Timed]:
    """Yield payments, about one for each order; one provider declines more than the others.

    Who is declined tries again, or gives up; some forget, and some pay an hour later, or the wrong sum.
    """
    for ms, tenant, order_id, amount in islice(_placed(world), count):
        paid_at = ms + rng.randrange(5_000, 600_000)
        if rng.random() < FORGOTTEN_SHARE:
            continue
        if rng.random() < OVERDUE_SHARE:
            paid_at = ms + rng.randrange(HOUR_MS * 3 // 4, 2 * HOUR_MS)
        provider = pick(rng, PROVIDERS)
        if rng.random() < DECLINED_SHARE[provider]:
            yield _payment(rng, paid_at, tenant, (order_id, provider, amount), declined=True)
            if rng.random() < GIVEN_UP_SHARE:
                continue
            provider, paid_at = rng.choice(PROVIDERS), paid_at + rng.randrange(20_000, 300_000)
        paid = amount if rng.random() >= WRONG_SUM_SHARE else amount / 2
        yield _payment(rng, paid_at, tenant, (order_id, provider, paid), declined=False)


def _payment(rng: Random, ms: int, tenant: str, what: tuple[str, str, Decimal], *, declined: bool) -> Timed:
    order_id, provider, amount = what
    data = {
        "order_id": order_id,
        "provider": provider,
        "status": "declined" if declined else "captured",
        "amount": f"{amount:.2f}",
        "reason": "insufficient funds" if declined else None,
    }
    return ms, envelope(rng, ms, ("commerce.payment.settled", 1), tenant, data)


def shipments(world: World, rng: Random, count: int) -> Iterator[Timed]:
    """Yield shipments, some hours after the order: one in three of an order of the day, the others of older ones."""
    placed = list(_placed(world))
    today = rng.sample(placed, min(count // 3, len(placed)))
    for ms, tenant, order_id, _ in today:
        shipped_at = ms + int(HOUR_MS * (2 + 4 * rng.random()))
        if shipped_at < START_MS + DAY_MS:
            yield _shipment(rng, shipped_at, tenant, order_id, ms)
    for ms in times(rng, count - len(today)):
        ordered_at = ms - int(HOUR_MS * (2 + 40 * rng.random() ** 2))
        tenant = world.tenants[world.tenant(rng)]
        yield _shipment(rng, ms, tenant, f"o-{rng.getrandbits(48):012x}", ordered_at)


def _shipment(rng: Random, ms: int, tenant: str, order_id: str, ordered_at: int) -> Timed:
    data = {
        "order_id": order_id,
        "carrier": pick(rng, CARRIERS),
        "warehouse": rng.choice(WAREHOUSES),
        "ordered_at": iso(ordered_at),
        "parcels": 1 + int(3 * rng.random() ** 4),
        "weight_kg": round(0.1 + 12 * rng.random() ** 3, 3),
    }
    return ms, envelope(rng, ms, ("commerce.shipment.dispatched", 1), tenant, data)
