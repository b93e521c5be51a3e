"""The flow of topology records: from a consumer of their own, a batch at a time, to the intake.

Faust's consumer is the member of the group, and fetches for the app's own agents in a thread of its own. Topology
partitions are assigned to it too, but stay paused there: they are read by a second consumer, outside the group's
protocol, in the main loop. Not for speed: through a thread, records cost about the same. But here we control positions
at once and without locks, topologies have an isolation level and fetch sizes of their own, and a user's slow agent does
not hold them up (Faust delivers from one loop). The price is one more connection per broker. What the thread is good
for stays: heartbeats go on while the main loop is busy.

No batch of before a rebalance is handed over after it: between a fetch and ``take`` nothing else runs, and the consumer
drops what belongs to an older assignment or position.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from enum import Enum
from typing import Protocol

from headrace.kafka.errors import BrokerError, CorruptRecordError
from headrace.kafka.intake import Intake
from headrace.kafka.model import Fetched, GroupMember, Partition

_log = logging.getLogger(__name__)
_POLL_MS = 1000
_LATELY_MS = 2000  # a partition with nothing new is asked for all the time
_CORRUPT_TRIES = 3
_RETRY_S = 0.1
_TURNS = 10
"""Turns of the event loop between two steps of processing. An answer of a broker takes about as many to reach the one
who waits for it: with one turn, a commit of a worker that catches up waits for fifty steps of processing."""


class Consumer(Protocol):
    """What is used of a started :class:`headrace.kafka.fetching.BatchConsumer`."""

    async def stop(self) -> None:
        """Disconnect."""

    def assign(self, partitions: list[Partition]) -> None:
        """Read these partitions only; forget all positions."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Set a position."""

    def pause(self, *partitions: Partition) -> None:
        """Deliver no more."""

    def resume(self, *partitions: Partition) -> None:
        """Deliver again."""

    def is_drained(self, partition: Partition, position: int, *, within_ms: int) -> bool:
        """Tell whether there was nothing from a position on, a moment ago."""

    async def fetch(
        self, *partitions: Partition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[Partition, Fetched]:
        """Return what there is."""


class Ending(Enum):
    """How this member stops having its partitions."""

    REVOKED = "revoked"
    LOST = "lost"


class Flow:
    """Feeds the intake. Driven by the transport, controlled by the runtime; lives in the main loop.

    Between ``end`` and ``begin`` there are no partitions, and nothing is delivered.
    """

    def __init__(
        self, consumer: Consumer, intake: Intake, *, max_records: int, on_failure: Callable[[BaseException], None]
    ) -> None:
        self._consumer = consumer
        self._intake = intake
        self._max_records = max_records
        self._on_failure = on_failure
        self._owned: frozenset[Partition] = frozenset()
        self._next: dict[Partition, int] = {}
        """The position of each partition that was started."""
        self._paused: set[Partition] = set()
        self._member: GroupMember | None = None
        self._pump: asyncio.Task[None] | None = None
        self._assigning: asyncio.Task[None] | None = None
        self._change = asyncio.Lock()
        self._closed = False

    async def close(self, limit_s: float) -> None:
        """Give up all partitions and disconnect. A second time it does nothing."""
        self._closed = True
        await self.end(Ending.REVOKED, limit_s)
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
        await self._consumer.stop()

    async def begin(self, partitions: frozenset[Partition], member: GroupMember) -> None:
        """Take over partitions. Returns at once: the intake is asked for positions in a task of its own."""
        async with self._change:
            if self._closed:
                return  # a rebalance while the worker stops
            self._owned = partitions
            self._member = member
            if partitions:
                # In one step: the consumer never sees a partition that has no position and is not paused.
                self._consumer.assign(sorted(partitions))
                for partition in partitions:
                    self._consumer.seek(partition, 0)
                self._consumer.pause(*partitions)
            if self._pump is None:
                self._pump = asyncio.create_task(self._guard(self._deliver()), name="headrace-flow")
            self._assigning = asyncio.create_task(self._guard(self._ask(partitions, member)), name="headrace-assign")

    async def end(self, ending: Ending, limit_s: float) -> None:
        """Give up all partitions. Returns when the intake has, or at the limit; raises nothing of the intake's."""
        async with self._change:
            owned, self._owned = self._owned, frozenset()
            if owned:
                self._consumer.pause(*owned)
            self._next.clear()
            self._paused.clear()
            asking, self._assigning = self._assigning, None
            if asking is None:
                return  # there was no assignment since the last end
            try:
                await asyncio.wait_for(self._give_up(asking, set(owned), ending), limit_s)
            except TimeoutError:
                _log.error("giving up %d partitions took longer than %.1f s: not committed", len(owned), limit_s)
            except Exception:
                _log.exception("giving up %d partitions failed: not committed", len(owned))
            else:
                return
            try:
                await asyncio.wait_for(self._intake.lost(), limit_s)
            except Exception as error:
                _log.exception("dropping %d partitions failed", len(owned))
                self._on_failure(error)

    def start(self, partition: Partition, offset: int) -> None:
        """Read from an offset on."""
        if partition in self._owned:
            self._move(partition, offset)
            self._paused.discard(partition)
            self._consumer.resume(partition)

    def seek(self, partition: Partition, offset: int) -> None:
        """Go on reading elsewhere."""
        if partition in self._next:
            self._move(partition, offset)

    def pause(self, partitions: Collection[Partition]) -> None:
        """Deliver no more of these."""
        running = [p for p in partitions if p in self._next and p not in self._paused]
        if running:
            self._paused.update(running)
            self._consumer.pause(*running)

    def resume(self, partitions: Collection[Partition]) -> None:
        """Deliver again."""
        waiting = [p for p in partitions if p in self._paused]
        if waiting:
            self._paused.difference_update(waiting)
            self._consumer.resume(*waiting)

    def drained(self) -> frozenset[Partition]:
        """Return the partitions that were read to their end, as far as brokers have said lately."""
        consumer = self._consumer
        return frozenset(p for p, at in self._next.items() if consumer.is_drained(p, at, within_ms=_LATELY_MS))

    def membership(self) -> GroupMember:
        """Return our place in the group, as of the last rebalance."""
        if self._member is None:
            message = "there was no rebalance yet: this worker is no member of the group"
            raise BrokerError(message)
        return self._member

    def _move(self, partition: Partition, offset: int) -> None:
        self._next[partition] = offset
        self._consumer.seek(partition, offset)

    async def _ask(self, partitions: frozenset[Partition], member: GroupMember) -> None:
        for partition, offset in (await self._intake.assign(set(partitions), member)).items():
            self.start(partition, offset)

    async def _give_up(self, asking: asyncio.Task[None], owned: set[Partition], ending: Ending) -> None:
        asking.cancel()
        await asyncio.wait([asking])
        await (self._intake.revoke(owned) if ending is Ending.REVOKED else self._intake.lost())

    async def _deliver(self) -> None:
        corrupt = 0
        while True:
            try:
                fetched = await self._consumer.fetch(timeout_ms=_POLL_MS, max_records=self._max_records)
            except CorruptRecordError:
                corrupt += 1
                if corrupt == _CORRUPT_TRIES:
                    raise
                await asyncio.sleep(_RETRY_S)
                continue
            # No await from here to the end of the loop.
            for partition, batch in fetched.items():
                corrupt = 0
                position = self._next.get(partition)
                if position != batch.first_offset:
                    if position is not None:  # ``take`` of a batch before this one went elsewhere with it
                        self._consumer.seek(partition, position)
                    continue
                self._next[partition] = batch.next_offset
                self._intake.take(batch)
            for _ in range(_TURNS):  # a fetch that finds something does not wait: let others run
                await asyncio.sleep(0)

    async def _guard(self, work: Awaitable[None]) -> None:
        """Report what ends a task of ours: nobody awaits it."""
        try:
            await work
        except Exception as error:
            _log.exception("the flow of records ended")
            self._on_failure(error)
