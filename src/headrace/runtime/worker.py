"""The embedded worker: topologies on one machine, with no broker, exactly once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from headrace.config import WorkerSettings
from headrace.errors import ConfigError
from headrace.plan import Plan, compile_plan
from headrace.runtime.directory import claim, remember
from headrace.runtime.ending import Ending
from headrace.runtime.engine import Engine, EngineSettings, refuse_other
from headrace.runtime.ingest import Ingest, Offsets
from headrace.runtime.keying import key_readers
from headrace.runtime.log import Log
from headrace.runtime.outputs import LogStaging, Outputs
from headrace.runtime.pipeline import Pipeline
from headrace.runtime.retention import Place, Retention
from headrace.runtime.schedule import Schedule, wall_clock_ms
from headrace.runtime.streams import StreamReader
from headrace.runtime.summary import Summary
from headrace.runtime.wiring import Feeding, check_outputs, route
from headrace.state.protocol import Backend
from headrace.topology.topology import Topology

_OUTPUT_BYTES = 16 << 20  # of output in memory: a checkpoint is due


class Worker:
    """Runs topologies in this process, on one data directory that it owns.

    Files are read in place; standard input and what :meth:`ingest` takes are logged first.
    Topics that are not given an output go to the log. A worker whose sources all have bounded
    inputs ends with the last record; another runs until :meth:`stop`. Killed at any moment
    and started again with the same directory, it goes on where it was, and nothing is lost
    or done twice.

    :meth:`run` is for one thread; :meth:`ingest`, :meth:`stop`, :meth:`status` and the tables
    are for any. Close a worker, or use it in a ``with`` block.
    """

    def __init__(  # noqa: PLR0913
        self,
        topologies: Sequence[Topology],
        settings: WorkerSettings | None = None,
        *,
        inputs: Mapping[str, Sequence[str]] | None = None,
        outputs: Mapping[str, str] | None = None,
        follow: bool = False,
        drain: bool = False,
        target: str = "",
    ) -> None:
        """Open the data directory and every input and output.

        Args:
            topologies: What to run.
            settings: How to run it.
            inputs: For each topic files, directories, patterns, or ``-`` for standard input.
            outputs: For each topic a file, or ``-`` for standard output.
            follow: Files grow; read on as they do.
            drain: Nothing will be ingested: sources that read the log end where it ends.
            target: How the command line named the topologies; kept for later commands.

        Raises:
            TopologyError: a topology has faults.
            ConfigError: an input or output is wrong.
            StateError: the data directory is in use, of something else, or broken.
        """
        self.settings = settings or WorkerSettings()
        # A file's records are all of one task, the log's are spread by key: where streams meet, both must be spread.
        self.plans = tuple(compile_plan(topology, scattered=True) for topology in topologies)
        _refuse_twins(self.plans)
        given = {topic: [specs] if isinstance(specs, str) else list(specs) for topic, specs in (inputs or {}).items()}
        self._routes = route(self.plans, given, follow=follow, drain=drain)
        check_outputs(self.plans, outputs or {})
        self._stopping = False
        self._wake = threading.Event()
        self._started = time.monotonic()
        with ExitStack() as opened:
            self._open(opened, outputs or {}, follow=follow, target=target)
            self._closing = opened.pop_all()

    def _open(self, opened: ExitStack, outputs: Mapping[str, str], *, follow: bool, target: str) -> None:
        settings, names = self.settings, [plan.name for plan in self.plans]
        marker = claim(settings.data_dir, partitions=settings.partitions, topologies=names)
        self.backend = _open_backend(settings)
        opened.callback(self.backend.close)
        for plan in self.plans:  # all of them before anything is written: a run that is refused changes nothing
            refuse_other(plan, self.backend)
        self.log = self._open_log()
        keys = key_readers(self.backend, self.log, {t: self._routes.sources[t] for t in self._routes.logged})
        self._outputs = Outputs(LogStaging(self.log), self._partitions, wall_clock_ms, keys)
        opened.callback(self._outputs.close)
        self._outputs.open(outputs, self.backend, fsync=settings.fsync, on_closed=self.stop)
        self._ingest = Ingest(self.log, self.backend, keys, wall_clock_ms)
        opened.callback(self._ingest.close)
        self._pipelines: dict[str, Pipeline] = {}
        self._streams: dict[str, list[StreamReader]] = {}
        self._ending = Ending(self._routes, self.log, self._pipelines, self._streams)
        feeding = Feeding(
            self._routes, self.log, self.backend, settings, follow=follow, closed=self._ending.topic_closed
        )
        for plan in self.plans:
            engine = self._engine(plan)
            pipeline = self._pipelines[plan.name] = Pipeline(engine, feeding.feeders(engine), settings.read_bytes)
            opened.callback(pipeline.close)
        for topic, specs in self._routes.streams.items():
            take = self._appender(topic)
            self._streams[topic] = [StreamReader(spec, take, max_line=settings.max_record_bytes) for spec in specs]
        self._absent = feeding.readers.absent_positions(self.plans, tasks=settings.partitions)
        self._retention = Retention(
            self.log, self.backend, age=settings.log_retention, max_bytes=settings.log_retention_bytes
        )
        remember(settings.data_dir, marker, topologies=names, target=target)

    def _open_log(self) -> Log:
        log = Log(self.backend)
        for topic in self._routes.logged:
            if log.partitions(topic) is None:
                log.create(topic, self._partitions(topic))
        return log

    def _partitions(self, topic: str) -> int:
        return self._routes.partitions(topic, self.settings.partitions)

    def _engine(self, plan: Plan) -> Engine:
        settings = EngineSettings(partitions=self.settings.partitions, cache_bytes=self.settings.cache_bytes)
        return Engine(plan, self.backend, settings, now_ms=wall_clock_ms, outputs=self._outputs)

    def _appender(self, topic: str) -> Callable[[list[bytes]], object]:
        return lambda values: self.ingest(topic, values)

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that take records through :meth:`ingest`."""
        return self._routes.logged

    @property
    def engines(self) -> dict[str, Engine]:
        """The engines by topology; their tables may be read from any thread."""
        return {name: pipeline.engine for name, pipeline in self._pipelines.items()}

    @property
    def bounded(self) -> bool:
        """Whether the run ends by itself."""
        return self._routes.bounded

    @property
    def read_before(self) -> bool:
        """Whether an earlier run has read input files, at least in part."""
        feeders = (feeder for pipeline in self._pipelines.values() for feeder in pipeline.feeders)
        return any(feeder.partition is None and feeder.begun > 0 for feeder in feeders)

    def ingest(self, topic: str, values: Sequence[bytes], keys: Sequence[bytes | None] | None = None) -> Offsets:
        """Append records to the log of a topic; return the (partition, offset) of each.

        They are on disk when this returns. A topic whose source declares a key is partitioned by that,
        read from the record; ``keys`` else decide, and are kept with the records in any case.

        Raises:
            ConfigError: no topology of this worker reads the topic from the log.
            StateError: the records could not be written; none of them was.
        """
        offsets = self._ingest.append(topic, values, keys)
        self._wake.set()
        return offsets

    def stop(self) -> None:
        """Ask the run to make a checkpoint and leave. May be called from a signal handler."""
        self._stopping = True
        self._wake.set()

    def status(self, *, ended: bool = False) -> Summary:
        """Return the counters so far."""
        found = tuple(pipeline.summary() for pipeline in self._pipelines.values())
        return Summary(found, time.monotonic() - self._started, ended, self._stopping and not ended)

    def run(self, on_progress: Callable[[Summary], None] | None = None) -> Summary:
        """Process until all bounded input is done, or :meth:`stop`; return what was done.

        Args:
            on_progress: Called with the counters about twice a second.

        Raises:
            StateError: the disk is full, read-only or broken. Nothing is lost: start again.
            ConfigError: an input was changed or damaged meanwhile.
            DataError: a record is wrong and its source says ``OnError.FAIL``.
        """
        self._started = time.monotonic()
        for reader in self._readers:
            reader.start()
        schedule = Schedule(self.settings.checkpoint_interval.total_seconds(), stretch=self._routes.bounded)
        ended = False
        while not self._stopping and not ended:
            moved = self._turn()
            if self._by_clock and schedule.advance_due():
                for pipeline in self._pipelines.values():
                    pipeline.advance(wall_clock_ms())
            if schedule.checkpoint_due(full=self._full):
                self._checkpoint_all(schedule)
            if on_progress is not None and schedule.progress_due():
                on_progress(self.status())
            if not moved:
                ended = self._ending.finished(pending=self._pending)
                if not ended:
                    self._wake.wait(schedule.idle_s(pending=self._pending))
                    self._wake.clear()
        self._checkpoint_all(schedule)
        return self.status(ended=ended)

    def _turn(self) -> bool:
        """Give each topology one slice; return whether any had something to do."""
        moved = False
        for pipeline in self._pipelines.values():
            moved = pipeline.turn() or moved
            if pipeline.ended and not pipeline.done:
                # What the end has closed must be in the log before the topics behind it can end.
                self._checkpoint(pipeline)
                pipeline.done = moved = True
        for reader in self._readers:
            if reader.error is not None:
                raise reader.error
        return moved

    @property
    def _readers(self) -> list[StreamReader]:
        return [reader for readers in self._streams.values() for reader in readers]

    @property
    def _by_clock(self) -> bool:
        """Whether silence means anything: files that are read to their end say themselves when they have.

        On history the clock would do harm: a topology behind another one is silent for as long
        as the first has nothing to say, and must not take today for its watermark.
        """
        return not self._routes.bounded or bool(self._streams)

    @property
    def _full(self) -> bool:
        engines = (pipeline.engine for pipeline in self._pipelines.values())
        return any(engine.cache_full or engine.output_bytes > _OUTPUT_BYTES for engine in engines)

    @property
    def _pending(self) -> bool:
        return any(pipeline.engine.pending for pipeline in self._pipelines.values())

    def _checkpoint_all(self, schedule: Schedule) -> None:
        began = time.monotonic()
        for pipeline in self._pipelines.values():
            if pipeline.engine.pending:
                self._checkpoint(pipeline)
        schedule.checkpointed(began)
        if schedule.retention_due():
            self._retention.trim(wall_clock_ms(), self._read_up_to())

    def _checkpoint(self, pipeline: Pipeline) -> None:
        try:
            pipeline.engine.checkpoint()
        except BaseException:
            self._outputs.abort()
            raise
        self._outputs.done()
        pipeline.committed()
        self._wake.set()  # a topology behind this one may have something to read now

    def _read_up_to(self) -> dict[Place, int]:
        found = dict(self._absent)
        for feeder in (feeder for pipeline in self._pipelines.values() for feeder in pipeline.feeders):
            if feeder.partition is not None:
                place = (feeder.topic, feeder.partition)
                found[place] = min(found.get(place, feeder.committed), feeder.committed)
        return found

    def close(self) -> None:
        """Close the inputs, the outputs and the data directory. Doing it twice does no harm."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _refuse_twins(plans: Sequence[Plan]) -> None:
    names = [plan.name for plan in plans]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        msg = f"several topologies are named {', '.join(map(repr, twins))}. Names must differ: rename all but one."
        raise ConfigError(msg)


def _open_backend(settings: WorkerSettings) -> Backend:
    try:
        from headrace.state.rocksdb import RocksBackend  # noqa: PLC0415 - declaring and testing need no RocksDB
    except ImportError as error:
        raise ConfigError(str(error)) from error
    return RocksBackend(settings.data_dir, block_cache_bytes=settings.block_cache_bytes, fsync=settings.fsync)
