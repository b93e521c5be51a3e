"""Orders at a set rate, until SIGTERM: ``python -m tests.kafka.fleet_load BROKERS TOPIC PARTITIONS RATE``.

Each partition has users of its own. Event time moves on with every record of a partition, and jumps at the end, so that
all windows and sessions close. It prints how many orders it made, and in how many seconds.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time

from headrace.kafka.client import connect
from headrace.kafka.idempotent import IdempotentProducer
from headrace.kafka.model import Columns, Headers
from headrace.kafka.producing import ProducerOptions
from tests.kafka.fleet_topology import BASE_MS, STEP_MS

COUNTRIES = [f"c{n:02d}" for n in range(40)]
_BLOCK, _ACTIVE = 20_000, 400
_TICK_S = 0.05
_BAD = 0.01


class Maker:
    """Makes the records of one partition, from a seed."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._random = random.Random(partition)
        self._count = 0

    def make(self, count: int) -> Columns:
        values: list[bytes | None] = []
        keys: list[bytes | None] = []
        headers: list[Headers] = [()] * count
        draw, partition = self._random.random, self._partition
        for n in range(self._count, self._count + count):
            chance = draw()
            user = b"u%d-%d" % (partition, (n // _BLOCK * 7 % 50) * 100 + int(chance * _ACTIVE))
            if chance * 1000 % 1 < _BAD:
                headers[len(values)] = [("trace", b"%d" % n)]
                values.append(b'{"id":%d,"at":"never","user":%d' % (n * 100 + partition, n))
            else:
                country = COUNTRIES[int(draw() * 40)].encode()
                values.append(
                    b'{"id":%d,"at":%d,"user":"%b","country":"%b","amount":%d}'
                    % (n * 100 + partition, BASE_MS + n * STEP_MS, user, country, int(draw() * 1000))
                )
            keys.append(user)
        self._count += count
        return Columns(values, [_now_ms()] * count, keys, headers)

    def last(self) -> Columns:
        """Return one record an hour later."""
        at = BASE_MS + self._count * STEP_MS + 3_600_000
        order = b'{"id":%d,"at":%d,"user":"end-%d","country":"zz","amount":1}'
        value = order % (self._count * 100 + self._partition, at, self._partition)
        return Columns([value], [_now_ms()], [b"end-%d" % self._partition])


def _now_ms() -> int:
    """Return the time of records, which is not that of orders.

    A broker that restarts forgets producers whose newest record is old, and would take a batch twice.
    """
    return int(time.time() * 1000)


async def main(brokers: str, topic: str, partitions: int, rate: float) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    client = await connect(brokers)
    producer = IdempotentProducer(client, ProducerOptions(compression="lz4", timeout_ms=600_000))
    await producer.start()
    makers = [Maker(partition) for partition in range(partitions)]
    began = due = time.monotonic()
    made = 0
    while not stopping.is_set():
        share = int(rate * _TICK_S / partitions)
        for partition, maker in enumerate(makers):
            producer.append(topic, partition, maker.make(share))
        made += share * partitions
        await producer.room()
        due = max(due + _TICK_S, time.monotonic() - 1)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    took_s = time.monotonic() - began
    for partition, maker in enumerate(makers):
        producer.append(topic, partition, maker.last())
    await producer.flush()
    await producer.close()
    await client.close()
    print(made, took_s)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
