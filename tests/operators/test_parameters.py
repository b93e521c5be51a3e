"""Columns whose values a control topic sets while the topology runs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace import Topology, TopologyError, col
from headrace.plan import compile_plan, describe, diff
from headrace.testing import CrashPoint, TopologyDriver
from headrace.topology.parameters import ParameterChange
from tests.operators.support import Click, click, clicks, moment


def declared(**options: Any) -> Topology:
    topology = Topology("t")
    control = topology.source("control", topic="control", schema=ParameterChange)
    given = {"least": 5, "rate": 1.0, "who": "a", "on": True} | options
    limited = clicks(topology).with_parameters("limits", control, **given)
    limited.filter("large", (col.n >= col.least) & col.on).sink("out", topic="out")
    limited.rejected().sink("rejected", topic="rejected")
    return topology


def setting(name: str, value: object, **more: Any) -> dict[str, Any]:
    return {"name": name, "value": value, **more}


def outcome(driver: TopologyDriver) -> list[tuple[int, int]]:
    driver.finish()
    return [(row["n"], row["least"]) for row in driver.output("out")]


def test_a_parameter_holds_from_the_instant_of_its_change_until_it_is_removed() -> None:
    driver = TopologyDriver(declared())
    driver.pipe("control", setting("least", 2), time=moment(10))
    driver.pipe("control", setting("on", value=False, effective_from=moment(30)), time=moment(11))
    driver.pipe("control", {"name": "least", "op": "remove"}, time=moment(20))
    driver.restart()
    driver.pipe("clicks", [click("u", s, n=n) for s in (9, 10, 20, 30) for n in (3, 7)])
    assert outcome(driver) == [(7, 5), (3, 2), (7, 2), (7, 5)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (setting("least", "x"), "parameter 'least': expected a value of type int, got 'x'."),
        (setting("least", value=True), "parameter 'least': expected a value of type int, got True."),
        (setting("least", 1.5), "parameter 'least': expected a value of type int, got 1.5."),
        (setting("rate", None), "parameter 'rate': expected a value of type float, got None."),
        (setting("on", 1), "parameter 'on': expected a value of type bool, got 1."),
        (setting("nobody", 1), "expected the name of a parameter (least, rate, who, on), got 'nobody'."),
        (setting("least", 1, op="set"), "parameter 'least': op: expected 'put' or 'remove', got 'set'."),
        (setting("least", 1, version=-1), "parameter 'least': version: expected 0 to "),
    ],
)
def test_a_bad_change_is_reported_and_the_values_stay(change: dict[str, Any], reason: str) -> None:
    driver = TopologyDriver(declared())
    driver.pipe("control", change, time=moment(1))
    driver.pipe("clicks", [click("u", 2, n=5)])
    assert outcome(driver) == [(5, 5)]
    (row,) = driver.output("rejected")
    assert row["reason"].startswith(reason)
    assert [letter.step for letter in driver.dead_letters()] == ["limits.check"]


def test_a_whole_number_is_a_value_of_type_float() -> None:
    topology = Topology("t")
    clicks(topology).with_parameters("p", "control", consistency="arrival", rate=0.5).sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("control", setting("rate", 2), time=moment(1))
    driver.pipe("clicks", click("u", 2))
    assert [row["rate"] for row in driver.output("out")] == [2.0]


def test_wrong_arguments_are_faults() -> None:
    topology = Topology("t")
    source = clicks(topology)
    source.with_parameters("none", "control").sink("a", topic="a")
    source.with_parameters("kind", "control", limit=[1]).sink("b", topic="b")
    source.with_parameters("control", 5, limit=1).sink("c", topic="c")  # type: ignore[arg-type]
    source.group_by("by", col.user).stream().with_parameters("key", "control", user="x").sink("d", topic="d")
    other = topology.source("other", topic="other", schema=Click)
    source.with_parameters("columns", other, limit=1).sink("e", topic="e")
    with pytest.raises(TopologyError) as caught:
        compile_plan(topology)
    assert {(fault.step, fault.parameter) for fault in caught.value.faults} == {
        ("control", "control"),
        ("none", "parameters"),
        ("kind", "limit"),
        ("key", "user"),
        ("columns.check", "control stream"),
    }


def test_defaults_may_change_without_losing_the_values_in_state_and_types_may_not() -> None:
    saved = describe(compile_plan(declared())).to_json()
    assert diff(saved, compile_plan(declared(least=7))).compatible
    assert not diff(saved, compile_plan(declared(least=7.0))).compatible


steps = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 9) | st.none() | st.sampled_from([*CrashPoint, "restart", "click"])),
    max_size=30,
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps, st.integers(1, 5))
def test_parameters_against_a_naive_model(steps: list[tuple[int, Any]], batch: int) -> None:
    driver = TopologyDriver(declared(), batch=batch, cache_bytes=1)
    now, changes, found = 0, [(-1, 0, 5)], list[int]()
    for version, (passed, step) in enumerate(steps, 1):
        now += passed
        match step:
            case "click":
                driver.pipe("clicks", click("u", now, n=9))
                found.append(now)
            case "restart":
                driver.restart()
            case CrashPoint():
                driver.crash(step)
            case _:
                op = "remove" if step is None else "put"
                change = {"name": "least", "op": op, "value": step, "version": version}
                driver.pipe("control", change, time=moment(now))
                changes.append((now, version, 5 if step is None else step))
    assert outcome(driver) == [(9, max(change for change in changes if change[0] <= at)[2]) for at in found]
