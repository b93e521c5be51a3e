"""The fleet worker's own part: its units, and the checkpoints that hold for all of them.

The transport calls it with partitions and batches; it answers with positions. All units of a worker
are cut together and committed in one transaction (see docs/adr): the cost of a commit does not grow
with the number of partitions, and a worker that lost its place in the group cannot commit at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from headrace.kafka.changelog import Changelogs
from headrace.kafka.checkpoint import AnyProducer, Cutter, Snapshot, Staging, Transactions
from headrace.kafka.client import Client
from headrace.kafka.dead_members import fence_dead
from headrace.kafka.errors import BrokerError, StaleMemberError
from headrace.kafka.intake import Control
from headrace.kafka.layout import Component, Layout
from headrace.kafka.model import Fetched, GroupMember, Partition, Position
from headrace.kafka.names import transactional_id
from headrace.kafka.offsets import End, committed, list_offsets
from headrace.kafka.restoring import Restorer, put_position
from headrace.kafka.rows import RowCodec
from headrace.kafka.settings import FleetSettings
from headrace.kafka.unit import Note, State, TaskId, Unit
from headrace.operators.build import generate
from headrace.operators.heads import exchange_types
from headrace.runtime.collect import Collector, handle
from headrace.state.overlay import OverlayBackend
from headrace.state.protocol import Backend

_log = logging.getLogger("headrace.fleet")
_ADVANCE_S = 0.1

UnitId = tuple[str, int]
"""Component and partition."""


@dataclass(slots=True)
class FleetCounters:
    """What has happened since the worker started."""

    commits: int = 0
    commit_failures: int = 0
    reopened: int = 0
    fenced_workers: int = 0
    dropped_batches: int = 0


@dataclass(frozen=True, slots=True)
class Topics:
    """What is known of topics: the partition count of each, asked once at the start."""

    partitions: Mapping[str, int]

    def count(self, topic: str) -> int:
        """Return the number of partitions; 1 for a topic that is made by its first record."""
        return self.partitions.get(topic, 1)


class Fleet:
    """Runs the units that the group assigns to this worker. Implements :class:`headrace.kafka.intake.Intake`."""

    def __init__(  # noqa: PLR0913
        self,
        layout: Layout,
        settings: FleetSettings,
        topics: Topics,
        *,
        client: Client,
        producer: AnyProducer,
        restorer: Restorer,
        backend: Backend,
        now_ms: Callable[[], int],
    ) -> None:
        """Begin with no units. The producer has been started."""
        self.topics = frozenset(topic for component in layout.components for topic in component.topics)
        self.layout, self.settings, self.counters = layout, settings, FleetCounters()
        self._counts, self._client, self._producer, self._restorer, self._now_ms = (
            topics,
            client,
            producer,
            restorer,
            now_ms,
        )
        self.backend = OverlayBackend(backend)
        self._codes = {TaskId(plan.name, code.agent): code for plan in layout.plans for code in generate(plan)}
        self._staging: dict[str, Staging] = {}
        self.collectors = {plan.name: Collector(plan, self._stage) for plan in layout.plans}
        changelogs = Changelogs({changelog.store: changelog.topic for changelog in layout.changelogs})
        self._cutter = Cutter(settings.worker, self.collectors, self._staging, changelogs)
        codecs = {
            f"{plan.name}/{step.id}": (topic, RowCodec(*exchange_types(plan, step)))
            for topic, (plan, step) in layout.repartitions.items()
        }
        self._transactions = Transactions(producer, codecs, topics.count, now_ms)
        self.units: dict[UnitId, Unit] = {}
        self._openings: dict[UnitId, asyncio.Task[None]] = {}
        self._by_partition: dict[Partition, Unit] = {}
        self._committed: dict[Partition, Position] = {}
        self.control: Control | None = None
        self._member: GroupMember | None = None
        self._committing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._closed = False
        self._paused = False
        self.failure: BaseException | None = None

    def _stage(self, topic: str) -> Staging:
        found = self._staging.get(topic)
        if found is None:
            found = self._staging[topic] = Staging()
        return found

    # -- the group ------------------------------------------------------------------------------

    async def assign(self, partitions: set[Partition], member: GroupMember) -> Mapping[Partition, int]:
        """Take over these partitions; return where to read those whose units can go on at once."""
        self._member = member
        wanted = self._wanted(partitions)
        for unit_id in [unit_id for unit_id in self.units if unit_id not in wanted]:
            self._close(unit_id)
        running: dict[Partition, int] = {}
        fresh = []
        for unit_id, (component, topics) in wanted.items():
            unit = self.units.get(unit_id)
            if unit is not None and unit.state is State.SUSPENDED:
                unit.become(State.RUNNING)
                running |= {Partition(topic, unit.partition): at for topic, at in unit.positions.items()}
            else:
                if unit is not None:
                    self._close(unit_id)
                fresh.append((component, unit_id[1], topics))
        if fresh:
            await self._open(fresh)
        return running

    def _wanted(self, partitions: Iterable[Partition]) -> dict[UnitId, tuple[Component, list[str]]]:
        found: dict[UnitId, tuple[Component, list[str]]] = {}
        by_topic = {topic: component for component in self.layout.components for topic in component.topics}
        for topic, number in sorted(partitions):
            component = by_topic[topic]
            found.setdefault((component.name, number), (component, []))[1].append(topic)
        return found

    async def _open(self, fresh: list[tuple[Component, int, list[str]]]) -> None:
        """Make units at the committed positions, and have them restored one by one, in the background."""
        await self._fence_dead()
        partitions = [Partition(topic, number) for _, number, topics in fresh for topic in topics]
        positions = await committed(self._client, self.settings.group, partitions)
        unknown = [partition for partition, position in positions.items() if position is None]
        first = await list_offsets(self._client, unknown, End.EARLIEST)
        for component, number, topics in fresh:
            at = {p: positions[p] or Position(first[p]) for p in (Partition(topic, number) for topic in topics)}
            self._committed |= at
            unit = self._unit(component, number, {p.topic: position.offset for p, position in at.items()})
            notes = {p.topic: Note.decode(position.metadata) for p, position in at.items()}
            unit.become(State.RESTORING)
            self.units[component.name, number] = unit
            self._by_partition |= dict.fromkeys(unit.partitions, unit)
            task = asyncio.create_task(self._restore(unit, notes), name=f"restore {component.name}/{number}")
            self._openings[component.name, number] = task

    async def _fence_dead(self) -> None:
        control = self.control
        prefix = transactional_id(self.settings.group, "")
        live = {self._producer.transactional_id}
        if control is not None:
            live |= {peer.transactional_id for peer in control.peers()}
        dead = await fence_dead(self._client, prefix, live)
        if dead:
            self.counters.fenced_workers += len(dead)
            _log.warning("fenced workers that left transactions open: %s", ", ".join(dead))

    def _unit(self, component: Component, number: int, topics: Mapping[str, int]) -> Unit:
        senders = {}
        for reading in component.readings:
            if reading.exchange:
                upstream = self.layout.component_of(reading.plan, reading.head.agent)
                senders[reading.topic] = max(self._counts.count(topic) for topic in upstream.topics)
        spread = {plan.name: self._spread(plan.name) for plan in self.layout.plans}
        return Unit(
            component,
            number,
            self._codes,
            self.backend,
            topics=topics,
            spread=spread,
            senders=senders,
            now_ms=self._now_ms,
        )

    def _spread(self, topology: str) -> int:
        counts = [self._counts.count(t) for t, (plan, _) in self.layout.repartitions.items() if plan.name == topology]
        return max(counts, default=1)

    async def _restore(self, unit: Unit, notes: Mapping[str, Note]) -> None:
        changelogs = [c for c in self.layout.changelogs if c.component == unit.component.name]
        try:
            await self._restorer.restore(Partition(c.topic, unit.partition) for c in changelogs)
            unit.open(notes)
            unit.become(State.RUNNING)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._fail(error)
            return
        finally:
            self._openings.pop((unit.component.name, unit.partition), None)
        if self.control is not None:
            for topic, offset in unit.positions.items():
                self.control.start(Partition(topic, unit.partition), offset)

    def _close(self, unit_id: UnitId) -> None:
        unit = self.units.pop(unit_id)
        opening = self._openings.pop(unit_id, None)
        if opening is not None:
            opening.cancel()
        for partition in unit.partitions:
            self._by_partition.pop(partition, None)
            self._committed.pop(partition, None)
        unit.become(State.CLOSED)

    async def revoke(self, partitions: set[Partition]) -> None:
        """Commit what was done; the units wait for the next generation."""
        await self.checkpoint()
        for unit_id, unit in list(self.units.items()):
            if unit.state is State.RUNNING:
                unit.become(State.SUSPENDED)
            else:
                self._close(unit_id)

    async def lost(self) -> None:
        """Drop everything that was not committed."""
        async with self._committing:
            await self._drop()

    async def _drop(self) -> None:
        """Take back the open transaction and close all units. The lock is held."""
        self.backend.discard()
        for staged in self._staging.values():
            staged.records = []
        for unit_id in list(self.units):
            self._close(unit_id)
        await self._producer.recover()

    # -- records --------------------------------------------------------------------------------

    def take(self, batch: Fetched) -> None:
        """Process a batch if it is the next one of a running unit."""
        unit = self._by_partition.get(Partition(batch.topic, batch.partition))
        if unit is None or unit.state is not State.RUNNING:
            self.counters.dropped_batches += 1
            return
        if not unit.take(batch):
            self.counters.dropped_batches += 1
            if self.control is not None:
                place = Partition(batch.topic, batch.partition)
                self.control.seek(place, unit.next_offset(batch.topic))
            return
        if unit.merging:
            unit.merge(patient=True)
        if self._full and not self._paused and self.control is not None:
            self._paused = True
            self.control.pause(list(self._by_partition))
            self._wake.set()

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        return self._counts.count(topic)

    @property
    def _full(self) -> bool:
        settings = self.settings
        if sum(unit.state_bytes for unit in self.units.values()) > settings.cache_bytes:
            return True
        return sum(unit.output_bytes for unit in self.units.values()) > settings.output_bytes

    @property
    def _running(self) -> list[Unit]:
        return [unit for unit in self.units.values() if unit.state is State.RUNNING]

    # -- checkpoints ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Make checkpoints until :meth:`close`.

        Raises:
            HeadraceError: something that opening the units anew cannot mend.
        """
        interval = self.settings.commit_interval.total_seconds()
        advance_at = time.monotonic()
        while not self._closed:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), interval)
            self._wake.clear()
            if self.failure is not None:
                raise self.failure
            if time.monotonic() >= advance_at:
                advance_at = time.monotonic() + _ADVANCE_S
                self._advance()
            try:
                await self.checkpoint()
            except BrokerError as error:
                await self._recover(error)

    def _advance(self) -> None:
        behind = frozenset(self.topics) if self._paused else frozenset()
        for unit in self._running:
            if unit.merging:
                unit.merge(patient=not unit.overdue(self.settings.max_task_idle))
            unit.advance(behind=behind | unit.waiting)

    async def checkpoint(self) -> None:
        """Cut, and commit what was cut; what is processed meanwhile belongs to the next one.

        Raises:
            BrokerError: it is not committed. The units must be opened anew.
            StateError: local state cannot be written.
        """
        async with self._committing:
            member = self._member
            if member is None or not self._running:
                return
            snapshot = self._cutter.cut(self._running, self._committed)
            if snapshot.empty:
                return
            await self._commit(snapshot, member)

    async def _commit(self, snapshot: Snapshot, member: GroupMember) -> None:
        self.backend.write(snapshot.batch)
        self._producer.begin()
        self._transactions.append(snapshot)
        if snapshot.handling:
            self._transactions.append_outputs(self._cutter.stage(await handle(snapshot.handling)))
        await self._transactions.commit(snapshot, member)
        for partition in snapshot.changes:
            put_position(snapshot.batch, partition, self._producer.ends[partition])
        self.backend.settle()
        self._committed |= snapshot.positions
        self.counters.commits += 1
        self._evict()
        if self._paused and not self._full and self.control is not None:
            self._paused = False
            self.control.resume(list(self._by_partition))

    def _evict(self) -> None:
        units = self._running
        total, kept = sum(unit.state_bytes for unit in units), self.settings.cache_bytes // 2
        if total > kept:
            for unit in units:
                unit.evict(kept, total)

    async def _recover(self, error: BrokerError) -> None:
        """Go back to what was committed: abort, close all units, open them at the committed positions."""
        self.counters.commit_failures += 1
        _log.warning("a checkpoint was not committed, going back to the last one: %s", error)
        async with self._committing:
            owned = set(self._by_partition)
            if self.control is not None:
                self.control.pause(list(owned))
            self._paused = False
            await self._drop()
            if isinstance(error, StaleMemberError) or not owned:
                return  # the group has moved on: the next assignment opens what is ours then
            self.counters.reopened += 1
            await self._open(
                [(component, unit_id[1], topics) for unit_id, (component, topics) in self._wanted(owned).items()]
            )

    def _fail(self, error: BaseException) -> None:
        self.failure = error
        self._wake.set()

    async def close(self) -> None:
        """Stop making checkpoints; what is not committed is dropped."""
        self._closed = True
        self._wake.set()
        for task in list(self._openings.values()):
            task.cancel()
        await asyncio.gather(*self._openings.values(), return_exceptions=True)
        await self._restorer.close()
        await self._producer.close()
        self.backend.close()
