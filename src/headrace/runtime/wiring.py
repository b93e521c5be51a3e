"""From topologies and what the command line names to pipelines: who reads what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.config import WorkerSettings
from headrace.errors import ConfigError, StateError
from headrace.plan import Plan
from headrace.plan.model import SourceSpec
from headrace.runtime.engine import Engine
from headrace.runtime.inputs.base import Input
from headrace.runtime.inputs.fingerprint import FileMark, check_file
from headrace.runtime.inputs.logs import LogInput, given_up
from headrace.runtime.inputs.opening import expand, is_stream, open_followed, open_input
from headrace.runtime.log import Log
from headrace.runtime.pipeline import Feeder
from headrace.runtime.readers import Reader, Readers, log_channel
from headrace.state.protocol import Backend
from headrace.topology.expr import Column
from headrace.topology.nodes import Sink, Source
from headrace.topology.operator import Port


@dataclass(frozen=True, slots=True)
class Routes:
    """Which topics come from where.

    ``files`` and ``streams`` are the inputs given, by topic; ``writers`` the topologies that
    write a topic; ``bounded``: the run ends by itself.
    """

    plans: tuple[Plan, ...]
    files: Mapping[str, tuple[Path, ...]]
    streams: Mapping[str, tuple[str, ...]]
    writers: Mapping[str, tuple[str, ...]]
    bounded: bool

    @property
    def sources(self) -> dict[str, list[Source]]:
        """The sources of each topic that is read."""
        found: dict[str, list[Source]] = {}
        for plan in self.plans:
            for spec in plan.sources:
                found.setdefault(spec.topic, []).append(spec.node)
        return found

    @property
    def logged(self) -> tuple[str, ...]:
        """The topics that are read from the log, sorted."""
        return tuple(sorted(topic for topic in self.sources if topic not in self.files))

    @property
    def readers(self) -> frozenset[Reader]:
        """The sources that read the log."""
        specs = ((plan.name, spec) for plan in self.plans for spec in plan.sources)
        return frozenset(Reader(name, spec.id, spec.topic) for name, spec in specs if spec.topic not in self.files)

    def partitions(self, topic: str, default: int) -> int:
        """Return how many partitions a new topic of the log gets.

        A topic that is read is spread only if its readers agree on a plain column as its key:
        otherwise records of one key, and the order of those without, would be torn apart.
        """
        readers = self.sources.get(topic)
        if readers is None:
            return default
        keys = {source.key.path if isinstance(source.key, Column) else None for source in readers}
        return default if len(keys) == 1 and None not in keys else 1


def route(plans: Sequence[Plan], inputs: Mapping[str, Sequence[str]], *, follow: bool, drain: bool) -> Routes:
    """Sort out the inputs.

    Raises:
        ConfigError: an input is for a topic that is not read, or names nothing.
    """
    topics = {spec.topic for plan in plans for spec in plan.sources}
    for topic in inputs:
        if topic not in topics:
            known = ", ".join(sorted(topics)) or "none"
            msg = f"input for topic {topic!r}: no topology reads it; topics that are read: {known}"
            raise ConfigError(msg)
    files: dict[str, tuple[Path, ...]] = {}
    streams: dict[str, tuple[str, ...]] = {}
    for topic, specs in inputs.items():
        once = tuple(spec for spec in specs if is_stream(spec))
        if once and len(once) < len(specs):
            msg = f"input for topic {topic!r}: expected files, or a stream such as '-', got both: {', '.join(specs)}"
            raise ConfigError(msg)
        if once:
            streams[topic] = once
        else:
            files[topic] = tuple(dict.fromkeys(path for spec in specs for path in expand(spec)))
    if [spec for specs in streams.values() for spec in specs].count("-") > 1:
        msg = "standard input ('-') can feed one topic only"
        raise ConfigError(msg)
    writers = {topic: tuple(plan.name for plan in plans if writes(plan, topic)) for topic in topics}
    endless = follow and bool(files)
    fed = all(topic in inputs or writers[topic] for topic in topics)
    return Routes(tuple(plans), files, streams, writers, drain or (bool(inputs) and fed and not endless))


def writes(plan: Plan, topic: str) -> bool:
    """Tell whether a plan may write a topic: one whose sinks choose it by expression may write any."""
    sinks = [step.node.topic for step in plan.steps if isinstance(step.node, Sink)]
    return any(not isinstance(name, str) or name == topic for name in sinks)


class Feeding:
    """Opens the inputs of engines."""

    def __init__(  # noqa: PLR0913
        self,
        routes: Routes,
        log: Log,
        backend: Backend,
        settings: WorkerSettings,
        *,
        follow: bool,
        closed: Callable[[str], bool],
    ) -> None:
        """Remember who reads the log; ``closed`` tells whether a topic of it has ended."""
        self._routes, self._log, self._backend, self._settings = routes, log, backend, settings
        self._follow, self._closed = follow, closed
        self.readers = Readers(backend, log, routes.readers)

    def feeders(self, engine: Engine) -> list[Feeder]:
        """Open the inputs of one engine.

        Raises:
            ConfigError: a file cannot be opened, or is not what was read before.
            StateError: the log no longer has what a source has still to read.
        """
        found: list[Feeder] = []
        for spec in engine.plan.sources:
            if spec.topic not in self._routes.files:
                reader = Reader(engine.plan.name, spec.id, spec.topic)
                partitions = range(self._log.partitions(spec.topic) or 0)
                found += [self._from_log(engine, reader, partition) for partition in partitions]
            else:
                found += [self._from_file(engine, spec, path) for path in self._routes.files[spec.topic]]
        return found

    def _from_log(self, engine: Engine, reader: Reader, partition: int) -> Feeder:
        topic = reader.topic
        task, name = log_channel(partition, self._settings.partitions)
        channel = engine.channel(reader.source, task, name)
        channel.position = max(channel.position, self.readers.begin(reader, partition))
        kept = self._log.start(topic, partition)
        if channel.position < kept:
            raise StateError(given_up(topic, partition, channel.position, kept))
        source = LogInput(self._log, topic, partition, lambda: self._closed(topic))
        return Feeder(channel, source, topic, partition, channel.position)

    def _from_file(self, engine: Engine, spec: SourceSpec, path: Path) -> Feeder:
        # Always the same task: files come and go, and where a file's position is kept must not change.
        channel = engine.channel(spec.id, 0, f"file:{path}")
        mark, longest = FileMark(self._backend, path), int(self._settings.max_record_bytes)
        source: Input
        if self._follow:
            source = open_followed(path, mark, channel.position, max_line=longest)
        else:
            check_file(mark, path, channel.position)
            source = open_input(path, spec.node.schema, max_line=longest, read=_fields_read(engine.plan, spec))
        return Feeder(channel, source, spec.topic, None, channel.position)


def _fields_read(plan: Plan, spec: SourceSpec) -> frozenset[str]:
    """Return the fields of a source's schema that are decoded and checked."""
    if spec.node.full_validation:
        return frozenset(spec.node.schema.model_fields)
    return frozenset(path[0] for path in plan.required.get(Port(spec.id), ()))


def check_outputs(plans: Sequence[Plan], outputs: Mapping[str, str]) -> None:
    """Refuse an output for a topic that nothing writes.

    Raises:
        ConfigError: names the topics that are written.
    """
    letters = {plan.dead_letter_topic for plan in plans}
    for topic in outputs:
        if topic not in letters and not any(writes(plan, topic) for plan in plans):
            known = sorted({name for plan in plans for name in plan.sink_topics} | letters)
            msg = f"output for topic {topic!r}: no topology writes it; topics that are written: {', '.join(known)}"
            raise ConfigError(msg)
