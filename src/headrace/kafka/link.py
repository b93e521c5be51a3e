"""What joins the transport's parts: the options, and the way from Faust's services to the flow and to the runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver

from headrace.kafka.assignor import TopologyAssignor
from headrace.kafka.errors import BrokerError, UnreachableError
from headrace.kafka.fetching import BatchConsumer
from headrace.kafka.flow import Ending, Flow
from headrace.kafka.intake import Intake, Peer
from headrace.kafka.model import GroupMember, Partition

_OF_REBALANCE = 0.8
"""The part of the rebalance timeout that giving up may take; the rest is for joining."""


class Leave(Enum):
    """Whether a worker that stops tells the group, which then gives its partitions to others at once."""

    UNLESS_STATIC = "unless static"
    """A static member that stops is expected back within its session: until then nobody gets its partitions."""
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class TransportOptions:
    """How topology topics are assigned and fetched. All else is a setting of the Faust app.

    The app's settings that matter: ``broker_session_timeout``, ``broker_heartbeat_interval``,
    ``broker_rebalance_timeout``, ``broker_max_poll_interval``, ``broker_request_timeout`` (longer than the rebalance
    timeout), ``consumer_group_instance_id`` (static membership), ``broker_credentials`` and ``ssl_context``.
    """

    groups: tuple[frozenset[str], ...] = ()
    """Topics to be assigned alike, by partition number; topics of the intake that are in none are on their own."""
    held: Callable[[], Mapping[tuple[int, int], int]] = dict
    """How far the copies of states on this worker are, by (number of the group, partition). Asked after ``revoke``."""
    transactional_id: str = ""
    """Told to all members, so that they can fence this one when it is gone. Stable over restarts."""
    address: str = ""
    """Told to all members: where queries reach this worker."""
    opening: Callable[[], Awaitable[None]] | None = None
    """Awaited before the consumer connects: the topics it subscribes to must be there then."""
    closing: Callable[[], Awaitable[None]] | None = None
    """Awaited once, when the partitions are given up and the consumer of their records has stopped."""
    standbys: int = 0
    """How many members keep a copy of each task's state."""
    leave: Leave = Leave.UNLESS_STATIC
    agents_wait_s: float = 5.0
    """How long a rebalance, or the end of the worker, waits for the app's own agents to end what they have begun (if
    ``stream_wait_empty`` is set): Faust would wait for ever, and the group would go on without this member."""
    max_records: int = 10_000
    """Hand over no more batches in one step than reach this number of records."""
    fetch_wait_ms: int = 100
    """How long a broker waits for data. A partition that is started or resumed waits for that long at most."""
    partition_fetch_bytes: int = 1 << 20
    fetch_bytes: int = 16 << 20
    """The most that one broker sends at once: twice that is in memory, per broker, before it is handed over."""


class Link:
    """What the parts of the transport share; towards the runtime it is the :class:`Control`."""

    def __init__(self, app: Any, intake: Intake, assignor: TopologyAssignor, options: TransportOptions) -> None:
        self.app = app
        self.intake = intake
        self.assignor = assignor
        self.options = options
        self.topics = intake.topics
        self._flow: Flow | None = None
        self._closed = False

    @property
    def flow(self) -> Flow:
        """Return the flow, once the app has started."""
        if self._flow is None:
            message = "the app has not started yet"
            raise BrokerError(message)
        return self._flow

    @property
    def limit_s(self) -> float:
        """Return how long giving up may take."""
        return float(self.app.conf.broker_rebalance_timeout) * _OF_REBALANCE

    async def open(self) -> None:
        """Connect the consumer of topology records. Called in the main loop, in which it lives."""
        conf, options = self.app.conf, self.options
        self._closed = False
        if options.opening is not None:
            await options.opening()
        consumer = BatchConsumer(
            client_id=conf.broker_client_id,
            bootstrap_servers=driver.server_list(self.app.transport.url, self.app.transport.default_port),
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            check_crcs=conf.broker_check_crcs,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
            fetch_max_wait_ms=options.fetch_wait_ms,
            max_partition_fetch_bytes=options.partition_fetch_bytes,
            fetch_max_bytes=options.fetch_bytes,
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )
        try:
            await consumer.start()
        except (KafkaError, OSError) as error:
            await consumer.stop()
            message = f"connecting to {', '.join(map(str, self.app.transport.url))} failed: {error}"
            raise UnreachableError(message) from error
        self._flow = Flow(consumer, self.intake, max_records=options.max_records, on_failure=self.fail)

    async def begin(self, partitions: frozenset[Partition], member: GroupMember) -> None:
        """Take over partitions."""
        await self.flow.begin(partitions, member)

    async def end(self, ending: Ending) -> None:
        """Give up all partitions, then note which states we hold, for the coming assignment."""
        await self.flow.end(ending, self.limit_s)
        if self._closed:
            return
        try:
            self.assignor.held = dict(self.options.held())
        except Exception as error:
            self.fail(error)

    async def close(self) -> None:
        """Give up all partitions and disconnect. A second time it does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._flow is not None:
            await self._flow.close(self.limit_s)
        if self.options.closing is not None:
            await self.options.closing()

    def fail(self, error: BaseException) -> None:
        """End the app because of an error."""
        self._failing = asyncio.ensure_future(self.app.crash(error))

    def start(self, partition: Partition, offset: int) -> None:
        """Read from an offset on."""
        self.flow.start(partition, offset)

    def seek(self, partition: Partition, offset: int) -> None:
        """Go on reading elsewhere."""
        self.flow.seek(partition, offset)

    def pause(self, partitions: Collection[Partition]) -> None:
        """Deliver no more of these."""
        self.flow.pause(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        """Deliver again."""
        self.flow.resume(partitions)

    def drained(self) -> frozenset[Partition]:
        """Return the partitions that were read to their end; none before the app has started."""
        return frozenset() if self._flow is None else self._flow.drained()

    def membership(self) -> GroupMember:
        """Return our place in the group."""
        return self.flow.membership()

    def peers(self) -> tuple[Peer, ...]:
        """Return all live members."""
        return self.assignor.peers()

    def standbys(self) -> frozenset[tuple[int, int]]:
        """Return the tasks of which to keep a copy."""
        return self.assignor.standbys()
