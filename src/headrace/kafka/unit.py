"""A unit: the tasks of one component on one partition. They are opened, fed, cut and closed together."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from itertools import chain
from typing import Any, NamedTuple

from headrace.errors import InternalError
from headrace.event import Event
from headrace.kafka.cloudevents import bring, give_back
from headrace.kafka.layout import Component, Reading
from headrace.kafka.model import Fetched, Partition, Position
from headrace.kafka.notes import Note, is_coarse
from headrace.kafka.rows import Part, RowCodec
from headrace.kafka.tombstones import Tombstones, no_values, runs
from headrace.operators.agent import AgentCode
from headrace.operators.heads import exchange_types
from headrace.operators.logic import NEVER_MS
from headrace.runtime.positions import put_task_watermark
from headrace.runtime.records import Records
from headrace.runtime.task import Task
from headrace.state.protocol import Backend, Batch
from headrace.time.instants import START_OF_TIME_MS
from headrace.time.watermark import Channel
from headrace.topology.nodes import Source

_log = logging.getLogger("headrace.fleet")
_MEASURED = 32  # records at least, of a batch
_RECORD_BYTES = 100  # about what a record takes in memory beside its value


class State(Enum):
    """Where a unit is in its life.

    ==========  =======================  ==================================================
    from        to                       when
    ==========  =======================  ==================================================
    CREATED     RESTORING                its positions are known
    RESTORING   RUNNING                  local state is that of the positions
    RUNNING     SUSPENDED                a rebalance begins, and all is committed
    SUSPENDED   RUNNING                  the next assignment has it too
    all others  CLOSED                   it is another's, or what it did was not committed
    ==========  =======================  ==================================================

    Nothing follows CLOSED: the same partition is opened anew, as another unit.
    """

    CREATED = "created"
    RESTORING = "restoring"
    RUNNING = "running"
    SUSPENDED = "suspended"
    """Committed, and waiting for the end of a rebalance: it goes on where it was, or is closed."""
    CLOSED = "closed"


_FOLLOWS = {
    State.CREATED: {State.RESTORING, State.CLOSED},
    State.RESTORING: {State.RUNNING, State.CLOSED},
    State.RUNNING: {State.SUSPENDED, State.CLOSED},
    State.SUSPENDED: {State.RUNNING, State.CLOSED},
    State.CLOSED: set(),
}


class TaskId(NamedTuple):
    """A task of this unit; its partition is the unit's."""

    topology: str
    agent: str


@dataclass(frozen=True, slots=True)
class _Way:
    """How records of a topic enter one task. ``codec``: of rows that other tasks sent, one channel for each."""

    reading: Reading
    task: Task
    channels: list[Channel]
    codec: RowCodec | None
    tombstones: Tombstones | None

    @property
    def name(self) -> str:
        return f"{self.reading.plan.name}/{self.reading.head.id}"

    @property
    def events(self) -> bool:
        """Whether records are events: they may come in CloudEvents' binary mode."""
        node = self.reading.head.node
        return isinstance(node, Source) and issubclass(node.schema, Event)


class Unit:
    """The tasks of one component on one partition."""

    def __init__(  # noqa: PLR0913
        self,
        component: Component,
        partition: int,
        codes: Mapping[TaskId, AgentCode],
        backend: Backend,
        *,
        topics: Mapping[str, int],
        spread: Mapping[str, int],
        senders: Mapping[str, int],
        now_ms: Callable[[], int],
    ) -> None:
        """Bind the tasks to the state in ``backend``.

        ``topics`` are the input topics that have this partition, and where to read each; ``spread`` is the number of
        partitions of repartition topics, by topology; ``senders`` that of the tasks that write a repartition topic.
        """
        self.component, self.partition = component, partition
        self.state = State.CREATED
        self.positions = dict(topics)
        self._backend, self._spread, self._senders, self._now_ms = backend, spread, senders, now_ms
        self._codes = codes
        self.tasks: dict[TaskId, Task] = {}
        self._ways: dict[str, list[_Way]] = {topic: [] for topic in topics}
        self._waiting: dict[str, deque[Fetched]] = {topic: deque() for topic in topics}
        self._waited_since: float | None = None
        self._sent: dict[tuple[TaskId, str], tuple[int, bool]] = {}
        self.any_order = not component.ordered
        """Whether the order in which topics are read makes no difference to results."""
        self._warned = False
        self.records_in = 0
        self.bytes_in = 0
        """What was taken, processed or not."""
        self._cut_at = 0

    def become(self, state: State) -> None:
        """Move on in the unit's life."""
        if state not in _FOLLOWS[self.state]:
            msg = f"unit {self.component.name}/{self.partition}: {self.state.value} cannot become {state.value}"
            raise InternalError(msg)
        self.state = state

    @property
    def partitions(self) -> frozenset[Partition]:
        """The partitions of topics that the unit reads."""
        return frozenset(Partition(topic, self.partition) for topic in self.positions)

    def open(self, notes: Mapping[str, Note]) -> None:
        """Make the tasks: the state in the backend is that of the committed positions."""
        for plan, agent in self.component.agents:
            code = self._codes[TaskId(plan.name, agent.id)]
            task = Task(plan.name, code, self.partition, self._spread[plan.name], self._backend)
            task.topics = {source.id: source.topic for source in plan.sources}
            self.tasks[TaskId(plan.name, agent.id)] = task
        for reading in self.component.readings:
            if reading.topic in self.positions:
                self._ways[reading.topic].append(self._way(reading, notes.get(reading.topic)))
        for (topology, agent_id), task in self.tasks.items():
            known = [note.task(f"{topology}/{agent_id}") for note in notes.values()]
            task.restore(max(known, default=START_OF_TIME_MS))
            for channel in task.watermarks.channels:
                channel.floor_ms = max(channel.floor_ms, task.watermark_ms)

    def _way(self, reading: Reading, note: Note | None) -> _Way:
        task = self.tasks[TaskId(reading.plan.name, reading.agent.id)]
        node = reading.head.node
        timeout = node.idle_timeout_ms if isinstance(node, Source) else NEVER_MS
        count = self._senders[reading.topic] if reading.exchange else 1
        channels = [
            Channel(reading.head.id, self.partition, f"{reading.topic}/{n}", timeout, seen_at_ms=self._now_ms())
            for n in range(count)
        ]
        codec = RowCodec(*exchange_types(reading.plan, reading.head)) if reading.exchange else None
        tombstones = None if reading.exchange else Tombstones(reading.plan, reading.head, task)
        way = _Way(reading, task, channels, codec, tombstones)
        saved = note.channels.get(way.name, []) if note is not None else []
        for channel, (watermark_ms, idle) in zip(channels, saved, strict=False):
            channel.watermark_ms, channel.idle = watermark_ms, idle
        task.watermarks.channels.extend(channels)
        return way

    def take(self, batch: Fetched) -> bool:
        """Process a batch, or keep it until its turn; False: it is not the next one, and was left alone."""
        if batch.first_offset != self.next_offset(batch.topic):
            return False
        self.bytes_in += _bytes(batch)
        if self.merging:
            self._waiting[batch.topic].append(batch)
            self._waited_since = self._waited_since or time.monotonic()
        else:
            self._process(batch)
        return True

    def next_offset(self, topic: str) -> int:
        """Return the offset behind all that was taken."""
        waiting = self._waiting[topic]
        return waiting[-1].next_offset if waiting else self.positions[topic]

    @property
    def merging(self) -> bool:
        """Whether several topics are brought into the order of time."""
        return len(self.positions) > 1

    def overdue(self, longest: timedelta) -> bool:
        """Tell whether records have waited longer than this for an input that has none."""
        return self._waited_since is not None and time.monotonic() - self._waited_since > longest.total_seconds()

    @property
    def waiting(self) -> frozenset[str]:
        """The topics of which records wait for their turn."""
        return frozenset(topic for topic, queue in self._waiting.items() if queue)

    @property
    def lacking(self) -> frozenset[Partition]:
        """The partitions that others wait for: none if nothing waits."""
        waiting = self.waiting
        return frozenset(p for p in self.partitions if p.topic not in waiting) if waiting else frozenset()

    def merge(self, *, patient: bool) -> bool:
        """Process what waits, lowest time first; return whether there was anything to do.

        ``patient``: stop as soon as an input has nothing; else go on without it.
        """
        moved = False
        while True:
            ready = {topic: queue for topic, queue in self._waiting.items() if queue}
            if not ready or (patient and len(ready) < len(self._waiting)):
                if moved or not ready:
                    self._waited_since = time.monotonic() if ready else None
                return moved
            moved = True
            topic = min(ready, key=lambda name: _first_time(ready[name][0]))
            others = [_first_time(queue[0]) for name, queue in ready.items() if name != topic and not self.any_order]
            batch = ready[topic].popleft()
            now, later = _split(batch, min(others)) if others else (batch, None)
            if later is not None:
                ready[topic].appendleft(later)
            self._process(now)

    def _process(self, batch: Fetched) -> None:
        ways = self._ways[batch.topic]
        if batch.values:
            self.records_in += len(batch.values)
            for way in ways:
                if way.codec is None:
                    self._read(way, batch)
                else:
                    self._receive(way, way.codec, batch)
        self.positions[batch.topic] = batch.next_offset

    def _read(self, way: _Way, batch: Fetched) -> None:
        """Feed a batch of a source; records without a value remove rows of tables, in their turn."""
        if not way.tombstones or None not in batch.values:
            self._feed(way, batch)
            return
        for begin, end in runs(batch):
            if begin < end:
                self._feed(way, _slice(batch, begin, end, batch.offsets[begin], batch.next_offset))
            if end < len(batch) and not way.tombstones.take(batch.keys[end], batch.times[end], way.channels[0]):
                self._feed(way, _slice(batch, end, end + 1, batch.offsets[end], batch.next_offset))

    def _feed(self, way: _Way, batch: Fetched) -> None:
        (channel,) = way.channels
        came, letters = batch, len(way.task.dead_letters)
        if batch.headers is not None and way.events:
            batch = bring(batch)
        channel.position = batch.offsets[0]
        offsets = None if isinstance(batch.offsets, range) else batch.offsets
        headers: Any = batch.headers  # tuples, as ours are
        # a record without a value is no record of a stream: it becomes a dead letter
        faults = no_values(batch) if None in batch.values else None
        values = [value or b"" for value in batch.values] if faults else batch.values
        records = Records(values, batch.keys, batch.times, headers, faults, offsets)  # type: ignore[arg-type]
        way.task.feed(channel, way.reading.head.id, records, self._now_ms())
        channel.position = batch.next_offset
        if batch is not came or faults:
            give_back(way.task.dead_letters, letters, came)

    def _receive(self, way: _Way, codec: RowCodec, batch: Fetched) -> None:
        task, head = way.task, way.reading.head.id
        task.now_ms = now_ms = self._now_ms()
        for value in batch.values:
            for part in codec.decode(value or b""):
                channel = way.channels[part.sender]
                if part.rows:
                    task.watermarks.wake(channel, task.watermark_ms, now_ms)
                    task.receive(channel, head, part.rows)
                channel.watermark_ms = max(channel.watermark_ms, part.watermark_ms)
                channel.idle = part.idle
            task.progress()

    def advance(self, *, behind: frozenset[str]) -> None:
        """Look at the clock. Topics that are ``behind`` have records that were not read yet: they are not silent."""
        now_ms = self._now_ms()
        for topic in behind:
            for channel in (channel for way in self._ways.get(topic, ()) for channel in way.channels):
                channel.seen_at_ms = now_ms
        for task in self.tasks.values():
            task.now_ms = now_ms
            task.watermarks.fall_idle(now_ms)
            task.progress()

    def tell_again(self) -> None:
        """Send watermarks to all tasks with the next cut, also where they have not moved: some may not know them."""
        self._sent.clear()

    def cut(self, batch: Batch) -> dict[tuple[str, int], Part]:
        """Add all changed state to the batch; return what goes to other tasks, by (topology/step, partition)."""
        self._cut_at = self.bytes_in
        sent: dict[tuple[str, int], Part] = {}
        for task_id, task in self.tasks.items():
            task.cut(batch)
            put_task_watermark(batch, task_id.topology, task_id.agent, self.partition, task.resume_ms)
            idle = all(channel.idle for channel in task.watermarks.channels)
            for buffer in task.exchanges:
                step = buffer.spec.step
                reached = (max(task.watermark_ms - buffer.spec.delay_ms, START_OF_TIME_MS), idle)
                told = self._sent.get((task_id, step)) == reached
                for to, rows in enumerate(buffer.take()):
                    if rows or not told:
                        sent[f"{task_id.topology}/{step}", to] = Part(self.partition, *reached, rows)
                self._sent[task_id, step] = reached
        return sent

    def committing(self, worker: str) -> dict[Partition, Position]:
        """Return the positions to commit now, with the watermarks beside them."""
        found = {}
        tasks = {f"{topology}/{agent}": task.resume_ms for (topology, agent), task in self.tasks.items()}
        for topic, ways in self._ways.items():
            channels = {way.name: [(c.watermark_ms, c.idle) for c in way.channels] for way in ways}
            note = Note(worker, tasks, channels).encode()
            if is_coarse(note) and not self._warned:
                self._warned = True
                place = f"{self.component.name}/{self.partition}"
                _log.warning("%s: too many senders or topologies for exact watermarks beside an offset", place)
            found[Partition(topic, self.partition)] = Position(self.positions[topic], note)
        return found

    @property
    def state_bytes(self) -> int:
        """About how many bytes of states are in memory."""
        return sum(task.state_bytes for task in self.tasks.values())

    @property
    def output_bytes(self) -> int:
        """About how many bytes wait for the next commit, and for their turn."""
        made = sum(task.output_bytes for task in self.tasks.values())
        if any(exchange.waiting for task in self.tasks.values() for exchange in task.exchanges):
            made = max(made, self.bytes_in - self._cut_at)  # rows hold what they were made of
        return made + sum(map(_bytes, chain.from_iterable(self._waiting.values())))


def _bytes(batch: Fetched) -> int:
    """Return about how many bytes a batch takes in memory, by some of its records if there are many."""
    some = batch.values[:: len(batch.values) // _MEASURED or 1]
    size = sum(len(value) for value in some if value is not None)
    return len(batch.values) * _RECORD_BYTES + (size * len(batch.values) // len(some) if some else 0)


def _first_time(batch: Fetched) -> int:
    return batch.times[0] if batch.times else START_OF_TIME_MS


def _split(batch: Fetched, until_ms: int) -> tuple[Fetched, Fetched | None]:
    """Cut a batch before its first record that is later than ``until_ms``."""
    at = next((n for n, time_ms in enumerate(batch.times) if time_ms > until_ms and n), len(batch.times))
    if at == len(batch.times):
        return batch, None
    middle = batch.offsets[at]
    return _slice(batch, 0, at, batch.first_offset, middle), _slice(batch, at, len(batch), middle, batch.next_offset)


def _slice(batch: Fetched, begin: int, end: int, first: int, following: int) -> Fetched:
    headers = None if batch.headers is None else batch.headers[begin:end]
    return Fetched(
        batch.topic,
        batch.partition,
        first,
        following,
        batch.values[begin:end],
        batch.keys[begin:end],
        batch.times[begin:end],
        batch.offsets[begin:end],
        headers,
    )
