"""Without transactions: in order, once, and every failure is told."""

from __future__ import annotations

import asyncio
import time

import pytest

from headrace.errors import InternalError
from headrace.kafka.errors import RefusedError
from headrace.kafka.idempotent import IdempotentProducer
from headrace.kafka.model import Columns, Partition
from headrace.kafka.producing import ProducerOptions
from tests.kafka.broker import Broker
from tests.kafka.support import client, columns, read, run, topic, values


def test_records_arrive_once_and_in_order_although_the_broker_restarts(own_broker: Broker) -> None:
    async def scenario() -> list[bytes | None]:
        name = await topic(own_broker.bootstrap)
        async with client(own_broker.bootstrap, request_timeout_ms=2000) as connection:
            made = IdempotentProducer(connection, ProducerOptions(batch_bytes=1000))
            await made.start()
            for n in range(200):
                # Times of today: brokers forget producers of old records when they restart.
                made.append(name, 0, Columns([b"%d" % n], [int(time.time() * 1000)]))
                if n == 100:
                    await asyncio.to_thread(own_broker.restart)
                if n % 10 == 0:
                    await made.room()
            await made.flush()
            await made.close()
        return values(await read(own_broker.bootstrap, Partition(name, 0), 200))

    assert run(scenario()) == [b"%d" % n for n in range(200)]


def test_a_failure_is_raised_until_the_producer_starts_again(bootstrap: str) -> None:
    async def scenario() -> None:
        name = await topic(bootstrap)
        async with client(bootstrap) as connection:
            made = IdempotentProducer(connection)
            with pytest.raises(InternalError, match="is not started"):
                made.append(name, 0, columns(b"x"))
            await made.start()
            made.append(name, 0, columns(b"x" * 2_000_000))
            for wait in (made.flush, made.room, made.flush):
                with pytest.raises(RefusedError, match="MESSAGE_TOO_LARGE"):
                    await wait()
            await made.start()
            made.append(name, 0, columns(b"after"))
            await made.flush()
            await made.close()
        assert values(await read(bootstrap, Partition(name, 0), 1)) == [b"after"]

    run(scenario())
