"""Bringing local state to where the changelog is: before a task runs, and all the time for a standby."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headrace.kafka.changelog import replay
from headrace.kafka.client import Client
from headrace.kafka.fetching import BatchConsumer
from headrace.kafka.layout import Changelog
from headrace.kafka.model import Partition
from headrace.kafka.offsets import End, list_offsets
from headrace.state.keys import prefix_end
from headrace.state.protocol import Backend, Batch

POSITIONS = "changelogs"
"""The store of how far each changelog partition is in this directory."""

_POLL_MS = 200
_SUFFIXES = ("", "/live", "/expiry", "/pending")


def position_of(backend: Backend, partition: Partition) -> int | None:
    """Return the next offset of a changelog partition that local state lacks; None: there is no local state."""
    found = backend.store(POSITIONS).get(_key(partition))
    return None if found is None else int(found)


def put_position(batch: Batch, partition: Partition, offset: int) -> None:
    """Write how far local state is."""
    batch.put(POSITIONS, _key(partition), str(offset).encode())


def wipe(batch: Batch, store: str, partition: Partition) -> None:
    """Remove the local state of one task's step."""
    prefix = partition.partition.to_bytes(2)
    for suffix in _SUFFIXES:
        batch.delete_range(store + suffix, prefix, prefix_end(prefix) or b"\xff" * 3)
    batch.delete(POSITIONS, _key(partition))


def _key(partition: Partition) -> bytes:
    return f"{partition.topic}/{partition.partition}".encode()


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

    def __init__(
        self,
        client: Client,
        consumer: BatchConsumer,
        backend: Backend,
        changelogs: Iterable[Changelog],
        *,
        max_records: int = 20_000,
    ) -> None:
        """``consumer`` is assigned by hand, reads committed records only, and is nobody else's."""
        self._client, self._consumer, self._backend = client, consumer, backend
        self._stores = {changelog.topic: changelog.store for changelog in changelogs}
        self._max_records = max_records
        self._wanted: dict[Partition, Progress] = {}
        self._standing: set[Partition] = set()
        self._changed = asyncio.Event()
        self._failed: BaseException | None = None
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

        Raises:
            BrokerError: the changelog cannot be read.
            StateError: local state cannot be written.
        """
        partitions = list(partitions)
        if not partitions:
            return
        ends = await list_offsets(self._client, partitions, End.LAST_STABLE)
        begins = await list_offsets(self._client, partitions, End.EARLIEST)
        waits = []
        for partition in partitions:
            begin = self._begin(partition, begins[partition], ends[partition])
            if begin >= ends[partition]:
                continue
            self._wanted[partition] = Progress(begin, begin, ends[partition])
            self._reached[partition] = asyncio.get_running_loop().create_future()
            waits.append(self._reached[partition])
        if waits:
            self._assign()
            try:
                await asyncio.gather(*waits)
            finally:
                for partition in partitions:
                    self._wanted.pop(partition, None)
                    self._reached.pop(partition, None)
                self._assign()

    def _begin(self, partition: Partition, first: int, end: int) -> int:
        """Return where to read from; local state that is ahead of the changelog, or too far behind it, is removed."""
        local = position_of(self._backend, partition)
        if local is not None and first <= local <= end:
            return local
        if local is not None:
            self.wiped += 1
        batch = Batch()
        wipe(batch, self._stores[partition.topic], partition)
        put_position(batch, partition, first)
        self._backend.write(batch)
        return first

    def follow(self, partitions: Iterable[Partition]) -> None:
        """Keep local state of these partitions close behind the changelog from now on, and of no others."""
        self._standing = set(partitions)
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
            if self._changed.is_set():
                self._changed.clear()
                await self._reassign()
            fetched = await self._consumer.fetch(timeout_ms=_POLL_MS, max_records=self._max_records)
            for partition, batch in fetched.items():
                changes = Batch()
                if batch.values:
                    replay(self._stores[partition.topic], batch.keys, batch.values, changes)
                    self.restored += len(batch.values)
                put_position(changes, partition, batch.next_offset)
                self._backend.write(changes)
                self._note(partition, batch.next_offset)
            await asyncio.sleep(0)  # others' turn, however much there is to restore
        self._consumer.assign([])

    async def _reassign(self) -> None:
        partitions = self._wanted.keys() | self._standing
        self._consumer.assign(list(partitions))
        missing = [partition for partition in partitions if position_of(self._backend, partition) is None]
        first = await list_offsets(self._client, missing, End.EARLIEST) if missing else {}
        for partition in partitions:
            self._consumer.seek(partition, position_of(self._backend, partition) or first.get(partition, 0))

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
