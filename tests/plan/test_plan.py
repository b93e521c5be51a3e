"""Plans are values: stable in text, comparable, and honest about what an upgrade does to state."""

from __future__ import annotations

from functools import partial
from operator import itemgetter

import pytest
from pydantic import BaseModel

from headrace import ConfigError, Topology, TopologyError, agg, apply, col, tumbling
from headrace.plan import compile_plan, describe, diff
from tests.plan.golden import FOLDER, rendered


class Order(BaseModel):
    user: str
    country: str | None = None
    amount: float
    at: int


def shop(*, key=col.user, size="1m", threshold=100, table="totals") -> Topology:
    topology = Topology("shop")
    orders = topology.source("orders", topic="orders", schema=Order, time=col.at)
    (
        orders.filter("big", col.amount > threshold)
        .group_by("by", user=key)
        .window(tumbling(size))
        .aggregate(table, n=agg.count(), total=agg.sum(col.amount))
        .on_close()
        .sink("out", topic="totals")
    )
    return topology


@pytest.mark.parametrize(("name", "text"), list(rendered()), ids=lambda value: value if len(value) < 60 else "")
def test_the_plan_of_the_fleet_is_the_one_on_file(name: str, text: str) -> None:
    assert text == (FOLDER / name).read_text(encoding="utf-8")


def test_a_topology_compiles_any_number_of_times_to_the_same_plan() -> None:
    topology = shop()
    first, second = compile_plan(topology), compile_plan(topology)
    assert describe(first) == describe(second)
    assert first.fingerprint == second.fingerprint
    assert compile_plan(shop(threshold=5)).fingerprint != first.fingerprint


def compared(**changes) -> tuple[bool, list[tuple[str, str]]]:
    found = diff(describe(compile_plan(shop())).to_json(), compile_plan(shop(**changes)))
    return found.compatible, [(change.step, change.state) for change in found.changes]


def test_a_changed_filter_keeps_the_state() -> None:
    assert compared(threshold=5) == (True, [("big", "none")])


def test_a_changed_window_loses_the_state() -> None:
    assert compared(size="5m") == (False, [("totals", "lost")])


def test_a_key_computed_otherwise_loses_the_state_although_its_name_is_the_same() -> None:
    compatible, changes = compared(key=col.country)
    assert not compatible
    assert ("totals", "lost") in changes


def test_a_renamed_table_is_a_loss_and_a_new_table() -> None:
    compatible, changes = compared(table="sums")
    assert not compatible
    assert ("totals", "lost") in changes
    assert ("sums", "new") in changes


def test_all_faults_of_a_topology_come_at_once() -> None:
    topology = Topology("shop")
    orders = topology.source("orders", topic="orders", schema=Order, time=col.country)
    orders.filter("big", col.amont > 100).sink("out", topic="bad topic")
    orders.filter("typed", col.user > 3).group_by("by", col.usr).aggregate("n", total=agg.sum(col.user))
    with pytest.raises(TopologyError) as caught:
        compile_plan(topology)
    assert [(fault.step, fault.parameter) for fault in caught.value.faults] == [
        ("orders", "time"),
        ("big", "where"),
        ("out", "topic"),
        ("typed", "where"),
        ("by", "usr"),
        ("n", "total"),
    ]
    assert str(caught.value).splitlines()[:3] == [
        "topology 'shop' has 6 faults:",
        "  1. step 'orders', time: expected a timestamp, or epoch milliseconds as int, got str?."
        " Convert with fn or cast.",
        "  2. step 'big', where: expected a field, got 'amont'. Did you mean 'amount'?",
    ]


@pytest.mark.parametrize(
    "old",
    [
        {},
        {"topology": "t", "format": 1},
        {"topology": "t", "format": 2, "steps": []},
        {"topology": "t", "format": 1, "steps": [{"id": "a"}]},
        {"topology": "t", "format": 1, "steps": "all"},
    ],
)
def test_what_is_no_saved_plan_is_refused(old) -> None:
    with pytest.raises(ConfigError, match="expected a plan saved by 'headrace plan --json'"):
        diff(old, compile_plan(shop()))


def test_callables_without_a_name_of_their_own_have_a_stable_one() -> None:
    adds = apply(partial(pow, 2, mod=7), col.n, returns=int)
    assert str(adds) == "apply(partial(builtins.pow, 2, mod=7), col.n)"
    assert str(apply(str.upper, col.name, returns=str)) == "apply(str.upper, col.name)"
    assert str(apply(itemgetter(0), col.name, returns=str)) == "apply(operator.itemgetter, col.name)"
