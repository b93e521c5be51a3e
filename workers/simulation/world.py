"""Who and what there is on the platform: tenants, users, products, warehouses; and when they are active."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START_MS = 1_767_571_200_000  # 2026-01-05T00:00:00Z, a Monday
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# Share of the day's traffic per hour, UTC: asleep at four, busy at noon, busiest in the evening.
HOURS = (3, 2, 1, 1, 1, 2, 4, 8, 12, 15, 17, 19, 21, 18, 16, 15, 16, 19, 24, 28, 26, 18, 10, 6)

USERS_PER_TENANT = 50
PRODUCTS_PER_TENANT = 40
WAREHOUSES = ("BER1", "HAM1", "LYS1", "MAD1", "MAN1", "MIL1", "PRG1", "WAW1")

Message = dict[str, object]
Timed = tuple[int, Message]


@dataclass(frozen=True, slots=True)
class World:
    """The platform: ``tenants`` by name, with what they weigh in traffic (a few have most of it).

    ``orders``: how many there are on the day; payments and shipments are of these.
    """

    tenants: tuple[str, ...]
    weights: tuple[float, ...]
    seed: int
    orders: int

    @classmethod
    def of(cls, tenants: int, *, seed: int, orders: int) -> World:
        """Make a world of so many tenants, their traffic falling as 1/rank."""
        return cls(
            tuple(f"tenant-{n:03d}" for n in range(tenants)),
            tuple(accumulate(1 / rank for rank in range(1, tenants + 1))),
            seed,
            orders,
        )

    def stream(self, topic: str) -> Random:
        """Return the random stream of a topic, at its beginning."""
        return Random(f"{self.seed}:{topic}")  # noqa: S311 - a simulation

    def tenant(self, rng: Random) -> int:
        """Draw a tenant's number."""
        return rng.choices(range(len(self.tenants)), cum_weights=self.weights)[0]

    def user(self, rng: Random, tenant: int) -> str:
        """Draw one of a tenant's users; low numbers are the more active ones."""
        return f"u-{tenant:03d}-{int(USERS_PER_TENANT * rng.random() ** 2):02d}"


def product(rng: Random, tenant: int) -> tuple[str, str]:
    """Draw one of a tenant's products: its number and its price."""
    number = int(PRODUCTS_PER_TENANT * rng.random() ** 2)
    return f"SK-{tenant:03d}{number:02d}", f"{3 + (tenant * 37 + number * 53) % 197}.{(number * 7) % 10}9"


def times(rng: Random, count: int) -> list[int]:
    """Draw so many moments of the day, in order, as epoch milliseconds."""
    hours = rng.choices(range(len(HOURS)), weights=HOURS, k=count)
    return sorted(START_MS + hour * HOUR_MS + int(rng.random() * HOUR_MS) for hour in hours)


def address(rng: Random) -> str:
    """Draw an IPv4 address of a documentation range (RFC 5737)."""
    return f"198.51.100.{rng.randrange(256)}"


def iso(ms: int) -> str:
    """Write epoch milliseconds as RFC 3339."""
    return (EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def envelope(rng: Random, ms: int, kind: tuple[str, int], tenant: str, data: Mapping[str, object]) -> Message:
    """Wrap data into a CloudEvents envelope; ``kind`` is the event's type and the version of its data."""
    return {
        "specversion": "1.0",
        "id": f"{rng.getrandbits(128):032x}",
        "source": "/shop",
        "type": kind[0],
        "time": iso(ms),
        "datacontenttype": "application/json",
        "dataversion": kind[1],
        "tenant": tenant,
        "data": data,
    }


def pick(rng: Random, values: Sequence[str]) -> str:
    """Draw one value; the first are the likelier ones."""
    return values[int(len(values) * rng.random() ** 2)]
