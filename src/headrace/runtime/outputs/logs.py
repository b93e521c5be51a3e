"""Topics of the worker's own log as outputs."""

from __future__ import annotations

from collections.abc import Callable

from headrace.runtime.log import Log
from headrace.runtime.partitioning import partition_for
from headrace.runtime.records import Records
from headrace.state.protocol import Batch

_REMEMBERED = 100_000


class Partitioner:
    """Spread records over the partitions of a topic: by key as Kafka does, without a key to the first.

    Records without a key stay together, so that their order is kept.
    """

    def __init__(self, partitions: int) -> None:
        """Spread over this many partitions."""
        self._partitions = partitions
        self._known: dict[bytes | None, int] = {None: 0}

    def split(self, records: Records, now_ms: int) -> dict[int, Records]:
        """Return the records by partition, in their order, with times and keys filled in."""
        count = len(records.values)
        keys: list[bytes | None] = records.keys if records.keys is not None else [None] * count
        times = records.times if records.times is not None else [now_ms] * count
        if self._partitions == 1 or records.keys is None:
            return {0: Records(records.values, keys, times, records.headers)}
        rows: dict[int, list[int]] = {}
        for row, key in enumerate(keys):
            rows.setdefault(self._partition(key), []).append(row)
        headers = records.headers
        return {
            partition: Records(
                [records.values[row] for row in taken],
                [keys[row] for row in taken],
                [times[row] for row in taken],
                None if headers is None else [headers[row] for row in taken],
            )
            for partition, taken in rows.items()
        }

    def _partition(self, key: bytes | None) -> int:
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known = {None: 0}
            # None is always known, so this key is bytes.
            found = self._known[key] = partition_for(key or b"", self._partitions)
        return found


class LogStaging:
    """The log's part in a checkpoint: holds its lock from the first stage to the end."""

    def __init__(self, log: Log) -> None:
        """Stage into ``log``."""
        self.log = log
        self._held = False

    def begin(self) -> None:
        """Take the lock, unless this checkpoint has it already."""
        if not self._held:
            self.log.lock.acquire()
            self._held = True

    def done(self) -> None:
        """The checkpoint was written."""
        if self._held:
            self.log.committed()
            self._release()

    def abort(self) -> None:
        """The checkpoint was not written."""
        if self._held:
            self.log.rolled_back()
            self._release()

    def _release(self) -> None:
        self._held = False
        self.log.lock.release()


class LogOutput:
    """Append to a topic of the log, in the checkpoint's own batch: exactly once."""

    def __init__(self, staging: LogStaging, topic: str, partitions: int, now_ms: Callable[[], int]) -> None:
        """Write to ``topic``; it is made if it is not there, and else keeps its number of partitions."""
        self._staging = staging
        self._topic = topic
        self._now_ms = now_ms
        log = staging.log
        count = log.topics().get(topic)
        if count is None:
            log.create(topic, partitions)
            count = partitions
        self._partitioner = Partitioner(count)

    def stage(self, batch: Batch, records: Records) -> None:
        """Add the records to the checkpoint."""
        self._staging.begin()
        for partition, part in self._partitioner.split(records, self._now_ms()).items():
            self._staging.log.stage(
                batch, self._topic, partition, part.values, part.keys or [], part.times or [], part.headers
            )

    def committed(self) -> None:
        """Do nothing: the staging ends with the whole checkpoint."""
