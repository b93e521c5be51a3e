"""A unit without a broker: its life, the order in which it reads several topics, and what is noted beside offsets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise, product

import pytest
from pydantic import BaseModel

from headrace import Topology, agg, col
from headrace.errors import InternalError
from headrace.kafka.layout import lay_out
from headrace.kafka.model import Fetched, Partition
from headrace.kafka.notes import NOTE_BYTES, Note, is_coarse
from headrace.kafka.rows import Part, RowCodec
from headrace.kafka.unit import State, TaskId, Unit
from headrace.operators.build import generate
from headrace.operators.heads import exchange_types
from headrace.plan import compile_plan
from headrace.state.memory import MemoryBackend
from headrace.state.protocol import Batch
from headrace.time.instants import START_OF_TIME_MS

NOW_MS = 1_700_000_000_000


class Event(BaseModel):
    user: str
    at: int


def counting(name: str = "t") -> Topology:
    """Return a topology whose second agent reads a repartition topic."""
    topology = Topology(name)
    events = topology.source("events", topic="events", schema=Event, time=col.at)
    events.group_by("by-user", col.user).aggregate("n", n=agg.count()).on_update().sink("out", topic=f"{name}.out")
    return topology


def merging() -> Topology:
    """Return a topology with a task that reads two topics."""
    topology = Topology("m")
    a, b = (
        topology.source(name, topic=name, schema=Event, time=col.at, key=col.user, idle_timeout="1h") for name in "ab"
    )
    a.merge("both", b).sink("out", topic="out")
    return topology


class Bench:
    """Makes the units of some topologies, one after the other, on one state."""

    def __init__(self, *topologies: Topology, senders: int = 1) -> None:
        plans = [compile_plan(topology) for topology in topologies]
        self.layout = lay_out("g", plans)
        self._codes = {TaskId(plan.name, code.agent): code for plan in plans for code in generate(plan)}
        self._spread = {plan.name: 2 for plan in plans}
        self._senders = dict.fromkeys(self.layout.repartitions, senders)
        self._backend = MemoryBackend()
        self.now_ms = NOW_MS

    def unit(self, topic: str, notes: dict[str, Note] | None = None) -> Unit:
        """Return a running unit that reads this topic, and those that belong to it."""
        component = next(one for one in self.layout.components if topic in one.topics)
        unit = Unit(
            component,
            0,
            self._codes,
            self._backend,
            topics=dict.fromkeys(component.topics, 0),
            spread=self._spread,
            senders=self._senders,
            now_ms=lambda: self.now_ms,
        )
        unit.become(State.RESTORING)
        unit.open(notes or {})
        unit.become(State.RUNNING)
        return unit

    def notes(self, unit: Unit) -> dict[str, str]:
        """Return what the unit commits beside the offsets."""
        return {partition.topic: at.metadata for partition, at in unit.committing("w").items()}

    def again(self, unit: Unit) -> Unit:
        """Return the same unit, opened where this one is."""
        notes = {topic: Note.decode(text) for topic, text in self.notes(unit).items()}
        return self.unit(next(iter(unit.positions)), notes)

    @property
    def repartition(self) -> str:
        (topic,) = self.layout.repartitions
        return topic

    def told(self, parts: Sequence[Part]) -> Fetched:
        """Return what other tasks send to the task behind the group_by."""
        plan, step = self.layout.repartitions[self.repartition]
        return fetched(self.repartition, 0, *RowCodec(*exchange_types(plan, step)).encode(parts))


def fetched(topic: str, first: int, *values: bytes, at: Sequence[int] = ()) -> Fetched:
    keys: list[bytes | None] = [None] * len(values)
    end = first + len(values)
    return Fetched(topic, 0, first, end, list(values), keys, list(at) or [NOW_MS] * len(values), range(first, end))


def events(topic: str, first: int, *at: int) -> Fetched:
    return fetched(topic, first, *(b'{"user":"%s%d","at":%d}' % (topic.encode(), ms, ms) for ms in at), at=at)


def watermarks(unit: Unit) -> list[tuple[int, bool]]:
    return [(c.watermark_ms, c.idle) for task in unit.tasks.values() for c in task.watermarks.channels]


# -- its life --------------------------------------------------------------------------------------

LEGAL = {
    (State.CREATED, State.RESTORING),
    (State.RESTORING, State.RUNNING),
    (State.RUNNING, State.SUSPENDED),
    (State.SUSPENDED, State.RUNNING),
    *((state, State.CLOSED) for state in State if state is not State.CLOSED),
}


@pytest.mark.parametrize(("before", "after"), [*product(State, State)])
def test_a_unit_takes_the_steps_of_its_table_and_no_others(before: State, after: State) -> None:
    unit = Bench(counting()).unit("events")
    unit.state = before
    if (before, after) in LEGAL:
        unit.become(after)
        assert unit.state is after
        return
    with pytest.raises(InternalError, match=f"^unit t.events/0: {before.value} cannot become {after.value}$"):
        unit.become(after)
    assert unit.state is before


# -- watermarks beside offsets ---------------------------------------------------------------------


def spread_out(count: int) -> list[Part]:
    """Return what so many tasks tell: an hour apart at most, every third silent, one without a record ever."""
    parts = [Part(n, NOW_MS - n * 7_919 % 3_600_000, n % 3 == 0, []) for n in range(count)]
    return [*parts[:-1], parts[-1]._replace(watermark_ms=START_OF_TIME_MS, idle=True)]


@pytest.mark.parametrize("senders", [3, 150, 256, 700])
def test_the_watermarks_of_all_senders_are_part_of_the_checkpoint(senders: int) -> None:
    bench = Bench(counting(), senders=senders)
    unit = bench.unit(bench.repartition)
    unit.take(bench.told(spread_out(senders)))
    before = watermarks(unit)
    (text,) = bench.notes(unit).values()
    assert len(text) <= NOTE_BYTES
    assert before == [(part.watermark_ms, part.idle) for part in spread_out(senders)]
    again = bench.again(unit)
    assert watermarks(again) == before
    (task,) = again.tasks.values()
    assert task.watermark_ms == min(ms for ms, idle in before if not idle)


def test_the_watermark_goes_on_after_a_restart_though_only_one_sender_of_256_has_more_to_tell() -> None:
    bench = Bench(counting(), senders=256)
    unit = bench.unit(bench.repartition)
    unit.take(bench.told([Part(n, NOW_MS - n, n > 0, []) for n in range(256)]))
    again = bench.again(unit)
    again.positions = dict.fromkeys(again.positions, 0)
    again.take(bench.told([Part(0, NOW_MS + 60_000, False, [])]))
    (task,) = again.tasks.values()
    assert task.watermark_ms == NOW_MS + 60_000


def test_watermarks_that_do_not_fit_are_noted_lower_and_never_higher(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(counting(), senders=4_096)
    unit = bench.unit(bench.repartition)
    unit.take(bench.told(spread_out(4_096)))
    before, (task,) = watermarks(unit), unit.tasks.values()
    (text,) = bench.notes(unit).values()
    assert bench.notes(unit)
    assert len(text) <= NOTE_BYTES
    assert is_coarse(text)
    (message,) = caplog.messages
    assert message == "t.by-user.in/0: too many senders or topologies for exact watermarks beside an offset"
    again = bench.again(unit)
    assert [idle for _, idle in watermarks(again)] == [idle for _, idle in before]
    assert all(after <= ms for (after, _), (ms, _) in zip(watermarks(again), before, strict=True))
    (opened,) = again.tasks.values()
    assert opened.watermark_ms == task.watermark_ms > START_OF_TIME_MS
    again.positions = dict.fromkeys(again.positions, 0)
    again.take(bench.told(spread_out(4_096)))
    assert watermarks(again) == before, "when the senders tell theirs again"


@pytest.mark.parametrize("count", [1, 110, 300])
def test_many_topologies_on_one_source_keep_their_watermarks(count: int) -> None:
    bench = Bench(*(counting(f"topology-{n}-of-the-shop") for n in range(count)))
    unit = bench.unit("events")
    unit.take(events("events", 0, NOW_MS))
    (text,) = bench.notes(unit).values()
    assert len(text) <= NOTE_BYTES
    again = bench.again(unit)
    assert {task.watermark_ms for task in again.tasks.values()} == {NOW_MS}


def test_no_watermark_of_a_thousand_topologies_gets_lost() -> None:
    names = [f"{n * 2_654_435_761 % 2**32:08x}/events" for n in range(1_000)]
    text = Note("w", {name: NOW_MS + n for n, name in enumerate(names)}, {}).encode()
    assert len(text) <= NOTE_BYTES
    assert is_coarse(text)
    assert {Note.decode(text).task(name) for name in names} == {NOW_MS}, "the lowest of them"


@pytest.mark.parametrize("text", ["", "x", "~x", "-\x00", "~" + "0" * 20, "k5g="])
def test_what_others_have_noted_is_no_watermark(text: str) -> None:
    assert Note.decode(text) == Note("", {}, {})


def test_watermarks_are_told_once_and_again_when_others_may_not_know_them() -> None:
    unit = Bench(counting()).unit("events")
    unit.take(events("events", 0, NOW_MS))
    assert sum(len(part.rows) for part in unit.cut(Batch()).values()) == 1
    assert unit.cut(Batch()) == {}
    unit.tell_again()
    assert [(part.watermark_ms, part.rows) for part in unit.cut(Batch()).values()] == [(NOW_MS, [])] * 2


# -- several topics --------------------------------------------------------------------------------


def read(unit: Unit) -> list[int]:
    """Return the event times of the records that were processed, in that order."""
    (task,) = unit.tasks.values()
    return task.sinks[0].times


def test_records_of_several_topics_are_processed_lowest_time_first() -> None:
    unit = Bench(merging()).unit("a")
    unit.take(events("a", 0, 10, 20, 30, 70))
    assert not unit.merge(patient=True)
    assert (read(unit), unit.waiting) == ([], {"a"})
    unit.take(events("b", 0, 15, 25, 40))
    assert unit.merge(patient=True)
    assert read(unit) == [10, 15, 20, 25, 30, 40]
    assert unit.positions == {"a": 3, "b": 3}, "the one at 70 may still have one before it"
    assert (unit.next_offset("a"), unit.next_offset("b")) == (4, 3)
    unit.take(events("b", 3, 50, 90))
    unit.merge(patient=True)
    assert read(unit) == [10, 15, 20, 25, 30, 40, 50, 70]
    assert all(a < b for a, b in pairwise(read(unit)))
    assert {p: at.offset for p, at in unit.committing("w").items()} == {Partition("a", 0): 4, Partition("b", 0): 4}


def test_one_topic_waits_for_the_other_and_goes_on_without_it_after_the_idle_time() -> None:
    unit = Bench(merging()).unit("a")
    longest = timedelta(hours=1)
    assert not unit.overdue(timedelta(0)), "nothing waits"
    unit.take(events("a", 0, 10, 20))
    unit.merge(patient=True)
    assert not unit.overdue(longest)
    assert unit.overdue(timedelta(0))
    assert unit.merge(patient=False)
    assert (read(unit), unit.waiting) == ([10, 20], frozenset())
    assert not unit.overdue(timedelta(0)), "nothing waits any more"
    unit.take(events("b", 0, 5))
    assert (unit.merge(patient=True), read(unit)) == (False, [10, 20])


def test_a_batch_that_is_not_the_next_one_is_left_alone() -> None:
    unit = Bench(merging()).unit("a")
    assert unit.take(events("a", 0, 10))
    assert not unit.take(events("a", 2, 30))
    assert unit.take(events("a", 1, 20))
