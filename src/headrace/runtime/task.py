"""A task: one agent on one partition. What generated code is bound to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from headrace.errors import DataError, HeadraceError
from headrace.operators.agent import AgentCode, ExchangeSpec, SinkSpec
from headrace.operators.build import state_view
from headrace.operators.keys import key_bytes
from headrace.operators.kinds import kind_of
from headrace.operators.logic import FAILED, NEVER_MS, Emit, Logic
from headrace.runtime.enriching import connect
from headrace.runtime.partitioning import partition_for
from headrace.runtime.records import Headers, Records
from headrace.state.protocol import Backend, Batch
from headrace.time.instants import END_OF_TIME_MS, START_OF_TIME_MS
from headrace.time.watermark import Channel, Watermarks
from headrace.topology.nodes import OnError

_OVERHEAD, _ROW_BYTES = 100, 300  # of a record and of a row in memory, beside the bytes of the value
_STRIDE, _FEW, _LARGE = 8, 500, 1000
_SHOWN = 500  # characters of a row that an error quotes
_MEMO_LIMIT = 200_000  # keys whose partition is remembered: about 20 MB
_encode = msgspec.json.Encoder(decimal_format="string").encode


@dataclass(slots=True)
class SinkBuffer:
    """What one sink has written since the last cut, column-wise."""

    spec: SinkSpec
    values: list[bytes] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    headers: dict[int, Headers] = field(default_factory=dict)
    """By place; most records have none."""
    _measured: int = 0
    _bytes: int = 0

    def clear(self) -> None:
        """Begin anew, in new lists: the old ones belong to the checkpoint."""
        self.values, self.times, self.keys, self.topics, self.headers = [], [], [], [], {}
        self._measured = self._bytes = 0

    def measure(self) -> int:
        """Return about how many bytes are in memory: by all values if they are few or large, else by every 8th.

        Looks at each once, however often it is asked.
        """
        count = len(self.values) - self._measured
        size = sum(map(len, self.values[self._measured :: _STRIDE])) * _STRIDE
        if count < _FEW or size > count * _LARGE:
            size = sum(map(len, self.values[self._measured :]))
        self._measured += count
        self._bytes += size + count * _OVERHEAD
        return self._bytes


class ExchangeBuffer:
    """Rows on their way to the tasks behind a group_by, per partition."""

    __slots__ = ("_partitions", "appends", "places", "rows", "spec")

    def __init__(self, spec: ExchangeSpec, partitions: int) -> None:
        """Begin empty."""
        self.spec = spec
        self._partitions = partitions
        self.places: dict[Any, int] = {}
        self.rows: list[list[tuple[Any, ...]]] = []
        self.appends: list[Callable[[tuple[Any, ...]], None]] = []
        self.take()

    @property
    def waiting(self) -> int:
        """How many rows there are."""
        return sum(map(len, self.rows))

    def find(self, key: Any) -> int:
        """Return the partition of a key, and remember it."""
        if len(self.places) >= _MEMO_LIMIT:
            self.places.clear()
        place = partition_for(key_bytes(key) or b"", self._partitions) if self._partitions > 1 else 0
        self.places[key] = place
        return place

    def take(self) -> list[list[tuple[Any, ...]]]:
        """Return the rows and begin anew."""
        taken = self.rows
        self.rows = [[] for _ in range(self._partitions)]
        self.appends = [rows.append for rows in self.rows]
        return taken


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be processed, with the reason.

    ``value``, ``key`` and ``headers`` are its own. ``value`` None: a record on Kafka had none.
    """

    step: str
    topic: str
    partition: int
    offset: int
    error: str
    message: str
    time_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Original:
    """A record as it came in, and from where. ``entry`` is the step by which it entered the task."""

    entry: str
    topic: str
    partition: int
    offset: int
    time_ms: int
    key: bytes | None
    value: bytes
    headers: Headers = ()


OutputRecord = tuple[int, bytes | None, bytes, Headers]
"""A record on its way out: event time, key, value, headers."""


@dataclass(slots=True)
class Counters:
    """What a task has counted since it was opened."""

    late: dict[str, int] = field(default_factory=dict)
    dead_letters: int = 0
    skipped: int = 0


class Task:
    """One agent on one partition: its logic, its buffers, its channels."""

    def __init__(self, topology: str, code: AgentCode, partition: int, partitions: int, backend: Backend) -> None:
        """Bind the generated code to fresh buffers and to the state in the backend."""
        self.code, self.partition = code, partition
        self.watermarks = Watermarks([])
        self.watermark_ms = START_OF_TIME_MS
        self._before_end_ms = START_OF_TIME_MS
        self.next_ms = NEVER_MS
        self.now_ms = 0
        self.sinks = [SinkBuffer(spec) for spec in code.sinks]
        self.exchanges = [ExchangeBuffer(spec, partitions) for spec in code.exchanges]
        self.handles: list[list[tuple[int, dict[str, Any]]]] = [[] for _ in code.handles]
        self.dead_letters: list[DeadLetter] = []
        self.counters = Counters()
        self.topics: dict[str, str] = {}
        self.operators: list[Logic] = []
        self.previews: list[Any] = []
        for spec in code.operators:
            view = state_view(topology, spec, backend, partition)
            kind = kind_of(spec.step)
            logic = kind.logic(spec, view, self._emitter(spec.step.id), self._plan_next)
            connect(logic, lambda: self.now_ms, self.fail_handled)
            self.operators.append(logic)
            self.previews.append(kind.preview(spec, view, logic))
        self._delays = [spec.delay_ms for spec in code.operators]

    def restore(self, watermark_ms: int) -> None:
        """Take up the state of the last checkpoint."""
        self.watermark_ms = watermark_ms
        for logic, delay in zip(self.operators, self._delays, strict=True):
            logic.restore(watermark_ms - delay if watermark_ms > START_OF_TIME_MS else watermark_ms)
        self._plan_next()

    def _emitter(self, step: str) -> Emit:
        functions = {port: function for (owner, port), function in self.code.rows.items() if owner == step}

        def emit(port: str, items: Iterable[tuple[Any, Any]], start: int, end: int, watermark_ms: int) -> None:
            function = functions.get(port)
            if function is not None:
                function(self, items, start, end, watermark_ms)
            elif port == FAILED:
                for key, (time_ms, error, columns) in items:
                    self.fail_row(error, step, key, time_ms, columns)

        return emit

    def _plan_next(self) -> None:
        pairs = zip(self.operators, self._delays, strict=True)
        self.next_ms = min((logic.next_ms + delay for logic, delay in pairs), default=NEVER_MS)

    def feed(self, channel: Channel, head: str, records: Records, now_ms: int) -> None:
        """Process a batch of records of a source."""
        self.now_ms = now_ms
        self.watermarks.wake(channel, self.watermark_ms, now_ms)
        self.code.heads[head](self, channel, records)
        self._catch_up()
        self.progress()

    def receive(self, channel: Channel, head: str, rows: list[tuple[Any, ...]]) -> None:
        """Process rows that another task sent."""
        self.code.heads[head](self, channel, rows)
        self._catch_up()

    def _catch_up(self) -> None:
        for logic in self.operators:
            logic.catch_up()

    def fire(self, channel: Channel, watermark_ms: int) -> None:
        """Note a channel's watermark in the middle of a batch; called by generated code when something may be due."""
        channel.watermark_ms = max(channel.watermark_ms, watermark_ms)
        self._catch_up()  # what came before this moment is done with before time moves on
        self.progress()

    def progress(self) -> None:
        """Bring the task's watermark up to what its channels allow."""
        watermark_ms = self.watermarks.minimum()
        if watermark_ms > self.watermark_ms:
            if watermark_ms >= END_OF_TIME_MS:
                self._before_end_ms = self.watermark_ms
            if watermark_ms >= self.next_ms:
                for logic, delay in zip(self.operators, self._delays, strict=True):
                    logic.advance(watermark_ms - delay)
            self.watermark_ms = watermark_ms
            self._plan_next()

    def cut(self, batch: Batch) -> None:
        """Emit changes and add all changed state to the batch."""
        for logic, delay in zip(self.operators, self._delays, strict=True):
            if self.watermark_ms > START_OF_TIME_MS:
                logic.advance(self.watermark_ms - delay)
            logic.cut(batch)

    @property
    def resume_ms(self) -> int:
        """The watermark to go on from after a restart.

        The end of bounded inputs is no point in time: what comes after it is late only for windows that it closed.
        """
        if self.watermark_ms < END_OF_TIME_MS:
            return self.watermark_ms
        closed = (logic.closed_ms + delay for logic, delay in zip(self.operators, self._delays, strict=True))
        seen = (channel.watermark_ms for channel in self.watermarks.channels)
        return max(START_OF_TIME_MS, self._before_end_ms, *closed, *seen)

    def late(self, step: str) -> None:
        """Count a late record."""
        self.counters.late[step] = self.counters.late.get(step, 0) + 1

    def fail(self, error: Exception, channel: Channel, records: Records, index: int) -> None:
        """Take a record out that a step failed on; what the input has against it is the better reason."""
        if records.faults and index in records.faults:
            error = DataError(records.faults[index]).with_traceback(error.__traceback__)
        original = Original(
            channel.source,
            self.topics.get(channel.source, channel.name),
            channel.partition,
            channel.position + index if records.offsets is None else records.offsets[index],
            records.times[index] if records.times is not None else self.now_ms,
            records.keys[index] if records.keys is not None else None,
            records.values[index],
            records.headers[index] if records.headers is not None else (),
        )
        self._fail(error, original)

    def fail_row(self, error: Exception, step: str, key: object, time_ms: int, columns: dict[str, object]) -> None:
        """Take a row out that came from another task or a stateful step; its columns stand for the record."""
        value = _text({"step": step, "key": key, "time_ms": time_ms, "columns": columns})
        self._fail(error, Original(step, f"{step} (derived)", self.partition, -1, time_ms, _key(key), value))

    def fail_handled(self, error: Exception, step: str, row: dict[str, Any], time_ms: int) -> None:
        """Take a row out that a handler failed on for good."""
        original = Original(step, f"{step} (handler)", self.partition, -1, time_ms, None, _text(row))
        self._settle(error, step, original)

    def fail_output(self, error: DataError, step: str, topic: str, record: OutputRecord) -> None:
        """Take a record out that a sink has made and its topic does not take."""
        time_ms, key, value, headers = record
        self._settle(error, step, Original(step, f"{topic} (output)", self.partition, -1, time_ms, key, value, headers))

    def _fail(self, error: Exception, original: Original) -> None:
        if isinstance(error, HeadraceError) and not isinstance(error, DataError):
            raise error
        self._settle(error, self._step_of(error, original.entry), original)

    def _settle(self, error: Exception, step: str, original: Original) -> None:
        """Do with a record that failed at a step what the policy of its entry says."""
        topic, partition, offset = original.topic, original.partition, original.offset
        message = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
        match self.code.policies[original.entry]:
            case OnError.FAIL:
                record = f"topic {topic}, partition {partition}, offset {offset}"
                # What went through steps has no place of its own: it is shown itself.
                origin = record if offset >= 0 else f"row {original.value[:_SHOWN].decode(errors='replace')}"
                text = f"step {step!r}: {message} ({origin})"
                raise DataError(text) from error
            case OnError.SKIP:
                self.counters.skipped += 1
            case OnError.DEAD_LETTER:
                self.counters.dead_letters += 1
                self.dead_letters.append(
                    DeadLetter(
                        step,
                        topic,
                        partition,
                        offset,
                        type(error).__name__,
                        message,
                        original.time_ms,
                        original.key,
                        original.value,
                        original.headers,
                    )
                )

    def _step_of(self, error: Exception, entry: str) -> str:
        """Return the step whose generated line raised; if none did, the one by which the record entered."""
        trace, line = error.__traceback__, 0
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self.code.filename:
                line = trace.tb_lineno
            trace = trace.tb_next
        return self.code.steps_by_line[line] or entry

    @property
    def state_bytes(self) -> int:
        """About how many bytes of states are in memory."""
        return sum(logic.size() * logic.footprint.state_bytes for logic in self.operators)

    @property
    def output_bytes(self) -> int:
        """About how many bytes of output wait for the next cut."""
        outputs = sum(buffer.measure() for buffer in self.sinks)
        letters = sum(len(letter.value or b"") + _ROW_BYTES for letter in self.dead_letters)
        rows = sum(buffer.waiting for buffer in self.exchanges) + sum(map(len, self.handles))
        return outputs + letters + rows * _ROW_BYTES


def shrink(tasks: Collection[Task], cache_bytes: int) -> None:
    """Forget clean states, if all tasks' take more than half of what they may: the rest is for the next ones."""
    total, kept = sum(task.state_bytes for task in tasks), cache_bytes // 2
    if total > kept:
        for logic in (logic for task in tasks for logic in task.operators):
            logic.evict(logic.size() * kept // total)


def _text(row: dict[str, Any]) -> bytes:
    """Return a row that failed as JSON, or as Python shows it: what made it fail may have no JSON."""
    try:
        return _encode(row)
    except (TypeError, ValueError):
        return repr(row).encode(errors="backslashreplace")


def _key(key: object) -> bytes:
    try:
        return key_bytes(key) or b""
    except (TypeError, ValueError):
        return repr(key).encode(errors="backslashreplace")
