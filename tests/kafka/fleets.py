"""A fleet of a user's, as files and commands: written into a directory, run in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.kafka.model import Columns, Fetched, Headers, Partition
from headrace.kafka.offsets import End, committed, list_offsets
from headrace.kafka.topics_admin import TopicAdmin, TopicSpec
from tests.cli.commands import Done, command, environment, headrace
from tests.kafka.support import NOBODY, client, producer, read, run, unique
from tests.kafka.tries import TooSlow

SHOP = """
from pydantic import BaseModel, Field
from headrace import Topology, agg, col, tumbling

class Order(BaseModel):
    id: int
    country: str
    amount: int = Field(ge=0)
    at: int

topology = Topology("{name}")
orders = topology.source("orders", topic="{name}.orders", schema=Order, time=col.at)
orders.filter("big", col.amount >= 100).sink("big-out", topic="{name}.big")
per_minute = (
    orders.group_by("by-country", col.country)
    .window(tumbling("1m", grace="1h"))
    .aggregate("revenue", orders=agg.count(), total=agg.sum(col.amount))
)
per_minute.on_update().sink("report", topic="{name}.revenue")
"""
PARTITIONS = 4


@dataclass
class Shop:
    """One topology on topics of its own. ``options`` are a client's security options."""

    name: str
    directory: Path
    brokers: str
    options: dict[str, Any]

    @property
    def orders(self) -> str:
        return f"{self.name}.orders"

    @property
    def letters(self) -> str:
        return f"{self.name}.dead-letters"

    def run(self, *args: str, **environ: str) -> Done:
        """Run a command to its end; it knows the brokers."""
        with changed_environment({"HEADRACE_BROKERS": self.brokers, **environ}):
            return headrace(*args, cwd=self.directory)

    def feed(self, start: int, count: int, *, amount: Callable[[int], int] = lambda n: n % 200) -> None:
        """Write orders with these ids, spread over the partitions."""
        values = {
            number: [
                json.dumps({"id": n, "country": "DEFRUS"[n % 3 * 2 :][:2], "amount": amount(n), "at": n * 10}).encode()
                for n in range(start, start + count)
                if n % PARTITIONS == number
            ]
            for number in range(PARTITIONS)
        }
        self.write({number: Columns(found, [1_000] * len(found)) for number, found in values.items()})

    def write(self, columns: Mapping[int, Columns]) -> None:
        async def main() -> None:
            async with client(self.brokers, **self.options) as connection:
                made = _producer(connection)
                await made.start()
                made.begin()
                for number, found in columns.items():
                    made.append(self.orders, number, found)
                await made.commit({}, NOBODY)
                await made.close()

        run(main())

    def create_input(self, partitions: int = PARTITIONS) -> None:
        async def main() -> None:
            async with TopicAdmin(self.brokers, **self.options) as admin:
                await admin.create([TopicSpec(self.orders, partitions)])

        run(main())

    def records(self, topic: str) -> list[tuple[int, bytes | None, bytes | None, Headers]]:
        """Return all committed records of a topic: partition, key, value, headers."""

        async def main() -> list[tuple[int, bytes | None, bytes | None, Headers]]:
            async with TopicAdmin(self.brokers, **self.options) as admin:
                partitions = [Partition(topic, n) for n in range((await admin.topics())[topic].partitions)]
            async with client(self.brokers, **self.options) as connection:
                ends = await list_offsets(connection, partitions, End.LAST_STABLE)
            found = []
            for partition, end in ends.items():
                for batch in await read(self.brokers, partition, end, **self.options) if end else []:
                    found += _rows(batch)
            return found

        return run(main())

    def until_read(self, count: int, seconds: float = 90) -> None:
        """Wait until the group has committed so many orders, and everything that follows from them."""

        async def main() -> None:
            async with client(self.brokers, **self.options) as connection:
                quiet = 0
                last: object = None
                while quiet < 5:
                    places = await self._positions(connection, self.orders)
                    done = sum(max(0, position) for position, _ in places)
                    rest = await self._positions(connection, f"{self.name}.{self.name}.by-country.repartition")
                    done_too = all(position >= end for position, end in rest)
                    quiet = quiet + 1 if done >= count and done_too and (places, rest) == last else 0
                    last = (places, rest)
                    await asyncio.sleep(0.1)

        run(main(), seconds)

    async def _positions(self, connection: Any, topic: str) -> list[tuple[int, int]]:
        partitions = [Partition(topic, number) for number in range(PARTITIONS)]
        at = await committed(connection, self.name, partitions)
        ends = await list_offsets(connection, partitions, End.LAST_STABLE)
        return [((at[p].offset if at[p] is not None else 0), ends[p]) for p in partitions]  # type: ignore[union-attr]

    def revenue(self) -> dict[str, int]:
        """Return the latest count of orders of each country and window."""
        latest: Counter[str] = Counter()
        for _, _, value, _ in self.records(f"{self.name}.revenue"):
            row = json.loads(value or b"")
            key = f"{row['country']}@{row['window_start']}"
            assert row["orders"] >= latest[key], "counts run backwards"
            latest[key] = row["orders"]
        return dict(latest)


def _producer(connection: Any) -> Any:
    from headrace.kafka.producing import TransactionalProducer

    return TransactionalProducer(connection, unique("feed"))


def _rows(batch: Fetched) -> list[tuple[int, bytes | None, bytes | None, Headers]]:
    headers = batch.headers or [()] * len(batch)
    return [
        (batch.partition, key, value, own) for key, value, own in zip(batch.keys, batch.values, headers, strict=True)
    ]


def make_shop(directory: Path, brokers: str, *, create: bool = True, **options: Any) -> Shop:
    shop = Shop(unique("shop"), directory, brokers, options)
    (directory / "shop.py").write_text(SHOP.replace("{name}", shop.name))
    if create:
        shop.create_input()
    return shop


@contextmanager
def changed_environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass
class Process:
    """A command that runs."""

    process: subprocess.Popen[bytes]
    file: Path

    @property
    def log(self) -> str:
        return self.file.read_text(errors="replace")

    def until(self, text: str, *, times: int = 1, seconds: float = 90) -> None:
        """Wait for a text in what it has logged."""
        end = time.monotonic() + seconds
        while self.log.count(text) < times:
            assert self.process.poll() is None, f"ended before {text!r}:\n{self.log}"
            if time.monotonic() > end:
                msg = f"no {text!r} in:\n{self.log}"
                raise TooSlow(msg)
            time.sleep(0.05)

    def stop(self, number: int, seconds: float = 60) -> int:
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextmanager
def started(shop: Shop, *args: str, **environ: str) -> Iterator[Process]:
    """Start a command; end it at the end."""
    file = shop.directory / f"{unique('log')}.txt"
    with file.open("wb") as output:
        process = subprocess.Popen(
            command(*args),
            cwd=shop.directory,
            env={**environment(), "HEADRACE_BROKERS": shop.brokers, **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    with process:
        try:
            yield Process(process, file)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


__all__ = ["PARTITIONS", "Process", "Shop", "make_shop", "producer", "started"]
