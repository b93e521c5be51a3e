"""The partitioned log of the embedded worker: topics on a state backend."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field

from headrace.errors import ConfigError, InternalError, StateError
from headrace.runtime import log_format as fmt
from headrace.runtime.log_format import Chunk, Headers
from headrace.runtime.records import Records
from headrace.state.keys import prefix_end
from headrace.state.protocol import Backend, Batch

_MAX_PARTITIONS = 0xFFFF
_LEGAL_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")  # Kafka's rule
Partition = tuple[int, int]  # topic id, partition


@dataclass(slots=True)
class LogBatch:
    """Consecutive records of one partition, column-wise.

    ``times`` are in milliseconds since 1970; ``headers`` is None if no record has any.
    """

    first_offset: int
    values: list[bytes] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    headers: list[Headers] | None = None

    @property
    def next_offset(self) -> int:
        """Return the offset to read from next."""
        return self.first_offset + len(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def extend(self, chunk: Chunk, skip: int, stop: int) -> None:
        """Append the records [skip, stop) of a chunk."""
        if chunk.headers is not None and self.headers is None:
            self.headers = [()] * len(self.values)
        values = chunk.values[skip:stop]
        self.values += values
        self.times += chunk.times[skip:stop]
        self.keys += [None] * len(values) if chunk.keys is None else chunk.keys[skip:stop]
        if self.headers is not None:
            self.headers += [()] * len(values) if chunk.headers is None else chunk.headers[skip:stop]


class Log:
    """Topics of partitions of records, each record at an offset that never changes.

    Reading is safe from any thread. Who writes holds ``lock`` from the first ``stage``, ``stage_topic`` or
    ``trim`` until the backend has written the batch, and then says :meth:`committed`, or :meth:`rolled_back`.

    Example:
        >>> from headrace.state.memory import MemoryBackend
        >>> log = Log(MemoryBackend())
        >>> log.create("orders", 1)
        >>> log.append("orders", 0, Records([b"first", b"second"], times=[1000, 2000]))
        0
        >>> log.read("orders", 0, 1).values
        [b'second']
    """

    def __init__(self, backend: Backend) -> None:
        """Read what topics there are and where they end."""
        self.lock = threading.RLock()
        self._backend = backend
        self._data = backend.store(fmt.DATA)
        self._meta = backend.store(fmt.META)
        self._topics: dict[str, tuple[int, int]] = {}
        for key, value in self._meta.scan(fmt.TOPIC, prefix_end(fmt.TOPIC)):
            self._topics[key[len(fmt.TOPIC) :].decode()] = fmt.unpack_topic(value)
        self._bounds: dict[Partition, tuple[int, int]] = {}  # first offset kept, next offset
        self._staged: dict[Partition, tuple[int, int]] = {}
        self._staged_topics: list[str] = []
        self._next_number = max((number for number, _ in self._topics.values()), default=0) + 1
        partitions = [(topic, n) for topic, count in self._topics.values() for n in range(count)]
        stored = self._meta.get_many([fmt.bounds_key(*partition) for partition in partitions])
        for partition, bounds in zip(partitions, stored, strict=True):
            self._bounds[partition] = (0, 0) if bounds is None else fmt.unpack_bounds(bounds)

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic at once. If it is there with as many partitions, nothing happens.

        Raises:
            StateError: it is there with another number of partitions.
            ConfigError: no topic can have this name or this number of partitions.
        """
        with self.lock:
            batch = Batch()
            try:
                self.stage_topic(batch, topic, partitions)
                if batch.puts:
                    self._backend.write(batch)
            except BaseException:
                self.rolled_back()
                raise
            self.committed()

    def stage_topic(self, batch: Batch, topic: str, partitions: int) -> None:
        """Make a topic in ``batch``: records for it may be staged in the same one. Raises as :meth:`create`."""
        if not 1 <= partitions <= _MAX_PARTITIONS:
            message = f"topic {topic!r}: expected 1 to {_MAX_PARTITIONS} partitions, got {partitions}"
            raise ConfigError(message)
        if topic in self._topics:
            count = self._topics[topic][1]
            if count == partitions:
                return
            message = (
                f"topic {topic!r} has {count} partitions in this data directory, and {partitions} were asked for. "
                f"Ask for {count}, or use another data directory"
            )
            raise StateError(message)
        if not _LEGAL_TOPIC.fullmatch(topic):
            message = (
                f"topic {topic[:80]!r}: expected a name of 1 to 249 letters, digits, '.', '_' or '-', not '.' or '..'"
            )
            raise ConfigError(message)
        number, self._next_number = self._next_number, self._next_number + 1
        batch.put(fmt.META, fmt.TOPIC + topic.encode(), fmt.pack_topic(number, partitions))
        self._bounds.update({(number, partition): (0, 0) for partition in range(partitions)})
        self._topics[topic] = (number, partitions)
        self._staged_topics.append(topic)

    def topics(self) -> dict[str, int]:
        """Return the number of partitions of each topic, by name."""
        return {name: self._topics[name][1] for name in sorted(self._topics)}

    def partitions(self, topic: str) -> int | None:
        """Return the number of partitions of a topic; None: there is no such topic."""
        entry = self._topics.get(topic)
        return None if entry is None else entry[1]

    def start(self, topic: str, partition: int) -> int:
        """Return the offset of the first record that is kept."""
        return self._bounds[self._partition(topic, partition)][0]

    def end(self, topic: str, partition: int) -> int:
        """Return the offset that the next record will have."""
        return self._bounds[self._partition(topic, partition)][1]

    def _partition(self, topic: str, partition: int) -> Partition:
        entry = self._topics.get(topic)
        if entry is None:
            there = ", ".join(sorted(self._topics)) or "none"
            message = f"there is no topic {topic!r} in this data directory; topics there: {there}"
            raise ConfigError(message)
        number, count = entry
        if not 0 <= partition < count:
            message = f"topic {topic!r} has partitions 0 to {count - 1}, and not {partition}"
            raise ConfigError(message)
        return number, partition

    def _current(self, partition: Partition) -> tuple[int, int]:
        return self._staged.get(partition) or self._bounds[partition]

    def stage(self, batch: Batch, topic: str, partition: int, records: Records) -> int:
        """Add records, which have their times, to ``batch`` and return the offset of the first one."""
        values, keys, times, headers = records.values, records.keys, records.times or [], records.headers
        if any(len(column) != len(values) for column in (times, keys, headers) if column is not None):
            message = f"topic {topic!r}: values, keys, times and headers differ in length"
            raise InternalError(message)
        place = self._partition(topic, partition)
        first, offset = self._current(place)
        data, spans = fmt.data_prefix(*place), fmt.span_prefix(*place)
        for start, end in fmt.cut(values):
            last = offset + end - 1
            some_keys, some_times = keys[start:end] if keys else [], times[start:end]
            chunk = Chunk(
                offset + start,
                values[start:end],
                some_times,
                some_keys if any(key is not None for key in some_keys) else None,
                headers[start:end] if headers and any(headers[start:end]) else None,
            )
            batch.put(fmt.DATA, fmt.at(data, last), fmt.encode_chunk(chunk))
            batch.put(fmt.META, fmt.at(spans, last), fmt.pack_span(offset + start, max(some_times)))
        if values:
            self._stage_bounds(batch, place, first, offset + len(values))
        return offset

    def _stage_bounds(self, batch: Batch, place: Partition, first: int, end: int) -> None:
        self._staged[place] = (first, end)
        batch.put(fmt.META, fmt.bounds_key(*place), fmt.pack_bounds(first, end))

    def committed(self) -> None:
        """Take note that the batch was written."""
        with self.lock:
            self._bounds.update(self._staged)
            self._staged.clear()
            self._staged_topics.clear()

    def rolled_back(self) -> None:
        """Forget what was staged: the batch was not written."""
        with self.lock:
            self._staged.clear()
            for topic in self._staged_topics:
                number, count = self._topics.pop(topic)
                for partition in range(count):
                    del self._bounds[number, partition]
            self._staged_topics.clear()

    def append(self, topic: str, partition: int, records: Records) -> int:
        """Write records at once and return the offset of the first one."""
        with self.lock:
            batch = Batch()
            try:
                first = self.stage(batch, topic, partition, records)
                self._backend.write(batch)
            except BaseException:
                self.rolled_back()
                raise
            self.committed()
            return first

    def read(
        self, topic: str, partition: int, offset: int, *, max_records: int = 5000, max_bytes: int = 4 << 20
    ) -> LogBatch:
        """Return records from ``offset`` on, or from the first one kept if that is later; none at the end.

        There may be fewer than ``max_records``. A record larger than ``max_bytes`` comes alone, with its chunk.
        """
        place = self._partition(topic, partition)
        prefix = fmt.data_prefix(*place)
        result = LogBatch(offset)
        size = 0
        for _, value in self._data.scan(fmt.at(prefix, max(offset, 0)), prefix_end(prefix)):
            chunk: Chunk = fmt.decode_chunk(value)
            size += len(value)
            room = max_records - len(result)
            if result.values:
                # Whole chunks but for the first, so that the next read does not decode this one again.
                if len(chunk.values) > room or size > max_bytes:
                    break
                skip = 0
            else:
                skip = max(offset - chunk.first, 0)
                result.first_offset = chunk.first + skip
            result.extend(chunk, skip, skip + room)
            if size >= max_bytes or len(result) >= max_records:
                break
        if not result.values:
            result.first_offset = max(offset, self._bounds[place][0])
        return result

    def trim(self, batch: Batch, topic: str, partition: int, before: int) -> None:
        """Give up records before offset ``before``, in whole chunks: some of them may stay."""
        place = self._partition(topic, partition)
        spans = fmt.span_prefix(*place)
        first, end = self._bounds[place]
        for _, value in self._meta.scan(fmt.at(spans, max(before, 0)), prefix_end(spans)):
            self._drop(batch, place, fmt.unpack_span(value)[0])
            return
        if before > first:
            self._drop(batch, place, end)

    def _drop(self, batch: Batch, place: Partition, first: int) -> None:
        """Stage the removal of all chunks before offset ``first``, at which a chunk begins."""
        kept, end = self._current(place)
        if first <= kept:
            return
        for store, prefix in ((fmt.DATA, fmt.data_prefix(*place)), (fmt.META, fmt.span_prefix(*place))):
            batch.delete_range(store, fmt.at(prefix, kept), fmt.at(prefix, first))
        self._stage_bounds(batch, place, first, end)
