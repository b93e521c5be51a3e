"""Live rules against a naive model: what a record meets depends on event times, never on how it came in."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from headrace import Rule, RuleChange, Topology, agg, col, tumbling
from headrace.testing import CrashPoint, TopologyDriver
from tests.operators.support import START, moment

LAG_S, HISTORY_S = 5, 40
NAMES = "abc"


class Event(BaseModel):
    id: int
    at: str
    n: int | None = None


INITIAL = (Rule(name="a", condition="n > 2", target="begin"), Rule(name="z", condition="n = 0", priority=500))
BAD = ("n >", "m > 1", "n + 1", "n > 'x'")


def declared(mode: str, consistency: str) -> Topology:
    topology = Topology("t")
    at = col.at.cast(datetime)
    events = topology.source("events", topic="events", schema=Event, time=at, out_of_orderness=f"{LAG_S}s")
    control = topology.source("control", topic="control", schema=RuleChange)
    routed = events.route(
        "route",
        control,
        mode=mode,
        initial=INITIAL,
        consistency=consistency,
        history=f"{HISTORY_S}s",  # type: ignore[arg-type]
    )
    routed.sink("out", "out")
    routed.unmatched().sink("rest", "rest")
    routed.rejected().sink("rejected", "rejected")
    return topology


def matches(condition: str, n: int | None) -> bool:
    if n is None:
        return condition == "n is null"
    operator, _, value = condition.removeprefix("n ").partition(" ")
    if operator == "is":
        return False
    return {">": n > int(value), "<": n < int(value), "=": n == int(value)}[operator]


class Naive:
    """All changes in a list; every record looks through all of them."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.changes: list[tuple[tuple[int, int, int], dict[str, Any]]] = [
            ((-1, rule.version, -1), {"op": "put", **rule.model_dump()}) for rule in INITIAL
        ]

    def change(self, at: int, change: dict[str, Any]) -> None:
        start = max(at, change.get("effective", at))
        self.changes.append(((start, change["version"], at), change))

    def decide(self, at: int, n: int | None) -> list[tuple[str, int, str | None]]:
        counting: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = {}
        for order, change in self.changes:
            known = counting.get(change["name"])
            if order[0] <= at and (known is None or known[0] < order):
                counting[change["name"]] = (order, change)
        rules = [c for _, c in counting.values() if c["op"] == "put" and c["enabled"] and matches(c["condition"], n)]
        rules.sort(key=lambda rule: (rule["priority"], rule["name"]))
        found = [(rule["name"], rule["version"], rule["target"]) for rule in rules]
        return found[:1] if self.mode == "first" else found


conditions = st.builds("n {} {}".format, st.sampled_from("><="), st.integers(0, 5)) | st.just("n is null")
puts = st.fixed_dictionaries(
    {
        "op": st.just("put"),
        "name": st.sampled_from(NAMES),
        "condition": conditions | st.sampled_from(BAD),
        "priority": st.integers(1, 3),
        "enabled": st.sampled_from([True, True, True, False]),
        "target": st.sampled_from([None, "x", "y"]),
        "version": st.integers(0, 3),
    },
    optional={"effective": st.integers(0, 120)},
)
removals = st.fixed_dictionaries(
    {"op": st.just("remove"), "name": st.sampled_from([*NAMES, "z"]), "version": st.integers(0, 3)},
    optional={"effective": st.integers(0, 120)},
)
records = st.tuples(st.integers(-25, 2), st.none() | st.integers(0, 5))
steps = st.lists(
    st.tuples(
        st.integers(0, 8),
        st.lists(records, max_size=6) | (puts | removals) | st.sampled_from(["restart", "checkpoint", *CrashPoint]),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps,
    st.tuples(st.sampled_from(["first", "all"]), st.sampled_from(["event_time", "event_time", "arrival"])),
    st.integers(1, 7),
    st.sampled_from([1, 64 << 20]),
    st.sampled_from([1, 3]),
)
def test_live_rules_against_a_naive_model(
    steps: list[tuple[int, Any]], how: tuple[str, str], batch: int, cache: int, partitions: int
) -> None:
    mode, consistency = how
    driver = TopologyDriver(declared(mode, consistency), batch=batch, cache_bytes=cache, partitions=partitions)
    model, now, number, bad = Naive(mode), 30, 0, 0
    came: list[tuple[int, int, int, int | None]] = []  # due, number, time, n
    arrived: list[list[tuple[str, int, str | None]]] = []
    highest = -(10**6)
    seen: set[tuple[str, int, int, int]] = set()
    for passed, step in steps:
        now += passed
        match step:
            case list():
                piped = []
                for behind, n in step:
                    at = max(now + behind, 0)
                    highest = max(highest, at)
                    due = max(at, highest - LAG_S)
                    came.append((due, number, max(at, highest - LAG_S - HISTORY_S), n))
                    arrived.append(model.decide(came[-1][2], n))
                    piped.append({"id": number, "at": moment(at), "n": n})
                    number += 1
                if piped:
                    driver.pipe("events", piped, partition=0)
            case dict():
                place = (step["name"], max(now, step.get("effective", now)), step["version"], now)
                if place in seen:  # which of two that are alike in all of this counts is anybody's guess
                    continue
                seen.add(place)
                raw = {name: value for name, value in step.items() if name != "effective"}
                if "effective" in step:
                    raw["effective_from"] = moment(step["effective"])
                driver.pipe("control", raw, time=START + timedelta(seconds=now))
                if step.get("condition") in BAD:
                    bad += 1
                else:
                    model.change(now, step)
            case CrashPoint():
                driver.crash(step)
            case "restart":
                driver.restart()
            case _:
                driver.checkpoint()
    driver.finish()
    rows = [(row["id"], row["rule"], row["rule_version"], row["target"]) for row in driver.output("out")]
    rest = [row["id"] for row in driver.output("rest")]
    if consistency == "event_time":
        expected = [(place, model.decide(at, n)) for _, place, at, n in sorted(came, key=lambda found: found[:2])]
    else:
        expected = list(enumerate(arrived))
    assert rows == [(place, *match) for place, found in expected for match in found]
    assert rest == [place for place, found in expected if not found]
    assert len(driver.output("rejected")) == len(driver.dead_letters()) == bad


spread = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.tuples(st.integers(0, 2), st.integers(-20, 0), st.integers(0, 5))
        | st.integers(0, 5)
        | st.sampled_from(["restart", *CrashPoint]),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(spread, st.integers(1, 4), st.sampled_from([1, 64 << 20]))
def test_behind_a_repartition_every_task_decides_alike(steps: list[tuple[int, Any]], batch: int, cache: int) -> None:
    """Records come from three partitions and meet by key; the windows behind the route lose none of them."""
    topology = Topology("t")
    at = col.at.cast(datetime)
    events = topology.source("events", topic="events", schema=Event, time=at, out_of_orderness="20s")
    keyed = events.group_by("by-n", col.n).stream()
    routed = keyed.route("route", "control", initial=[Rule(name="base", condition="n >= 0", version=0)])
    routed.sink("out", "out")
    windows = routed.group_by("by-version", col.rule_version).window(tumbling("10s"))
    counted = windows.aggregate("counted", records=agg.count())
    counted.on_close().sink("counts", "counts")
    counted.late().sink("late", "late")
    driver = TopologyDriver(topology, partitions=3, batch=batch, cache_bytes=cache)
    now, changes, came = 30, [(-1, 0, -1)], list[tuple[int, int]]()
    for version, (passed, step) in enumerate(steps, 1):
        now += passed
        match step:
            case (partition, behind, n):
                driver.pipe("events", {"id": len(came), "at": moment(now + behind), "n": n}, partition=partition)
                came.append((now + behind, n))
            case int():
                put = {"name": "base", "condition": f"n >= {step}", "version": version}
                driver.pipe("control", put, time=START + timedelta(seconds=now))
                changes.append((now, version, step))
            case CrashPoint():
                driver.crash(step)
            case _:
                driver.restart()
    driver.finish()
    expected = []
    for number, (time_s, n) in enumerate(came):
        _, version, least = max(change for change in changes if change[0] <= time_s)
        if n >= least:
            expected.append((number, version, time_s // 10))
    rows = [(row["id"], row["rule_version"]) for row in driver.output("out")]
    assert sorted(rows) == [(number, version) for number, version, _ in expected]
    counts = {(row["rule_version"], row["window_start"]): row["records"] for row in driver.output("counts")}
    assert counts == Counter((version, moment(window * 10)) for _, version, window in expected)
    assert driver.output("late") == []
