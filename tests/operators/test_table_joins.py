from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from headrace import Topology, TopologyError, agg, apply, col, left, right, tumbling
from headrace.event.dtypes import STR
from headrace.operators.lookups.references_logic import MatchesLogic, ReferenceKit
from headrace.operators.view import StateView
from headrace.plan import compile_plan
from headrace.state.memory import MemoryBackend
from headrace.state.protocol import Batch
from headrace.testing import CrashPoint, TopologyDriver
from tests.naive.lookups import Change, joined, tables
from tests.operators.support import only

HOWS = ["inner", "left", "right", "outer"]


class Row(BaseModel):
    key: str
    at: int
    value: int | None = None


def table_of(topology: Topology, name: str) -> Any:
    source = topology.source(name, topic=name, schema=Row, time=col.at)
    return source.group_by(f"{name}-by", col.key).table(f"{name}-now", delete=col.value.is_null())


def declared(how: str) -> Topology:
    topology = Topology("t")
    chosen = {"one": left.value, "two": right.value}
    both = table_of(topology, "one").join("both", table_of(topology, "two"), how=how, select=chosen)
    both.on_update().sink("out", topic="out")
    third = {"one": left.one, "two": left.two, "three": right.value}
    both.join("all", table_of(topology, "three"), how=how, select=third)
    return topology


def row(change: Change) -> dict[str, Any]:
    return {"key": change.key, "at": change.at * 1000, "value": change.value}


changes = st.builds(Change, st.sampled_from("abc"), st.integers(0, 40), st.none() | st.integers(0, 9))
events = st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), changes), max_size=60)
jumps = st.lists(st.sampled_from(["go on", "restart", "checkpoint", *CrashPoint]), max_size=10)
options = st.fixed_dictionaries(
    {"batch": st.integers(1, 9), "partitions": st.integers(1, 3), "cache_bytes": st.sampled_from([1, 64 << 20])}
)
quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(events, st.sampled_from(HOWS), jumps, options)
def test_rows_are_the_join_of_the_two_tables(found, how, jumps, options) -> None:
    driver = TopologyDriver(declared(how), **options)
    size, seen, newest = len(found) // (len(jumps) + 1) + 1, [], {}
    for place, begin in enumerate(range(0, max(len(found), 1), size)):
        for name, change in found[begin : begin + size]:
            driver.pipe(name, row(change), key=change.key)
            seen.append((name, change))
        jump = jumps[place] if place < len(jumps) else "checkpoint"
        if jump == "restart":
            driver.restart()
        elif isinstance(jump, CrashPoint):
            driver.crash(jump)
        elif jump == "checkpoint":
            one, two, three = (tables(change for name, change in seen if name == wanted) for wanted in (
                "one", "two", "three"
            ))  # fmt: skip
            both = joined(one, two, how)
            assert only(driver.table("both"), "key", "one", "two") == both
            newest |= {update["key"]: (update["one"], update["two"]) for update in driver.output("out")}
            assert all(newest[key] == (a, b) for key, a, b in both)
            whole = joined({key: (a, b) for key, a, b in both}, three, how)
            expected = [(key, *(pair or (None, None)), c) for key, pair, c in whole]
            assert only(driver.table("all"), "key", "one", "two", "three") == expected


def test_a_row_has_the_later_time_of_its_two() -> None:
    driver = TopologyDriver(declared("inner"))
    driver.pipe("one", row(Change("a", 5, 1)))
    driver.pipe("two", row(Change("a", 3, 2)))
    (update,) = driver.records("out")
    assert update.time == datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)


def test_at_most_one_change_per_key_and_checkpoint() -> None:
    driver = TopologyDriver(declared("outer"))
    for value in range(5):
        driver.pipe("one", row(Change("a", value, value)))
        driver.pipe("two", row(Change("a", value, value)))
    assert only(driver.output("out"), "one", "two") == [(4, 4)]


@pytest.mark.parametrize("how", HOWS)
def test_aggregates_are_joined_with_tables_and_with_each_other(how: str) -> None:
    topology = Topology("t")
    one = table_of(topology, "one")
    by_key = topology.source("two", topic="two", schema=Row, time=col.at).group_by("two-by", col.key)
    counts, sums = by_key.aggregate("counts", n=agg.count()), by_key.aggregate("sums", total=agg.sum(col.value))
    one.join("with-counts", counts, how=how, select={"value": left.value, "n": right.n})
    counts.join("figures", sums, how=how)
    driver = TopologyDriver(topology, cache_bytes=1)
    driver.pipe("one", [row(Change("a", 1, 1)), row(Change("b", 1, 1))])
    driver.pipe("two", [row(Change("b", 1, 3)), row(Change("c", 1, 4)), row(Change("c", 1, 5))])
    expected = joined({"a": 1, "b": 1}, {"b": 1, "c": 2}, how)
    assert only(driver.table("with-counts"), "key", "value", "n") == expected
    assert only(driver.table("figures"), "key", "n", "total") == [("b", 1, 3), ("c", 2, 9)]
    driver.pipe("one", row(Change("b", 2, None)))
    assert only(driver.table("with-counts"), "key", "value", "n") == joined({"a": 1}, {"b": 1, "c": 2}, how)


def test_what_fails_on_a_pair_leaves_the_row_as_it_was() -> None:
    topology = Topology("t")
    ratio = apply(lambda one, two: one // two, left.value, right.value, returns=int)
    table_of(topology, "one").join("ratios", table_of(topology, "two"), select={"ratio": ratio})
    driver = TopologyDriver(topology)
    driver.pipe("one", row(Change("a", 1, 8)))
    driver.pipe("two", row(Change("a", 1, 2)))
    assert only(driver.table("ratios"), "ratio") == [4]
    driver.pipe("two", row(Change("a", 2, 0)))
    assert only(driver.table("ratios"), "ratio") == [4]
    assert [letter.step for letter in driver.dead_letters()] == ["ratios"]


def test_a_removal_behind_a_repartition_in_the_same_checkpoint_holds() -> None:
    """What a checkpoint sets off in the tasks behind belongs to it: a row may be set and removed by one batch."""
    topology = Topology("t")
    one = table_of(topology, "one")
    behind = one.on_update().group_by("again", col.key)
    behind.table("copies", delete=col.value == 0)
    driver = TopologyDriver(topology)
    driver.pipe("one", row(Change("a", 1, 5)))
    driver.checkpoint()
    driver.pipe("one", row(Change("a", 1, 0)))
    assert driver.table("copies") == []


def test_tables_that_cannot_be_joined_are_refused() -> None:
    topology = Topology("t")
    one = table_of(topology, "one")
    source = topology.source("two", topic="two", schema=Row, time=col.at)
    other = source.group_by("two-by", at=col.at).table("two-now")
    windowed = source.group_by("w", col.key).window(tumbling("1m")).aggregate("windowed", n=agg.count())
    one.join("types", other, select=[left.value])
    one.join("windows", windowed)  # type: ignore[arg-type]
    one.join("names", one)
    one.join("nothing", "two-now")  # type: ignore[arg-type]
    with pytest.raises(TopologyError) as raised:
        compile_plan(topology)
    assert [str(fault) for fault in raised.value.faults] == [
        "step 'windows', other: expected a table without windows, got an aggregate with one."
        " Leave window() out; or keep its rows: on_close().group_by(...).table(...).",
        "step 'nothing', other: expected a table of topology 't', got 'two-now'. Make one with table() or aggregate().",
        "step 'types', key: expected a key of the types of the table's: (int), got (str)."
        " Convert one of them: col.at.cast(str).",
        "step 'names', select: expected columns that the two sides do not share, got 'at', 'value'."
        " Say which to return: select={'at': left.at, 'right_at': right.at, ...}; or give suffix='_right'.",
    ]


class Order(BaseModel):
    order: str
    at: int
    customer: str | None = None
    amount: int | None = None


def by_reference(how: str) -> Topology:
    topology = Topology("t")
    orders = topology.source("orders", topic="orders", schema=Order, time=col.at).group_by("orders-by", col.order)
    table = orders.table("orders-now", delete=col.amount.is_null())
    chosen = {"amount": left.amount, "customer": left.customer, "value": right.value}
    both = table.join("both", table_of(topology, "one"), on=col.customer, how=how, select=chosen)
    both.on_update().sink("out", topic="out")
    return topology


orders = st.tuples(st.sampled_from("xyz"), st.none() | st.sampled_from("abc"), st.none() | st.integers(0, 9))


@quick
@given(st.lists(orders | changes, max_size=50), st.sampled_from(["inner", "left"]), jumps, options)
def test_rows_follow_what_they_refer_to(found, how, jumps, options) -> None:
    driver = TopologyDriver(by_reference(how), **options)
    size, ones, kept, newest = len(found) // (len(jumps) + 1) + 1, [], {}, {}
    for place, begin in enumerate(range(0, max(len(found), 1), size)):
        for event in found[begin : begin + size]:
            if isinstance(event, Change):
                driver.pipe("one", row(event), key=event.key)
                ones.append(event)
                continue
            order, customer, amount = event
            driver.pipe("orders", {"order": order, "at": 1, "customer": customer, "amount": amount}, key=order)
            kept.pop(order, None)
            if amount is not None:
                kept[order] = (amount, customer)
        jump = jumps[place] if place < len(jumps) else "checkpoint"
        if jump == "restart":
            driver.restart()
        elif isinstance(jump, CrashPoint):
            driver.crash(jump)
        elif jump == "checkpoint":
            values = tables(ones)
            expected = [
                (order, amount, customer, values.get(customer))
                for order, (amount, customer) in sorted(kept.items())
                if how == "left" or customer in values
            ]
            assert only(driver.table("both"), "order", "amount", "customer", "value") == expected
            newest |= {r["order"]: (r["amount"], r["customer"], r["value"]) for r in driver.output("out")}
            assert all(newest[order] == tuple(rest) for order, *rest in expected)


def test_nothing_is_kept_of_rows_that_are_gone() -> None:
    driver = TopologyDriver(by_reference("left"), partitions=2)
    for customer in ("a", "b", None, "a"):
        driver.pipe("one", [row(Change(key, 1, 1)) for key in "ab"])
        driver.pipe("orders", {"order": "x", "at": 1, "customer": customer, "amount": 1})
        driver.checkpoint()
    driver.pipe("orders", {"order": "x", "at": 1})
    driver.pipe("one", [row(Change(key, 1, None)) for key in "ab"])
    driver.checkpoint()
    names = [name for name in driver.backend.names() if name.startswith("t/")]
    assert {name: list(driver.backend.store(name).scan(b"", b"\xff")) for name in names} == {name: [] for name in names}


def test_a_join_by_reference_goes_on_in_others() -> None:
    topology = Topology("t")
    orders = topology.source("orders", topic="orders", schema=Order, time=col.at).group_by("orders-by", col.order)
    kept = orders.table("orders-now", delete=col.amount.is_null())
    first = kept.join("first", table_of(topology, "one"), on=col.customer, select=[left.customer, right.value])
    first.join("second", table_of(topology, "two"), on=col.customer, select={"sum": left.value + right.value})
    driver = TopologyDriver(topology, partitions=2)
    driver.pipe("orders", [{"order": o, "at": 1, "customer": c, "amount": 1} for o, c in ("xa", "yb", "zb")])
    driver.pipe("one", [row(Change("a", 1, 1)), row(Change("b", 1, 2))])
    driver.pipe("two", [row(Change("b", 1, 10))])
    assert only(driver.table("second"), "order", "sum") == [("y", 12), ("z", 12)]


def test_a_join_by_reference_with_a_table_of_the_same_task_is_refused() -> None:
    topology = Topology("t")
    orders = topology.source("orders", topic="orders", schema=Order, time=col.at).group_by("orders-by", col.order)
    one = orders.table("orders-now")
    one.join("own", one, on=col.customer, select=[right.amount])
    with pytest.raises(TopologyError) as raised:
        compile_plan(topology)
    assert "own.by-reference" in {fault.step for fault in raised.value.faults}


def test_who_refers_to_a_row_is_known_before_it_is_written() -> None:
    """On the fleet a message and a change of what it refers to may belong to one checkpoint."""
    sent: list[Any] = []

    def emit(port: str, items: Any, *_: int) -> None:
        sent.extend(items)

    backend = MemoryBackend()
    kit = ReferenceKit((STR,), (str,), (STR,), (str,), (int,), 1, optional=False)
    logic = MatchesLogic(kit, StateView("t/m", backend, 0, (STR,), ()), emit)
    logic.noted(("a", (1, False, ("x",), (5,)), None))
    logic.noted(("a", None, (2, 7)))
    batch = Batch()
    logic.cut(batch)
    logic.noted(("a", None, (3, 8)))
    logic.cut(batch)
    backend.write(batch)
    logic.noted(("a", None, (4, 9)))
    logic.noted(("a", (5, True, ("x",), (None,)), (4, 9)))
    logic.noted(("a", None, (6, 10)))
    logic.cut(Batch())
    assert sent == [
        ("a", [1, "x", "a", True, 5, None]),
        ("a", [2, "x", "a", False, 5, 7]),
        ("a", [3, "x", "a", False, 5, 8]),
        ("a", [4, "x", "a", False, 5, 9]),
        ("a", [5, "x", "a", True, None, 9]),
    ]
