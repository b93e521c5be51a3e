"""A Faust app with topologies attached: who owns what, and which records arrive, over rebalances and failures."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.protocol.group import LeaveGroupRequest
from faust.transport import base
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver

from headrace.errors import ConfigError
from headrace.kafka.client import Patience
from headrace.kafka.coordination import Coordinator, Kind
from headrace.kafka.errors import BrokerError
from headrace.kafka.link import TransportOptions
from headrace.kafka.model import Columns, GroupMember, Partition
from headrace.kafka.transport import attach
from tests.kafka.support import NOW_MS, client, producer, run, topic, unique
from tests.kafka.workers import Counting, World, fill, make_app, running, until, worker

pytestmark = [  # Faust's
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    """Collect what Faust leaves behind here, where its warnings are expected, and not in another test."""
    yield
    gc.collect()


def numbers(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % n for n in range(start, start + count)]


def all_seen(world: World, name: str, partitions: int, count: int) -> bool:
    return all(len(world.seen[Partition(name, p)]) >= count for p in range(partitions))


def test_nothing_is_lost_or_repeated_when_workers_come_and_go(bootstrap: str) -> None:
    async def scenario() -> None:
        name, group, world = await topic(bootstrap, 4), unique("group"), World()
        writing = asyncio.create_task(fill(bootstrap, name, count=6000, partitions=4, per_batch=10))
        async with AsyncExitStack() as first:
            await first.enter_async_context(worker(bootstrap, group, Counting(frozenset({name}), world, "a")))
            await until(lambda: all_seen(world, name, 4, 50))
            async with worker(bootstrap, group, Counting(frozenset({name}), world, "b")):
                await until(lambda: "b" in {world.owner(Partition(name, p)) for p in range(4)})
                owners = [world.owner(Partition(name, p)) for p in range(4)]
                assert sorted(map(str, owners)) == ["a", "a", "b", "b"]
                await asyncio.sleep(0.5)
                await first.aclose()
                await until(lambda: {world.owner(Partition(name, p)) for p in range(4)} == {"b"})
                await writing
                await until(lambda: all_seen(world, name, 4, 6000))
        for partition in range(4):
            assert world.seen[Partition(name, partition)] == numbers(6000)
        assert "lost" not in [event for _, event, _ in world.events]

    run(scenario())


def test_partitions_go_only_after_revoke_has_returned(bootstrap: str) -> None:
    class Slow(Counting):
        async def revoke(self, partitions: set[Partition]) -> None:
            if self.world.of("b") == [] and partitions:
                await asyncio.sleep(1.5)
            await super().revoke(partitions)

    async def scenario() -> None:
        name, group, world = await topic(bootstrap, 2), unique("group"), World()
        async with (
            worker(bootstrap, group, Slow(frozenset({name}), world, "a")),
            worker(bootstrap, group, Counting(frozenset({name}), world, "b")),
        ):
            await until(lambda: bool(world.of("b")))
            order = [(worker, event) for worker, event, partitions in world.events if partitions]
            assert order[:2] == [("a", "assign"), ("a", "revoke")]
            assert ("b", "assign") in order[2:]

    run(scenario())


def test_a_rebalance_does_not_wait_for_a_long_assign(bootstrap: str) -> None:
    class Restoring(Counting):
        async def assign(self, partitions: set[Partition], member: GroupMember) -> Mapping[Partition, int]:
            try:
                if len(partitions) == 2:
                    await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self._note("cancelled", partitions)
                raise
            return await super().assign(partitions, member)

    async def scenario() -> None:
        name, group, world = await topic(bootstrap, 2), unique("group"), World()
        async with (
            worker(bootstrap, group, Restoring(frozenset({name}), world, "a")),
            worker(bootstrap, group, Counting(frozenset({name}), world, "b")),
        ):
            await until(lambda: "assign" in world.of("a"))
            assert world.of("a") == ["cancelled", "revoke", "assign"]

    run(scenario())


@pytest.mark.parametrize("fault", ["raises", "hangs"])
def test_a_failing_revoke_drops_everything_and_lets_the_group_go_on(bootstrap: str, fault: str) -> None:
    class Failing(Counting):
        async def revoke(self, partitions: set[Partition]) -> None:
            if self.world.of("b") == [] and partitions:
                await asyncio.sleep(0 if fault == "raises" else 3600)
                raise RuntimeError("the commit failed")
            await super().revoke(partitions)

    async def scenario() -> None:
        name, group, world = await topic(bootstrap, 2), unique("group"), World()
        settings = {"broker_rebalance_timeout": 2.0}
        async with (
            worker(bootstrap, group, Failing(frozenset({name}), world, "a"), **settings),
            worker(bootstrap, group, Counting(frozenset({name}), world, "b"), **settings),
        ):
            await until(lambda: world.of("a") == ["assign", "lost", "assign"])
            await until(lambda: sorted(str(world.owner(Partition(name, p))) for p in range(2)) == ["a", "b"])

    run(scenario())


@pytest.mark.parametrize("instance", [None, "pod-0"], ids=["dynamic", "static"])
def test_a_member_that_the_group_dropped_is_told_and_comes_back(bootstrap: str, instance: str | None) -> None:
    async def scenario() -> None:
        name, group, world = await topic(bootstrap, 2), unique("group"), World()
        await fill(bootstrap, name, count=100, partitions=2)
        settings = {"consumer_group_instance_id": instance}
        async with worker(bootstrap, group, Counting(frozenset({name}), world, "a"), **settings) as intake:
            await until(lambda: all_seen(world, name, 2, 100))
            assert intake.control is not None
            before = intake.control.membership()
            async with client(bootstrap) as connection:
                coordinator = Coordinator(connection, Kind.GROUP, group)
                request = LeaveGroupRequest(group, before.member_id)
                await coordinator.call(request, lambda answer: [answer.error_code], Patience("leaving", 5000))
            await until(lambda: world.of("a") == ["assign", "lost", "assign"])
            assert intake.control.membership().member_id != before.member_id
            # Nothing was committed, so everything comes again.
            await until(lambda: all_seen(world, name, 2, 200))
            assert world.seen[Partition(name, 0)] == numbers(100) * 2

    run(scenario())


def test_a_worker_is_a_member_as_long_as_its_main_loop_runs(bootstrap: str) -> None:
    async def scenario() -> None:
        name, world = await topic(bootstrap), World()
        settings = {"broker_max_poll_interval": 2.0}
        async with worker(bootstrap, unique("group"), Counting(frozenset({name}), world, "a"), **settings):
            await until(lambda: world.of("a") == ["assign"])
            await asyncio.sleep(3)
            assert world.of("a") == ["assign"], "nothing to read is no reason to leave"
            time.sleep(4)  # noqa: ASYNC251 - a loop that is stuck
            await until(lambda: world.of("a") == ["assign", "lost", "assign"])

    run(scenario())


def test_partitions_wait_for_their_start_and_obey_pause_resume_and_seek(bootstrap: str) -> None:
    class Late(Counting):
        async def assign(self, partitions: set[Partition], member: GroupMember) -> Mapping[Partition, int]:
            found = dict(await super().assign(partitions, member))
            return {partition: offset for partition, offset in found.items() if partition.partition != 1}

    async def scenario() -> None:
        name, world = await topic(bootstrap, 2), World()
        zero, one = Partition(name, 0), Partition(name, 1)
        await fill(bootstrap, name, count=100, partitions=2)
        async with worker(bootstrap, unique("group"), Late(frozenset({name}), world)) as intake:
            control = intake.control
            assert control is not None
            await until(lambda: len(world.seen[zero]) == 100)
            assert world.seen[one] == []
            control.resume([one])
            control.seek(one, 0)  # it is not started: neither has an effect
            control.pause([zero])
            await fill(bootstrap, name, start=100, count=100, partitions=2)
            await asyncio.sleep(0.5)
            assert world.seen[one] == []
            assert len(world.seen[zero]) == 100
            control.resume([zero])
            await until(lambda: len(world.seen[zero]) == 200)
            intake.at[one] = 51  # behind the marker of the first transaction
            control.start(one, 51)
            await until(lambda: len(world.seen[one]) == 150)
            assert world.seen[one] == numbers(150, 50)
            intake.at[zero] = 0
            control.seek(zero, 0)
            await until(lambda: len(world.seen[zero]) == 400)
            control.start(Partition(name, 7), 0)  # not ours: passed over
            control.pause([Partition(name, 7)])

    run(scenario())


def test_the_apps_own_agents_and_tables_work_beside(bootstrap: str) -> None:
    async def scenario() -> None:
        name, own, group, world = await topic(bootstrap, 2), await topic(bootstrap, 2), unique("group"), World()

        async def run_app(mine: str, known: set[str]) -> None:
            app = make_app(bootstrap, group)
            seen = app.Table("seen", default=int, partitions=2)
            source = app.topic(own, key_type=str, key_serializer="raw", value_type=bytes, value_serializer="raw")
            ticks = []

            @app.agent(source)
            async def note(stream: Any) -> None:
                async for key, _ in stream.items():
                    if key == mine:  # Faust may deliver a record again, also one of the first run
                        seen[key] = 1

            @app.timer(0.1)
            async def tick() -> None:
                ticks.append(1)

            attach(app, Counting(frozenset({name}), world))
            async with running(app):
                await until(lambda: all(seen[key] for key in known) and len(ticks) > 2)
                await until(lambda: all_seen(world, name, 2, 100))
                # Faust knows nothing of our partitions.
                assert {tp.topic for tp in app.consumer.assignment()} == {own, f"{group}-seen-changelog"}
                await app.consumer.commit()
                assert {tp.topic for tp in app.consumer._committed_offset} == {own}

        await fill(bootstrap, name, count=100, partitions=2)
        for mine, known in (("a", {"a"}), ("b", {"a", "b"})):  # the second time over the table of the first
            async with producer(bootstrap) as made:
                made.begin()
                made.append(own, 0, Columns([b"v"] * 3, [NOW_MS] * 3, [mine.encode()] * 3))
                await made.commit({}, GroupMember("none"))
            await run_app(mine, known)
        assert world.seen[Partition(name, 0)] == numbers(100)

    run(scenario())


def test_a_stuck_agent_holds_up_neither_topologies_nor_the_group_nor_the_end(bootstrap: str) -> None:
    async def scenario() -> None:
        name, own, group, world = await topic(bootstrap, 2), await topic(bootstrap), unique("group"), World()
        app = make_app(bootstrap, group, stream_buffer_maxsize=1, stream_wait_empty=True)
        stuck = asyncio.Event()

        @app.agent(app.topic(own, value_serializer="raw"))
        async def agent(stream: Any) -> None:
            async for _ in stream:
                stuck.set()
                await asyncio.sleep(3600)

        attach(app, Counting(frozenset({name}), world, "a"), TransportOptions(agents_wait_s=0.5))
        await fill(bootstrap, own, count=100, partitions=1)
        await app.start()
        await asyncio.wait_for(stuck.wait(), 20)
        await fill(bootstrap, name, count=1000, partitions=2)
        await until(lambda: all_seen(world, name, 2, 1000))
        async with worker(bootstrap, group, Counting(frozenset({name}), world, "b")):
            await until(lambda: sorted(str(world.owner(Partition(name, p))) for p in range(2)) == ["a", "b"])
            begin = time.monotonic()
            await app.stop()
            assert time.monotonic() - begin < 5
            await until(lambda: {world.owner(Partition(name, p)) for p in range(2)} == {"b"}, 5)

    run(scenario())


def test_a_worker_that_stops_in_a_rebalance_does_not_wait_for_the_others(bootstrap: str) -> None:
    class Slow(Counting):
        async def revoke(self, partitions: set[Partition]) -> None:
            await asyncio.sleep(6 if self.world.of("b").count("assign") == 1 and self.world.of("a") else 0)
            await super().revoke(partitions)

    async def scenario() -> None:
        name, group, world = await topic(bootstrap, 2), unique("group"), World()
        async with worker(bootstrap, group, Slow(frozenset({name}), world, "b")):
            await until(lambda: world.of("b") == ["assign"])
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(worker(bootstrap, group, Counting(frozenset({name}), world, "a")))
                await until(lambda: world.of("a") == ["assign"])
                world.events.clear()
                world.events += [("a", "assign", frozenset()), ("b", "assign", frozenset())]
                await stack.enter_async_context(worker(bootstrap, group, Counting(frozenset({name}), world, "c")))
                await until(lambda: "revoke" in world.of("a"))
                begin = time.monotonic()
                await stack.aclose()  # both c and a: they stand in the rebalance, for b does not get ready
                assert time.monotonic() - begin < 9
            await until(lambda: {world.owner(Partition(name, p)) for p in range(2)} == {"b"}, 10)

    run(scenario())


class Process:
    """A worker in a process of its own, and what it tells."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.told: list[tuple[str, list[int]]] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            event, partitions = json.loads(line)
            self.told.append((event, partitions))

    def has(self, count: int) -> bool:
        return bool(self.told) and self.told[-1][0] == "assign" and len(self.told[-1][1]) == count

    async def end(self, number: signal.Signals) -> None:
        if self.process.returncode is None:
            self.process.send_signal(number)
        await asyncio.wait_for(self.process.wait(), 20)
        await self._reading


@asynccontextmanager
async def spawned(
    bootstrap: str, group: str, name: str, instance: str = "", leave: str = "ALWAYS"
) -> AsyncIterator[Process]:
    command = [sys.executable, "-m", "tests.kafka.workers", bootstrap, group, name, instance, leave]
    root = Path(__file__).parents[2]
    process = Process(
        await asyncio.create_subprocess_exec(
            *command, cwd=root, env={"PYTHONPATH": f"{root}/src:{root}"}, stdout=asyncio.subprocess.PIPE
        )
    )
    try:
        yield process
    finally:
        await process.end(signal.SIGKILL)


@pytest.mark.parametrize("instances", [("", ""), ("a", "b")], ids=["dynamic", "static"])
def test_a_worker_that_is_told_to_stop_leaves_at_once(bootstrap: str, instances: tuple[str, str]) -> None:
    async def scenario() -> None:
        name, group = await topic(bootstrap, 4), unique("group")
        async with (
            spawned(bootstrap, group, name, instances[0]) as first,
            spawned(bootstrap, group, name, instances[1]) as second,
        ):
            await until(lambda: first.has(2) and second.has(2))
            begin = time.monotonic()
            await first.end(signal.SIGTERM)
            assert first.told[-2:] == [("revoke", first.told[-2][1]), ("stopped", [])]
            assert first.process.returncode == 0
            await until(lambda: second.has(4))
            assert time.monotonic() - begin < 5

    run(scenario())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_static_member_that_restarts_gets_its_own_and_disturbs_nobody(bootstrap: str, number: signal.Signals) -> None:
    async def scenario() -> None:
        name, group = await topic(bootstrap, 4), unique("group")
        async with spawned(bootstrap, group, name, "b", "UNLESS_STATIC") as other:
            await until(lambda: other.has(4))
            async with spawned(bootstrap, group, name, "a", "UNLESS_STATIC") as first:
                await until(lambda: first.has(2) and other.has(2))
                before, told = first.told[-1], list(other.told)
                await first.end(number)
                async with spawned(bootstrap, group, name, "a", "UNLESS_STATIC") as again:
                    await until(lambda: again.has(2))
                    await asyncio.sleep(1)
                    assert again.told == [before]
                    assert other.told == told

    run(scenario())


def test_of_two_workers_with_one_instance_id_the_older_one_ends(bootstrap: str) -> None:
    async def scenario() -> None:
        name, group, world = await topic(bootstrap, 2), unique("group"), World()
        settings = {"consumer_group_instance_id": "same"}
        app = make_app(bootstrap, group, **settings)
        attach(app, Counting(frozenset({name}), world, "a"))
        await app.start()
        await until(lambda: world.of("a") == ["assign"])
        async with worker(bootstrap, group, Counting(frozenset({name}), world, "b"), **settings):
            await until(lambda: world.of("b") == ["assign"] and app.crashed)
            assert isinstance(app.crash_reason, BrokerError)
            assert "If another worker has the same instance id (same), stop one of them" in str(app.crash_reason)
            await app.stop()
            await asyncio.sleep(1)
            assert world.of("a") == ["assign", "lost"]
            assert world.of("b") == ["assign"]

    run(scenario())


def test_members_know_each_other_and_their_copies(bootstrap: str) -> None:
    async def scenario() -> None:
        left, right, group, world = await topic(bootstrap, 4), await topic(bootstrap, 4), unique("group"), World()
        topics = frozenset({left, right})
        held = {(0, p): 10 + p for p in range(4)}
        a = TransportOptions(groups=(topics,), transactional_id="tx-a", address="host-a", standbys=1, held=lambda: held)
        b = TransportOptions(groups=(topics,), transactional_id="tx-b", address="host-b", standbys=1)
        async with (
            worker(bootstrap, group, Counting(topics, world, "a"), options=a) as first,
            worker(bootstrap, group, Counting(topics, world, "b"), options=b) as second,
        ):
            await until(lambda: len(first.at) == len(second.at) == 4)
            assert first.control is not None
            assert second.control is not None
            assert first.control.peers() == second.control.peers()
            peers = {peer.transactional_id: peer for peer in first.control.peers()}
            assert {name: peer.address for name, peer in peers.items()} == {"tx-a": "host-a", "tx-b": "host-b"}
            for peer, intake in ((peers["tx-a"], first), (peers["tx-b"], second)):
                assert peer.partitions == intake.at.keys()
                assert {p.partition for p in peer.partitions if p.topic == left} == {
                    p.partition for p in peer.partitions if p.topic == right
                }
            assert peers["tx-a"].standbys == peers["tx-b"].partitions
            assert first.control.standbys() == {(0, p.partition) for p in peers["tx-b"].partitions}

    run(scenario())


def test_an_error_of_the_intake_ends_the_app(bootstrap: str) -> None:
    def fail(batch: object) -> None:
        raise ValueError("a bug")

    async def scenario() -> None:
        name, world = await topic(bootstrap), World()
        await fill(bootstrap, name, count=1, partitions=1)
        app = make_app(bootstrap, unique("group"))
        attach(app, Counting(frozenset({name}), world, on_take=fail))
        await app.start()
        await until(lambda: app.crashed)
        assert isinstance(app.crash_reason, ValueError)
        await app.stop()

    run(scenario())


def test_attaching_too_late_or_to_topics_that_nobody_reads_is_refused() -> None:
    async def scenario() -> None:
        app = make_app("127.0.0.1:1", "group")
        intake = Counting(frozenset({"orders"}), World())
        with pytest.raises(ConfigError, match=r"^options.groups: \['payments'\] are no topics of the intake$"):
            attach(app, intake, TransportOptions(groups=(frozenset({"payments"}),)))
        control = attach(app, intake)
        with pytest.raises(BrokerError, match="the app has not started yet"):
            control.membership()
        assert app.consumer is not None
        with pytest.raises(ConfigError, match=r"^app 'group': a topology must be attached before the app starts$"):
            attach(app, intake)

    run(scenario())


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (driver.AIOKafkaConsumerThread, "_create_worker_consumer _ensure_consumer _consumer assignment close "
         "on_start on_thread_stop on_partitions_revoked on_partitions_assigned seek_to_committed call_thread"),
        (faust_consumer.ThreadDelegateConsumer, "_thread _unacked_messages"),
        (driver.Consumer, "_new_consumer_thread on_start on_stop wait_empty subscribe itertimer"),
        (base.Transport, "Consumer url"),
        (driver.Transport, "default_port"),
        (AIOKafkaConsumer, "_coordinator _subscription _partition_assignment_strategy _group_id _group_instance_id "
         "_client _fetcher"),
        (GroupCoordinator, "generation member_id group_id _group_instance_id _heartbeat_task reset_generation "
         "check_errors _maybe_leave_group"),
        (SubscriptionState, "fetch_context"),
    ],
)  # fmt: skip
def test_the_parts_that_are_used_have_their_names(owner: type, names: str) -> None:
    source = inspect.getsource(owner)
    if owner is faust_consumer.ThreadDelegateConsumer:
        source += inspect.getsource(faust_consumer.Consumer)
    missing = [name for name in names.split() if not hasattr(owner, name) and f"self.{name} " not in source]
    assert missing == []


def test_the_group_protocol_calls_the_parts_in_the_order_that_the_transport_relies_on() -> None:
    prepare = inspect.getsource(GroupCoordinator.ensure_active_group)
    assert prepare.index("_on_join_prepare") < prepare.index("_stop_heartbeat_task") < prepare.index("_do_rejoin_group")
    complete = inspect.getsource(GroupCoordinator._on_join_complete)
    assign, settle = complete.index("assign_from_subscribed"), complete.index("assignor.on_assignment")
    code = [line for line in complete[assign:settle].splitlines() if not line.lstrip().startswith("#")]
    assert not any("await " in line for line in code), "partitions are set aside before anything else runs"
    assert settle < complete.index("listener.on_partitions_assigned")
    heartbeat = inspect.getsource(GroupCoordinator._do_heartbeat)
    assert heartbeat.count("self.reset_generation()") == 2
    leave = inspect.getsource(GroupCoordinator._maybe_leave_group)
    assert "self.generation > 0 and self._group_instance_id is None" in leave
    listener = inspect.getsource(driver.ConsumerRebalanceListener)
    assert "thread.on_partitions_revoked(ensure_TPset(revoked))" in listener
    assert "_thread.on_partitions_assigned(ensure_TPset(assigned), generation)" in listener


def test_faust_gets_all_that_it_knows_of_partitions_from_the_thread() -> None:
    for name in ("assignment", "seek_to_committed"):
        assert f"self._thread.{name}()" in inspect.getsource(getattr(faust_consumer.ThreadDelegateConsumer, name))
    seek = inspect.getsource(faust_consumer.Consumer.perform_seek)
    assert "self.seek_to_committed()" in seek
    empty = inspect.getsource(faust_consumer.Consumer.wait_empty)
    assert "while not self.should_stop and self._unacked_messages:" in empty
    assert "self._wait_for_ack)(timeout=1)" in empty
