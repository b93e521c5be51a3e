"""What the queries of Nexmark answer, by plain Python over all events at once: no engine, nothing shared with it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

Row = tuple[Any, ...]
SECOND = 1000


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat().replace("+00:00", "Z")


class House:
    """The events, apart; each has its time as ``at``."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.persons: list[dict[str, Any]] = []
        self.auctions: list[dict[str, Any]] = []
        self.bids: list[dict[str, Any]] = []
        for line in lines:
            event = json.loads(line)
            at = event.pop("at")
            ((kind, fields),) = event.items()
            getattr(self, f"{kind}s").append(fields | {"at": at})

    def closings(self) -> list[tuple[int, dict[str, Any], int]]:
        """Return (time of the last bid that counts, auction, price) of the auctions that had one, in that order."""
        found = []
        by_auction = defaultdict(list)
        for bid in self.bids:
            by_auction[bid["auction"]].append(bid)
        for auction in self.auctions:
            bids = [b for b in by_auction[auction["id"]] if auction["at"] <= b["at"] <= auction["expires"]]
            if bids:
                found.append((max(b["at"] for b in bids), auction, max(b["price"] for b in bids)))
        return sorted(found, key=lambda closing: (closing[0], closing[1]["id"]))


def q0(house: House) -> list[Row]:
    return [(b["auction"], b["bidder"], b["price"], b["at"], b["extra"]) for b in house.bids]


def q1(house: House) -> list[Row]:
    return [(b["auction"], b["bidder"], b["at"], b["extra"], Decimal(b["price"]) * 908 / 1000) for b in house.bids]


def q2(house: House) -> list[Row]:
    return [(b["auction"], b["price"]) for b in house.bids if b["auction"] % 123 == 0]


def q3(house: House) -> list[Row]:
    sellers = {p["id"]: p for p in house.persons if p["state"] in {"OR", "ID", "CA"}}
    return [
        (p["id"], p["name"], p["city"], p["state"], auction["id"])
        for auction in house.auctions
        if auction["category"] == 10 and (p := sellers.get(auction["seller"]))
    ]


def q4(house: House) -> list[Row]:
    prices = defaultdict(list)
    for _, auction, price in house.closings():
        prices[auction["category"]].append(price)
    return [(category, sum(some) / len(some), len(some)) for category, some in prices.items()]


def q5(house: House) -> list[Row]:
    windows: dict[int, Counter[int]] = defaultdict(Counter)
    for bid in house.bids:
        newest = bid["at"] - bid["at"] % (2 * SECOND)
        for start in range(newest - 8 * SECOND, newest + 1, 2 * SECOND):
            windows[start][bid["auction"]] += 1
    return [
        (auction, count, iso(start))
        for start, counts in windows.items()
        for auction, count in counts.items()
        if count == max(counts.values())
    ]


def q6(house: House) -> list[Row]:
    sold = defaultdict(list)
    rows = []
    for _, auction, price in house.closings():
        prices = sold[auction["seller"]]
        prices.append(price)
        rows.append((auction["seller"], auction["id"], sum(prices[-10:]) / len(prices[-10:])))
    return rows


def q7(house: House) -> list[Row]:
    windows = defaultdict(list)
    for bid in house.bids:
        windows[bid["at"] // (10 * SECOND)].append(bid)
    return [
        (window * 10 * SECOND, b["price"], b["auction"], b["bidder"], b["extra"], b["at"])
        for window, bids in windows.items()
        for b in bids
        if b["price"] == max(bid["price"] for bid in bids)
    ]


def q8(house: House) -> list[Row]:
    opened = {(a["seller"], a["at"] // (10 * SECOND)) for a in house.auctions}
    return [
        (p["id"], p["at"] // (10 * SECOND) * 10 * SECOND, p["name"])
        for p in house.persons
        if (p["id"], p["at"] // (10 * SECOND)) in opened
    ]


QUERIES: dict[str, Callable[[House], list[Row]]] = {
    "q0": q0, "q1": q1, "q2": q2, "q3": q3, "q4": q4, "q5": q5, "q6": q6, "q7": q7, "q8": q8,
}  # fmt: skip
EXACT = {"q1": "price"}
"""Columns that are Decimals, and so text in the output."""
