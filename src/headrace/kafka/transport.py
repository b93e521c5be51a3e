"""Faust's transport with a second flow: records of topology topics go to the intake, all others as Faust does it.

What happens in a rebalance, and who waits for what:

1. The heartbeat (in the consumer's thread) hears of it. aiokafka calls the listener: Faust stops its agents and
   commits; at the same time ``Intake.revoke`` runs in the main loop, or ``lost``, if the group has gone on without us.
   Heartbeats go on. JoinGroup is sent when both have returned.
2. The group's leader assigns (:mod:`headrace.kafka.assignor`), in its thread.
3. With the new assignment our partitions are paused in Faust's consumer, before it fetches anything. aiokafka calls
   the listener: Faust rebalances agents and tables; ``Flow.begin`` starts ``Intake.assign`` as a task. Neither may take
   long, for heartbeats begin only when the listener has returned.
4. Faust recovers its tables, then seeks and resumes its own partitions. Nothing of ours waits for that.

Faust never hears of our partitions: its consumer's ``assignment`` leaves them out. So it does not seek, commit, ack,
buffer or watch them.

This module, and no other, reaches into private parts of Faust, and of aiokafka's group protocol; the contract test in
``tests/kafka/test_transport.py`` fails when a new version changes one that is used.
"""

# ruff: noqa: SLF001 - Faust has no public way to add to its consumer

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any

from aiokafka.errors import KafkaError
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from mode import Service

from headrace.errors import ConfigError
from headrace.kafka.assignor import TopologyAssignor
from headrace.kafka.errors import BrokerError
from headrace.kafka.flow import Ending
from headrace.kafka.intake import Control, Intake
from headrace.kafka.link import Leave, Link, TransportOptions
from headrace.kafka.model import GroupMember, Partition

__all__ = ["BatchTransport", "Leave", "Link", "TransportOptions", "attach"]

_LIVELINESS_S = 1.0
_STOP_S = 2.0


def attach(app: Any, intake: Intake, options: TransportOptions | None = None) -> Control:
    """Give an app, which has not started yet, the flow to the intake. Its agents, tables, timers and CLI stay.

    Raises:
        ConfigError: the app has its consumer already, or the options name topics that the intake does not read.
    """
    chosen = options or TransportOptions()
    grouped = frozenset[str]().union(*chosen.groups)
    if grouped - intake.topics:
        message = f"options.groups: {sorted(grouped - intake.topics)} are no topics of the intake"
        raise ConfigError(message)
    if app._consumer is not None:
        message = f"app {app.conf.id!r}: a topology must be attached before the app starts"
        raise ConfigError(message)
    # Appended: the groups that the caller numbered keep their numbers.
    groups = (*chosen.groups, *(frozenset({topic}) for topic in sorted(intake.topics - grouped)))
    assignor = TopologyAssignor(app, groups, transactional_id=chosen.transactional_id, address=chosen.address)
    assignor.copies = chosen.standbys
    app.assignor = assignor
    link = Link(app, intake, assignor, chosen)
    app.transport = BatchTransport(app.conf.broker_consumer, app, link)
    return link


class MemberThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer, as the group's member also for topology topics."""

    link: Link

    async def on_start(self) -> None:
        """Start the consumer."""
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator
        if coordinator._group_instance_id is not None:
            _rejoin_as_before(coordinator)
        self.link.assignor.on_assigned = self._set_aside

    async def on_thread_stop(self) -> None:
        """Leave the group, also when it is just rebalancing, and stop the consumer."""
        if self._consumer is not None and self.link.options.leave is Leave.ALWAYS:
            # aiokafka keeps silent for a static member. The request names the member, so the broker takes it.
            self._consumer._coordinator._group_instance_id = None
        try:
            await asyncio.wait_for(super().on_thread_stop(), _STOP_S)
        except TimeoutError:
            # It waits for the others, in the middle of a rebalance. Leave all the same: they need not wait for us.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._abandon(), _STOP_S)

    async def _abandon(self) -> None:
        consumer = self._ensure_consumer()
        await consumer._coordinator._maybe_leave_group()
        await consumer._fetcher.close()
        await consumer._client.close()

    def close(self) -> None:
        """Do nothing. Faust closes a consumer that rebalances while the app stops; ``stop`` follows and leaves."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        self._assignor = self.link.assignor  # Faust's own only serves apps that have tables
        consumer._partition_assignment_strategy = [self.link.assignor]
        return consumer

    def _set_aside(self) -> None:
        """Keep Faust's consumer from fetching our partitions, or looking for their positions."""
        consumer = self._ensure_consumer()
        for topic, partitions in self.link.assignor.mine.owned.items():
            for partition in partitions:
                consumer.seek(Partition(topic, partition), 0)
                consumer.pause(Partition(topic, partition))

    def assignment(self) -> set[Any]:
        """Return what is assigned to the app's own agents and tables."""
        return {tp for tp in super().assignment() if tp.topic not in self.link.topics}

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """Seek the app's own partitions to the committed offsets."""
        theirs = self.assignment()
        if not theirs:
            return {}
        committed = await self.call_thread(
            self._ensure_consumer().seek_to_committed, *map(driver.ensure_aiokafka_TP, theirs)
        )
        return {ensure_TP(tp): offset for tp, offset in committed.items()}

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """Give up all partitions: ours, and the app's own, side by side."""
        lost = self._ensure_consumer()._coordinator.generation < 0
        theirs = {tp for tp in revoked if tp.topic not in self.link.topics}
        ending = Ending.LOST if lost else Ending.REVOKED
        await _both(self._in_main(self.link.end(ending)), super().on_partitions_revoked(theirs))

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        """Take over what the assignor gave us."""
        coordinator = self._ensure_consumer()._coordinator
        member = GroupMember(
            coordinator.group_id, coordinator.generation, coordinator.member_id, coordinator._group_instance_id
        )
        self.link.assignor.generation = coordinator.generation
        ours = frozenset(Partition(*tp) for tp in assigned if tp.topic in self.link.topics)
        theirs = {tp for tp in assigned if tp.topic not in self.link.topics}
        await _both(self._in_main(self.link.begin(ours, member)), super().on_partitions_assigned(theirs, generation_id))

    async def show_life(self) -> None:
        """Note that the main loop runs, and report what aiokafka has to say. Called in the thread."""
        consumer = self._ensure_consumer()
        # The members' time limit (broker_max_poll_interval) counts from the last fetch. An app without agents of its
        # own never fetches here.
        with consumer._subscription.fetch_context():
            pass
        try:
            consumer._coordinator.check_errors()
        except KafkaError as error:
            hint = ""
            if consumer._group_instance_id is not None:
                hint = f". If another worker has the same instance id ({consumer._group_instance_id}), stop one of them"
            message = f"the membership in group {consumer._group_id!r} ended: {error}{hint}"
            raise BrokerError(message) from error

    async def _in_main(self, work: Coroutine[Any, Any, None]) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.parent_loop))


class MemberConsumer(driver.Consumer):
    """Faust's consumer service, which also runs the flow."""

    _thread: MemberThread

    def __init__(self, transport: Any, *args: Any, **kwargs: Any) -> None:
        self.link: Link = transport.link
        super().__init__(transport, *args, **kwargs)

    def _new_consumer_thread(self) -> MemberThread:
        thread = MemberThread(self, loop=self.loop, beacon=self.beacon)
        thread.link = self.link
        return thread

    async def on_start(self) -> None:
        """Connect the flow before the group is joined."""
        await super().on_start()
        await self.link.open()

    async def on_stop(self) -> None:
        """Give up our partitions while we are still a member."""
        await self.link.close()
        await super().on_stop()

    async def wait_empty(self) -> None:
        """Wait for the app's own agents, but not for ever; give up our own partitions before, if the app stops."""
        if self.app.should_stop:
            await self.link.close()
        limit_s = self.link.options.agents_wait_s
        waiting = asyncio.ensure_future(super().wait_empty())
        await asyncio.wait([waiting], timeout=limit_s)
        if not waiting.done():
            self.log.warning("agents did not end in %s s what they have begun: it will be processed again", limit_s)
            self._unacked_messages.clear()  # it cannot be cancelled, but looks again every second; then it commits
        await waiting

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Subscribe to the app's own topics, and to ours."""
        await super().subscribe({*topics, *self.link.topics})

    @Service.task
    async def _show_life(self) -> None:
        async for _ in self.itertimer(_LIVELINESS_S, name="headrace-life"):
            try:
                await self._thread.call_thread(self._thread.show_life)
            except BrokerError as error:
                self.link.fail(error)


class BatchTransport(driver.Transport):
    """Faust's Kafka transport with our consumer."""

    Consumer = MemberConsumer

    def __init__(self, url: Any, app: Any, link: Link) -> None:
        self.link = link
        super().__init__(url, app)


async def _both(*works: Awaitable[None]) -> None:
    """Wait for both, also where one fails: the group must not go on while the other is under way."""
    for outcome in await asyncio.gather(*works, return_exceptions=True):
        if outcome is not None:
            raise outcome


def _rejoin_as_before(coordinator: Any) -> None:
    """Let a static member that the broker does not know any more ask under its old id first.

    It may have been replaced, by a worker of the same instance id: then the broker refuses it, and it ends. Without
    an id it would replace the other one in turn, and so on for ever.
    """
    forget = coordinator.reset_generation

    def reset_generation() -> None:
        member = coordinator.member_id
        forget()
        if coordinator._heartbeat_task is not None:  # else the broker refused the old id: join as somebody new
            coordinator.member_id = member

    coordinator.reset_generation = reset_generation


__all__ = ["BatchTransport", "Leave", "Link", "TransportOptions", "attach"]
