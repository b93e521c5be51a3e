"""Topologies on a Faust app: the one that ``headrace worker`` makes, or one that is there already."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from headrace.errors import ConfigError, StateDamaged, StateError, StateLocked
from headrace.kafka.at_least_once import AtLeastOnceProducer
from headrace.kafka.changelog import forms
from headrace.kafka.checkpoint import AnyProducer
from headrace.kafka.client import Client, connect
from headrace.kafka.fetching import BatchConsumer
from headrace.kafka.fleet import Fleet
from headrace.kafka.intake import Control
from headrace.kafka.layout import Layout, lay_out
from headrace.kafka.limits import TopicLimits
from headrace.kafka.local_positions import LocalPositions
from headrace.kafka.model import Partition
from headrace.kafka.names import transactional_id
from headrace.kafka.opening import Topics
from headrace.kafka.producing import ProducerOptions, TransactionalProducer
from headrace.kafka.record_batches import Compression
from headrace.kafka.restoring import Restorer
from headrace.kafka.security import connection_options
from headrace.kafka.settings import FleetSettings, Guarantee
from headrace.kafka.topics import make_topics, prepare_topics
from headrace.kafka.topics_admin import TopicAdmin
from headrace.kafka.transport import Leave, TransportOptions, attach
from headrace.plan import Plan, compile_plan
from headrace.runtime.engine import check_plan
from headrace.runtime.schedule import wall_clock_ms
from headrace.state.rocksdb import RocksBackend
from headrace.topology.topology import Topology

_STEP_RECORDS = 2_000
"""Processed in one step of the event loop. A commit takes about ten steps, each waits for one of processing: a worker
that catches up would commit after seconds with 10,000 (0.25 s of a loaded core)."""
_DAMAGED = "DAMAGED"
"""A file that says that what was read of the directory was of no use: the next start builds it anew."""


def install(app: Any, *topologies: Topology, settings: FleetSettings | None = None) -> Installation:
    """Run topologies on a Faust app, beside its own agents, tables and timers.

    Call it before the app starts. The app's id is the consumer group.

    Args:
        app: the Faust app.
        topologies: what to run.
        settings: how. By default those of the environment (``HEADRACE_...``), with the app's brokers and id.

    Raises:
        TopologyError: a topology is wrong.
        ConfigError: the settings name another group than the app's id, the app has started already, or two topologies
            share a name.
    """
    return Installation(app, [compile_plan(topology) for topology in topologies], settings or _settings_of(app))


def _settings_of(app: Any) -> FleetSettings:
    """Return the settings of the environment for the app's brokers and group."""
    brokers = (url.host if url.port is None else f"{url.host}:{url.port}" for url in app.conf.broker)
    return FleetSettings.from_env(brokers=",".join(brokers), group=app.conf.id)


class Installation:
    """Topologies on an app: connects when the app's consumer does, and stops with it."""

    def __init__(self, app: Any, plans: Sequence[Plan], settings: FleetSettings) -> None:
        """Attach to the app."""
        if settings.group != app.conf.id:
            message = (
                f"settings.group: expected the app's id {app.conf.id!r}, which is its consumer group, got "
                f"{settings.group!r}. Leave the settings out, or give them the app's id"
            )
            raise ConfigError(message)
        self.app, self.settings = app, settings
        self.layout: Layout = lay_out(settings.group, plans)
        self.fleet: Fleet | None = None
        self._limits = TopicLimits(Compression.of(settings.compression))
        self._limits.internal(set(self.layout.written) - set(self.layout.outputs))
        self._client: Client | None = None
        self._running: asyncio.Task[None] | None = None
        self._name = transactional_id(settings.group, settings.worker)
        self._intake = _Door({topic for component in self.layout.components for topic in component.topics})
        options = TransportOptions(
            groups=tuple(frozenset(component.topics) for component in self.layout.components),
            held=self._held,
            transactional_id=self._name,
            standbys=settings.standbys,
            # Who stops tells the group, and others go on at once: nobody knows whether it comes back. Who is killed
            # and comes back within the session, under the same name, finds its tasks and its disk as they were.
            leave=Leave.ALWAYS,
            max_records=_STEP_RECORDS,
            partition_fetch_bytes=settings.fetch_bytes,
            opening=self._open,
            closing=self._close,
        )
        self.control: Control = attach(app, self._intake, options)

    async def _open(self) -> None:
        settings, security = self.settings, connection_options(self.settings)
        async with TopicAdmin(settings.brokers, **security) as admin:
            counts = await prepare_topics(admin, self.layout, settings)
            topics = Topics(counts, self._make_topics, self._limits)
            # Where records choose their topic, that may be any.
            names = counts.keys() if self.layout.chosen else self.layout.written
            self._limits.know(names, await admin.limits(names))
        client = self._client = await connect(settings.brokers, **security)
        producer = _producer(client, self._name, settings, self._limits)
        await producer.start()
        backend, wiped = _open_state(settings, self.layout.plans)
        consumer = BatchConsumer(
            bootstrap_servers=settings.brokers,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_partition_fetch_bytes=settings.fetch_bytes,
            **security,
        )
        await consumer.start()
        positions = LocalPositions(backend, wall_clock_ms)
        restorer = Restorer(
            client, consumer, backend, self.layout.changelogs, forms(self.layout.plans), positions=positions
        )
        restorer.wiped = wiped
        fleet = self.fleet = Fleet(
            self.layout,
            settings,
            topics,
            client=client,
            producer=producer,
            restorer=restorer,
            backend=backend,
            positions=positions,
            now_ms=wall_clock_ms,
        )
        fleet.control = self.control
        self._intake.fleet = fleet
        self._running = asyncio.create_task(fleet.run(), name="headrace-fleet")
        self._running.add_done_callback(self._ended)

    async def _make_topics(self, names: Collection[str]) -> Mapping[str, int]:
        async with TopicAdmin(self.settings.brokers, **connection_options(self.settings)) as admin:
            made = await make_topics(admin, self.layout, self.settings, names)
            self._limits.know(names, await admin.limits(names))
            return made

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._crashing = asyncio.ensure_future(self.app.crash(error))

    async def _close(self) -> None:
        if self.fleet is not None:
            await self.fleet.close()
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)
        if self.fleet is not None and isinstance(self.fleet.failure, StateDamaged):
            (self.settings.state_dir / _DAMAGED).touch()
        if self._client is not None:
            await self._client.close()

    def _held(self) -> Mapping[tuple[int, int], int]:
        """Return how far local state is, by (component's number, partition): the sum over its changelogs."""
        if self.fleet is None:
            return {}
        held: dict[tuple[int, int], int] = {}
        for number, component in enumerate(self.layout.components):
            for changelog in (c for c in self.layout.changelogs if c.component == component.name):
                for partition in range(self.fleet.partitions(changelog.topic)):
                    found = self.fleet.positions.get(Partition(changelog.topic, partition))
                    if found is not None:
                        held[number, partition] = held.get((number, partition), 0) + found
        return held


class _Door:
    """The intake that the transport knows before the fleet behind it is open."""

    def __init__(self, topics: set[str]) -> None:
        self.topics = frozenset(topics)
        self.fleet: Fleet | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.fleet, name)


def _producer(client: Client, name: str, settings: FleetSettings, limits: TopicLimits) -> AnyProducer:
    options = ProducerOptions(
        limits=limits,
        compression=settings.compression,
        transaction_timeout_ms=int(settings.transaction_timeout.total_seconds() * 1000),
    )
    if settings.guarantee is Guarantee.EXACTLY_ONCE:
        return TransactionalProducer(client, name, options)
    return AtLeastOnceProducer(client, options)


def _open_state(settings: FleetSettings, plans: Sequence[Plan]) -> tuple[RocksBackend, int]:
    """Open local state; what cannot be read, or is of another plan, is removed and counted: changelogs have it all."""
    damaged = (settings.state_dir / _DAMAGED).exists()
    if damaged:
        shutil.rmtree(settings.state_dir, ignore_errors=True)
    for attempt in range(2):
        backend = None
        try:
            backend = RocksBackend(settings.state_dir, block_cache_bytes=settings.block_cache_bytes, fsync=False)
            for plan in plans:
                check_plan(plan, backend)
        except StateLocked:
            raise
        except StateError:
            if backend is not None:
                backend.close()
            if attempt:
                raise
            shutil.rmtree(settings.state_dir, ignore_errors=True)
            continue
        return backend, attempt + damaged
    raise StateError(str(settings.state_dir))
