"""The fleet worker on a real broker: more partitions at one total rate, and the restore of a million states.

``python -m benchmarks.fleet [--brokers HOST:PORT]``: without brokers it starts one, as the tests do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.events import orders
from benchmarks.measure import peak_mb, show
from benchmarks.peer_worker import workload
from headrace.kafka.changelog import forms
from headrace.kafka.client import connect
from headrace.kafka.fetching import BatchConsumer
from headrace.kafka.layout import lay_out
from headrace.kafka.local_positions import LocalPositions
from headrace.kafka.model import Columns, GroupMember, Partition
from headrace.kafka.offsets import End, committed, list_offsets
from headrace.kafka.producing import ProducerOptions, TransactionalProducer
from headrace.kafka.restoring import Restorer
from headrace.kafka.topics_admin import TopicAdmin, TopicSpec
from headrace.plan import Plan, compile_plan
from headrace.runtime.garbage import calm
from headrace.runtime.partitioning import partition_for
from headrace.runtime.schedule import wall_clock_ms
from headrace.state.rocksdb import RocksBackend
from tests.kafka.broker import Broker

ROOT = Path(__file__).parent.parent
EVENTS, STATES = 3_000_000, 1_000_000
PORTION = 20_000


class _Data(msgspec.Struct):
    user_id: str


class _Order(msgspec.Struct):
    data: _Data


_decode = msgspec.json.Decoder(_Order).decode


@contextmanager
def broker(address: str | None) -> Iterator[str]:
    """Yield the address of a broker."""
    if address is not None:
        yield address
        return
    with tempfile.TemporaryDirectory() as folder:
        own = Broker(Path(folder), owner=os.getpid(), heap="1g").start()
        try:
            yield own.bootstrap
        finally:
            own.kill()


async def fill(brokers: str, topic: str, partitions: int, *, events: int, keys: int) -> None:
    """Make a topic of orders, keyed by user."""
    async with TopicAdmin(brokers) as admin:
        await admin.create([TopicSpec(topic, partitions)])
    client = await connect(brokers)
    producer = TransactionalProducer(client, f"fill-{topic}", ProducerOptions(compression="none"))
    await producer.start()
    producer.begin()
    shares: list[tuple[list[bytes], list[int], list[bytes]]] = [([], [], []) for _ in range(partitions)]
    now_ms = time.time_ns() // 1_000_000
    for number, line in enumerate(orders(events, keys)):
        user = _decode(line).data.user_id.encode()
        values, times, found = shares[partition_for(user, partitions)]
        values.append(line)
        times.append(now_ms + number // 1000)
        found.append(user)
    for partition, (values, times, found) in enumerate(shares):
        for at in range(0, len(values), PORTION):
            part = slice(at, at + PORTION)
            producer.append(topic, partition, Columns(values[part], times[part], found[part]))
            await producer.room()
    await producer.commit({}, GroupMember("none"))
    await client.close()


async def drained(brokers: str, group: str, topic: str, partitions: int, process: subprocess.Popen[bytes]) -> float:
    """Wait until a group has committed all of a topic; return the seconds since its first commit."""
    client = await connect(brokers)
    places = [Partition(topic, n) for n in range(partitions)]
    ends = await list_offsets(client, places, End.LAST_STABLE)
    first = 0.0
    try:
        while True:
            if process.poll() is not None:
                raise SystemExit(f"the worker ended with {process.returncode}")
            done = await committed(client, group, places)
            offsets = {place: position.offset for place, position in done.items() if position is not None}
            if offsets and not first:
                first = time.monotonic()
            if all(offsets.get(place, 0) >= ends[place] for place in places):
                return time.monotonic() - first
            await asyncio.sleep(0.05)
    finally:
        await client.close()


@contextmanager
def worker(brokers: str, group: str, topic: str, workload: str, state: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the ordinary worker with a workload."""
    command = [sys.executable, "-m", "benchmarks.peer_worker", "--brokers", brokers, "--group", group]
    command += ["--input", topic, "--output", f"{group}-out", "--workload", workload, "--state", str(state)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def connections(process: subprocess.Popen[bytes]) -> int:
    """Return how many sockets a process holds."""
    return sum(1 for fd in Path(f"/proc/{process.pid}/fd").iterdir() if str(fd.readlink()).startswith("socket"))


def partitions(brokers: str, folder: Path) -> None:
    """Tumbling windows by 1,000 keys over 4, 16, 64, 256 partitions, exactly once."""
    rates = {}
    for count in (4, 16, 64, 256):
        topic, group = f"orders-{count}", f"spread-{count}-{time.monotonic_ns()}"
        asyncio.run(fill(brokers, topic, count, events=EVENTS, keys=1_000))
        with worker(brokers, group, topic, "W2", folder / group) as process:
            took = asyncio.run(drained(brokers, group, topic, count, process))
            rates[count] = EVENTS / took
            detail = f"{peak_mb(process):.0f} MB, {connections(process)} sockets"
            print(f"  {count} partitions: {rates[count] / 1e3:.0f} K/s from the first commit, {detail}", flush=True)
    show("rate at 64 partitions / at 4", rates[64] / rates[4], ">= 0.8", "W2, exactly once, one worker")
    show("rate at 256 partitions / at 4", rates[256] / rates[4], "none", "")


async def open_consumer(brokers: str) -> BatchConsumer:
    """Return a consumer that is assigned by hand."""
    consumer = BatchConsumer(
        bootstrap_servers=brokers, enable_auto_commit=False, auto_offset_reset="none", isolation_level="read_committed"
    )
    await consumer.start()
    return consumer


async def read_bare(brokers: str, places: list[Partition]) -> tuple[float, int]:
    """Read a changelog into a dict; return seconds and the number of keys."""
    client, consumer = await connect(brokers), await open_consumer(brokers)
    ends = await list_offsets(client, places, End.LAST_STABLE)
    consumer.assign(places)
    for place in places:
        consumer.seek(place, 0)
    state: dict[bytes | None, bytes | None] = {}
    missing = {place for place in places if ends[place]}
    begin = time.monotonic()
    while missing:
        for place, batch in (await consumer.fetch(timeout_ms=200)).items():
            state.update(zip(batch.keys, batch.values, strict=True))
            if batch.next_offset >= ends[place]:
                missing.discard(place)
    took = time.monotonic() - begin
    await consumer.stop()
    await client.close()
    return took, len(state)


async def read_restoring(brokers: str, places: list[Partition], plan: Plan, folder: Path) -> float:
    """Restore the changelog into RocksDB as a worker does; return seconds."""
    client, consumer = await connect(brokers), await open_consumer(brokers)
    backend = RocksBackend(folder, fsync=False)
    changelogs = lay_out(places[0].topic.split(".")[0], [plan]).changelogs
    positions = LocalPositions(backend, wall_clock_ms)
    restorer = Restorer(client, consumer, backend, changelogs, forms([plan]), positions=positions)
    begin = time.monotonic()
    await restorer.restore(places)
    took = time.monotonic() - begin
    await restorer.close()
    await client.close()
    backend.close()
    return took


def restore(brokers: str, folder: Path) -> None:
    """Restore 1,000,000 states from a changelog, against a bare consumer that reads it into a dict."""
    topic, group = "orders-many", f"restore-{time.monotonic_ns()}"
    asyncio.run(fill(brokers, topic, 4, events=STATES, keys=STATES))
    with worker(brokers, group, topic, "W3", folder / "first") as process:
        asyncio.run(drained(brokers, group, topic, 4, process))
    plan = compile_plan(workload("W3", topic, "out"))
    (changelog,) = lay_out(group, [plan]).changelogs
    places = [Partition(changelog.topic, n) for n in range(4)]
    pairs = [
        (
            asyncio.run(read_bare(brokers, places)),
            asyncio.run(read_restoring(brokers, places, plan, folder / f"{n}")),
        )
        for n in range(2)
    ]
    (bare, keys), own = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
    detail = f"{own:.1f} s against {bare:.1f} s, {keys} keys"
    show("restore of 1,000,000 states / bare consumer", bare / own, ">= 0.5", detail)


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brokers")
    given = parser.parse_args()
    calm()
    with broker(given.brokers) as address, tempfile.TemporaryDirectory() as folder:
        partitions(address, Path(folder))
        restore(address, Path(folder))


if __name__ == "__main__":
    main()
