"""Whose transaction: one for a worker's tasks together, or one for each.

``python -m benchmarks.transactions [--brokers HOST:PORT]``: without brokers it starts one, as the tests do.
A round commits what one checkpoint of ``tasks`` tasks writes: an output and a changelog record each, and its position.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence

from benchmarks.fleet import broker
from benchmarks.measure import show
from headrace.kafka.client import connect
from headrace.kafka.model import Columns, GroupMember, Partition, Position
from headrace.kafka.producing import ProducerOptions, TransactionalProducer
from headrace.kafka.topics_admin import TopicAdmin, TopicSpec

ROUNDS = 20
RECORD = Columns([b"x" * 200] * 10, [1_700_000_000_000] * 10, [b"key"] * 10)


async def _round(producer: TransactionalProducer, tasks: Sequence[int], prefix: str, number: int) -> None:
    """Commit a checkpoint of these tasks."""
    producer.begin()
    for task in tasks:
        producer.append(f"{prefix}-out", task, RECORD)
        producer.append(f"{prefix}-changes", task, RECORD)
    positions = {Partition(f"{prefix}-in", task): Position(number) for task in tasks}
    await producer.commit(positions, GroupMember(prefix))


async def rounds(brokers: str, tasks: int, *, together: bool) -> tuple[float, float]:
    """Return rounds per second and processor seconds of a round, here (the broker's come on top)."""
    prefix = f"scope-{tasks}-{together}-{time.monotonic_ns()}"
    async with TopicAdmin(brokers) as admin:
        await admin.create([TopicSpec(f"{prefix}-{name}", tasks) for name in ("in", "out", "changes")])
    client = await connect(brokers)
    shares = [list(range(tasks))] if together else [[task] for task in range(tasks)]
    producers = [TransactionalProducer(client, f"{prefix}-{share[0]}", ProducerOptions()) for share in shares]
    for producer in producers:
        await producer.start()
    await asyncio.gather(*(_round(p, share, prefix, 0) for p, share in zip(producers, shares, strict=True)))
    begin, used = time.monotonic(), time.process_time()
    for number in range(1, ROUNDS + 1):
        await asyncio.gather(*(_round(p, share, prefix, number) for p, share in zip(producers, shares, strict=True)))
    took, cpu = time.monotonic() - begin, time.process_time() - used
    for producer in producers:
        await producer.close()
    await client.close()
    return ROUNDS / took, cpu / ROUNDS


def main() -> None:
    """Measure both for several numbers of tasks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brokers")
    with broker(parser.parse_args().brokers) as address:
        for tasks in (1, 4, 16, 64):
            (one, one_cpu), (each, each_cpu) = (
                asyncio.run(rounds(address, tasks, together=together)) for together in (True, False)
            )
            detail = f"{one:.1f} against {each:.1f} rounds/s; {1e3 * one_cpu:.1f} against {1e3 * each_cpu:.1f} CPU ms"
            show(f"{tasks} tasks: one transaction / one for each", one / each, "none", detail)


if __name__ == "__main__":
    main()
