"""Which headers of a record are on the records that are made of it."""

from __future__ import annotations

from pydantic import BaseModel

from headrace import Topology, agg, col, tumbling
from headrace.kafka.rows import Part, RowCodec
from headrace.operators.build import generate
from headrace.operators.heads import exchange_types
from headrace.operators.traces import traced
from headrace.plan import compile_plan
from headrace.runtime.collect import Collector
from headrace.runtime.records import Headers, Records
from headrace.runtime.task import Task
from headrace.state.memory import MemoryBackend
from headrace.state.protocol import Batch
from headrace.time.watermark import Channel

TRACE: Headers = (("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),)
OTHERS: Headers = (("content-type", b"text/x"), ("ce_id", b"1"))


class Order(BaseModel):
    id: int
    items: list[int] = []


class Kept:
    def __init__(self) -> None:
        self.records: list[Records] = []

    def stage(self, batch: Batch, records: Records) -> None:
        self.records.append(records)

    def committed(self) -> None:
        pass


def outputs(topology: Topology, values: list[bytes], headers: list[Headers] | None) -> dict[str, list[Headers] | None]:
    plan = compile_plan(topology)
    code = generate(plan)[0]
    task = Task(plan.name, code, 0, 1, MemoryBackend())
    task.topics = {source.id: source.topic for source in plan.sources}
    channel = Channel(plan.sources[0].id, 0, "t", 1 << 60, seen_at_ms=0)
    task.watermarks.channels.append(channel)
    task.feed(channel, plan.sources[0].id, Records(values, None, [5] * len(values), headers), 5)
    kept: dict[str, Kept] = {}
    Collector(plan, lambda topic: kept.setdefault(topic, Kept())).stage([task], Batch())
    return {topic: one.records[0].headers for topic, one in kept.items()}


def declared() -> Topology:
    topology = Topology("t")
    orders = topology.source("orders", topic="orders", schema=Order)
    orders.filter("some", col.id > 1).sink("raw", topic="raw")
    orders.select("less", col.id).sink("made", topic="made")
    orders.explode("each", col.items, name="item").select("it", col.item).sink("items", topic="items")
    orders.filter("two", col.id > 1).sink("by-id", topic="t-" + col.id.cast(str))
    return topology


VALUES = [b'{"id": 1, "items": [1, 2]}', b'{"id": 2, "items": []}', b'{"id": 3, "items": [3]}']


def test_untouched_records_keep_all_headers_and_new_ones_the_trace() -> None:
    found = outputs(declared(), VALUES, [TRACE + OTHERS, OTHERS, TRACE + OTHERS])
    assert found["raw"] == [OTHERS, TRACE + OTHERS]
    assert found["made"] == [TRACE, (), TRACE]
    assert found["items"] == [TRACE, TRACE, TRACE]
    assert (found["t-2"], found["t-3"]) == ([OTHERS], [TRACE + OTHERS])


def test_without_headers_nothing_is_kept_of_them() -> None:
    assert set(map(str, outputs(declared(), VALUES, None).values())) == {"None"}
    assert outputs(declared(), VALUES, [OTHERS] * 3)["made"] is None


def moved(topology: Topology, values: list[bytes], headers: list[Headers] | None) -> dict[str, list[Headers] | None]:
    """Return the headers of outputs by topic, of rows that go from task to task as Kafka carries them."""
    plan = compile_plan(topology)
    kept: dict[str, Kept] = {}
    tasks = {}
    for code in generate(plan):
        tasks[code.agent] = Task(plan.name, code, 0, 1, MemoryBackend())
    entry = plan.sources[0].id
    channel = Channel(entry, 0, "t", 1 << 60, seen_at_ms=0)
    first = tasks[next(agent.id for agent in plan.agents if entry in agent.heads)]
    first.topics = {entry: "orders"}
    first.watermarks.channels.append(channel)
    first.feed(channel, entry, Records(values, None, [5] * len(values), headers), 5)
    for agent in plan.agents:  # in topological order
        for buffer in tasks[agent.id].exchanges:
            step = plan.step(buffer.spec.step)
            codec = RowCodec(*exchange_types(plan, step))
            (part,) = codec.decode(*codec.encode([Part(0, 0, False, buffer.take()[0])]))
            for to in (tasks[other.id] for other in plan.agents if step.id in other.heads):
                own = Channel(step.id, 0, "t", 1 << 60, seen_at_ms=0)
                to.watermarks.channels.append(own)
                to.receive(own, step.id, part.rows)
    Collector(plan, lambda topic: kept.setdefault(topic, Kept())).stage(list(tasks.values()), Batch())
    return {topic: one.records[0].headers for topic, one in kept.items()}


def regrouped() -> Topology:
    topology = Topology("t")
    orders = topology.source("orders", topic="orders", schema=Order)
    by_id = orders.group_by("by-id", col.id)
    by_id.stream().sink("grouped", topic="grouped")
    by_id.stream().explode("each", col.items, name="item").group_by("by-item", col.item).stream().select(
        "it", col.item
    ).sink("twice", topic="twice")
    return topology


def test_the_trace_goes_along_with_rows_that_move_to_other_tasks() -> None:
    found = moved(regrouped(), VALUES, [TRACE + OTHERS, OTHERS, TRACE + OTHERS])
    assert found["grouped"] == [TRACE, (), TRACE]
    assert found["twice"] == [TRACE, TRACE, TRACE]
    assert set(moved(regrouped(), VALUES, None).values()) == {None}
    assert set(moved(regrouped(), VALUES, [OTHERS] * 3).values()) == {None}


def test_rows_that_only_keep_state_take_no_trace_along() -> None:
    topology = Topology("t")
    windows = topology.source("orders", topic="orders", schema=Order).group_by("by-id", col.id).window(tumbling("1m"))
    counts = windows.aggregate("counts", n=agg.count())
    counts.on_close().sink("out", topic="out")
    assert traced(compile_plan(topology)) == frozenset()
    counts.late().sink("too-late", topic="late")
    assert traced(compile_plan(topology)) == {"by-id"}
