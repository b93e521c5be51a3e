"""Control topics on Kafka: read from the beginning, and written to, one record at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from headrace.errors import ConfigError
from headrace.kafka.client import connect
from headrace.kafka.fetching import BatchConsumer
from headrace.kafka.idempotent import IdempotentProducer
from headrace.kafka.model import Columns, Partition
from headrace.kafka.offsets import End, list_offsets
from headrace.kafka.producing import ProducerOptions
from headrace.kafka.security import connection_options
from headrace.kafka.settings import FleetSettings
from headrace.kafka.topics_admin import TopicAdmin
from headrace.runtime.partitioning import partition_for

_FETCH_MS = 1000


async def read_all(settings: FleetSettings, topic: str) -> list[tuple[int, bytes]]:
    """Return time and value of every record of a topic, as it is now, partition by partition.

    Raises:
        ConfigError: there is no such topic.
        UnreachableError: no broker answers.
    """
    security = connection_options(settings)
    count = await _partitions(settings, topic)
    async with AsyncExitStack() as stack:
        client = await connect(settings.brokers, **security)
        stack.push_async_callback(client.close)
        consumer = BatchConsumer(
            bootstrap_servers=settings.brokers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            **security,
        )
        stack.push_async_callback(consumer.stop)
        await consumer.start()
        places = [Partition(topic, number) for number in range(count)]
        first = await list_offsets(client, places, End.EARLIEST)
        ends = await list_offsets(client, places, End.LAST_STABLE)
        return [entry for place in places async for entry in _scan(consumer, place, first[place], ends[place])]


async def _scan(consumer: BatchConsumer, place: Partition, position: int, end: int) -> AsyncIterator[tuple[int, bytes]]:
    consumer.assign([place])
    consumer.seek(place, position)
    while position < end:
        for batch in (await consumer.fetch(timeout_ms=_FETCH_MS)).values():
            position = batch.next_offset
            for time_ms, value in zip(batch.times, batch.values, strict=True):
                if value is not None:
                    yield time_ms, value


async def publish(settings: FleetSettings, topic: str, records: Sequence[tuple[bytes, bytes]], time_ms: int) -> None:
    """Append records (key, value) to a topic; those of one key lie in one partition, where Kafka's clients put it.

    Raises:
        ConfigError: there is no such topic.
        UnreachableError: no broker answers.
    """
    count = await _partitions(settings, topic)
    async with _producer(settings) as producer:
        for key, value in records:
            producer.append(topic, partition_for(key, count), Columns([value], [time_ms], [key]))
        await producer.flush()


@asynccontextmanager
async def _producer(settings: FleetSettings) -> AsyncIterator[IdempotentProducer]:
    client = await connect(settings.brokers, **connection_options(settings))
    producer = IdempotentProducer(client, ProducerOptions(compression=settings.compression))
    try:
        await producer.start()
        yield producer
    finally:
        await producer.close()
        await client.close()


async def _partitions(settings: FleetSettings, topic: str) -> int:
    async with TopicAdmin(settings.brokers, **connection_options(settings)) as admin:
        info = (await admin.topics()).get(topic)
    if info is None:
        msg = f"there is no topic {topic!r} on {settings.brokers}: create it before, best with cleanup.policy=compact"
        raise ConfigError(msg)
    return info.partitions
