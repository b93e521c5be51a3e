"""How units begin: dead owners fenced, committed positions read, tasks made, local state restored.

The order matters. First our own producer is ready: our last transaction is settled then. Then the transactions that
dead workers left open are aborted. Then the committed positions are read, which waits for transactions that are being
ended; nobody else can commit positions of these partitions from here on, for the group is in our generation. So what
the changelogs hold when the restore begins is all that belongs to the positions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from headrace.kafka.checkpoint import AnyProducer
from headrace.kafka.client import Client
from headrace.kafka.dead_members import fence_dead
from headrace.kafka.errors import BrokerError, NotAuthorizedError, RefusedError
from headrace.kafka.intake import Control
from headrace.kafka.layout import Component, Layout
from headrace.kafka.limits import TopicLimits
from headrace.kafka.model import Partition, Position
from headrace.kafka.names import transactional_id
from headrace.kafka.notes import Note
from headrace.kafka.offsets import End, committed, list_offsets
from headrace.kafka.restoring import Restorer
from headrace.kafka.unit import TaskId, Unit
from headrace.operators.agent import AgentCode
from headrace.operators.build import generate
from headrace.state.protocol import Backend

_log = logging.getLogger("headrace.fleet")
_PAUSE_S = 1.0

UnitId = tuple[str, int]
"""Component and partition."""
Wanted = dict[UnitId, tuple[Component, list[str]]]
"""The topics that each unit reads."""


def is_final(error: BaseException | None) -> bool:
    """Tell whether trying again is of no use: it would end in the same way, for ever."""
    while error is not None:
        if isinstance(error, NotAuthorizedError | RefusedError):
            return True
        error = error.__cause__
    return False


@dataclass(frozen=True, slots=True)
class Topics:
    """What is known of topics: the partition count of each. Asked at the start, and for a topic that is new."""

    partitions: dict[str, int]
    make: Callable[[Collection[str]], Awaitable[Mapping[str, int]]]
    """Makes topics that are not there, and returns how many partitions each of these has."""
    limits: TopicLimits = field(default_factory=TopicLimits)

    def count(self, topic: str) -> int:
        """Return the number of partitions."""
        return self.partitions.get(topic, 1)

    async def need(self, names: Collection[str]) -> None:
        """Make sure that these topics are there: sinks may choose theirs by expression.

        Raises:
            BrokerError: one cannot be made.
        """
        missing = [name for name in names if name not in self.partitions]
        if missing:
            self.partitions.update(await self.make(missing))


@dataclass(frozen=True, slots=True)
class Opened:
    """A unit at its committed positions, before its state is restored."""

    unit: Unit
    positions: dict[Partition, Position]
    notes: dict[str, Note]


class Opener:
    """Makes the units of a worker."""

    def __init__(  # noqa: PLR0913
        self,
        layout: Layout,
        group: str,
        topics: Topics,
        *,
        client: Client,
        producer: AnyProducer,
        restorer: Restorer,
        backend: Backend,
        now_ms: Callable[[], int],
    ) -> None:
        """``backend`` is what the tasks read; ``restorer`` writes what lies below it."""
        self._layout, self._group, self._topics, self._now_ms = layout, group, topics, now_ms
        self._client, self._producer, self._restorer, self._backend = client, producer, restorer, backend
        self._codes: dict[TaskId, AgentCode] = {
            TaskId(plan.name, code.agent): code for plan in layout.plans for code in generate(plan)
        }
        self._by_topic = {topic: component for component in layout.components for topic in component.topics}
        self._spread = {plan.name: self._widest(plan.name) for plan in layout.plans}
        self.fenced = 0
        """How many workers were found dead with an open transaction."""

    def wanted(self, partitions: Iterable[Partition]) -> Wanted:
        """Return the units that these partitions belong to."""
        found: Wanted = {}
        for topic, number in sorted(partitions):
            component = self._by_topic[topic]
            found.setdefault((component.name, number), (component, []))[1].append(topic)
        return found

    def copies(self, control: Control) -> set[Partition]:
        """Return the changelog partitions of the tasks whose state this worker is to have a copy of."""
        standing = {(self._layout.components[number].name, partition) for number, partition in control.standbys()}
        return {
            Partition(changelog.topic, partition)
            for changelog in self._layout.changelogs
            for name, partition in standing
            if changelog.component == name
        }

    async def open(self, wanted: Wanted, control: Control | None) -> list[Opened]:
        """Return units at their committed positions. The producer is ready.

        Raises:
            BrokerError: a broker did not answer in time, or refuses.
        """
        await self._fence_dead(control)
        partitions = [Partition(topic, unit_id[1]) for unit_id, (_, topics) in wanted.items() for topic in topics]
        positions = await committed(self._client, self._group, partitions)
        unknown = [partition for partition, position in positions.items() if position is None]
        first = await list_offsets(self._client, unknown, End.EARLIEST)
        opened = []
        for (_, number), (component, topics) in wanted.items():
            at = {p: positions[p] or Position(first[p]) for p in (Partition(topic, number) for topic in topics)}
            unit = self._unit(component, number, {p.topic: position.offset for p, position in at.items()})
            opened.append(Opened(unit, at, {p.topic: Note.decode(position.metadata) for p, position in at.items()}))
        return opened

    async def restore(self, opened: Opened) -> None:
        """Bring local state to the committed positions, however long brokers are away, and make the tasks.

        Raises:
            BrokerError: a broker refuses for good.
            StateError: local state cannot be written, or the changelog is of another version of the topology.
        """
        unit = opened.unit
        places = [
            Partition(changelog.topic, unit.partition)
            for changelog in self._layout.changelogs
            if changelog.component == unit.component.name
        ]
        began = time.monotonic()
        while True:
            try:
                await self._restorer.restore(places)
            except BrokerError as error:
                if is_final(error):
                    raise
                _log.warning("restoring %s/%d: trying again: %s", unit.component.name, unit.partition, error)
                await asyncio.sleep(_PAUSE_S)
            else:
                unit.open(opened.notes)
                _log.info("%s/%d runs after %.1f s", unit.component.name, unit.partition, time.monotonic() - began)
                return

    async def _fence_dead(self, control: Control | None) -> None:
        live = {self._producer.transactional_id}
        if control is not None:
            live |= {peer.transactional_id for peer in control.peers()}
        dead = await fence_dead(self._client, transactional_id(self._group, ""), live)
        if dead:
            self.fenced += len(dead)
            _log.warning("fenced workers that left transactions open: %s", ", ".join(dead))

    def _unit(self, component: Component, number: int, topics: Mapping[str, int]) -> Unit:
        senders = {}
        for reading in component.readings:
            if reading.exchange:
                upstream = self._layout.component_of(reading.plan, reading.head.agent)
                senders[reading.topic] = max(self._topics.count(topic) for topic in upstream.topics)
        return Unit(
            component,
            number,
            self._codes,
            self._backend,
            topics=topics,
            spread=self._spread,
            senders=senders,
            now_ms=self._now_ms,
        )

    def _widest(self, topology: str) -> int:
        layout = self._layout
        counts = [self._topics.count(t) for t, (plan, _) in layout.repartitions.items() if plan.name == topology]
        return max(counts, default=1)
