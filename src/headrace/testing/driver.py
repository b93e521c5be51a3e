"""Drive a topology in the test's own thread: no broker, no sleep, time moved by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from headrace.errors import ConfigError
from headrace.operators.patterns.logic import DetectLogic
from headrace.plan import Plan, compile_plan
from headrace.runtime.engine import Engine, EngineSettings, Stats
from headrace.state.memory import MemoryBackend
from headrace.testing.clock import ManualClock, epoch_ms
from headrace.testing.faults import CrashPoint, FaultyBackend, SimulatedCrash
from headrace.testing.inputs import InputTopic, Value, encode, record_key
from headrace.testing.outputs import DeadLetter, OutputRecord, StoredOutput, dead_letter
from headrace.time.watermark import Channel
from headrace.topology.detect import Detect
from headrace.topology.expr import Expr
from headrace.topology.nodes import Sink, Source
from headrace.topology.topology import Topology


class TopologyDriver:
    """Run a topology on records that a test pipes in, on the engine that the workers run.

    The clock begins at ``start`` and moves only by :meth:`advance`. Input is kept, as by a
    broker: after :meth:`restart` and :meth:`crash` it is read again from where the last
    checkpoint left off. ``batch`` is the most records that the engine gets at once; None:
    all that one :meth:`pipe` brings. With ``partitions`` of more than one, a partition that
    stays silent holds windows open until the source's ``idle_timeout`` has passed.

        >>> from pydantic import BaseModel
        >>> from headrace import Topology, agg, col, tumbling
        >>> class Sale(BaseModel):
        ...     sku: str
        ...     amount: int
        >>> topology = Topology("shop")
        >>> sales = topology.source("sales", topic="sales", schema=Sale)
        >>> hourly = sales.group_by("by-sku", col.sku).window(tumbling("1h"))
        >>> hourly.aggregate("revenue", total=agg.sum(col.amount)).on_close().sink("out", topic="revenue")
        >>> driver = TopologyDriver(topology)
        >>> cups = [{"sku": "tea", "amount": 3}, {"sku": "tea", "amount": 4}]
        >>> driver.pipe("sales", cups, time="2024-01-01T08:10:00Z")
        >>> driver.output("revenue")
        []
        >>> driver.pipe("sales", {"sku": "tea", "amount": 5}, time="2024-01-01T09:00:00Z")
        >>> for row in driver.output("revenue"):
        ...     print(row["sku"], row["window_start"], row["total"])
        tea 2024-01-01T08:00:00Z 7
    """

    def __init__(
        self,
        topology: Topology,
        *,
        partitions: int = 1,
        start: str | datetime = "2024-01-01T00:00:00Z",
        batch: int | None = None,
        cache_bytes: int = 64 << 20,
    ) -> None:
        """Compile the topology and begin with empty state.

        Raises:
            TopologyError: the declaration is wrong; all faults are listed.
            ConfigError: an argument is wrong, such as a ``start`` that is no time.
        """
        _check_kind(topology, Topology, "topology: expected a Topology")
        if batch is not None and batch < 1:
            msg = f"batch: expected 1 or more, or None for all that a pipe() brings, got {batch}"
            raise ConfigError(msg)
        self.plan: Plan = compile_plan(topology)
        self.clock = ManualClock(start)
        self.backend = FaultyBackend(MemoryBackend())
        self.batch = batch
        self._settings = EngineSettings(partitions=partitions, cache_bytes=cache_bytes)
        self._topics = {source.topic: InputTopic(partitions) for source in self.plan.sources}
        self._keys = {node.topic: node.key for node in topology.nodes if isinstance(node, Source)}
        self._arrivals = 0
        self._drained: dict[str, int] = {}
        self._finished = False
        self._open()

    @property
    def stats(self) -> Stats:
        """The engine's counters since it was last started."""
        return self._engine.stats

    def pipe(
        self,
        topic: str,
        values: Value | Sequence[Value],
        *,
        time: str | datetime | None = None,
        key: str | bytes | None = None,
        partition: int | None = None,
    ) -> None:
        """Append one record or several to an input topic and process them.

        ``time`` is the record timestamp; by default the driver's clock. Without ``key`` and
        ``partition`` a record goes to the partition of the source's key column, if it has one.

        Raises:
            ConfigError: no source reads the topic, it has no such partition, ``time`` is no time, or
                the input has been finished.
            DataError: a record is wrong and its source says ``on_error=OnError.FAIL``.
        """
        self._check_open(topic)
        self._check_partition(topic, partition)
        time_ms = self.clock() if time is None else epoch_ms(time)
        given = key.encode() if isinstance(key, str) else key
        for value in values if isinstance(values, Sequence) and not isinstance(values, bytes) else [values]:
            raw = encode(value)
            named = record_key(raw, self._keys[topic]) if given is None else given
            self._topics[topic].append(raw, named, time_ms, self._arrivals, partition)
        self._arrivals += 1
        self._process()

    def advance(self, duration: str | timedelta) -> None:
        """Move the processing clock: idle inputs leave the watermark, silent windows close."""
        self.clock.advance(duration)
        self._engine.advance()
        self._engine.settle()

    def checkpoint(self) -> None:
        """Make everything so far durable: state, positions, outputs."""
        self._engine.checkpoint()

    def finish(self) -> None:
        """End the input: every window closes, and a checkpoint is made."""
        self._finished = True
        self._end_inputs()
        self.checkpoint()

    def output(self, topic: str, *, checkpoint: bool = True) -> list[Any]:
        """Return the committed records of a topic since the last call, decoded from JSON.

        They are as a consumer reads them: times and decimals are text, Inf and NaN are null.

        Raises:
            ConfigError: no sink writes the topic.
        """
        return [record.json() for record in self.records(topic, checkpoint=checkpoint)]

    def records(self, topic: str, *, checkpoint: bool = True) -> list[OutputRecord]:
        """Return the committed records of a topic since the last call, with key, time and headers.

        Raises:
            ConfigError: no sink writes the topic.
        """
        self._check_output(topic)
        if checkpoint:
            self.checkpoint()
        start = self._drained.get(topic, 0)
        found = self._output(topic).read(start)
        self._drained[topic] = start + len(found)
        return found

    def dead_letters(self, *, checkpoint: bool = True) -> list[DeadLetter]:
        """Return the dead letters since the last call."""
        topic = f"{self.plan.name}.dead-letters"
        return [dead_letter(record) for record in self.records(topic, checkpoint=checkpoint)]

    def table(self, name: str, *, checkpoint: bool = True) -> list[dict[str, Any]]:
        """Return all committed rows of a table, in the order of its keys and windows.

        Values are as Python has them: a time is an aware datetime, a Decimal a Decimal.

        Raises:
            ConfigError: there is no such table.
        """
        specs = {table.name: table for table in self.plan.tables}
        spec = specs.get(name)
        if spec is None:
            msg = f"topology {self.plan.name!r} has no table {name!r}; {_known(specs)}"
            raise ConfigError(msg)
        if checkpoint:
            self.checkpoint()
        columns = [column for column, _ in spec.key] + (["window_start"] if spec.windowed else [])
        return sorted(self._engine.tables[name].scan(), key=lambda row: tuple(row[column] for column in columns))

    def explain(self, step: str, key: Any = ()) -> list[str]:
        """Return what happened to the runs of a key since the driver was made or restarted, line by line.

        ``step`` is one that finds a pattern; ``key`` the value of the key column, or a tuple if it has several.

        Raises:
            ConfigError: there is no such step.
        """
        return [line for logic in self._patterns(step) for line in logic.trace().lines.get(key, [])]

    def held(self, step: str, key: Any = ()) -> list[dict[str, Any]]:
        """Return the events that the live runs of a key hold, with the columns that the pattern keeps of them.

        Raises:
            ConfigError: there is no such step.
        """
        return [event for logic in self._patterns(step) for event in logic.held(key)]

    def _patterns(self, step: str) -> list[DetectLogic]:
        found = [logic for logic in self._engine.logics(step) if isinstance(logic, DetectLogic)]
        if not found:
            steps = [s.id for s in self.plan.steps if isinstance(s.node, Detect)]
            msg = f"topology {self.plan.name!r} has no step {step!r} that finds a pattern; {_known(steps)}"
            raise ConfigError(msg)
        return found

    def restart(self) -> None:
        """Stop without a checkpoint and start again from the last one."""
        self._finished = False
        self._open()
        self._process()

    def crash(self, point: CrashPoint) -> None:
        """Die at a point of a checkpoint's write, and start again from what is on disk.

        Raises:
            ConfigError: it is no such point.
        """
        _check_kind(point, CrashPoint, f"point: expected one of {', '.join(map(str, CrashPoint))}")
        self.backend.crash_at(point)
        with suppress(SimulatedCrash):
            self._engine.checkpoint()
        self.backend.reopen()
        self.restart()

    def _open(self) -> None:
        self._outputs: dict[str, StoredOutput] = {}
        self._engine = Engine(self.plan, self.backend, self._settings, now_ms=self.clock, outputs=self._output)
        self._channels: list[tuple[Channel, InputTopic, int]] = []
        for source in self.plan.sources:
            topic = self._topics[source.topic]
            for number in range(len(topic.partitions)):
                channel = self._engine.channel(source.id, number, f"{source.topic}-{number}")
                self._channels.append((channel, topic, number))
        for node in (step.node for step in self.plan.steps):
            if isinstance(node, Detect):
                for logic in self._patterns(node.id):
                    logic.trace()

    def _output(self, topic: str) -> StoredOutput:
        if topic not in self._outputs:
            self._outputs[topic] = StoredOutput(self.backend, topic)
        return self._outputs[topic]

    def _process(self) -> None:
        """Feed what has not been read, in the order in which it arrived."""
        while unread := self._unread():
            _, place = min(unread)
            channel, topic, number = self._channels[place]
            partition = topic.partitions[number]
            end = partition.end_of_arrival(channel.position, self.batch)
            self._engine.feed(channel, partition.records(channel.position, end), end)
            self._engine.settle()
            if self._engine.cache_full:
                self.checkpoint()
        if self._finished:
            self._end_inputs()

    def _unread(self) -> list[tuple[int, int]]:
        found = []
        for place, (channel, topic, number) in enumerate(self._channels):
            arrivals = topic.partitions[number].arrivals
            if channel.position < len(arrivals):
                found.append((arrivals[channel.position], place))
        return found

    def _end_inputs(self) -> None:
        for channel, _, _ in self._channels:
            self._engine.end(channel)
        self._engine.settle()

    def _check_open(self, topic: str) -> None:
        if topic not in self._topics:
            known = ", ".join(sorted(self._topics))
            msg = f"topology {self.plan.name!r} has no source that reads topic {topic!r}; it reads {known}"
            raise ConfigError(msg)
        if self._finished:
            msg = f"the input of topology {self.plan.name!r} was ended by finish(): pipe in before, or restart()"
            raise ConfigError(msg)

    def _check_partition(self, topic: str, partition: int | None) -> None:
        count = len(self._topics[topic].partitions)
        if partition is not None and not 0 <= partition < count:
            msg = f"topic {topic!r} has partitions 0 to {count - 1}, got partition={partition}; see partitions="
            raise ConfigError(msg)

    def _check_output(self, topic: str) -> None:
        known = {*self.plan.sink_topics, self.plan.dead_letter_topic}
        chosen = any(isinstance(s.node, Sink) and isinstance(s.node.topic, Expr) for s in self.plan.steps)
        # A sink that chooses the topic by an expression may write any.
        if topic not in known and not chosen:
            msg = f"topology {self.plan.name!r} has no sink that writes topic {topic!r}; {_known(known)}"
            raise ConfigError(msg)


def _check_kind(value: object, kind: type, expected: str) -> None:
    if not isinstance(value, kind):
        msg = f"{expected}, got {value!r}"
        raise ConfigError(msg)


def _known(names: Iterable[str]) -> str:
    return f"there are: {', '.join(sorted(names)) or 'none'}"
