"""Long topologies compile quickly, and what is too long is refused with a way out."""

from __future__ import annotations

import time

import pytest
from pydantic import BaseModel

from headrace import Topology, TopologyError, agg, col, tumbling
from headrace.plan import compile_plan, describe
from headrace.plan.limits import MAX_BLOCKS, MAX_LEVELS, MAX_STEPS
from headrace.testing import TopologyDriver
from headrace.topology.operator import Port
from headrace.topology.stream import Stream


class Order(BaseModel):
    user: str
    amount: int
    tags: list[int] = []


def orders(topology: Topology) -> Stream:
    return topology.source("orders", topic="orders", schema=Order)


def chain(steps: int) -> Topology:
    topology = Topology("long")
    stream = orders(topology)
    for number in range(steps - 1):
        stream = stream.map(f"map-{number}", amount=col.amount + 1)
    stream.sink("out", topic="out")
    return topology


def explodes(count: int) -> Topology:
    topology = Topology("deep")
    stream = orders(topology)
    for number in range(count):
        stream = stream.explode(f"explode-{number}", col.tags, name=f"tag{number}")
    stream.group_by("by", col.user).window(tumbling("1m")).aggregate("n", n=agg.count()).on_close().sink("o", topic="o")
    return topology


def forks(count: int) -> Topology:
    topology = Topology("forked")
    stream = orders(topology)
    for number in range(count):
        behind = stream.filter(f"on-{number}", col.amount > number)
        stream.sink(f"out-{number}", topic="out")
        stream = behind
    stream.group_by("by", col.user).window(tumbling("1m")).aggregate("n", n=agg.count()).on_close().sink("o", topic="o")
    return topology


def beside_another(count: int) -> Topology:
    topology = Topology("beside")
    stream = first = orders(topology)
    for number in range(count):
        stream = stream.filter(f"on-{number}", col.amount > number)
    stream.sink("out", topic="out")
    first.sink("all", topic="all")
    return topology


@pytest.mark.parametrize(
    ("make", "most"),
    [(chain, MAX_STEPS), (explodes, MAX_BLOCKS // 2), (forks, MAX_BLOCKS), (beside_another, MAX_LEVELS - 1)],
)
def test_the_longest_that_is_taken_runs_and_one_more_is_refused(make, most: int) -> None:
    driver = TopologyDriver(make(most))
    driver.pipe("orders", {"user": "a", "amount": 1_000, "tags": [1]})
    driver.finish()
    assert driver.dead_letters() == []
    with pytest.raises(TopologyError, match="Or put a topic in between") as caught:
        compile_plan(make(most + 1))
    assert len(caught.value.faults) == 1


def test_the_limit_ends_at_a_table() -> None:
    topology = Topology("long")
    stream = orders(topology)
    for number in range(MAX_STEPS):
        stream = stream.group_by(f"by-{number}", col.user).table(f"table-{number}").on_update()
        stream = stream.map(f"map-{number}", amount=col.amount + 1)
    stream.sink("out", topic="out")
    assert len(compile_plan(topology).steps) == 3 * MAX_STEPS + 2


def test_a_plan_of_thousands_of_steps_is_compiled_and_described_in_seconds() -> None:
    topology = Topology("wide")
    source = orders(topology)
    for number in range(1_500):
        source.filter(f"filter-{number}", col.amount > number).sink(f"out-{number}", topic="out")
    before = time.process_time()
    plan = compile_plan(topology)
    assert len(describe(plan).text.splitlines()) == 2 * len(plan.steps) + 2
    assert time.process_time() - before < 5


def test_steps_and_their_readers_are_found_by_name() -> None:
    plan = compile_plan(chain(3))
    assert plan.step("map-1").id == "map-1"
    assert [step.id for step in plan.consumers(Port("map-0"))] == ["map-1"]
    assert plan.consumers(Port("out")) == ()
