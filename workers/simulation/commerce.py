"""Page views, orders, payments and shipments of the simulated day."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from workers.simulation.world import HOUR_MS, WAREHOUSES, Timed, World, envelope, iso, pick, product, times

PATHS = ("/", "/search", "/sale", "/basket", "/account", "/help")
PROVIDERS = ("acquira", "paylane", "northbank")
DECLINED_SHARE = {"acquira": 0.02, "paylane": 0.04, "northbank": 0.11}
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


def payments(world: World, rng: Random, count: int) -> Iterator[Timed]:
    """Yield payments; one provider declines more than the others."""
    for ms in times(rng, count):
        tenant = world.tenant(rng)
        provider = pick(rng, PROVIDERS)
        declined = rng.random() < DECLINED_SHARE[provider]
        data = {
            "order_id": f"o-{rng.getrandbits(48):012x}",
            "provider": provider,
            "status": "declined" if declined else "captured",
            "amount": f"{rng.randrange(300, 90_000) / 100:.2f}",
            "reason": "insufficient funds" if declined else None,
        }
        yield ms, envelope(rng, ms, ("commerce.payment.settled", 1), world.tenants[tenant], data)


def shipments(world: World, rng: Random, count: int) -> Iterator[Timed]:
    """Yield shipments, some hours after the order."""
    for ms in times(rng, count):
        data = {
            "order_id": f"o-{rng.getrandbits(48):012x}",
            "carrier": pick(rng, CARRIERS),
            "warehouse": rng.choice(WAREHOUSES),
            "ordered_at": iso(ms - int(HOUR_MS * (2 + 40 * rng.random() ** 2))),
            "parcels": 1 + int(3 * rng.random() ** 4),
            "weight_kg": round(0.1 + 12 * rng.random() ** 3, 3),
        }
        tenant = world.tenants[world.tenant(rng)]
        yield ms, envelope(rng, ms, ("commerce.shipment.dispatched", 1), tenant, data)
