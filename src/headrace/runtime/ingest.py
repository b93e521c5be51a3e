"""Appending records from outside to the log: HTTP, standard input."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from headrace.errors import ConfigError, DataError, StateError
from headrace.event.decoder import REFUSALS, compile_decoder
from headrace.runtime.log import Log
from headrace.runtime.outputs.logs import Partitioner
from headrace.runtime.records import Records
from headrace.state.protocol import Backend, Batch
from headrace.topology.expr import Column
from headrace.topology.nodes import Source

KeyReader = Callable[[bytes], bytes | None]
Offsets = list[tuple[int, int]]


class Ingest:
    """Appends to the topics that a worker reads, from any thread."""

    def __init__(
        self, log: Log, backend: Backend, keys: Mapping[str, KeyReader | None], now_ms: Callable[[], int]
    ) -> None:
        """Take records for the topics in ``keys``; a reader gives the key of a record that has none."""
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
        count = self._log.topics()[topic]
        reader = self._keys[topic]
        chosen = list(keys) if keys is not None else None
        if chosen is None and reader is not None and count > 1:
            chosen = [reader(value) for value in values]
        # The lock keeps the log open while it is written, and the order of two calls in all partitions.
        with self._open:
            if self._closed:
                msg = "the worker has stopped and takes no records any more"
                raise StateError(msg)
            return self._append(topic, count, Records(list(values), chosen))

    def _append(self, topic: str, count: int, records: Records) -> Offsets:
        partitioner = self._partitioners.setdefault(topic, Partitioner(count))
        now_ms = self._now_ms()
        numbers = Records([str(row).encode() for row in range(len(records.values))], records.keys)
        rows = partitioner.split(numbers, now_ms)
        places: dict[int, tuple[int, int]] = {}
        batch = Batch()
        with self._log.lock:
            try:
                for partition, part in partitioner.split(records, now_ms).items():
                    first = self._log.stage(batch, topic, partition, part.values, part.keys or [], part.times or [])
                    places.update({int(row): (partition, first + n) for n, row in enumerate(rows[partition].values)})
                self._backend.write(batch)
            except BaseException:
                self._log.rolled_back()
                raise
            self._log.committed()
        return [places[row] for row in range(len(places))]

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
            key = extract(decoder.decode(value))
        except REFUSALS:
            try:
                key = extract(decoder.recover(value))
            except DataError:
                return None
        return None if key is None else key if isinstance(key, bytes) else str(key).encode("utf-8", "replace")

    return read
