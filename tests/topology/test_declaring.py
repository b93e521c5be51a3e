"""Declaring builds inert values: nothing that was declared changes afterwards."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import datetime, timedelta
from functools import reduce
from operator import or_

import pytest
from pydantic import BaseModel

from headrace import ConfigError, Topology, agg, col, hopping, tumbling
from headrace.topology.duration import DurationError, duration_ms
from headrace.topology.nodes import Aggregate
from headrace.topology.rules import parse_rule


class Order(BaseModel):
    user: str
    amount: int
    at: datetime


def orders(topology: Topology):
    return topology.source("orders", topic="orders", schema=Order, time=col.at)


def test_a_grouping_is_frozen_and_may_be_given_several_windows() -> None:
    topology = Topology("shop")
    grouped = orders(topology).group_by("by", col.user)
    grouped.window(tumbling("1m")).aggregate("minutes", n=agg.count())
    grouped.window(hopping("1h", "1m")).aggregate("hours", n=agg.count())
    grouped.aggregate("ever", n=agg.count())
    windows = [node.window for node in topology.nodes if isinstance(node, Aggregate)]
    assert windows == [tumbling("1m"), hopping("1h", "1m"), None]
    with pytest.raises(FrozenInstanceError):
        grouped._window = None


def test_intervals_of_an_aggregate_are_kept_once_and_rewrite_no_node() -> None:
    topology = Topology("shop")
    table = orders(topology).group_by("by", col.user).window(tumbling("1m")).aggregate("n", n=agg.count())
    before = topology.nodes[-1]
    for interval in ("15s", "30s", "15s"):
        table.every(interval)
    after = topology.nodes[-1]
    assert isinstance(before, Aggregate)
    assert isinstance(after, Aggregate)
    assert (before.every_ms, after.every_ms) == ((), (15_000, 30_000))


def test_a_long_chain_of_conditions_has_a_text() -> None:
    text = str(reduce(or_, [col.amount == n for n in range(5_000)]))
    assert text.startswith("(" * 5_000 + "col.amount == 0) | (col.amount == 1)) | ")
    assert str((col.a + 1) * -(col.b - 2)) == "((col.a + 1) * (-(col.b - 2)))"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1.001s", 1_001), ("1h30m", 5_400_000), ("0ms", 0), (timedelta(days=1, milliseconds=1), 86_400_001)],
)
def test_durations_are_exact(value: object, expected: int) -> None:
    assert duration_ms(value, "size") == expected


@pytest.mark.parametrize("value", [5, None, "", "5", "5 m", "1.5ms", "-1s", "9" * 400 + "d", "9999999w", "\u0661s"])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(DurationError, match=r"^size: expected a duration"):
        duration_ms(value, "size")


def test_a_rule_that_cannot_be_parsed_is_an_error_of_the_settings_that_hold_it() -> None:
    with pytest.raises(ConfigError, match="line 1, column 9"):
        parse_rule("amount >")
