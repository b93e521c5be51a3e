"""Logins and roles of the simulated day."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from workers.simulation.world import DAY_MS, START_MS, Message, Timed, World, address, envelope, iso, times

LOGIN_TYPE = "access.login.attempted"
FAILED_SHARE = 0.06
VERSION_1_SHARE = 0.03
ATTACK_EVERY = 400  # logins; an attack adds 5 to 40 failed ones within a minute
GUESSED_SHARE = 0.3  # of the attacks: the last attempt succeeds, far from where the user is
STOLEN_EVERY = 1500  # logins; someone far away has the password and needs no attempts
# Latitude and longitude. Users are at home in the first ones; attackers in the others.
HOMES = ((52.52, 13.4), (45.76, 4.84), (40.42, -3.7), (53.8, -1.55), (50.08, 14.44), (52.23, 21.01))
FAR = ((-33.87, 151.21), (1.35, 103.82), (-23.55, -46.63), (37.77, -122.42))
Place = tuple[float, float]
ROLES = ("viewer", "editor", "billing", "support", "admin")


def logins(world: World, rng: Random, count: int) -> Iterator[Timed]:
    """Yield logins, with attacks among them; a few come from an old service that sends version 1.

    Some attacks succeed, and some passwords are known without one.
    """
    attacks = max(1, count // ATTACK_EVERY)
    burst = [rng.randint(5, 40) for _ in range(attacks)]
    for ms in times(rng, max(0, count - sum(burst))):
        tenant = world.tenant(rng)
        failed = rng.random() < FAILED_SHARE
        user = world.user(rng, tenant)
        yield ms, _login(rng, ms, world.tenants[tenant], (user, _home(user)), failed=failed)
    for size, start in zip(burst, times(rng, attacks), strict=True):
        tenant = world.tenant(rng)
        user, place = world.user(rng, tenant), rng.choice(FAR)
        for _ in range(size):
            ms = start + rng.randrange(50_000)
            yield ms, _login(rng, ms, world.tenants[tenant], (user, place), failed=True)
        if rng.random() < GUESSED_SHARE:
            ms = start + rng.randrange(51_000, 80_000)
            yield ms, _login(rng, ms, world.tenants[tenant], (user, place), failed=False, old=False)
    for start in times(rng, max(1, count // STOLEN_EVERY)):
        tenant = world.tenant(rng)
        user = world.user(rng, tenant)
        for ms, place in ((start, _home(user)), (start + rng.randrange(60_000, 3_000_000), rng.choice(FAR))):
            yield ms, _login(rng, ms, world.tenants[tenant], (user, place), failed=False, old=False)


def _home(user: str) -> Place:
    return HOMES[sum(user.encode()) % len(HOMES)]


def _login(  # noqa: PLR0913
    rng: Random, ms: int, tenant: str, who: tuple[str, Place], *, failed: bool, old: bool | None = None
) -> Message:
    """Make a login; ``old``: whether the old service sends it, None: as it happens."""
    user, (latitude, longitude) = who
    data: dict[str, object] = {"user_id": user}
    version = 2
    if rng.random() < VERSION_1_SHARE if old is None else old:
        version = 1
        data |= {"success": not failed, "address": address(rng)}
    else:
        outcome = "failed" if failed else "succeeded"
        data |= {"outcome": outcome, "method": "password" if failed else "passkey", "ip": address(rng)}
        data |= {"latitude": round(latitude + rng.uniform(-0.1, 0.1), 3)}
        data |= {"longitude": round(longitude + rng.uniform(-0.1, 0.1), 3)}
    return envelope(rng, ms, (LOGIN_TYPE, version), tenant, data)


def roles(world: World, rng: Random, count: int) -> Iterator[Timed]:
    """Yield grants, and revocations of what was granted before."""
    held: list[tuple[int, str, str]] = []
    for ms in times(rng, count):
        revoke = bool(held) and rng.random() < 0.3  # noqa: PLR2004 - people gain roles over a day
        if revoke:
            tenant, user, role = held.pop(rng.randrange(len(held)))
        else:
            tenant = world.tenant(rng)
            user, role = world.user(rng, tenant), rng.choice(ROLES)
            held.append((tenant, user, role))
        data = {
            "user_id": user,
            "role": role,
            "change": "revoked" if revoke else "granted",
            "changed_by": f"u-{tenant:03d}-00",
            "expires_at": None if rng.random() < 0.5 else iso(START_MS + 90 * DAY_MS),  # noqa: PLR2004
        }
        yield ms, envelope(rng, ms, ("access.role.changed", 1), world.tenants[tenant], data)
