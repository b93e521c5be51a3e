"""Stock levels of the simulated day."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from workers.simulation.world import PRODUCTS_PER_TENANT, WAREHOUSES, Timed, World, iso, times

CAPACITY = 500
REORDER_POINT = 60
REFILL_BELOW = 25
STOCKED_TENANTS = 3  # whose goods the platform itself keeps
DISCONTINUED_SHARE = 0.0005


def levels(world: World, rng: Random, count: int) -> Iterator[Timed]:
    """Yield counts: stock falls with sales, jumps when it is filled up, and some products are given up."""
    stocked = min(STOCKED_TENANTS, len(world.tenants))
    skus = [f"SK-{tenant:03d}{n:02d}" for tenant in range(stocked) for n in range(PRODUCTS_PER_TENANT)]
    places = [(warehouse, sku) for warehouse in WAREHOUSES for sku in skus]
    on_hand = {place: rng.randrange(REORDER_POINT, CAPACITY) for place in places}
    for ms in times(rng, count):
        place = rng.choice(places)
        left = on_hand[place] - rng.randrange(60)
        on_hand[place] = CAPACITY if left < REFILL_BELOW and rng.random() < 0.5 else max(0, left)  # noqa: PLR2004
        yield (
            ms,
            {
                "warehouse": place[0],
                "sku": place[1],
                "on_hand": on_hand[place],
                "reorder_point": REORDER_POINT,
                "capacity": CAPACITY,
                "counted_at": iso(ms),
                "discontinued": rng.random() < DISCONTINUED_SHARE,
            },
        )
