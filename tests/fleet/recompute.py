"""The simulated day's results by plain Python: no engine, no schema of the fleet, nothing shared with it."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

MINUTE = 60_000
QUARTER = 15 * MINUTE
HOUR = 60 * MINUTE


def epoch_ms(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def read(lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """Yield (time, envelope, data) of the lines that are events at all."""
    for line in lines:
        try:
            envelope = json.loads(line.decode())
            yield epoch_ms(envelope["time"]), envelope, envelope["data"]
        except ValueError:
            continue


def watermarked(records: Iterable[tuple[int, Any]], out_of_orderness: int) -> Iterator[tuple[int, int, Any]]:
    """Yield (watermark, time, record): a record moves the watermark before it is judged."""
    highest = 0
    for time, record in records:
        highest = max(highest, time)
        yield highest - out_of_orderness, time, record


def failures(lines: Iterable[bytes]) -> tuple[dict[tuple[str, str], tuple[int, list[str]]], int]:
    """Return attempts and addresses by (user, start of the minute), and how many failures were late."""

    def logins() -> Iterator[tuple[int, tuple[str, str, str | None]]]:
        for time, envelope, data in read(lines):
            if envelope["dataversion"] == 1:
                if "success" not in data:
                    continue
                outcome, ip = "succeeded" if data["success"] else "failed", data.get("address")
            else:
                outcome, ip = data["outcome"], data.get("ip")
            if isinstance(data["user_id"], str) and outcome in {"succeeded", "failed", "blocked"}:
                yield time, (data["user_id"], outcome, ip)

    late = 0
    found: dict[tuple[str, str], tuple[int, list[str]]] = {}
    for watermark, time, (user, outcome, ip) in watermarked(logins(), 30_000):
        start = time - time % MINUTE
        if outcome != "failed":
            continue
        if start + MINUTE + 10_000 <= watermark:
            late += 1
            continue
        count, addresses = found.get((user, iso(start)), (0, []))
        if ip is not None and ip not in addresses and len(addresses) < 20:
            addresses = [*addresses, ip]
        found[user, iso(start)] = (count + 1, addresses)
    return found, late


Sale = tuple[int, str, str, int, Decimal]


def sales(lines: Iterable[bytes]) -> list[Sale]:
    """Return (time, tenant, product, units, amount) of every order line that counts, each once."""

    def orders() -> Iterator[tuple[int, tuple[str, dict[str, Any]]]]:
        for time, envelope, data in read(lines):
            items = data["items"]
            if isinstance(envelope["tenant"], str) and all(item["quantity"] >= 1 for item in items):
                yield time, (envelope["tenant"], data)

    once: dict[tuple[str, str, int, int], Sale] = {}
    for watermark, time, (tenant, data) in watermarked(orders(), 2 * MINUTE):
        end = time - time % (5 * MINUTE) + 5 * MINUTE
        if end + MINUTE <= watermark:
            continue
        for item in data["items"]:
            amount = Decimal(item["unit_price"]) * item["quantity"]
            sale = (end - 1, tenant, item["sku"], item["quantity"], amount)
            once.setdefault((tenant, data["order_id"], item["line"], end), sale)
    return list(once.values())


def revenue_per_hour(found: list[Sale]) -> dict[tuple[str, str, str], tuple[int, int, Decimal]]:
    totals: dict[tuple[str, str, str], tuple[int, int, Decimal]] = defaultdict(lambda: (0, 0, Decimal(0)))
    for time, tenant, product, units, amount in found:
        key = (tenant, product, iso(time - time % HOUR))
        count, pieces, money = totals[key]
        totals[key] = (count + 1, pieces + units, money + amount)
    return dict(totals)


def revenue_trend(found: list[Sale]) -> dict[tuple[str, str], tuple[int, Decimal, Decimal]]:
    totals: dict[tuple[str, str], tuple[int, Decimal, Decimal]] = defaultdict(lambda: (0, Decimal(0), Decimal(0)))
    for time, tenant, _, _, amount in found:
        newest = time - time % QUARTER
        for start in range(newest - HOUR + QUARTER, newest + QUARTER, QUARTER):
            count, money, largest = totals[tenant, iso(start)]
            totals[tenant, iso(start)] = (count + 1, money + amount, max(largest, amount))
    return dict(totals)


def low_stock(lines: Iterable[bytes]) -> list[tuple[str, str, int, int]]:
    """Return (warehouse, product, on hand, missing) of every count below the reorder point."""
    found = []
    for line in lines:
        try:
            count = json.loads(line.decode())
            epoch_ms(count["counted_at"])
        except ValueError:
            continue
        if (
            isinstance(count["sku"], str)
            and 0 <= count["on_hand"] < count["reorder_point"]
            and not count["discontinued"]
        ):
            place = (count["warehouse"], count["sku"], count["on_hand"], count["capacity"] - count["on_hand"])
            found.append(place)
    return found
