"""Logins and roles of the simulated day."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from workers.simulation.world import START_MS, Message, Timed, World, address, envelope, iso, times

DAY_MS = 86_400_000
LOGIN_TYPE = "access.login.attempted"
FAILED_SHARE = 0.06
VERSION_1_SHARE = 0.03
ATTACK_EVERY = 400  # logins; an attack adds 5 to 40 failed ones within a minute
ROLES = ("viewer", "editor", "billing", "support", "admin")


def logins(world: World, rng: Random, count: int) -> Iterator[Timed]:
    """Yield logins, with attacks among them; a few come from an old service that sends version 1."""
    attacks = max(1, count // ATTACK_EVERY)
    burst = [rng.randint(5, 40) for _ in range(attacks)]
    for ms in times(rng, max(0, count - sum(burst))):
        tenant = world.tenant(rng)
        failed = rng.random() < FAILED_SHARE
        yield ms, _login(rng, ms, world.tenants[tenant], world.user(rng, tenant), failed=failed)
    for size, start in zip(burst, times(rng, attacks), strict=True):
        tenant = world.tenant(rng)
        user = world.user(rng, tenant)
        for _ in range(size):
            ms = start + rng.randrange(50_000)
            yield ms, _login(rng, ms, world.tenants[tenant], user, failed=True)


def _login(rng: Random, ms: int, tenant: str, user: str, *, failed: bool) -> Message:
    data: dict[str, object] = {"user_id": user}
    version = 2
    if rng.random() < VERSION_1_SHARE:
        version = 1
        data |= {"success": not failed, "address": address(rng)}
    else:
        outcome = "failed" if failed else "succeeded"
        data |= {"outcome": outcome, "method": "password" if failed else "passkey", "ip": address(rng)}
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
