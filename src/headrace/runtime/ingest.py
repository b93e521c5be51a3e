"""Appending records from outside to the log: HTTP, standard input."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence

from headrace.errors import ConfigError, DataError, StateError
from headrace.event.decoder import REFUSALS, compile_decoder
from headrace.operators.keys import key_bytes
from headrace.runtime.log import Log
from headrace.runtime.partitioning import KeyReader, Partitioner
from headrace.runtime.records import Records
from headrace.state.protocol import Backend, Batch
from headrace.topology.expr import Column
from headrace.topology.nodes import Source

# Records that are sorted into partitions at a time: what that takes for each of them does not add up.
_SLICE = 20_000


class Offsets:
    """The (partition, offset) of each record appended, in ten bytes a record."""

    def __init__(self, count: int) -> None:
        """Make room for this many."""
        self._partitions = array("H", bytes(2 * count))
        self._offsets = array("Q", bytes(8 * count))

    def put(self, start: int, rows: Sequence[int], partition: int, first: int) -> None:
        """Note that the records at ``start`` + ``rows`` are in ``partition``, one after the other from ``first`` on."""
        if isinstance(rows, range):
            taken = slice(start + rows.start, start + rows.stop)
            self._partitions[taken] = array("H", [partition]) * len(rows)
            self._offsets[taken] = array("Q", range(first, first + len(rows)))
            return
        for offset, row in enumerate(rows, first):
            self._partitions[start + row] = partition
            self._offsets[start + row] = offset

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, row: int) -> tuple[int, int]:
        return self._partitions[row], self._offsets[row]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._partitions, self._offsets, strict=True)


class Ingest:
    """Appends to the topics that a worker reads, from any thread."""

    def __init__(
        self, log: Log, backend: Backend, keys: Mapping[str, KeyReader | None], now_ms: Callable[[], int]
    ) -> None:
        """Take records for the topics in ``keys``; a reader gives the key that a topic is partitioned by."""
        self._log = log
        self._backend = backend
        self._keys = keys
        self._now_ms = now_ms
        self._open = threading.Lock()
        self._closed = False
        self._partitioners: dict[str, Partitioner] = {}

    def append(self, topic: str, values: Sequence[bytes], keys: Sequence[bytes | None] | None = None) -> Offsets:
        """Append records; they are on disk when this returns the (partition, offset) of each.

        Raises:
            ConfigError: the worker does not read this topic.
            StateError: they could not be written, or the worker has stopped: nothing was appended.
        """
        if topic not in self._keys:
            known = ", ".join(sorted(self._keys)) or "none"
            msg = f"topic {topic!r} is not read from the log by any topology here; topics that are: {known}"
            raise ConfigError(msg)
        # The lock keeps the log open while it is written, and the order of two calls in all partitions.
        with self._open:
            if self._closed:
                msg = "the worker has stopped and takes no records any more"
                raise StateError(msg)
            return self._append(topic, values, keys)

    def _append(self, topic: str, values: Sequence[bytes], keys: Sequence[bytes | None] | None) -> Offsets:
        partitioner = self._partitioners.get(topic)
        if partitioner is None:
            partitioner = Partitioner(self._log.partitions(topic) or 1, self._keys[topic])
            self._partitioners[topic] = partitioner
        now_ms = self._now_ms()
        offsets, batch = Offsets(len(values)), Batch()
        with self._log.lock:
            try:
                for start in range(0, len(values), _SLICE):
                    end = start + _SLICE
                    some = Records(list(values[start:end]), None if keys is None else list(keys[start:end]))
                    for partition, part in partitioner.split(some, now_ms).items():
                        first = self._log.stage(batch, topic, partition, part.records)
                        offsets.put(start, part.rows, partition, first)
                self._backend.write(batch)
            except BaseException:
                self._log.rolled_back()
                raise
            self._log.committed()
        return offsets

    def close(self) -> None:
        """Refuse further records; one that is being appended is waited for."""
        with self._open:
            self._closed = True


def key_reader(source: Source) -> KeyReader | None:
    """Return what reads a record's key by the source's declared key column, if that is a plain column.

    A record that cannot be decoded has no key; its source makes it a dead letter.
    """
    if not isinstance(source.key, Column):
        return None
    path = tuple(source.key.path)
    decoder = compile_decoder(source.schema, [path])
    # The text is the decoder's own: no user's text is evaluated.
    extract: Callable[[object], object] = eval(f"lambda r: {decoder.access[path]}", dict(decoder.names))  # noqa: S307

    def read(value: bytes) -> bytes | None:
        try:
            return _bytes(extract(decoder.decode(value)))
        except REFUSALS:
            try:
                return _bytes(extract(decoder.recover(value)))
            except DataError:
                return None

    return read


def _bytes(key: object) -> bytes | None:
    """Return the one form of a key, in which equal keys are equal: 1.50 is 1.5."""
    try:
        return key_bytes(key)
    except UnicodeEncodeError:  # half of a surrogate pair
        return None
