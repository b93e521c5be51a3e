"""Bringing local state to where the changelog is: before a task runs, and all the time for a standby."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headrace.kafka.changelog import replay
from headrace.kafka.client import Client
from headrace.kafka.errors import BrokerError
from headrace.kafka.fetching import BatchConsumer
from headrace.kafka.layout import Changelog
from headrace.kafka.local_positions import LocalPositions
from headrace.kafka.model import Fetched, Partition
from headrace.kafka.offsets import End, list_offsets, topic_ids
from headrace.state.protocol import Backend, Batch

_log = logging.getLogger("headrace.fleet")
_POLL_MS = 200
_PAUSE_S = 0.5


@dataclass(slots=True)
class Progress:
    """How far the restore of one changelog partition is, in offsets."""

    begin: int
    position: int
    end: int

    @property
    def done(self) -> bool:
        """Whether all that was committed when the restore began is there."""
        return self.position >= self.end


class Restorer:
    """Replays changelogs into a backend, some partitions at a time, with a consumer of its own.

    ``wiped`` counts local states that could not be used and were built anew.
    """

    def __init__(  # noqa: PLR0913
        self,
        client: Client,
        consumer: BatchConsumer,
        backend: Backend,
        changelogs: Iterable[Changelog],
        forms: Mapping[str, bytes],
        *,
        positions: LocalPositions,
        max_records: int = 20_000,
    ) -> None:
        """``consumer`` is assigned by hand, reads committed records only, and is nobody else's."""
        self._client, self._consumer, self._backend = client, consumer, backend
        self._positions = positions
        self._changelogs = {changelog.topic: changelog for changelog in changelogs}
        self._forms = forms
        self._max_records = max_records
        self._wanted: dict[Partition, Progress] = {}
        self._standing: frozenset[Partition] = frozenset()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._reached: dict[Partition, asyncio.Future[None]] = {}
        self.wiped = 0
        self.restored = 0

    @property
    def progress(self) -> Mapping[Partition, Progress]:
        """The restores that are under way."""
        return self._wanted

    async def restore(self, partitions: Iterable[Partition]) -> None:
        """Return when local state of these changelog partitions is that of the last committed transaction.

        Nobody else may write to them from now on. All that they hold now is waited for: of the last owner's last
        transaction the markers may be on their way, and before them the last stable offset lies too low.

        Raises:
            BrokerError: the changelog cannot be read.
            StateError: local state cannot be written, or the changelog is of another version of the topology.
        """
        partitions = list(partitions)
        if not partitions:
            return
        await self._identify(partitions)
        ends = await list_offsets(self._client, partitions, End.LATEST)
        begins = await list_offsets(self._client, partitions, End.EARLIEST)
        waits: dict[Partition, asyncio.Future[None]] = {}
        for partition in partitions:
            begin = self._begin(partition, begins[partition], ends[partition])
            if begin < ends[partition]:
                self._wanted[partition] = Progress(begin, begin, ends[partition])
                waits[partition] = self._reached[partition] = asyncio.get_running_loop().create_future()
        if not waits:
            return
        self._assign()
        try:
            await asyncio.gather(*waits.values())
        finally:
            for partition, wait in waits.items():
                if self._reached.get(partition) is wait:
                    del self._wanted[partition], self._reached[partition]
            self._assign()

    async def _identify(self, partitions: Iterable[Partition]) -> None:
        self._positions.know(await topic_ids(self._client, {partition.topic for partition in partitions}))

    def _begin(self, partition: Partition, first: int, end: int) -> int:
        """Return where to read from; local state that is of no use is removed."""
        changelog, local = self._changelogs[partition.topic], self._positions.get(partition)
        if local is not None:
            flaw = self._positions.flaw(changelog, partition.partition, first, end)
            if not flaw:
                return local
            self.wiped += 1
            _log.warning("local state of %s/%d is built anew: %s", partition.topic, partition.partition, flaw)
        batch = Batch()
        self._positions.begin(batch, changelog, partition.partition, first)
        self._backend.write(batch)
        return first

    def follow(self, partitions: Iterable[Partition]) -> None:
        """Keep local state of these partitions close behind the changelog from now on, and of no others."""
        standing = frozenset(partitions)
        if standing != self._standing:
            self._standing = standing
            self._assign()

    def _assign(self) -> None:
        self._changed.set()
        if self._task is None and (self._wanted or self._standing):
            self._task = asyncio.create_task(self._run(), name="headrace-restore")
            self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        for future in self._reached.values():
            if not future.done():
                if error is not None:
                    future.set_exception(error)
                else:
                    future.cancel()

    async def _run(self) -> None:
        while self._wanted or self._standing:
            try:
                if self._changed.is_set():
                    self._changed.clear()
                    await self._reassign()
                fetched = await self._consumer.fetch(timeout_ms=_POLL_MS, max_records=self._max_records)
            except BrokerError as error:
                await self._tell(error)
                continue
            for partition, batch in fetched.items():
                self._apply(partition, batch)
            await asyncio.sleep(0)  # others' turn, however much there is to restore
        self._consumer.assign([])

    async def _tell(self, error: BrokerError) -> None:
        """Let those who wait try again: they look where the changelog begins and ends now."""
        _log.warning("reading changelogs: %s", error)
        for future in self._reached.values():
            if not future.done():
                future.set_exception(error)
        await asyncio.sleep(_PAUSE_S)
        self._changed.set()

    def _apply(self, partition: Partition, batch: Fetched) -> None:
        """Write what was read, unless nobody wants it any more: the partition's task may be running by now."""
        if partition not in self._wanted and partition not in self._standing:
            return
        if batch.first_offset != self._positions.get(partition):
            self._changed.set()
            return
        changes, changelog = Batch(), self._changelogs[partition.topic]
        if batch.values:
            replay(changelog, self._forms[changelog.store], batch.keys, batch.values, changes)
            self.restored += len(batch.values)
        self._positions.put(changes, changelog, partition.partition, batch.next_offset)
        self._backend.write(changes)
        self._note(partition, batch.next_offset)

    async def _reassign(self) -> None:
        """Read from where local state is; a copy that is of no use begins anew."""
        copies = [partition for partition in self._standing if partition not in self._wanted]
        await self._identify(copies)
        first = await list_offsets(self._client, copies, End.EARLIEST)
        last = await list_offsets(self._client, copies, End.LATEST)
        for partition in copies:
            if partition in self._standing and partition not in self._wanted:
                self._begin(partition, first[partition], last[partition])
        partitions = sorted(self._wanted.keys() | (self._standing & first.keys()))
        self._consumer.assign(partitions)
        for partition in partitions:
            self._consumer.seek(partition, self._positions.get(partition) or 0)

    def _note(self, partition: Partition, position: int) -> None:
        progress = self._wanted.get(partition)
        if progress is None:
            return
        progress.position = position
        future = self._reached.get(partition)
        if progress.done and future is not None and not future.done():
            future.set_result(None)

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._consumer.stop()
