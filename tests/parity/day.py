"""The simulated day as a job: every topic keyed and spread over partitions, and records that bring it to its end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from tests.fleet.recompute import epoch_ms
from tests.parity.job import Job, Phase, Record, place
from workers.demo import TOPOLOGIES
from workers.simulation import Day

PARTITIONS = 4
# Late enough to close every window of the day, early enough that no table forgets one.
END = datetime(2026, 1, 6, 12, tzinfo=UTC)
KEYS = {
    "access.logins": ("data", "user_id"),
    "access.roles": ("data", "user_id"),
    "commerce.views": ("user_id",),
    "commerce.orders": ("data", "order_id"),
    "commerce.payments": ("data", "order_id"),
    "commerce.shipments": ("data", "order_id"),
    "inventory.levels": ("sku",),
}
VISITS = {"access.logins": ("data", "user_id"), "commerce.views": ("user_id",), "commerce.orders": ("data", "user_id")}
VISITS_LAG_MS = 120_000  # the out_of_orderness of these sources
TIMES = {"commerce.views": "at", "inventory.levels": "counted_at"}
BETWEEN = "inventory.low"
LOW = {"warehouse": "AAA0", "sku": "SK-001", "on_hand": 0, "missing": 1, "counted_at": END.isoformat()}


def job_of(day: Day) -> Job:
    lines = {topic: path.read_bytes().splitlines() for topic, path in day.files.items()}
    records = [record for topic, some in lines.items() for record in _records(topic, some)]
    records.sort(key=lambda record: record.partition)  # stable: the order in a partition is that of the file
    records.sort(key=lambda record: record.topic)
    ends = [record for topic, some in lines.items() for record in _ends(topic, some)]
    low = [_end(BETWEEN, n, msgspec.json.encode(LOW)) for n in range(PARTITIONS)]
    return Job(TOPOLOGIES, [Phase(records), Phase(ends), Phase(low)], PARTITIONS)


def disorderly(records: Iterable[Record]) -> set[tuple[str, str]]:
    """Return (tenant, user) of whoever has a record in a session that came later than the topology allows for.

    Which sessions are still open then depends on how far the other inputs are.
    """
    highest: dict[tuple[str, int], int] = {}
    found = set()
    for record in records:
        if record.topic not in VISITS:
            continue
        place_ = record.topic, record.partition
        before = highest[place_] = max(highest.get(place_, 0), record.time_ms)
        if record.time_ms < before - VISITS_LAG_MS:
            message = _message(record.value)
            user = _key(message, VISITS[record.topic])
            found.add((str(message.get("tenant")), (user or b"").decode()))
    return found


def _records(topic: str, lines: Iterable[bytes]) -> Iterator[Record]:
    time_ms = 0
    for line in lines:
        message = _message(line)
        key = _key(message, KEYS[topic])
        time_ms = _time_ms(message, TIMES.get(topic, "time"), time_ms)
        yield Record(topic, place(key, PARTITIONS), key, line, time_ms)


def _message(line: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(line)
    except ValueError:
        return {}
    return found


def _key(message: Any, path: tuple[str, ...]) -> bytes | None:
    for name in path:
        message = message.get(name, {})
    return message.encode() if isinstance(message, str) else None


def _time_ms(message: dict[str, Any], name: str, otherwise: int) -> int:
    time = message.get(name)
    if isinstance(time, int):
        return time
    try:
        return epoch_ms(str(time))
    except ValueError:
        return otherwise


def _ends(topic: str, lines: list[bytes]) -> Iterator[Record]:
    """Yield, for every partition, the first good record again, at the end of time as far as the test goes."""
    message = _message(lines[0])
    message[TIMES.get(topic, "time")] = END.isoformat()
    for partition in range(PARTITIONS):
        yield _end(topic, partition, msgspec.json.encode(message))


def _end(topic: str, partition: int, value: bytes) -> Record:
    return Record(topic, partition, b"end", value, int(END.timestamp() * 1000))
