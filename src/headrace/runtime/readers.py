"""Who reads which topic of the log: what a topology has still to read is kept, even while it does not run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from headrace.plan import Plan
from headrace.runtime.log import Log
from headrace.runtime.positions import restore_channel
from headrace.runtime.retention import Place
from headrace.state.protocol import Backend, Batch
from headrace.time.watermark import Channel

STORE = "readers"
"""The store with the topic that each source reads from the log and the offsets it began at, by topology and source."""

_LOG_CHANNEL = "log"


@dataclass(frozen=True, slots=True)
class Reader:
    """A source that reads a topic of the log."""

    topology: str
    source: str
    topic: str


def log_channel(partition: int, tasks: int) -> tuple[int, str]:
    """Return task and name of the channel that reads a partition.

    A task reads several if the topic has more partitions than there are tasks.
    """
    return partition % tasks, _LOG_CHANNEL if partition < tasks else f"{_LOG_CHANNEL}:{partition}"


class Readers:
    """Every source that has ever read the log of this data directory, and where it began to.

    The offset where it began is that of the first record kept then; it is 0 unless the log was there before it.
    """

    def __init__(self, backend: Backend, log: Log, present: Iterable[Reader]) -> None:
        """Add the ``present`` ones to those that are known."""
        self._backend, self._log = backend, log
        self._begins: dict[Reader, list[int]] = {}
        for key, value in backend.store(STORE).scan():
            topic, begins = msgspec.msgpack.decode(value, type=tuple[str, list[int]])
            topology, source = key.decode().split("\x00")
            self._begins[Reader(topology, source, topic)] = begins
        self._present = frozenset(present)
        batch = Batch()
        for reader in self._present - self._begins.keys():
            begins = [log.start(reader.topic, n) for n in range(log.partitions(reader.topic) or 0)]
            self._begins[reader] = begins
            key = f"{reader.topology}\x00{reader.source}".encode()
            batch.put(STORE, key, msgspec.msgpack.encode((reader.topic, begins)))
        if batch.puts:
            backend.write(batch)

    def begin(self, reader: Reader, partition: int) -> int:
        """Return the offset at which a reader began to read."""
        begins = self._begins[reader]
        return begins[partition] if partition < len(begins) else 0

    def absent_positions(self, plans: Iterable[Plan], *, tasks: int) -> dict[Place, int]:
        """Return up to where those have read who do not read in this run; the lowest offset of each partition.

        A source that its topology no longer has will not come back, and is left out.
        """
        sources = {plan.name: {spec.id for spec in plan.sources} for plan in plans}
        found: dict[Place, int] = {}
        for reader in self._begins.keys() - self._present:
            if reader.source not in sources.get(reader.topology, {reader.source}):
                continue
            for partition in range(self._log.partitions(reader.topic) or 0):
                place, read = (reader.topic, partition), self._position(reader, partition, tasks)
                found[place] = min(found.get(place, read), read)
        return found

    def _position(self, reader: Reader, partition: int, tasks: int) -> int:
        task, name = log_channel(partition, tasks)
        channel = Channel(reader.source, task, name, idle_timeout_ms=0)
        restore_channel(self._backend, reader.topology, channel)
        return max(channel.position, self.begin(reader, partition))
