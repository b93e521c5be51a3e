from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from headrace import Topology, TopologyError, agg, apply, col, left, meta, right, tumbling
from headrace.plan import compile_plan, describe, diff
from headrace.testing import CrashPoint, TopologyDriver
from headrace.topology.outcomes import Joined
from tests.operators.support import moment, only


class Order(BaseModel):
    order_id: str
    amount: Decimal
    at: datetime


class Payment(BaseModel):
    order: str
    by: str = "card"
    at: datetime


def order(order_id: str, seconds: float, amount: str = "1") -> dict[str, Any]:
    return {"order_id": order_id, "amount": amount, "at": moment(seconds)}


def payment(order_id: str, seconds: float, by: str = "card") -> dict[str, Any]:
    return {"order": order_id, "by": by, "at": moment(seconds)}


def declared(
    how: str = "inner",
    within: Any = ("0s", "10s"),
    grace: str = "0s",
    select: Any = None,
    lag: str = "0s",
    **options: Any,
) -> tuple[Topology, Joined]:
    topology = Topology("t")
    orders = topology.source("orders", topic="orders", schema=Order, time=col.at, out_of_orderness=lag)
    payments = topology.source("payments", topic="payments", schema=Payment, time=col.at, out_of_orderness=lag)
    if select is None and "suffix" not in options:
        select = {"amount": left.amount, "by": right.by}
    joined = orders.group_by("by-order", col.order_id).join(
        "paid",
        payments.group_by("by-paid", order_id=col.order),
        within=within,
        how=how,
        grace=grace,
        select=select,
        **options,
    )
    return topology, joined


def driver_of(*args: Any, batch: int | None = None, partitions: int = 1, **options: Any) -> TopologyDriver:
    topology, joined = declared(*args, **options)
    joined.map("timed", t=meta.time).sink("out", topic="out")
    joined.late("left").sink("late-left", topic="late-left")
    joined.late("right").sink("late-right", topic="late-right")
    return TopologyDriver(topology, batch=batch, partitions=partitions)


def test_a_left_and_a_right_record_join_if_the_right_one_is_within_the_bounds() -> None:
    driver = driver_of()
    driver.pipe("orders", [order("a", 0), order("b", 5)])
    driver.pipe("payments", [payment("a", 0), payment("a", 10), payment("a", 10.001), payment("b", 4.999)])
    assert driver.output("out") == [
        {"order_id": "a", "amount": "1", "by": "card", "t": moment(0)},
        {"order_id": "a", "amount": "1", "by": "card", "t": moment(10)},
    ]


def test_which_side_comes_first_makes_no_difference() -> None:
    driver = driver_of(lag="1m")
    driver.pipe("payments", [payment("a", 3)])
    driver.pipe("orders", [order("a", 1)])
    assert driver.output("out") == [{"order_id": "a", "amount": "1", "by": "card", "t": moment(3)}]


def test_bounds_may_lie_before_the_left_record() -> None:
    driver = driver_of(within=("-10s", "-5s"), lag="1m")
    driver.pipe("payments", [payment("a", at) for at in (89, 90, 95, 96)])
    driver.pipe("orders", order("a", 100))
    assert only(driver.output("out"), "t") == [moment(100)] * 2


def test_one_duration_means_as_much_before_as_behind() -> None:
    driver = driver_of(within=timedelta(seconds=2), lag="1m")
    driver.pipe("orders", order("a", 10))
    driver.pipe("payments", [payment("a", at) for at in (7, 8, 12, 13)])
    assert only(driver.output("out"), "t") == [moment(10), moment(12)]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("inner", []),
        ("left", [("a", "1", None, moment(0))]),
        ("right", [("b", None, "card", moment(7))]),
        ("outer", [("a", "1", None, moment(0)), ("b", None, "card", moment(7))]),
    ],
)
def test_a_record_without_a_partner_is_returned_once_where_its_side_is_optional(how: str, expected: list[Any]) -> None:
    driver = driver_of(how)
    driver.pipe("orders", order("a", 0))
    driver.pipe("payments", payment("b", 7))
    driver.checkpoint()
    driver.finish()
    rows = only(driver.output("out"), "order_id", "amount", "by", "t")
    assert sorted(rows) == expected
    driver.restart()
    assert driver.output("out") == []


def test_it_is_returned_when_its_window_closes_and_not_before() -> None:
    driver = driver_of("left", grace="2s")
    driver.pipe("orders", [order("a", 0), order("z", 12)])
    driver.pipe("payments", payment("z", 12))
    assert only(driver.output("out"), "order_id", "by") == [("z", "card")]
    driver.pipe("orders", order("z", 13))
    driver.pipe("payments", payment("q", 12.001))
    assert only(driver.output("out"), "order_id", "by") == [("a", None)]


def test_what_comes_too_late_is_a_stream_of_its_own_by_side() -> None:
    driver = driver_of(grace="1s")
    driver.pipe("orders", [order("a", 100), order("a", 99), order("a", 98.999)])
    driver.pipe("payments", [payment("a", 200), payment("a", 198)])
    assert only(driver.output("late-left"), "at") == [moment(98.999)]
    assert only(driver.output("late-right"), "order", "at") == [("a", moment(198))]
    assert driver.stats.late == 2


def test_a_stream_joins_with_itself() -> None:
    topology = Topology("t")
    orders = topology.source("orders", topic="orders", schema=Order, time=col.at).group_by("by-order", col.order_id)
    pairs = orders.join("pairs", orders, within=("1s", "10s"), select={"before": left.at, "after": right.at})
    pairs.sink("out", topic="out")
    pairs.late("left").sink("late", topic="late")
    driver = TopologyDriver(topology, batch=2)
    driver.pipe("orders", [order("a", at) for at in (0, 0, 4, 12)] + [order("a", 1)])
    assert sorted(only(driver.output("out"), "before", "after")) == [
        (moment(0), moment(4)), (moment(0), moment(4)), (moment(4), moment(12))
    ]  # fmt: skip
    assert only(driver.output("late"), "at") == [moment(1)]
    assert driver.stats.late == 1


def test_by_default_a_row_has_all_columns_and_a_suffix_tells_twins_apart() -> None:
    driver = driver_of(suffix="_right")
    driver.pipe("orders", order("a", 1))
    driver.pipe("payments", payment("a", 2))
    (row,) = driver.output("out")
    assert list(row) == ["order_id", "amount", "at", "order", "by", "at_right", "t"]


def test_columns_that_both_sides_have_are_faults() -> None:
    topology = Topology("t")
    orders = topology.source("orders", topic="orders", schema=Order, time=col.at)
    payments = topology.source("payments", topic="payments", schema=Payment, time=col.at)
    orders.group_by("by-order", col.order_id).join(
        "paid", payments.group_by("by-paid", col.order), within="5s"
    ).sink("out", topic="out")  # fmt: skip
    with pytest.raises(TopologyError) as error:
        compile_plan(topology)
    assert "columns that the two sides do not share" in str(error.value)
    assert "select={'at': left.at, 'right_at': right.at" in str(error.value)


def test_every_mistake_of_a_join_is_reported() -> None:
    topology, _ = Topology("t"), None
    orders = topology.source("orders", topic="orders", schema=Order, time=col.at)
    keyed = orders.group_by("by-order", col.order_id)
    numbered = orders.group_by("by-amount", col.amount)
    elsewhere = Topology("u").source("orders", topic="orders", schema=Order).group_by("there", col.order_id)
    keyed.join("types", numbered, within="5s", select={"a": left.at}).sink("1", topic="o")
    keyed.join("bounds", keyed, within=("5s", "-5s"), select={"a": left.at}).sink("2", topic="o")
    keyed.join("how", keyed, within="5s", how="lefty", select={"a": left.at}).sink("3", topic="o")  # type: ignore[arg-type]
    keyed.join("there-too", elsewhere, within="5s", select={"a": left.at}).sink("4", topic="o")
    keyed.join("window", keyed.window(tumbling("1m")), within="5s", select={"a": left.at}).sink("5", topic="o")
    keyed.join("column", keyed, within="5s", select={"a": left.att}).sink("6", topic="o")
    keyed.join("key", keyed, within="5s", select={"order_id": left.amount}).sink("7", topic="o")
    keyed.join("shape", keyed, within=5, select="at").sink("8", topic="o")  # type: ignore[arg-type]
    keyed.join("none", keyed, within="5s", select={}).sink("9", topic="o")
    with pytest.raises(TopologyError) as error:
        compile_plan(topology)
    steps = [fault.step for fault in error.value.faults]
    assert sorted(set(steps)) == sorted(
        ["types", "bounds", "how", "there-too", "window", "column", "key", "shape", "none"]
    )


def test_the_columns_of_an_optional_side_may_be_null() -> None:
    topology, joined = declared("left", select={"by": right.by, "order_id": left.order_id, "has": right.order_id})
    joined.sink("out", topic="out")
    columns = dict(compile_plan(topology).step("paid").columns.fields)
    assert {name: dtype.nullable for name, dtype in columns.items()} == {"order_id": False, "by": True, "has": True}


def test_the_key_of_a_side_that_has_no_record_is_null() -> None:
    driver = driver_of("left", select={"paid": right.order_id.is_not_null()})
    driver.pipe("orders", [order("a", 0), order("b", 0)])
    driver.pipe("payments", payment("a", 1))
    driver.finish()
    assert sorted(only(driver.output("out"), "order_id", "paid")) == [("a", True), ("b", False)]


def refuse(value: str) -> str:
    if value == "bad":
        raise ValueError(value)
    return value.upper()


def test_a_row_that_select_fails_on_is_a_dead_letter_and_no_other() -> None:
    driver = driver_of("outer", select={"amount": left.amount, "by": apply(refuse, right.by, returns=str)})
    driver.pipe("orders", order("a", 0))
    driver.pipe("payments", [payment("a", 1, "bad"), payment("a", 2, "cash")])
    assert only(driver.output("out"), "by") == ["CASH"]
    (letter,) = driver.dead_letters()
    assert letter.step == "paid"


def test_joined_rows_can_be_aggregated_without_loss() -> None:
    topology, joined = declared("left", grace="1s")
    joined.group_by("again", col.order_id).window(tumbling("5s")).aggregate("n", n=agg.count()).on_close().sink(
        "out", topic="out"
    )
    driver = TopologyDriver(topology, batch=3)
    for at in range(0, 60, 2):
        driver.pipe("orders", [order("a", at), order("b", at)])
        driver.pipe("payments", [payment("a", at + 1)] if at % 4 else [payment("q", at)])
    driver.finish()
    counts: dict[str, int] = {}
    for row in driver.output("out"):
        counts[row["order_id"]] = counts.get(row["order_id"], 0) + row["n"]
    assert driver.stats.late == 0
    orders = list(range(0, 60, 2))
    paid = [at + 1 for at in orders if at % 4]
    pairs = [sum(at <= then <= at + 10 for then in paid) for at in orders]
    assert counts == {"a": sum(max(n, 1) for n in pairs), "b": len(orders)}


def test_state_is_bounded_by_the_interval() -> None:
    driver = driver_of("outer")
    for begin in range(0, 2000, 10):
        driver.pipe("orders", [order(f"o{at}", at) for at in range(begin, begin + 10)])
        driver.pipe("payments", [payment(f"p{at}", at) for at in range(begin, begin + 10)])
        driver.checkpoint()
    entries = [len(list(driver.backend.store(f"t/paid{suffix}").scan(b"", b"\xff"))) for suffix in ("", "/expiry")]
    assert max(entries) <= 30
    driver.restart()
    assert len(driver.output("out")) > 3900


def test_a_key_with_many_records_is_kept_in_parts() -> None:
    driver = driver_of("left", within=("0s", "1h"))
    for begin in range(0, 300, 7):
        driver.pipe("orders", [order("a", at) for at in range(begin, begin + 7)])
        driver.checkpoint()
    stored = list(driver.backend.store("t/paid").scan(b"", b"\xff"))
    assert len(stored) == 5
    driver.restart()
    driver.pipe("payments", [payment("a", 300)])
    assert len(driver.output("out")) == 301


def test_an_upgrade_that_keeps_the_join_keeps_its_state() -> None:
    topology, joined = declared()
    joined.sink("out", topic="out")
    before = describe(compile_plan(topology)).to_json()
    topology, joined = declared()
    joined.filter("big", col.amount > 5).select("less", col.order_id).sink("out", topic="out")
    assert diff(before, compile_plan(topology)).compatible
    topology, joined = declared(within=("0s", "11s"))
    joined.sink("out", topic="out")
    assert not diff(before, compile_plan(topology)).compatible


@pytest.mark.parametrize("point", list(CrashPoint))
def test_a_crash_neither_loses_nor_repeats_rows(point: CrashPoint) -> None:
    driver = driver_of("outer", batch=2)
    driver.pipe("orders", [order(str(n), n) for n in range(10)])
    driver.checkpoint()
    driver.pipe("payments", [payment(str(n), n + 1) for n in range(0, 10, 2)])
    driver.crash(point)
    driver.pipe("orders", order("z", 100))
    driver.pipe("payments", payment("z", 100))
    driver.finish()
    rows = only(driver.output("out"), "order_id", "by")
    assert sorted(rows) == sorted([(str(n), None if n % 2 else "card") for n in range(10)] + [("z", "card")])
