"""A partition of the worker's own log as an input."""

from __future__ import annotations

from collections.abc import Callable

from headrace.errors import StateError
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
        """Return the records from offset ``position`` on.

        Raises:
            StateError: the log has given up records there.
        """
        # Asked before reading: what is appended in between is then still seen next time.
        closed = self._closed()
        if position >= self._log.end(self._topic, self._partition):
            return Slice(Records([]), position, ended=closed)
        kept = self._log.start(self._topic, self._partition)
        if position < kept:
            raise StateError(given_up(self._topic, self._partition, position, kept))
        found = self._log.read(self._topic, self._partition, position, max_records=_RECORDS, max_bytes=max_bytes)
        records = Records(found.values, found.keys, found.times, found.headers)
        return Slice(records, found.next_offset, ended=False)

    def drained(self, position: int) -> bool:
        """Tell whether all that was appended has been read."""
        return position >= self._log.end(self._topic, self._partition)

    def committed(self, position: int) -> None:
        """Do nothing: the log's retention asks for positions itself."""

    def close(self) -> None:
        """Do nothing: the log is the worker's."""


def given_up(topic: str, partition: int, position: int, kept: int) -> str:
    """Return the message for records that a reader has still to read and the log no longer has."""
    return (
        f"topic {topic!r}, partition {partition}: read up to offset {position}, and the log keeps records from {kept} "
        f"on: {kept - position} were given up before they were read. Give the source another id to go on with what "
        "is kept, or begin with another data directory."
    )
