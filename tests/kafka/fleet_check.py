"""Whether the results are those of the input, each exactly once: after Kafka Streams' EosTestDriver."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

import msgspec

from headrace.kafka.client import Client
from headrace.kafka.model import Fetched, Partition
from headrace.kafka.offsets import End, committed, list_offsets
from tests.kafka.fleet_topology import GAP_MS, LARGE, WINDOW_MS, Names
from tests.kafka.support import client, reader


class In(msgspec.Struct):
    """An order."""

    id: int
    at: int
    user: str
    country: str
    amount: int


class Total(msgspec.Struct):
    """A row of ``totals`` or ``countries``."""

    n: int
    sum: int
    low: int
    high: int
    start: int
    user: str = ""
    country: str = ""


class Derived(msgspec.Struct):
    id: int
    user: str
    amount: int


class Latest(msgspec.Struct):
    user: str
    id: int


class Visit(msgspec.Struct, frozen=True):
    user: str
    n: int
    sum: int
    first: int
    last: int


Sums = dict[tuple[str, int], list[int]]
"""[count, sum, min, max] by key and window."""


@dataclass
class Expected:
    """What the outputs must come to."""

    records: int = 0
    bad: list[bytes] = field(default_factory=list)
    derived: set[int] = field(default_factory=set)
    totals: Sums = field(default_factory=dict)
    countries: Sums = field(default_factory=dict)
    latest: dict[str, int] = field(default_factory=dict)
    visits: set[Visit] = field(default_factory=set)
    watermarks: dict[int, int] = field(default_factory=dict)
    _open: dict[tuple[int, str], list[int]] = field(default_factory=dict)

    def add(self, batch: Fetched) -> None:
        decode = msgspec.json.Decoder(In).decode
        for value in batch.values:
            self.records += 1
            try:
                order = decode(value or b"")
            except msgspec.DecodeError:
                self.bad.append(value or b"")
                continue
            self.watermarks[batch.partition] = order.at
            start = order.at // WINDOW_MS * WINDOW_MS
            if order.amount > LARGE:
                self.derived.add(order.id)
            for sums, key in ((self.totals, order.user), (self.countries, order.country)):
                found = sums.get((key, start))
                if found is None:
                    sums[key, start] = [1, order.amount, order.amount, order.amount]
                else:
                    found[0] += 1
                    found[1] += order.amount
                    found[2] = min(found[2], order.amount)
                    found[3] = max(found[3], order.amount)
            self.latest[order.user] = order.id
            self._visit(batch.partition, order)

    def _visit(self, partition: int, order: In) -> None:
        key = (partition, order.user)
        visit = self._open.get(key)
        # Exactly a gap later it is the same session still: the gap is inclusive.
        if visit is not None and order.at <= visit[3] + GAP_MS:
            visit[0] += 1
            visit[1] += order.amount
            visit[3] = order.at
            return
        if visit is not None:
            self.visits.add(Visit(order.user, *visit))
        self._open[key] = [1, order.amount, order.at, order.at]

    def close(self) -> None:
        """End the sessions that the last records close."""
        for (partition, user), visit in self._open.items():
            if visit[3] + GAP_MS < self.watermarks[partition]:
                self.visits.add(Visit(user, *visit))


async def settled(bootstrap: str, group: str, partitions: Iterable[Partition], seconds: float) -> None:
    """Return when the group has read all there is, and no transaction is open; fail after so many seconds."""
    partitions = list(partitions)
    deadline = time.monotonic() + seconds
    async with client(bootstrap) as connection:
        quiet = 0
        while quiet < 3:
            missing = await _missing(connection, group, partitions)
            quiet = 0 if missing else quiet + 1
            assert time.monotonic() < deadline, f"after {seconds} s not read: {missing}"
            await asyncio.sleep(0.3)


async def _missing(connection: Client, group: str, partitions: list[Partition]) -> dict[str, tuple[int, int]]:
    at = await committed(connection, group, partitions)
    ends = await list_offsets(connection, partitions, End.LATEST)
    offsets = {p: position.offset if (position := at[p]) else 0 for p in partitions}
    return {f"{p.topic}/{p.partition}": (offsets[p], ends[p]) for p in partitions if offsets[p] < ends[p]}


async def whole(bootstrap: str, topic: str, partitions: int) -> AsyncIterator[Fetched]:
    """Yield all committed records of a topic; fail if an open transaction hides its end."""
    places = [Partition(topic, n) for n in range(partitions)]
    async with client(bootstrap) as connection:
        ends = await list_offsets(connection, places, End.LATEST)
    async with reader(bootstrap, *places, max_partition_fetch_bytes=4 << 20) as consumer:
        left = {place for place in places if ends[place]}
        deadline = time.monotonic() + 30
        while left:
            taken = await consumer.fetch(timeout_ms=1000)
            for place, batch in taken.items():
                deadline = time.monotonic() + 30
                yield batch
                if batch.next_offset >= ends[place]:
                    left.discard(place)
            assert time.monotonic() < deadline, f"the reader does not reach the end of {left}: a hanging transaction"


class Checker:
    """Compares the outputs of a run with its input. ``faults`` tells all that is wrong."""

    def __init__(self, bootstrap: str, names: Names, partitions: int, *, once: bool = True) -> None:
        """``once``: each exactly once; else nothing may be missing, and what was repeated may be there again."""
        self._bootstrap, self._names, self._partitions, self._once = bootstrap, names, partitions, once
        self.expected = Expected()
        self.faults: list[str] = []

    async def check(self) -> None:
        async for batch in self._read(self._names.orders):
            self.expected.add(batch)
        self.expected.close()
        await self._derived()
        await self._totals(self._names.totals, self.expected.totals, by_user=True)
        await self._totals(self._names.countries, self.expected.countries, by_user=False)
        await self._latest()
        await self._visits()
        await self._letters()

    def _read(self, topic: str, partitions: int = 0) -> AsyncIterator[Fetched]:
        return whole(self._bootstrap, topic, partitions or self._partitions)

    def _compare(self, name: str, missing: Iterable[object], extra: Iterable[object], twice: Iterable[object]) -> None:
        for what, found in (("missing", missing), ("extra", extra), ("twice", twice if self._once else ())):
            listed = sorted(map(str, found))
            if listed:
                self.faults.append(f"{name}: {len(listed)} {what}, as {listed[:3]}")

    async def _derived(self) -> None:
        seen: set[int] = set()
        twice = []
        decode = msgspec.json.Decoder(Derived).decode
        async for batch in self._read(self._names.derived):
            for value in batch.values:
                found = decode(value or b"").id
                if found in seen:
                    twice.append(found)
                seen.add(found)
        self._compare("derived", self.expected.derived - seen, seen - self.expected.derived, twice)

    async def _totals(self, topic: str, expected: Sums, *, by_user: bool) -> None:
        seen: dict[tuple[str, int], Total] = {}
        back = []
        decode = msgspec.json.Decoder(Total).decode
        async for batch in self._read(topic):
            for value in batch.values:
                row = decode(value or b"")
                key = (row.user if by_user else row.country, row.start)
                last = seen.get(key)
                if last is not None and not (
                    row.n > last.n and row.sum >= last.sum and row.low <= last.low and row.high >= last.high
                ):
                    back.append(f"{key}: {last} -> {row}")
                seen[key] = row
        got = {key: [row.n, row.sum, row.low, row.high] for key, row in seen.items()}
        wrong = [
            f"{key} is {row}, not {expected[key]}"
            for key, row in got.items()
            if key in expected and not self._same(row, expected[key])
        ]
        self._compare(topic, expected.keys() - got.keys(), got.keys() - expected.keys(), ())
        if wrong:
            self.faults.append(f"{topic}: {len(wrong)} wrong, as {wrong[:3]}")
        if back and self._once:
            self.faults.append(f"{topic}: {len(back)} run backwards, as {back[:3]}")

    def _same(self, row: list[int], expected: list[int]) -> bool:
        """Tell whether a row is right: what was repeated may count again."""
        if self._once:
            return row == expected
        return row[0] >= expected[0] and row[1] >= expected[1] and row[2:] == expected[2:]

    async def _latest(self) -> None:
        seen: dict[str, int] = {}
        back = []
        decode = msgspec.json.Decoder(Latest).decode
        async for batch in self._read(self._names.latest):
            for value in batch.values:
                row = decode(value or b"")
                if row.id <= seen.get(row.user, -1):
                    back.append(row)
                seen[row.user] = row.id
        wrong = [user for user, last in self.expected.latest.items() if seen.get(user) != last]
        self._compare("latest", wrong, seen.keys() - self.expected.latest.keys(), back)

    async def _visits(self) -> None:
        seen: set[Visit] = set()
        twice = []
        decode = msgspec.json.Decoder(Visit).decode
        async for batch in self._read(self._names.sessions):
            for value in batch.values:
                row = decode(value or b"")
                if row in seen:
                    twice.append(row)
                seen.add(row)
        if self._once:
            self._compare("sessions", self.expected.visits - seen, seen - self.expected.visits, twice)
            return
        most = {(visit.user, visit.first, visit.last): visit.n for visit in sorted(seen, key=lambda visit: visit.n)}
        lost = [v for v in self.expected.visits if most.get((v.user, v.first, v.last), 0) < v.n]
        self._compare("sessions", lost, (), ())

    async def _letters(self) -> None:
        found: list[bytes] = []
        async for batch in self._read(self._names.plan().dead_letter_topic, 1):
            found += [value or b"" for value in batch.values]
            for value, headers in zip(batch.values, batch.headers or (), strict=True):
                told = {name: text or b"" for name, text in headers}
                assert told["headrace-topic"] == self._names.orders.encode()
                assert (value or b"").endswith(b'"user":' + told["trace"])
        bad = self.expected.bad
        if sorted(bad) != sorted(found) if self._once else set(bad) != set(found):
            self.faults.append(f"dead letters: {len(found)} ({len(set(found))} different), expected {len(bad)}")
