"""The engine of one topology on one machine: its tasks, and the checkpoint that holds all of them.

All tasks are cut together and written in one atomic batch: outputs, dead letters, state,
positions. So rows on their way between tasks need no log: none are on their way at a cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from headrace.errors import StateError
from headrace.operators.build import generate
from headrace.operators.logic import NEVER_MS
from headrace.plan import Plan, describe, diff
from headrace.runtime.collect import Collector
from headrace.runtime.records import Output, Records
from headrace.runtime.tables import TableReader, open_tables
from headrace.runtime.task import Task
from headrace.state.protocol import Backend, Batch
from headrace.time.instants import END_OF_TIME_MS, START_OF_TIME_MS
from headrace.time.watermark import Channel

POSITIONS = "positions"
PLANS = "plans"
STATE_BYTES = 420  # of one state in memory: key, list, numbers, its share of the dict; measured with 1,000,000 states


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """``partitions`` of exchanges; ``cache_bytes`` bounds the states in memory."""

    partitions: int = 4
    cache_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the engine was opened. ``watermark_ms`` is the lowest of the tasks that have one."""

    records_in: int
    records_out: int
    late: int
    dead_letters: int
    skipped: int
    watermark_ms: int | None


class Engine:
    """Runs one plan. Single-threaded and synchronous; only the tables may be read from other threads."""

    def __init__(
        self,
        plan: Plan,
        backend: Backend,
        settings: EngineSettings,
        *,
        now_ms: Callable[[], int],
        outputs: Callable[[str], Output],
    ) -> None:
        """Restore from the backend.

        Raises:
            StateError: the backend holds state of this topology that the plan cannot use.
        """
        self.plan, self._backend, self._settings, self._now_ms = plan, backend, settings, now_ms
        check_plan(plan, backend)
        self._codes = {code.agent: code for code in generate(plan)}
        self._head_agents: dict[str, list[str]] = {}
        for agent in plan.agents:
            for head in agent.heads:
                self._head_agents.setdefault(head, []).append(agent.id)
        self._tasks: dict[tuple[str, int], Task] = {}
        self._sent: dict[tuple[str, int, str, int], Channel] = {}
        self._collector = Collector(plan, outputs)
        self._records_in = 0
        self.pending = False
        self._limit = max(settings.cache_bytes // STATE_BYTES, 1000)
        for agent in plan.agents:
            if any(plan.step(head).exchange for head in agent.heads):
                for partition in range(settings.partitions):
                    self._task(agent.id, partition)
        self.tables: Mapping[str, TableReader] = open_tables(plan, backend)

    def _task(self, agent: str, partition: int) -> Task:
        task = self._tasks.get((agent, partition))
        if task is None:
            task = Task(self.plan.name, self._codes[agent], partition, self._settings.partitions, self._backend)
            task.topics = {source.id: source.topic for source in self.plan.sources}
            saved = self._backend.store(POSITIONS).get(self._task_key(task))
            task.restore(msgspec.msgpack.decode(saved) if saved else START_OF_TIME_MS)
            self._tasks[agent, partition] = task
        return task

    def _task_key(self, task: Task) -> bytes:
        return f"task/{self.plan.name}/{task.code.agent}/{task.partition}".encode()

    def _channel_key(self, channel: Channel) -> bytes:
        return f"channel/{self.plan.name}/{channel.source}/{channel.partition}/{channel.name}".encode()

    def channel(self, source_id: str, partition: int, name: str) -> Channel:
        """Open an input of a source's partition; its ``position`` says where to read next."""
        source = next(s for s in self.plan.sources if s.id == source_id)
        channel = Channel(source_id, partition, name, source.node.idle_timeout_ms, seen_at_ms=self._now_ms())
        saved = self._backend.store(POSITIONS).get(self._channel_key(channel))
        if saved is not None:
            channel.position, channel.watermark_ms, channel.floor_ms = msgspec.msgpack.decode(saved)
        for agent in self._head_agents[source_id]:
            task = self._task(agent, partition)
            if saved is None:
                channel.floor_ms = max(channel.floor_ms, task.watermark_ms)
            task.watermarks.channels.append(channel)
        self._connect()
        return channel

    def _connect(self) -> None:
        """Give every task a channel for each upstream task that exists."""
        for (agent, partition), task in list(self._tasks.items()):
            for exchange in task.exchanges:
                for target in self._head_agents.get(exchange.spec.step, ()):
                    for to in range(self._settings.partitions):
                        self._connect_one((agent, partition), exchange.spec.step, self._tasks[target, to])

    def _connect_one(self, sender: tuple[str, int], head: str, receiver: Task) -> None:
        key = (*sender, head, receiver.partition)
        if key not in self._sent:
            channel = Channel(head, receiver.partition, f"{sender[0]}/{sender[1]}", NEVER_MS)
            channel.watermark_ms = channel.floor_ms = receiver.watermark_ms
            self._sent[key] = channel
            receiver.watermarks.channels.append(channel)

    def feed(self, channel: Channel, records: Records, position: int) -> None:
        """Process a batch; ``position`` is where to read next after it.

        Raises:
            DataError: a record is wrong and the source says ``on_error=FAIL``.
        """
        self.pending = True
        self._records_in += len(records.values)
        before = channel.watermark_ms
        agents = self._head_agents[channel.source]
        for agent in agents:
            channel.watermark_ms = before
            self._tasks[agent, channel.partition].feed(channel, channel.source, records, self._now_ms())
        channel.position = position

    def settle(self) -> None:
        """Pass rows on between tasks until none are on their way."""
        moved = True
        while moved:
            moved = False
            for (agent, partition), task in list(self._tasks.items()):
                for exchange in task.exchanges:
                    batches = exchange.take()
                    for target in self._head_agents.get(exchange.spec.step, ()):
                        for to, rows in enumerate(batches):
                            moved |= self._deliver(task, (agent, partition), exchange.spec.step, target, to, rows)

    def _deliver(  # noqa: PLR0913, PLR0917
        self, task: Task, sender: tuple[str, int], head: str, target: str, to: int, rows: list[tuple[object, ...]]
    ) -> bool:
        receiver, channel = self._tasks[target, to], self._sent[*sender, head, to]
        if rows:
            self.pending = True
            receiver.now_ms = self._now_ms()
            receiver.watermarks.wake(channel, receiver.watermark_ms, receiver.now_ms)
            receiver.receive(channel, head, rows)
        delay = next(e.delay_ms for e in task.code.exchanges if e.step == head)
        channel.ended = task.watermark_ms >= END_OF_TIME_MS
        if not channel.ended:
            channel.watermark_ms = max(channel.watermark_ms, task.watermark_ms - delay)
        channel.idle = all(c.idle or c.ended for c in task.watermarks.channels) and not channel.ended
        before = receiver.watermark_ms
        receiver.progress()
        return bool(rows) or receiver.watermark_ms > before

    def end(self, channel: Channel) -> None:
        """Note that a bounded input has ended: its watermark is the end of time."""
        channel.ended, channel.idle = True, False
        self.pending = True
        for agent in self._head_agents[channel.source]:
            self._tasks[agent, channel.partition].progress()
        self.settle()

    def advance(self) -> None:
        """Look at the clock: idle inputs leave the watermark; if all are idle it follows the clock."""
        now_ms = self._now_ms()
        for task in list(self._tasks.values()):
            before = task.watermark_ms
            task.now_ms = now_ms
            task.watermarks.fall_idle(now_ms)
            task.progress()
            self.pending |= task.watermark_ms > before
        self.settle()

    @property
    def cache_full(self) -> bool:
        """Whether the states in memory have reached their bound: a checkpoint is due."""
        return sum(task.size() for task in self._tasks.values()) > self._limit

    @property
    def output_bytes(self) -> int:
        """About how many bytes of output wait for the checkpoint."""
        buffers = (b for task in self._tasks.values() for b in task.sinks)
        return sum(len(b.values) * (len(b.values[0]) + 100) for b in buffers if b.values)

    def checkpoint(self) -> None:
        """Cut all tasks and write outputs, dead letters, state and positions in one batch.

        Raises:
            StateError: it could not be written; nothing was. The engine must be opened anew.
        """
        batch = Batch()
        self.settle()
        self._cut(batch)
        tasks = list(self._tasks.values())
        self._collector.run_handlers(tasks)
        staged = self._collector.stage(tasks, batch)
        self._stage_positions(batch)
        self._backend.write(batch)
        for output in staged:
            output.committed()
        self.pending = False
        self._evict()

    def _cut(self, batch: Batch) -> None:
        """Cut every task; what their changes set off in tasks behind them belongs to the same cut."""
        again = True
        while again:
            for task in self._tasks.values():
                task.cut(batch)
            again = any(rows for t in self._tasks.values() for e in t.exchanges for rows in e.rows)
            self.settle()

    def _stage_positions(self, batch: Batch) -> None:
        channels = {id(c): c for t in self._tasks.values() for c in t.watermarks.channels if not self._is_sent(c)}
        for channel in channels.values():
            value = msgspec.msgpack.encode((channel.position, channel.watermark_ms, channel.floor_ms))
            batch.put(POSITIONS, self._channel_key(channel), value)
        for task in self._tasks.values():
            batch.put(POSITIONS, self._task_key(task), msgspec.msgpack.encode(task.resume_ms))

    def _is_sent(self, channel: Channel) -> bool:
        return channel.idle_timeout_ms == NEVER_MS

    def _evict(self) -> None:
        total = sum(task.size() for task in self._tasks.values())
        if total <= self._limit // 2:
            return
        for task in self._tasks.values():
            for logic in task.operators:
                logic.evict(logic.size() * (self._limit // 2) // max(total, 1))

    @property
    def stats(self) -> Stats:
        """Counts since the engine was opened."""
        tasks = self._tasks.values()
        watermarks = [t.watermark_ms for t in tasks if t.watermark_ms > START_OF_TIME_MS]
        return Stats(
            records_in=self._records_in,
            records_out=self._collector.records_out,
            late=sum(n for t in tasks for n in t.counters.late.values()),
            dead_letters=sum(t.counters.dead_letters for t in tasks) + self._collector.failed_handles,
            skipped=sum(t.counters.skipped for t in tasks),
            watermark_ms=min(watermarks) if watermarks else None,
        )


def check_plan(plan: Plan, backend: Backend) -> None:
    """Refuse state of an incompatible plan; remember this plan.

    Raises:
        StateError: names what has changed.
    """
    saved = backend.store(PLANS).get(plan.name.encode())
    described = describe(plan).to_json()
    if saved is not None:
        old = msgspec.json.decode(saved)
        changes = diff(old, plan)
        if not changes.compatible:
            msg = (
                f"the data directory holds state of another version of topology {plan.name!r} that this version"
                f" cannot use:\n{changes}\nRun the old version, rename the changed steps, or use a new data directory."
            )
            raise StateError(msg)
        if old.get("fingerprint") == plan.fingerprint:
            return
    batch = Batch()
    batch.put(PLANS, plan.name.encode(), msgspec.json.encode(described))
    backend.write(batch)
