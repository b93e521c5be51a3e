"""The fleet worker's own part: its units, and the checkpoints that hold for all of them.

The transport calls it with partitions and batches; it answers with positions. All units of a worker
are cut together and committed in one transaction (see docs/adr): the cost of a commit does not grow
with the number of partitions, and a worker that lost its place in the group cannot commit at all.

What the producer does, and what gives units another owner, holds ``_turn``: a checkpoint, recovery, an assignment. A
checkpoint that fails closes all units before it lets go, so whoever comes next finds what was committed or nothing.
``lost`` waits for nobody: it closes all units at once, and what is under way finds out by the number of the ``_life``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping

from headrace.errors import HeadraceError
from headrace.kafka.changelog import Changelogs, forms
from headrace.kafka.checkpoint import AnyProducer, Cutter, Snapshot, Stage, Transactions
from headrace.kafka.client import Client
from headrace.kafka.errors import BrokerError, StaleMemberError
from headrace.kafka.holding import Backoff, FleetCounters, Holding
from headrace.kafka.intake import Control
from headrace.kafka.layout import Layout
from headrace.kafka.local_positions import LocalPositions
from headrace.kafka.model import Fetched, GroupMember, Partition
from headrace.kafka.opening import Opened, Opener, Topics, is_final
from headrace.kafka.restoring import Restorer
from headrace.kafka.rows import RowCodec
from headrace.kafka.settings import FleetSettings
from headrace.kafka.unit import State
from headrace.operators.heads import exchange_types
from headrace.runtime.collect import Collector, handle
from headrace.runtime.handlers import is_cancelled
from headrace.state.overlay import OverlayBackend
from headrace.state.protocol import Backend

_log = logging.getLogger("headrace.fleet")
_MEASURED_BYTES = 1 << 20
"""After how much input memory is measured, at most: with hundreds of units that takes as long as some records."""
_ADVANCE_S = 0.1
_LONGEST_PAUSE_S = 1.0
"""A broker that takes long for a commit, to write a marker to each of many partitions, is asked less often: half of its
time is left for records."""


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
        positions: LocalPositions,
        now_ms: Callable[[], int],
    ) -> None:
        """Begin with no units. The producer has been started."""
        self.topics = frozenset(topic for component in layout.components for topic in component.topics)
        self.layout, self.settings, self.counters = layout, settings, FleetCounters()
        self._counts, self._producer, self.restorer = topics, producer, restorer
        self.backend, self.positions = OverlayBackend(backend), positions
        self._opener = Opener(
            layout,
            settings.group,
            topics,
            client=client,
            producer=producer,
            restorer=restorer,
            backend=self.backend,
            now_ms=now_ms,
        )
        self._stage = Stage()
        self.collectors = {
            plan.name: Collector(plan, self._stage.topic, topics.limits.too_large) for plan in layout.plans
        }
        self._changelogs = Changelogs(layout.changelogs, forms(layout.plans), now_ms)
        self._cutter = Cutter(settings.worker, self.collectors, self._stage, self._changelogs)
        codecs = {
            f"{plan.name}/{step.id}": (topic, RowCodec(*exchange_types(plan, step)))
            for topic, (plan, step) in layout.repartitions.items()
        }
        self._transactions = Transactions(producer, codecs, topics.count, now_ms)
        self._held = Holding()
        self.units = self._held.units
        self.control: Control | None = None
        self._member: GroupMember | None = None
        self._assigned: frozenset[Partition] = frozenset()
        self._turn = asyncio.Lock()
        self._life = 0
        """Counts how often all units were closed."""
        self._dropped = False
        self._settled = True
        """Whether the producer's last transaction is known to be over."""
        self._sending: asyncio.Task[None] | None = None
        self._mending: asyncio.Task[None] | None = None
        self._backoff = Backoff()
        self._wake = asyncio.Event()
        self._closed = False
        self._paused = False
        self._unmeasured, self._measured_bytes = 0, min(_MEASURED_BYTES, settings.output_bytes // 8)
        self.failure: BaseException | None = None
        """What this worker cannot go on after: nothing is committed any more."""

    # -- the group ------------------------------------------------------------------------------

    async def assign(self, partitions: set[Partition], member: GroupMember) -> Mapping[Partition, int]:
        """Take over these partitions; return where to read those whose units can go on at once."""
        await self._stop_mending()
        async with self._turn:
            before, self._member, self._assigned = self._member, member, frozenset(partitions)
            # In a generation that we took no part in, others may have had our partitions.
            following = before is not None and 0 <= member.generation - before.generation <= 1
            wanted = self._opener.wanted(partitions)
            running: dict[Partition, int] = {}
            for unit_id, unit in list(self.units.items()):
                topics = wanted[unit_id][1] if unit_id in wanted else ()
                if following and unit.state is State.SUSPENDED and unit.positions.keys() == set(topics):
                    unit.become(State.RUNNING)
                    unit.tell_again()
                    running |= {Partition(topic, unit.partition): unit.next_offset(topic) for topic in topics}
                else:
                    self._held.close(unit_id)
            _log.info("generation %d: %d units, %d go on", member.generation, len(wanted), len(self.units))
            if self.control is not None:
                self.restorer.follow(self._opener.copies(self.control))
            self._backoff.reset()
            self._mend()
            return running

    async def _restore(self, opened: Opened) -> None:
        unit = opened.unit
        try:
            await self._opener.restore(opened)
        except Exception as error:
            self._fail(error)
            return
        if self._held.restored(unit) and self.control is not None:
            for topic in unit.positions:
                self.control.start(Partition(topic, unit.partition), unit.next_offset(topic))

    async def revoke(self, partitions: set[Partition]) -> None:
        """Commit what was done; the units wait for the next generation.

        Raises:
            HeadraceError: it was not committed. All units are closed.
        """
        await self._stop_mending()
        async with self._turn:
            self._assigned, self._paused = frozenset(), False
            await self._checkpoint()
            self._held.suspend()

    async def lost(self) -> None:
        """Drop everything that was not committed, at once."""
        self._assigned = frozenset()
        self._drop()
        if self._sending is not None:
            self._sending.cancel()
        await self._stop_mending()

    def _drop(self) -> None:
        """Close all units, and take back what they did since the last commit."""
        self._life += 1
        self._changelogs.forget()
        self._settled = False
        self._paused = False
        if self.control is not None:
            self.control.pause(list(self._held.by_partition))
        self.backend.discard()
        self._stage.take()
        self._dropped |= bool(self.units)
        self._held.close_all()

    async def _stop_mending(self) -> None:
        mending, self._mending = self._mending, None
        if mending is not None:
            mending.cancel()
            await asyncio.gather(mending, return_exceptions=True)

    # -- records --------------------------------------------------------------------------------

    def take(self, batch: Fetched) -> None:
        """Process a batch if it is the next one of a running unit."""
        unit = self._held.by_partition.get(Partition(batch.topic, batch.partition))
        if unit is None or unit.state is not State.RUNNING:
            self.counters.dropped_batches += 1
            return
        before = unit.bytes_in
        try:
            taken = unit.take(batch)
            if taken and unit.merging:
                unit.merge(patient=True)
                if unit.any_order and unit.lacking and self.control is not None:
                    # Order is a matter of speed here: what is read to its end is not worth waiting for.
                    unit.merge(patient=not unit.lacking <= self.control.drained())
        except Exception as error:
            self._fail(error)  # the batch is half done: from here on nothing may be committed
            raise
        if not taken:
            self.counters.dropped_batches += 1
            if self.control is not None:
                place = Partition(batch.topic, batch.partition)
                self.control.seek(place, unit.next_offset(batch.topic))
            return
        self._unmeasured += unit.bytes_in - before
        control = self.control
        if self._unmeasured >= self._measured_bytes and not self._paused and control is not None and self._is_full():
            self._paused = True
            # What others wait for goes on: it lets them go.
            held = self._held.by_partition.items()
            control.pause([partition for partition, unit in held if partition not in unit.lacking])
            self._wake.set()

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        return self._counts.count(topic)

    def _is_full(self) -> bool:
        """Measure what is in memory."""
        self._unmeasured = 0
        held, settings = self._held, self.settings
        return held.state_bytes > settings.cache_bytes or held.output_bytes > settings.output_bytes

    # -- checkpoints ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Make checkpoints until :meth:`close`.

        Raises:
            HeadraceError: something that opening the units anew cannot mend.
        """
        interval = pause = self.settings.commit_interval.total_seconds()
        advance_at = time.monotonic()
        while not self._closed:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)
            self._wake.clear()
            if self.failure is not None:
                raise self.failure
            if time.monotonic() >= advance_at:
                advance_at = time.monotonic() + _ADVANCE_S
                self._advance()
            began = time.monotonic()
            try:
                await self.checkpoint()
            except BrokerError as error:
                self._retry(error)
            pause = max(interval, min(time.monotonic() - began, _LONGEST_PAUSE_S))
            if self._assigned and self._mending is None and self._backoff.over:
                self._mend()

    def _advance(self) -> None:
        running = self._held.running
        drained = self.control.drained() if running and self.control is not None else frozenset()
        try:
            for unit in running:
                if unit.merging:
                    unit.merge(patient=not unit.overdue(self.settings.max_task_idle))
                unit.advance(behind=unit.waiting | {p.topic for p in unit.partitions - drained})
        except Exception as error:
            self._fail(error)
            raise

    async def checkpoint(self) -> None:
        """Cut, and commit what was cut; what is processed meanwhile belongs to the next one.

        Raises:
            BrokerError: it is not committed. All units are closed.
            HeadraceError: it is not committed, and the worker cannot go on.
        """
        async with self._turn:
            await self._checkpoint()

    async def _checkpoint(self) -> None:
        if self.failure is not None:
            message = "nothing is committed after a failure"
            raise HeadraceError(message) from self.failure
        member, life = self._member, self._life
        if member is None or not self._held.running:
            return
        try:
            snapshot = self._cutter.cut(self._held.running, self._held.committed)
            if not snapshot.empty:
                await self._commit(snapshot, member)
        except BaseException as error:
            if life == self._life:
                self._drop()
            elif isinstance(error, asyncio.CancelledError) and not is_cancelled():
                message = "the group went on without this worker while it committed"
                raise StaleMemberError(message) from error
            if isinstance(error, Exception) and not isinstance(error, BrokerError):
                self._fail(error)
            raise
        self._evict()

    async def _commit(self, snapshot: Snapshot, member: GroupMember) -> None:
        life = self._life
        self.backend.write(snapshot.batch)
        failed = self._cutter.stage(await handle(snapshot.handling)) if snapshot.handling else {}
        await self._counts.need(snapshot.outputs.keys() | failed.keys())
        if life != self._life:
            message = "the group went on without this worker before it could commit"
            raise StaleMemberError(message)
        self._settled = False
        self._producer.begin()
        self._transactions.append(snapshot)
        self._transactions.append_outputs(failed)
        self._sending = asyncio.create_task(self._transactions.commit(snapshot, member), name="headrace-commit")
        try:
            await self._sending
        finally:
            self._sending = None
        if life != self._life:
            return  # it is committed all the same: whoever opens the units next finds it
        self._settled = True
        for partition in snapshot.changes:
            changelog, end = self._changelogs.by_topic[partition.topic], self._producer.ends[partition]
            self.positions.put(snapshot.batch, changelog, partition.partition, end)
        self.backend.settle()
        self._held.committed |= snapshot.positions
        self.counters.commits += 1

    def _evict(self) -> None:
        self._held.evict(self.settings.cache_bytes)
        if self._paused and not self._is_full() and self.control is not None:
            self._paused = False
            self.control.resume(list(self._held.by_partition))

    # -- failures -------------------------------------------------------------------------------

    def _retry(self, error: BrokerError) -> None:
        """Go back to what was committed, soon; or not at all, if that cannot help."""
        self.counters.commit_failures += 1
        if is_final(error):
            self._fail(error)
            return
        # A stale member is told by the next assignment what is its own. If there is none, look again.
        stale = isinstance(error, StaleMemberError)
        self._backoff.wait(self.settings.session_timeout.total_seconds() if stale else None)
        _log.warning("going back to the last checkpoint: %s", error)

    def _mend(self) -> None:
        """Open the units of all assigned partitions that have none, in the background."""
        if any(unit_id not in self.units for unit_id in self._opener.wanted(self._assigned)):
            self._mending = asyncio.create_task(self._reopen(), name="headrace-mend")

    async def _reopen(self) -> None:
        try:
            async with self._turn:
                life = self._life
                if not self._settled:
                    await self._producer.recover()
                    self._settled = True
            # The units that run go on committing meanwhile.
            wanted = self._opener.wanted(self._assigned)
            missing = {unit_id: one for unit_id, one in wanted.items() if unit_id not in self.units}
            opened = await self._opener.open(missing, self.control)
            self.counters.fenced_workers = self._opener.fenced
            if life == self._life:
                self._backoff.reset()
                self.counters.reopened += self._dropped
                self._dropped = False
                for one in opened:
                    self._held.begin(one, self._restore(one))
        except BrokerError as error:
            self._retry(error)
        except Exception as error:
            self._fail(error)
        finally:
            if self._mending is asyncio.current_task():
                self._mending = None

    def _fail(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self._wake.set()

    async def close(self) -> None:
        """Stop making checkpoints; what is not committed is dropped."""
        self._closed = True
        self._wake.set()
        await self._stop_mending()
        await self._held.stop_restoring()
        async with self._turn:
            await self.restorer.close()
            await self._producer.close()
            self.backend.close()


__all__ = ["Fleet", "FleetCounters", "Topics"]
