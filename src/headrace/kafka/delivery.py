"""Delivery of record batches: one task that keeps each partition's order, whatever happens to brokers and leaders.

Each partition has a queue; its first batch is in flight, alone. A batch gets its sequence number when it is first
sent and keeps it for every try, so the broker recognises what it has already (idempotence), and a batch that was
never sent leaves no gap in the sequence.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from aiokafka.protocol.produce import ProduceRequest

from headrace.errors import InternalError
from headrace.kafka.client import TRANSIENT, Client, Patience, leader_of, refuse_old_broker
from headrace.kafka.codes import LEADER_TROUBLE, Code, error_for, name_of
from headrace.kafka.errors import BrokerError
from headrace.kafka.model import Partition
from headrace.kafka.protocol import by_topic
from headrace.kafka.record_batches import RecordBatch

_ALL_REPLICAS = -1
_MAX_SEQUENCE = 2**31  # sequence numbers wrap round to 0
_FIRST_CODE, _BASE_OFFSET, _ERROR_MESSAGE = 1, 2, -1

Join = Callable[[set[Partition]], Awaitable[None]]


@dataclass(slots=True)
class Producer:
    """Who sends: an id and an epoch from a broker, and the next sequence number of each partition in that epoch."""

    id: int = -1
    epoch: int = -1
    sequences: dict[Partition, int] = field(default_factory=dict)

    def bind(self, partition: Partition, batch: RecordBatch) -> None:
        """Give the batch its place in the partition's sequence."""
        sequence = self.sequences.get(partition, 0)
        batch.bind(self.id, self.epoch, sequence)
        self.sequences[partition] = (sequence + batch.count) % _MAX_SEQUENCE


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of sending."""

    timeout_ms: int
    """How long a batch is tried."""
    request_bytes: int
    """Largest request, before compression; one batch goes through whatever its size."""


class Delivery:
    """Sends batches in the background. The first failure stops all and is raised by :meth:`flush`.

    ``join`` is awaited with the partitions that have not been sent to since :meth:`reset`, before the first batch
    goes there: the transaction has to know them.
    """

    def __init__(self, client: Client, transactional_id: str | None, limits: Limits, join: Join | None = None) -> None:
        self._client = client
        self._transactional_id = transactional_id
        self._limits = limits
        self._join = join
        self._joined: set[Partition] = set()
        self._queues: dict[Partition, deque[RecordBatch]] = {}
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._drained = asyncio.Event()
        self._stopping = False
        self.producer = Producer()
        self.buffered_bytes = 0
        """What waits for delivery, before compression."""
        self.ends: dict[Partition, int] = {}
        """The offset behind the last batch that was acknowledged."""
        self.doubtful = False
        """Whether a batch was sent and its fate is unknown: the producer needs a new epoch."""

    @property
    def joined(self) -> set[Partition]:
        """Return the partitions that take part since :meth:`reset`."""
        return self._joined

    @property
    def error(self) -> BaseException | None:
        """Return what stopped the delivery."""
        return self._error

    def reset(self, producer: Producer | None = None) -> None:
        """Forget partitions and failure; with ``producer``, send as that one from now on."""
        if self._task is not None and not self._task.done():
            message = "delivery was reset while it was sending"
            raise InternalError(message)
        self._queues.clear()
        self._joined = set()
        self._stopping = False
        self._error = None
        self.buffered_bytes = 0
        self._drained.set()
        if producer is not None:
            self.producer = producer
            self.doubtful = False

    def add(self, partition: Partition, batches: Iterable[RecordBatch]) -> None:
        """Queue batches; sending starts when the caller next awaits anything."""
        queue = self._queues.setdefault(partition, deque())
        for batch in batches:
            queue.append(batch)
            self.buffered_bytes += batch.size
        if not queue:
            del self._queues[partition]
        elif self._error is None and (self._task is None or self._task.done()):
            self._drained.clear()
            self._task = asyncio.get_running_loop().create_task(self._run(), name="headrace-delivery")

    async def flush(self) -> None:
        """Return when every batch is acknowledged by all in-sync replicas.

        Raises:
            BrokerError: one of them is not, and will not be.
        """
        while self._task is not None and not self._task.done():
            # Shielded: who gives up waiting does not tear a request apart.
            await asyncio.shield(self._task)
        if self._error is not None:
            raise self._error

    async def below(self, size: int) -> None:
        """Return when less than ``size`` bytes wait, or the delivery has failed."""
        while self.buffered_bytes >= size and self._error is None:
            self._drained.clear()
            await self._drained.wait()

    async def stop(self) -> None:
        """Wait for the answers to what is on its way, and drop all the rest; nothing is tried again."""
        self._stopping = True
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task])
        self._drop()

    async def _run(self) -> None:
        try:
            while self._queues and not self._stopping:
                await self._round()
        except asyncio.CancelledError:
            self.doubtful = True
            raise
        except Exception as error:
            self._fail(error)
        finally:
            self._drained.set()

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._drop()

    def _drop(self) -> None:
        if any(queue[0].bound for queue in self._queues.values()):
            self.doubtful = True
        self._queues.clear()
        self.buffered_bytes = 0

    async def _round(self) -> None:
        """Send the first batch of every partition; return when each is acknowledged."""
        first = {partition: queue[0] for partition, queue in self._queues.items()}
        new = first.keys() - self._joined
        if new:
            if self._join is not None:
                await self._join(new)
            self._joined |= new
        names = ", ".join(sorted(f"{p.topic}/{p.partition}" for p in first)[:3])
        patience = Patience(f"writing to {names}{', ...' if len(first) > 3 else ''}", self._limits.timeout_ms)  # noqa: PLR2004
        while first and not self._stopping:
            why: object = Code.LEADER_NOT_AVAILABLE.name
            stale = False
            by_node = await self._by_leader(first, patience)
            answers = await asyncio.gather(
                *(self._send(node, share, patience) for node, share in by_node.items()), return_exceptions=True
            )
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
            progress = False
            for outcome in answers:
                for partition, failure in outcome.items():  # type: ignore[union-attr]
                    if failure is None:
                        self._acknowledged(partition)
                        del first[partition]
                        progress = True
                    else:
                        stale, why = True, failure
            if first and (stale or not progress):
                await patience.refresh(self._client)
                await patience.pause(why)

    async def _by_leader(
        self, batches: dict[Partition, RecordBatch], patience: Patience
    ) -> dict[int, dict[Partition, RecordBatch]]:
        """Return the batches by the node to send them to, as many as fit into a request."""
        found: dict[int, dict[Partition, RecordBatch]] = defaultdict(dict)
        sizes: dict[int, int] = defaultdict(int)
        for partition, batch in batches.items():
            node = leader_of(self._client, partition)
            if node is None:
                self._client.add_topic(partition.topic)
                continue
            if found[node] and sizes[node] + batch.size > self._limits.request_bytes:
                continue
            found[node][partition] = batch
            sizes[node] += batch.size
        if not found:
            await patience.refresh(self._client)
        return found

    async def _send(
        self, node: int, batches: dict[Partition, RecordBatch], patience: Patience
    ) -> dict[Partition, object]:
        """Return for each partition None if it has the batch, else why to try again."""
        for partition, batch in batches.items():
            if not batch.bound:
                self.producer.bind(partition, batch)
        topics = [(topic, [(p.partition, batches[p].data()) for p in found]) for topic, found in by_topic(batches)]
        timeout_ms = max(1, int(patience.remaining_s * 1000))
        request = ProduceRequest(self._transactional_id, _ALL_REPLICAS, timeout_ms, topics)
        try:
            response = await asyncio.wait_for(self._client.send(node, request), patience.remaining_s or 0.001)
        except TRANSIENT as error:
            refuse_old_broker(error, patience.action)
            return dict.fromkeys(batches, error)
        return self._judge(response, batches)

    def _judge(self, response: Any, batches: dict[Partition, RecordBatch]) -> dict[Partition, object]:
        outcome: dict[Partition, object] = dict.fromkeys(batches, "the broker's answer left the partition out")
        for topic, partitions in response.topics:
            for fields in partitions:
                partition, code = Partition(topic, fields[0]), fields[_FIRST_CODE]
                if code in {Code.NONE, Code.DUPLICATE_SEQUENCE_NUMBER}:
                    outcome[partition] = None
                    if fields[_BASE_OFFSET] >= 0:
                        self.ends[partition] = fields[_BASE_OFFSET] + batches[partition].count
                elif code in LEADER_TROUBLE:
                    outcome[partition] = name_of(code)
                else:
                    raise error_for(code, f"writing to topic {topic!r} partition {partition.partition}")
        return outcome

    def _acknowledged(self, partition: Partition) -> None:
        queue = self._queues[partition]
        self.buffered_bytes -= queue.popleft().size
        if not queue:
            del self._queues[partition]
        self._drained.set()


def worst(errors: Iterable[BaseException]) -> BaseException | None:
    """Return the error that says most: an interruption, then the most specific of ours."""
    found = list(errors)
    interrupted = [error for error in found if not isinstance(error, Exception)]
    ours = sorted((e for e in found if isinstance(e, BrokerError)), key=lambda error: -len(type(error).__mro__))
    return next(iter([*interrupted, *ours, *found]), None)
