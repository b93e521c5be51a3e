"""Records without a value in a topic of latest rows."""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel

from headrace import Topology, col
from headrace.kafka.layout import lay_out
from headrace.kafka.model import Fetched
from headrace.kafka.unit import State, TaskId, Unit
from headrace.operators.build import generate
from headrace.operators.lookups.temporal_logic import TemporalLogic
from headrace.plan import compile_plan
from headrace.state.memory import MemoryBackend
from headrace.state.protocol import Batch


class Stock(BaseModel):
    sku: str
    left: int


def unit_of(topology: Topology, backend: MemoryBackend) -> Unit:
    plan = compile_plan(topology)
    (component,) = lay_out("g", [plan]).components
    codes = {TaskId(plan.name, code.agent): code for code in generate(plan)}
    made = Unit(
        component, 0, codes, backend, topics={"stock": 0}, spread={plan.name: 1}, senders={}, now_ms=lambda: 1_000
    )
    made.become(State.RESTORING)
    made.open({})
    made.become(State.RUNNING)
    return made


def fetched(*records: tuple[bytes | None, bytes | None]) -> Fetched:
    keys, values = [key for key, _ in records], [value for _, value in records]
    return Fetched("stock", 0, 0, len(records), values, keys, [1_000] * len(records), range(len(records)))


def stock(left: int, sku: str = "tea") -> tuple[bytes, bytes]:
    return sku.encode(), b'{"sku": "%s", "left": %d}' % (sku.encode(), left)


def table(unit: Unit, backend: MemoryBackend) -> list[bytes]:
    batch = Batch()
    unit.cut(batch)
    backend.write(batch)
    return [value for _, value in backend.store("shop/stock-now").scan()]


def declared() -> Topology:
    topology = Topology("shop")
    source = topology.source("stock", topic="stock", schema=Stock, key=col.sku)
    source.group_by("by-sku", col.sku).table("stock-now")
    return topology


def test_a_record_without_a_value_removes_the_row_of_its_key() -> None:
    backend = MemoryBackend()
    unit = unit_of(declared(), backend)
    assert unit.take(fetched(stock(3), stock(5, "milk"), (b"tea", None)))
    assert len(table(unit, backend)) == 1
    (task,) = unit.tasks.values()
    assert task.dead_letters == []


def test_what_comes_after_it_counts_again() -> None:
    backend = MemoryBackend()
    unit = unit_of(declared(), backend)
    unit.take(fetched(stock(3), (b"tea", None), stock(4), (b"milk", None)))
    assert len(table(unit, backend)) == 1


def test_without_a_key_or_without_a_table_it_is_a_dead_letter() -> None:
    unit = unit_of(declared(), MemoryBackend())
    unit.take(fetched(stock(3), (None, None), (None, b"")))
    topology = Topology("shop")
    topology.source("stock", topic="stock", schema=Stock).select("s", col.left).sink("out", topic="out")
    other = unit_of(topology, MemoryBackend())
    other.take(fetched((b"tea", None), stock(4)))
    for found in (unit, other):
        (task,) = found.tasks.values()
        letter, *others = task.dead_letters
        assert letter.value is None
        assert letter.message == (
            "the record has no value: that removes a row only from a table right behind a source whose key= is the "
            "group_by's one column, of text or whole numbers, and only if the record has such a key"
        )
        assert [other.value for other in others] == [b""] * (found is unit), "an empty value is a value"
    (task,) = other.tasks.values()
    assert task.sinks[0].values == [b'{"left":4}']


def test_a_record_without_a_value_is_a_version_of_its_own_time() -> None:
    topology = Topology("shop")
    source = topology.source("stock", topic="stock", schema=Stock, key=col.sku).group_by("by-sku", col.sku)
    source.lookup("then", source.table("stock-now"), as_of="event_time", how="left", suffix="_then").sink(
        "o", topic="o"
    )
    unit = unit_of(topology, MemoryBackend())
    unit.take(fetched(stock(5), (b"tea", None)))
    (logic,) = (one for task in unit.tasks.values() for one in task.operators if isinstance(one, TemporalLogic))
    logic.catch_up()
    assert [logic._versions.at("tea", at) is None for at in (999, 1_000)] == [True, True]
    unit.take(replace(fetched((b"tea", None), stock(6)), first_offset=2, next_offset=4, times=[2_000, 1_500]))
    logic.catch_up()
    assert [logic._versions.at("tea", at) is None for at in (1_000, 1_500, 2_000)] == [True, False, True]
