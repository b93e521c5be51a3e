"""A partition of the worker's own log as an input."""

from __future__ import annotations

from collections.abc import Callable

from headrace.runtime.inputs.base import Slice
from headrace.runtime.log import Log
from headrace.runtime.records import Records

_RECORDS = 5_000


class LogInput:
    """The records of one partition of a topic, positions are offsets.

    ``closed`` tells whether nothing will be appended any more; the input ends then with the
    last record.
    """

    def __init__(self, log: Log, topic: str, partition: int, closed: Callable[[], bool]) -> None:
        """Read ``partition`` of ``topic``."""
        self._log = log
        self._topic = topic
        self._partition = partition
        self._closed = closed

    def read(self, position: int, max_bytes: int) -> Slice:
        """Return the records from offset ``position`` on."""
        # Asked before reading: what is appended in between is then still seen next time.
        closed = self._closed()
        if position >= self._log.end(self._topic, self._partition):
            return Slice(Records([]), position, ended=closed)
        found = self._log.read(self._topic, self._partition, position, max_records=_RECORDS, max_bytes=max_bytes)
        records = Records(found.values, found.keys, found.times, found.headers)
        return Slice(records, found.next_offset, ended=False)

    def close(self) -> None:
        """Do nothing: the log is the worker's."""
