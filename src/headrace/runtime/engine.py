"""The engine of one topology on one machine: its tasks, and the checkpoint that holds all of them.

All tasks are cut together and written in one atomic batch: outputs, dead letters, state,
positions. So rows on their way between tasks need no log: none are on their way at a cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from headrace.errors import StateError
from headrace.operators.build import generate
from headrace.operators.logic import Logic
from headrace.operators.patterns.logic import DetectLogic
from headrace.plan import Plan, describe, diff
from headrace.runtime.collect import Collector, handle
from headrace.runtime.exchanges import Exchanges
from headrace.runtime.positions import put_channel, put_task_watermark, restore_channel, task_watermark
from headrace.runtime.records import Output, Records
from headrace.runtime.tables import TableReader, open_tables
from headrace.runtime.task import DeadLetter, Task, shrink
from headrace.state.protocol import Backend, Batch
from headrace.time.instants import START_OF_TIME_MS
from headrace.time.watermark import Channel

PLANS = "plans"


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """``partitions`` of exchanges; ``cache_bytes`` bounds the states in memory."""

    partitions: int = 4
    cache_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the engine was opened. ``watermark_ms`` is the lowest of the tasks that have one.

    ``overflow``: runs of patterns that were given up because their key had too many.
    """

    records_in: int
    records_out: int
    late: int
    dead_letters: int
    skipped: int
    watermark_ms: int | None
    overflow: int = 0


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
        self._channels: list[Channel] = []
        self._exchanges = Exchanges(self._head_agents)
        self._collector = Collector(plan, outputs)
        self._records_in = 0
        self.pending = False
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
            task.restore(task_watermark(self._backend, self.plan.name, agent, partition))
            self._tasks[agent, partition] = task
        return task

    def channel(self, source_id: str, partition: int, name: str) -> Channel:
        """Open an input of a source's partition; its ``position`` says where to read next."""
        source = next(s for s in self.plan.sources if s.id == source_id)
        channel = Channel(source_id, partition, name, source.node.idle_timeout_ms, seen_at_ms=self._now_ms())
        known = restore_channel(self._backend, self.plan.name, channel)
        for agent in self._head_agents[source_id]:
            task = self._task(agent, partition)
            if not known:
                channel.floor_ms = max(channel.floor_ms, task.watermark_ms)
            task.watermarks.channels.append(channel)
        self._channels.append(channel)
        self._exchanges.connect(self._tasks, self._settings.partitions)
        return channel

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
        if self._exchanges.settle(self._now_ms):
            self.pending = True

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
        return self._state_bytes > self._settings.cache_bytes

    @property
    def _state_bytes(self) -> int:
        return sum(task.state_bytes for task in self._tasks.values())

    @property
    def output_bytes(self) -> int:
        """About how many bytes of output wait for the checkpoint."""
        return sum(task.output_bytes for task in self._tasks.values())

    def logics(self, step: str) -> list[Logic]:
        """Return what keeps the state of a step in each task: for tests that look into it."""
        kept = ((task.code.operators, task.operators) for task in self._tasks.values())
        pairs = (pair for specs, logics in kept for pair in zip(specs, logics, strict=True))
        return [logic for spec, logic in pairs if spec.step.id == step]

    def checkpoint(self) -> None:
        """Cut all tasks and write outputs, dead letters, state and positions in one batch.

        Raises:
            StateError: it could not be written; nothing was. The engine must be opened anew.
        """
        batch = Batch()
        self.settle()
        self._cut(batch)
        tasks = list(self._tasks.values())
        staged = self._collector.stage(tasks, batch, self._handle(tasks))
        self._stage_positions(batch)
        self._backend.write(batch)
        for output in staged:
            output.committed()
        self.pending = False
        shrink(self._tasks.values(), self._settings.cache_bytes)

    def _handle(self, tasks: list[Task]) -> list[DeadLetter]:
        handlings = self._collector.handling(tasks)
        return [letter for _, letter in asyncio.run(handle(handlings))] if handlings else []

    def _cut(self, batch: Batch) -> None:
        """Cut every task; what their changes set off in tasks behind them belongs to the same cut."""
        again = True
        while again:
            part = Batch()
            for task in self._tasks.values():
                task.cut(part)
            batch.extend(part)
            again = self._exchanges.waiting
            self.settle()

    def _stage_positions(self, batch: Batch) -> None:
        for channel in self._channels:
            put_channel(batch, self.plan.name, channel)
        for (agent, partition), task in self._tasks.items():
            put_task_watermark(batch, self.plan.name, agent, partition, task.resume_ms)

    @property
    def stats(self) -> Stats:
        """Counts since the engine was opened."""
        tasks = self._tasks.values()
        watermarks = [t.watermark_ms for t in tasks if t.watermark_ms > START_OF_TIME_MS]
        return Stats(
            records_in=self._records_in,
            records_out=self._collector.records_out,
            late=sum(n for t in tasks for n in t.counters.late.values()),
            dead_letters=sum(t.counters.dead_letters for t in tasks),
            skipped=sum(t.counters.skipped for t in tasks),
            watermark_ms=min(watermarks) if watermarks else None,
            overflow=sum(logic.overflowed for t in tasks for logic in t.operators if isinstance(logic, DetectLogic)),
        )


def check_plan(plan: Plan, backend: Backend) -> None:
    """Refuse state of an incompatible plan; remember this plan.

    Raises:
        StateError: names what has changed.
    """
    old = refuse_other(plan, backend)
    if old is None or old.get("fingerprint") != plan.fingerprint:
        batch = Batch()
        batch.put(PLANS, plan.name.encode(), msgspec.json.encode(describe(plan).to_json()))
        backend.write(batch)


def refuse_other(plan: Plan, backend: Backend) -> dict[str, object] | None:
    """Refuse state of an incompatible plan, and write nothing; return the plan that is saved, if one is.

    Raises:
        StateError: names what has changed.
    """
    saved = backend.store(PLANS).get(plan.name.encode())
    if saved is None:
        return None
    old = msgspec.json.decode(saved, type=dict[str, object])
    changes = diff(old, plan)
    if not changes.compatible:
        msg = (
            f"the data directory holds state of another version of topology {plan.name!r} that this version"
            f" cannot use:\n{changes}\nGo back to the old version, or begin with another data directory and read all"
            " input from its beginning. To keep what is there, leave the old step as it was and add the changed one"
            " beside it, under an id of its own."
        )
        raise StateError(msg)
    return old
