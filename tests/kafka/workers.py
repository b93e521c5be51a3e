"""Faust workers for the transport's tests: in this process, or by ``python -m tests.kafka.workers`` in another.

What a worker commits and sees is shared by those of one process, as if it were on the broker.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust

from headrace.kafka.intake import Control
from headrace.kafka.link import Leave, TransportOptions
from headrace.kafka.model import Columns, Fetched, GroupMember, Partition
from headrace.kafka.transport import attach
from tests.kafka.support import NOW_MS, producer

SESSION_S = 6.0


@dataclass
class World:
    """What all workers together have done."""

    committed: dict[Partition, int] = field(default_factory=dict)
    seen: dict[Partition, list[bytes | None]] = field(default_factory=lambda: defaultdict(list))
    events: list[tuple[str, str, frozenset[Partition]]] = field(default_factory=list)
    """Worker, event, partitions."""

    def of(self, worker: str) -> list[str]:
        return [event for name, event, _ in self.events if name == worker]

    def owner(self, partition: Partition) -> str | None:
        """Return who was given a partition last."""
        owner = None
        for name, event, partitions in self.events:
            if event == "assign" and partition in partitions:
                owner = name
            elif name == owner and event in ("revoke", "lost"):
                owner = None
        return owner


@dataclass
class Counting:
    """An intake that keeps what it takes, and commits when it gives up."""

    topics: frozenset[str]
    world: World
    name: str = "a"
    at: dict[Partition, int] = field(default_factory=dict)
    control: Control | None = None
    on_take: Callable[[Fetched], None] = lambda batch: None

    async def revoke(self, partitions: set[Partition]) -> None:
        self.world.committed.update(self.at)
        self.at.clear()
        self._note("revoke", partitions)

    async def assign(self, partitions: set[Partition], member: GroupMember) -> Mapping[Partition, int]:
        self._note("assign", partitions)
        self.at = {partition: self.world.committed.get(partition, 0) for partition in partitions}
        return dict(self.at)

    def take(self, batch: Fetched) -> None:
        partition = Partition(batch.topic, batch.partition)
        assert batch.first_offset == self.at[partition]
        self.at[partition] = batch.next_offset
        self.world.seen[partition] += batch.values
        self.on_take(batch)

    async def lost(self) -> None:
        self._note("lost", set(self.at))
        self.at.clear()

    def _note(self, event: str, partitions: set[Partition]) -> None:
        self.world.events.append((self.name, event, frozenset(partitions)))


def make_app(bootstrap: str, group: str, **settings: Any) -> faust.App:
    defaults = {
        "broker": f"kafka://{bootstrap}",
        "store": "memory://",
        "web_enabled": False,
        "topic_disable_leader": True,
        "datadir": Path(tempfile.gettempdir(), "headrace-faust"),  # nothing is kept there: tables are in memory
        "broker_session_timeout": SESSION_S,
        "broker_heartbeat_interval": 0.2,
        "broker_rebalance_timeout": 10.0,
        "broker_request_timeout": 20.0,
        "broker_max_poll_interval": 60.0,
    }
    return faust.App(group, **{**defaults, **settings})


@asynccontextmanager
async def running(app: faust.App) -> AsyncIterator[faust.App]:
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


@asynccontextmanager
async def worker(
    bootstrap: str, group: str, intake: Counting, *, options: TransportOptions | None = None, **settings: Any
) -> AsyncIterator[Counting]:
    """Run a worker without agents of its own."""
    app = make_app(bootstrap, group, **settings)
    intake.control = attach(app, intake, options)
    async with running(app):
        yield intake


async def fill(bootstrap: str, to: str, *, start: int = 0, count: int, partitions: int, per_batch: int = 50) -> None:
    """Write the numbers from ``start``, ``count`` of them, to each partition."""
    async with producer(bootstrap) as made:
        for first in range(start, start + count, per_batch):
            numbers = range(first, min(first + per_batch, start + count))
            made.begin()
            for partition in range(partitions):
                made.append(to, partition, Columns([b"%d" % n for n in numbers], [NOW_MS + n for n in numbers]))
            await made.commit({}, GroupMember("none"))


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - conditions over what many places change
            await asyncio.sleep(0.01)


class Telling(Counting):
    """Also tells the parent process."""

    def _note(self, event: str, partitions: set[Partition]) -> None:
        print(json.dumps([event, sorted(p.partition for p in partitions)]), flush=True)


async def main(bootstrap: str, group: str, topic: str, instance: str, leave: str) -> None:
    """Run a worker until SIGTERM; tell what happens on standard output."""
    intake = Telling(frozenset({topic}), World())
    settings = {"consumer_group_instance_id": instance, "broker_session_timeout": 15.0} if instance else {}
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with worker(bootstrap, group, intake, options=TransportOptions(leave=Leave[leave]), **settings):
        await stop.wait()
    print(json.dumps(["stopped", []]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
