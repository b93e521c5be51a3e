"""A checkpoint of the fleet: what is cut at one moment, and the transaction that makes it hold.

The cut is synchronous: positions, dirty states and outputs are of one moment. The transaction runs
while the next checkpoint's records are processed; the store is written only after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from headrace.kafka.at_least_once import AtLeastOnceProducer
from headrace.kafka.changelog import Changelogs, Changes
from headrace.kafka.model import Columns, GroupMember, Partition, Position
from headrace.kafka.producing import TransactionalProducer
from headrace.kafka.rows import Part, RowCodec
from headrace.kafka.unit import Unit
from headrace.runtime.collect import Collector, Handling
from headrace.runtime.partitioning import Partitioner
from headrace.runtime.records import Records
from headrace.runtime.task import DeadLetter
from headrace.state.protocol import Batch

AnyProducer = TransactionalProducer | AtLeastOnceProducer
Outputs = dict[str, list[Records]]
"""Records by topic."""


class Staging:
    """The outputs of one topic, kept until the transaction takes them."""

    def __init__(self) -> None:
        """Begin empty."""
        self.records: list[Records] = []

    def stage(self, batch: Batch, records: Records) -> None:
        """Keep the records."""
        self.records.append(records)

    def committed(self) -> None:
        """Do nothing: the snapshot has taken the records."""


class Stage:
    """The outputs of all topics."""

    def __init__(self) -> None:
        """Begin empty."""
        self._topics: dict[str, Staging] = {}

    def topic(self, topic: str) -> Staging:
        """Return where the topic's outputs go."""
        return self._topics.setdefault(topic, Staging())

    def take(self) -> Outputs:
        """Return all outputs, and begin anew."""
        outputs = {topic: staged.records for topic, staged in self._topics.items() if staged.records}
        for staged in self._topics.values():
            staged.records = []
        return outputs


@dataclass(slots=True)
class Snapshot:
    """All of one checkpoint."""

    outputs: Outputs
    rows: dict[tuple[str, int], list[Part]]
    batch: Batch
    positions: dict[Partition, Position]
    handling: list[Handling]
    changes: dict[Partition, Changes] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not (self.positions or self.outputs or self.rows or self.changes or self.handling)


class Cutter:
    """Cuts all running units of a worker at once."""

    def __init__(self, worker: str, collectors: Mapping[str, Collector], stage: Stage, changelogs: Changelogs) -> None:
        """``collectors`` by topology write into ``stage``."""
        self._worker, self._collectors, self._stage, self._changelogs = worker, collectors, stage, changelogs

    def cut(self, units: Iterable[Unit], committed: Mapping[Partition, Position]) -> Snapshot:
        """Return what has happened since the last cut. Synchronous: nothing else can happen meanwhile."""
        batch = Batch()
        rows: dict[tuple[str, int], list[Part]] = {}
        positions: dict[Partition, Position] = {}
        units = list(units)
        for unit in units:
            for place, part in unit.cut(batch).items():
                rows.setdefault(place, []).append(part)
        for unit in units:
            positions |= unit.committing(self._worker)
        moved = {partition: at for partition, at in positions.items() if committed.get(partition) != at}
        handling = []
        for name, collector in self._collectors.items():
            tasks = [task for unit in units for task_id, task in unit.tasks.items() if task_id.topology == name]
            handling += collector.handling(tasks)
            collector.stage(tasks, batch)
        snapshot = Snapshot(self._stage.take(), rows, batch, moved, handling, self._changelogs.collect(batch))
        if not moved and not snapshot.empty:
            # With positions the group checks that we are still a member: nothing is committed without.
            snapshot.positions = positions
        return snapshot

    def stage(self, failed: Iterable[tuple[Collector, DeadLetter]]) -> Outputs:
        """Return the dead letters of handlers as records."""
        for collector, letter in failed:
            collector.stage((), Batch(), [letter])
        return self._stage.take()


class Transactions:
    """Writes snapshots, one transaction each, all of a worker's units in one."""

    def __init__(
        self,
        producer: AnyProducer,
        codecs: Mapping[str, tuple[str, RowCodec]],
        partitions: Callable[[str], int],
        now_ms: Callable[[], int],
    ) -> None:
        """``codecs`` gives topic and form of rows by ``topology/step``; ``partitions`` how many a topic has."""
        self.producer = producer
        self._codecs, self._partitions, self._now_ms = codecs, partitions, now_ms
        self._partitioners: dict[str, Partitioner] = {}

    def append(self, snapshot: Snapshot) -> None:
        """Hand everything to the producer, in an open transaction."""
        append, now_ms = self.producer.append, self._now_ms()
        self.append_outputs(snapshot.outputs)
        for (place, partition), parts in snapshot.rows.items():
            topic, codec = self._codecs[place]
            values = codec.encode(parts)
            append(topic, partition, Columns(values, [now_ms] * len(values)))
        for (topic, partition), changes in snapshot.changes.items():
            append(topic, partition, changes.columns(now_ms))

    def append_outputs(self, outputs: Outputs) -> None:
        """Hand records to the producer, each to the partition of its key."""
        now_ms = self._now_ms()
        for topic, batches in outputs.items():
            partitioner = self._partitioner(topic)
            for records in batches:
                for partition, part in partitioner.split(records, now_ms).items():
                    found = part.records
                    columns = Columns(found.values, found.times or [], found.keys, found.headers)
                    self.producer.append(topic, partition, columns)

    async def commit(self, snapshot: Snapshot, member: GroupMember) -> None:
        """Commit what was appended, with the positions.

        Raises:
            BrokerError: it is not committed, or it is not known; see :class:`TransactionalProducer`.
        """
        await self.producer.commit(snapshot.positions, member)

    def _partitioner(self, topic: str) -> Partitioner:
        found = self._partitioners.get(topic)
        if found is None:
            found = self._partitioners[topic] = Partitioner(self._partitions(topic))
        return found
