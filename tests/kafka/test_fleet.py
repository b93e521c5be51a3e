"""A fleet without a broker: when it pauses, and what it does when a commit fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from pydantic import BaseModel

from headrace import Topology, col
from headrace.errors import DataError, HeadraceError
from headrace.kafka.client import Client
from headrace.kafka.errors import (
    BrokerError,
    CommitFailedError,
    FencedError,
    RefusedError,
    StaleMemberError,
    TooLargeError,
)
from headrace.kafka.fleet import Fleet
from headrace.kafka.intake import Peer
from headrace.kafka.layout import Layout, lay_out
from headrace.kafka.limits import TopicLimits
from headrace.kafka.local_positions import LocalPositions
from headrace.kafka.model import Columns, Fetched, GroupMember, Partition, Position
from headrace.kafka.notes import Note
from headrace.kafka.opening import Opened, Opener, Topics, Wanted
from headrace.kafka.producing import TransactionalProducer
from headrace.kafka.record_batches import Compression, build
from headrace.kafka.restoring import Restorer
from headrace.kafka.settings import FleetSettings
from headrace.plan import compile_plan
from headrace.state.memory import MemoryBackend
from headrace.topology.nodes import OnError
from tests.kafka.support import NOW_MS, run

MEMBER = GroupMember("g", 1, "me")
MEGABYTE = b'{"user":"u","text":"%s"}' % (b"x" * (1 << 20))


class Event(BaseModel):
    user: str
    text: str


def passing(on_error: OnError = OnError.DEAD_LETTER) -> Topology:
    topology = Topology("t")
    topology.source("in", topic="in", schema=Event, on_error=on_error).sink("out", topic="out")
    return topology


def spread() -> Topology:
    topology = Topology("t")
    events = topology.source("in", topic="in", schema=Event)
    events.group_by("by-user", col.user).table("latest").on_update().sink("out", topic="out")
    return topology


def merging() -> Topology:
    topology = Topology("t")
    a, b = (topology.source(name, topic=name, schema=Event, idle_timeout="1h") for name in "ab")
    a.merge("both", b).sink("out", topic="out")
    return topology


class Control:
    """Notes what the fleet does to the flow."""

    def __init__(self) -> None:
        self.started: dict[Partition, int] = {}
        self.paused: set[Partition] = set()

    def start(self, partition: Partition, offset: int) -> None:
        self.started[partition] = offset

    def seek(self, partition: Partition, offset: int) -> None:
        self.started[partition] = offset

    def pause(self, partitions: Collection[Partition]) -> None:
        self.paused |= set(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        self.paused -= set(partitions)

    def drained(self) -> frozenset[Partition]:
        return frozenset()

    def membership(self) -> GroupMember:
        return MEMBER

    def peers(self) -> tuple[Peer, ...]:
        return ()

    def standbys(self) -> frozenset[tuple[int, int]]:
        return frozenset()


class Producer:
    """Commits, or fails in the way that is asked for."""

    transactional_id = "g/w"

    def __init__(self) -> None:
        self.positions: dict[Partition, Position] = {}
        self.written: list[tuple[str, int]] = []
        self.records: dict[str, Columns] = {}
        self.ends: dict[Partition, int] = {}
        self.failure: BrokerError | None = None
        self.recovered = 0
        self.limits = TopicLimits()

    def begin(self) -> None:
        self.written.clear()
        self.records.clear()

    def append(self, topic: str, partition: int, columns: Columns) -> None:
        self.limits.check(topic, build(columns, Compression.NONE, 1_000, transactional=True))
        self.written.append((topic, len(columns)))
        self.records[topic] = columns
        self.ends[Partition(topic, partition)] = 1

    async def commit(self, positions: Mapping[Partition, Position], member: GroupMember) -> None:
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        self.positions |= positions

    async def recover(self) -> None:
        self.recovered += 1

    async def close(self) -> None:
        """Nothing to close."""


class Door(Opener):
    """Opens units at what the producer has committed."""

    producer: Producer

    async def open(self, wanted: Wanted, control: object) -> list[Opened]:
        opened = []
        for (_, number), (component, topics) in wanted.items():
            places = [Partition(topic, number) for topic in topics]
            at = {place: self.producer.positions.get(place, Position(0)) for place in places}
            unit = self._unit(component, number, {place.topic: position.offset for place, position in at.items()})
            opened.append(Opened(unit, at, {place.topic: Note.decode(p.metadata) for place, p in at.items()}))
        return opened

    async def restore(self, opened: Opened) -> None:
        opened.unit.open(opened.notes)


class Stand:
    """A fleet and what is around it."""

    def __init__(self, topology: Topology, **settings: object) -> None:
        self.layout: Layout = lay_out("g", [compile_plan(topology)])
        self.control, self.producer = Control(), Producer()
        backend = MemoryBackend()
        nobody = cast("Client", None)
        producer = cast("TransactionalProducer", self.producer)
        positions = LocalPositions(backend, lambda: NOW_MS)
        restorer = Restorer(nobody, cast("Any", _Idle()), backend, (), {}, positions=positions)
        topics = Topics({}, self._make)
        topics.limits.know(["out", "in"], {})
        topics.limits.internal(self.layout.repartitions)
        self.fleet = Fleet(
            self.layout,
            FleetSettings.of(brokers="localhost", group="g", **settings),
            topics,
            client=nobody,
            producer=producer,
            restorer=restorer,
            backend=backend,
            positions=positions,
            now_ms=lambda: NOW_MS,
        )
        door = Door(
            self.layout,
            "g",
            topics,
            client=nobody,
            producer=producer,
            restorer=restorer,
            backend=self.fleet.backend,
            now_ms=lambda: NOW_MS,
        )
        door.producer = self.producer
        self.fleet._opener = door
        self.limits = self.producer.limits = topics.limits
        self.fleet.control = self.control

    async def _make(self, names: Collection[str]) -> Mapping[str, int]:
        return dict.fromkeys(names, 1)

    @property
    def inputs(self) -> set[Partition]:
        return {Partition(topic, 0) for component in self.layout.components for topic in component.topics}

    async def opened(self, generation: int = 1) -> None:
        """Assign all partitions, and wait until their units run."""
        await self.fleet.assign(self.inputs, GroupMember("g", generation, "me"))
        await self.running()

    async def tried(self, batch: Fetched) -> None:
        """Take a batch that has a record that is too large: found by the first commit, taken out by the second."""
        self.fleet.take(batch)
        with pytest.raises(TooLargeError):
            await self.fleet.checkpoint()
        assert not self.fleet.units
        await self.opened(generation=2)
        self.fleet.take(batch)
        await self.fleet.checkpoint()

    async def running(self) -> None:
        self.control.started.clear()
        async with asyncio.timeout(5):
            while self.control.started.keys() != self.inputs:  # noqa: ASYNC110 - the fleet tells by a call
                await asyncio.sleep(0)


class _Idle:
    async def stop(self) -> None:
        """Nothing to stop."""


@asynccontextmanager
async def stand(topology: Topology, **settings: object) -> AsyncIterator[Stand]:
    made = Stand(topology, **settings)
    await made.opened()
    try:
        yield made
    finally:
        await made.fleet.close()


def fetched(topic: str, first: int, *values: bytes) -> Fetched:
    end, count = first + len(values), len(values)
    return Fetched(topic, 0, first, end, list(values), [None] * count, [NOW_MS] * count, range(first, end))


@pytest.mark.parametrize("declare", [passing, spread], ids=["sink", "repartition"])
def test_a_fleet_whose_output_is_full_pauses_until_it_is_committed(declare: Any) -> None:
    async def scenario() -> None:
        async with stand(declare(), output_bytes="8MiB") as at:
            for n in range(7):
                at.fleet.take(fetched("in", n, MEGABYTE))
                assert not at.control.paused, f"after {n + 1} MiB of 8"
            at.fleet.take(fetched("in", 7, MEGABYTE))
            assert at.control.paused == at.inputs
            await at.fleet.checkpoint()
            assert not at.control.paused
            assert at.producer.positions[Partition("in", 0)].offset == 8

    run(scenario())


def test_one_large_batch_of_small_and_large_records_is_measured_by_all_of_them() -> None:
    async def scenario() -> None:
        async with stand(passing(), output_bytes="8MiB") as at:
            at.fleet.take(fetched("in", 0, b'{"user":"u","text":""}', *[MEGABYTE] * 9))
            assert at.control.paused == at.inputs

    run(scenario())


def test_records_that_wait_for_another_topic_are_counted_and_the_other_topic_goes_on() -> None:
    async def scenario() -> None:
        async with stand(merging(), output_bytes="8MiB", max_task_idle="1h") as at:
            at.fleet.take(fetched("a", 0, *[MEGABYTE] * 9))
            assert at.control.paused == {Partition("a", 0)}
            (unit,) = at.fleet.units.values()
            assert unit.output_bytes > 9 << 20
            at.fleet.take(fetched("b", 0, MEGABYTE))
            await at.fleet.checkpoint()
            assert not at.control.paused
            assert unit.output_bytes < 2 << 20

    run(scenario())


def test_small_records_in_the_bound_pause_nothing() -> None:
    async def scenario() -> None:
        async with stand(passing(), output_bytes="8MiB") as at:
            for n in range(20):
                at.fleet.take(fetched("in", n * 1_000, *[b'{"user":"u","text":"x"}'] * 1_000))
            assert not at.control.paused

    run(scenario())


@pytest.mark.parametrize("error", [CommitFailedError, StaleMemberError, FencedError])
def test_a_commit_that_fails_closes_the_units_opens_them_anew_and_is_counted(error: type[BrokerError]) -> None:
    async def scenario() -> None:
        async with stand(passing(), session_timeout="1ms") as at:
            at.fleet.take(fetched("in", 0, MEGABYTE))
            await at.fleet.checkpoint()
            at.fleet.take(fetched("in", 1, MEGABYTE))
            at.producer.failure = error("no")
            running = asyncio.create_task(at.fleet.run())
            await at.running()
            counters = at.fleet.counters
            assert (counters.commits, counters.commit_failures, counters.reopened) == (1, 1, 1)
            assert at.control.started == {Partition("in", 0): 1}, "behind what was committed"
            assert at.producer.recovered == 1
            assert at.fleet.failure is None
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            at.fleet.take(fetched("in", 1, MEGABYTE))
            await at.fleet.checkpoint()
            assert at.producer.written == [("out", 1)]
            assert (counters.commits, counters.commit_failures, counters.reopened) == (2, 1, 1)

    run(scenario())


def test_units_that_were_lost_are_opened_anew_and_counted() -> None:
    async def scenario() -> None:
        async with stand(passing()) as at:
            at.fleet.take(fetched("in", 0, MEGABYTE))
            await at.fleet.lost()
            assert not at.fleet.units
            await at.opened(generation=5)
            assert at.control.started == {Partition("in", 0): 0}
            assert (at.fleet.counters.reopened, at.fleet.counters.commit_failures) == (1, 0)

    run(scenario())


def test_a_refusal_ends_the_worker_and_nothing_is_committed_after_it() -> None:
    async def scenario() -> None:
        async with stand(passing()) as at:
            at.fleet.take(fetched("in", 0, MEGABYTE))
            at.producer.failure = RefusedError("no")
            with pytest.raises(RefusedError):
                await at.fleet.run()
            assert (at.fleet.counters.commits, at.fleet.counters.commit_failures) == (0, 1)
            with pytest.raises(HeadraceError, match="nothing is committed after a failure"):
                await at.fleet.checkpoint()

    run(scenario())


def test_units_that_go_on_after_a_rebalance_tell_their_watermarks_again() -> None:
    async def scenario() -> None:
        async with stand(spread()) as at:
            at.fleet.take(fetched("in", 0, b'{"user":"u","text":""}'))
            await at.fleet.checkpoint()
            (topic,) = at.layout.repartitions
            assert (topic, 1) in at.producer.written
            await at.fleet.revoke(at.inputs)
            await at.fleet.assign(at.inputs, GroupMember("g", 2, "me"))
            at.producer.written.clear()
            await at.fleet.checkpoint()
            assert at.producer.written == [(topic, 1)]
            await at.fleet.checkpoint()
            assert at.fleet.counters.commits == 2

    run(scenario())


SMALL = b'{"user":"u","text":"x"}'
LETTERS = "t.dead-letters"


def headers(columns: Columns, place: int = 0) -> dict[str, bytes | None]:
    assert columns.headers is not None
    return dict(columns.headers[place])


def test_an_output_that_its_topic_does_not_take_is_a_dead_letter() -> None:
    async def scenario() -> None:
        async with stand(passing()) as at:
            at.limits.know(["out"], {"out": 1 << 20})
            at.limits.know([LETTERS], {})
            await at.tried(fetched("in", 0, SMALL, MEGABYTE, SMALL))
            assert at.producer.written == [("out", 2), (LETTERS, 1)]
            assert at.producer.records["out"].values == [SMALL, SMALL]
            letters = at.producer.records[LETTERS]
            assert letters.values == [MEGABYTE]
            told = headers(letters)
            assert (told["headrace-step"], told["headrace-topic"], told["headrace-offset"]) == (
                b"out",
                b"out (output)",
                b"-1",
            )
            assert told["headrace-message"] == (
                b"the record is 1048672 bytes, topic 'out' takes 1048576: raise its max.message.bytes, or make the "
                b"record smaller"
            )
            assert at.producer.positions[Partition("in", 0)].offset == 3

    run(scenario())


def test_a_letter_that_its_topic_does_not_take_is_shortened_and_says_so() -> None:
    async def scenario() -> None:
        async with stand(passing()) as at:
            bad = b"\x00" * (2 << 20)
            await at.tried(fetched("in", 0, b"?", bad))
            letters = at.producer.records[LETTERS]
            assert letters.values == [b"?", bad[:4_096]]
            assert "headrace-shortened" not in headers(letters)
            told = headers(letters, 1)
            assert told["headrace-shortened"] == b"2097152"
            assert (told["headrace-message"] or b"").endswith(
                b" (shortened, the letter was too large for its topic: the value had 2097152 bytes, "
                b"here are the first 4096)"
            )

    run(scenario())


@pytest.mark.parametrize("policy", [OnError.SKIP, OnError.FAIL])
def test_an_output_that_its_topic_does_not_take_goes_by_the_policy_of_the_source(policy: OnError) -> None:
    async def scenario() -> None:
        async with stand(passing(policy)) as at:
            at.limits.know(["out"], {"out": 1 << 20})
            if policy is OnError.FAIL:
                with pytest.raises(DataError, match=r"^step 'out': the record is 1048672 bytes, topic 'out' takes"):
                    await at.tried(fetched("in", 0, MEGABYTE))
                assert at.producer.positions == {}
                return
            await at.tried(fetched("in", 0, MEGABYTE))
            assert at.producer.written == []
            assert at.producer.positions[Partition("in", 0)].offset == 1

    run(scenario())
