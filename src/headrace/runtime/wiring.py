"""From topologies and what the command line names to pipelines: who reads what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.config import WorkerSettings
from headrace.errors import ConfigError
from headrace.plan import Plan
from headrace.runtime.engine import Engine
from headrace.runtime.fingerprint import check_file
from headrace.runtime.ingest import KeyReader, key_reader
from headrace.runtime.inputs.logs import LogInput
from headrace.runtime.inputs.opening import expand, is_stream, open_input
from headrace.runtime.log import Log
from headrace.runtime.pipeline import Feeder
from headrace.state.protocol import Backend
from headrace.topology.expr import Column
from headrace.topology.nodes import Sink, Source

LOG_CHANNEL = "log"


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

    def keys(self) -> dict[str, KeyReader | None]:
        """Return how to read the key of a record of each topic that is read from the log."""
        sources = self.sources
        readers = {topic: [r for s in sources[topic] if (r := key_reader(s)) is not None] for topic in self.logged}
        return {topic: found[0] if found else None for topic, found in readers.items()}

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


def feeders(  # noqa: PLR0913
    routes: Routes,
    engine: Engine,
    log: Log,
    backend: Backend,
    settings: WorkerSettings,
    *,
    follow: bool,
    closed: Callable[[str], bool],
) -> list[Feeder]:
    """Open the inputs of one engine. ``closed`` tells whether a topic of the log has ended."""
    found: list[Feeder] = []
    for spec in engine.plan.sources:
        topic = spec.topic
        if topic not in routes.files:
            for partition in range(log.topics()[topic]):
                channel = engine.channel(spec.id, partition % settings.partitions, _log_name(partition, settings))
                source = LogInput(log, topic, partition, lambda topic=topic: closed(topic))  # type: ignore[misc]
                found.append(Feeder(channel, source, topic, partition, channel.position))
            continue
        for path in routes.files[topic]:
            # Always the same task: files come and go, and where a file's position is kept must not change.
            channel = engine.channel(spec.id, 0, f"file:{path}")
            check_file(backend, path, channel.position)
            file = open_input(path, spec.node.schema, max_line=settings.max_record_bytes, follow=follow)
            found.append(Feeder(channel, file, topic, None, channel.position))
    return found


def _log_name(partition: int, settings: WorkerSettings) -> str:
    """Name a partition's channel; a task may read several if the topic has more partitions than there are tasks."""
    return LOG_CHANNEL if partition < settings.partitions else f"{LOG_CHANNEL}:{partition}"


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
