"""What the fleet should find by patterns and joins on the simulated day, by plain Python over whole files."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import pairwise
from math import acos, cos, pi, sin
from typing import Any

from tests.fleet.recompute import HOUR, MINUTE, epoch_ms, read

Login = tuple[int, str, str, float | None, float | None]


def in_time(events: Iterable[tuple[int, Any]], out_of_orderness: int) -> Iterator[tuple[int, Any]]:
    """Yield what is not behind the watermark of its own input."""
    highest = 0
    for time, event in events:
        highest = max(highest, time)
        if time >= highest - out_of_orderness:
            yield time, event


def logins(lines: Iterable[bytes]) -> dict[str, list[Login]]:
    """Return (time, outcome, address, latitude, longitude) of the logins of each user, in the order of event time."""

    def valid() -> Iterator[tuple[int, tuple[str, Login]]]:
        for time, envelope, data in read(lines):
            if envelope["dataversion"] == 1 and "success" in data:
                outcome, ip = "succeeded" if data["success"] else "failed", data["address"]
            elif data.get("outcome") in {"succeeded", "failed", "blocked"}:
                outcome, ip = data["outcome"], data["ip"]
            else:
                continue
            if isinstance(data["user_id"], str):
                yield time, (data["user_id"], (time, outcome, ip, data.get("latitude"), data.get("longitude")))

    found = defaultdict(list)
    for _, (user, login) in in_time(valid(), 30_000):
        found[user].append(login)
    return {user: sorted(some, key=lambda login: login[0]) for user, some in found.items()}


def guessed(found: dict[str, list[Login]]) -> set[tuple[str, int, int, int]]:
    """Return (user, first failure, success, failures)."""
    alerts = set()
    for user, some in found.items():
        failures: list[int] = []
        for time, outcome, *_ in some:
            if outcome == "failed":
                failures.append(time)
                continue
            recent = [one for one in failures if time - one < 5 * MINUTE]
            if outcome == "succeeded" and len(recent) >= 5:
                alerts.add((user, recent[0], time, len(recent)))
            failures = []
    return alerts


def journeys(found: dict[str, list[Login]]) -> set[tuple[str, int, int]]:
    """Return (user, left at, arrived at) of whoever was faster than 900 km/h, over more than 100 km."""
    alerts = set()
    for user, some in found.items():
        placed = [
            (time, latitude, longitude)
            for time, outcome, _, latitude, longitude in some
            if outcome == "succeeded" and latitude is not None and longitude is not None
        ]
        for (left, a, b), (arrived, c, d) in pairwise(placed):
            hours = (arrived - left) / HOUR
            if kilometres(a, b, c, d) > max(100.0, 900 * hours) and hours < 24:
                alerts.add((user, left, arrived))
    return alerts


def kilometres(a: float, b: float, c: float, d: float) -> float:
    """Return a distance by the spherical law of cosines."""
    a, b, c, d = (degrees * pi / 180 for degrees in (a, b, c, d))
    return 6371.0 * acos(max(-1.0, min(1.0, sin(a) * sin(c) + cos(a) * cos(c) * cos(d - b))))


Orders = dict[str, tuple[int, str, Decimal]]
Payments = dict[str, tuple[int, Decimal]]


def orders(lines: Iterable[bytes]) -> Orders:
    """Return time, tenant and sum of each order that came in time, the first of its number."""

    def valid() -> Iterator[tuple[int, tuple[str, str, Decimal]]]:
        for time, envelope, data in read(lines):
            items = data["items"]
            if isinstance(envelope["tenant"], str) and all(item["quantity"] >= 1 for item in items):
                amount = sum((Decimal(item["unit_price"]) * item["quantity"] for item in items), Decimal(0))
                yield time, (data["order_id"], envelope["tenant"], amount)

    found: Orders = {}
    for time, (order, tenant, amount) in in_time(valid(), 2 * MINUTE):
        found.setdefault(order, (time, tenant, amount))
    return found


def payments(lines: Iterable[bytes]) -> Payments:
    """Return time and sum of the first payment for each order that came in time and was captured."""

    def valid() -> Iterator[tuple[int, tuple[str, str, Decimal]]]:
        for time, _, data in read(lines):
            if isinstance(data["provider"], str) and data["status"] in {"captured", "declined", "refunded"}:
                yield time, (data["order_id"], data["status"], Decimal(data["amount"]))

    found: Payments = {}
    for time, (order, status, amount) in in_time(valid(), 2 * MINUTE):
        if status == "captured":
            found.setdefault(order, (time, amount))
    return found


def unpaid(placed: Orders, paid: Payments) -> set[tuple[str, str, int]]:
    """Return (order, tenant, time) of the orders that nobody paid for within half an hour."""
    return {
        (order, tenant, time)
        for order, (time, tenant, _) in placed.items()
        if not (order in paid and time <= paid[order][0] < time + 30 * MINUTE)
    }


def sold(lines: Iterable[bytes]) -> dict[str, list[tuple[int, int]]]:
    """Return per product the hours (by their ends) in which it was sold, with the units."""

    def valid() -> Iterator[tuple[int, list[dict[str, Any]]]]:
        for time, envelope, data in read(lines):
            if isinstance(envelope["tenant"], str) and all(item["quantity"] >= 1 for item in data["items"]):
                yield time, data["items"]

    hours: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    highest = 0
    for time, items in valid():
        highest = max(highest, time)
        end = time - time % HOUR + HOUR
        if end > highest - 2 * MINUTE:
            for item in items:
                hours[item["sku"]][end] += item["quantity"]
    return {sku: sorted(of.items()) for sku, of in hours.items()}


def running_out(levels: Iterable[bytes], demand: dict[str, list[tuple[int, int]]]) -> list[tuple[str, str, int, int]]:
    """Return (warehouse, product, on hand, time) of the counts that last for less than six hours of the last sales."""

    def valid() -> Iterator[tuple[int, dict[str, Any]]]:
        for line in levels:
            try:
                count = json.loads(line.decode())
                yield epoch_ms(count["counted_at"]), count
            except ValueError:
                continue

    found = []
    good = ((t, c) for t, c in valid() if isinstance(c["sku"], str) and c["on_hand"] >= 0)
    for time, count in in_time(good, 5 * MINUTE):
        # the row of an hour has its last moment as its time
        known = [units for end, units in demand.get(count["sku"], []) if end - 1 <= time]
        if known and not count["discontinued"] and round(count["on_hand"] * 8 / known[-1], 1) < 6:
            found.append((count["warehouse"], count["sku"], count["on_hand"], time))
    return found
