"""Topics of the worker's own log as outputs."""

from __future__ import annotations

from collections.abc import Callable

from headrace.runtime.log import Log
from headrace.runtime.partitioning import KeyReader, Partitioner
from headrace.runtime.records import Records
from headrace.state.protocol import Batch


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

    def __init__(
        self,
        staging: LogStaging,
        topic: str,
        partitions: int,
        now_ms: Callable[[], int],
        key_of: KeyReader | None = None,
    ) -> None:
        """Write to ``topic``; it is made if it is not there, and else keeps its number of partitions.

        ``key_of`` reads the key that readers of the topic declare; None: none of them declares one.
        """
        self._staging = staging
        self._topic = topic
        self._now_ms = now_ms
        self._partitions = staging.log.partitions(topic) or partitions
        self._partitioner = Partitioner(self._partitions, key_of)

    def stage(self, batch: Batch, records: Records) -> None:
        """Add the records to the checkpoint."""
        self._staging.begin()
        log = self._staging.log
        log.stage_topic(batch, self._topic, self._partitions)
        for partition, part in self._partitioner.split(records, self._now_ms()).items():
            log.stage(batch, self._topic, partition, part.records)

    def committed(self) -> None:
        """Do nothing: the staging ends with the whole checkpoint."""
