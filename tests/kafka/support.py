"""Small helpers for tests against a broker."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from headrace.kafka.client import Client, connect
from headrace.kafka.fetching import BatchConsumer
from headrace.kafka.model import Columns, Fetched, GroupMember, Partition
from headrace.kafka.offsets import End, list_offsets
from headrace.kafka.producing import ProducerOptions, TransactionalProducer
from headrace.kafka.topics_admin import TopicAdmin, TopicSpec

T = TypeVar("T")
NOW_MS = 1_700_000_000_000
NOBODY = GroupMember("none")


def run(main: Coroutine[Any, Any, T], seconds: float = 90) -> T:
    """Run a test's coroutine with an end in sight."""

    async def bounded() -> T:
        return await asyncio.wait_for(main, seconds)

    return asyncio.run(bounded())


def unique(name: str = "t") -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def topic(bootstrap: str, partitions: int = 1, **configs: str) -> str:
    """Create a topic of its own; configs with _ for each dot."""
    name = unique("topic")
    spec = TopicSpec(name, partitions, configs={key.replace("_", "."): value for key, value in configs.items()})
    async with TopicAdmin(bootstrap) as admin:
        assert await admin.create([spec]) == [name]
    return name


def columns(*values: bytes | None, start: int = 0) -> Columns:
    return Columns(list(values), [NOW_MS + start + n for n in range(len(values))])


@asynccontextmanager
async def client(bootstrap: str, **options: Any) -> AsyncIterator[Client]:
    made = await connect(bootstrap, **options)
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def producer(
    bootstrap: str, transactional_id: str | None = None, **options: Any
) -> AsyncIterator[TransactionalProducer]:
    """Return a started producer with a connection of its own."""
    async with client(bootstrap, request_timeout_ms=options.pop("request_timeout_ms", 15_000)) as connection:
        made = TransactionalProducer(connection, transactional_id or unique("tx"), ProducerOptions(**options))
        await made.start()
        try:
            yield made
        finally:
            await made.close()


async def write(bootstrap: str, to: str, *batches: Columns, partition: int = 0, **options: Any) -> None:
    """Commit each batch in a transaction of its own."""
    async with producer(bootstrap, **options) as made:
        for batch in batches:
            made.begin()
            made.append(to, partition, batch)
            await made.commit({}, NOBODY)


@asynccontextmanager
async def reader(bootstrap: str, *partitions: Partition, at: int = 0, **options: Any) -> AsyncIterator[BatchConsumer]:
    """Return a consumer that reads partitions from an offset, read_committed."""
    options = {"isolation_level": "read_committed", "auto_offset_reset": "none", **options}
    consumer = BatchConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, **options)
    await consumer.start()
    try:
        if partitions:
            consumer.assign(list(partitions))
            for partition in partitions:
                consumer.seek(partition, at)
        yield consumer
    finally:
        await consumer.stop()


async def read_until(consumer: BatchConsumer, partition: Partition, end: int) -> list[Fetched]:
    """Return the batches of a partition up to a position."""
    found: list[Fetched] = []
    while not found or found[-1].next_offset < end:
        taken = await consumer.fetch(timeout_ms=1000)
        if partition in taken:
            found.append(taken[partition])
    return found


async def read(bootstrap: str, partition: Partition, end: int, **options: Any) -> list[Fetched]:
    async with reader(bootstrap, partition, **options) as consumer:
        return await read_until(consumer, partition, end)


def values(batches: list[Fetched]) -> list[bytes | None]:
    return [value for batch in batches for value in batch.values]


async def stable_end(bootstrap: str, partition: Partition, *, at_least: int) -> int:
    """Return how far a read_committed consumer gets, once that is so far.

    A transaction is committed when its coordinator says so; its markers reach the partitions a little later.
    """
    async with client(bootstrap) as connection:
        while (end := (await list_offsets(connection, [partition], End.LAST_STABLE))[partition]) < at_least:
            pass
        return end
