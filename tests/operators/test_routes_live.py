"""Rules that a control topic changes while the topology runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from pydantic import BaseModel

from headrace import Rule, RuleChange, Topology, agg, col, meta, tumbling
from headrace.plan import compile_plan, describe, diff
from headrace.testing import TopologyDriver
from headrace.topology.stream import Stream
from tests.operators.support import moment

BIG = Rule(name="big", condition="n > 5", target="review")


class Click(BaseModel):
    user: str
    at: str
    n: int | None = None
    text: str = "0"


def at(seconds: float) -> Any:
    return moment(seconds)


def click(user: str, seconds: float, n: int | None = None, **more: Any) -> dict[str, Any]:
    return {"user": user, "at": moment(seconds), "n": n, **more}


def clicks(topology: Topology, schema: type[BaseModel] = Click, **options: Any) -> Stream:
    return topology.source("clicks", topic="clicks", schema=schema, time=col.at.cast(datetime), **options)


def declared(schema: type[BaseModel] = Click, **options: Any) -> Topology:
    topology = Topology("t")
    control = topology.source("rules", topic="rules", schema=RuleChange, idle_timeout="1s")
    routed = clicks(topology, schema).route("route", control, **options)
    routed.sink("out", topic="out")
    routed.unmatched().sink("rest", topic="rest")
    routed.rejected().sink("rejected", topic="rejected")
    routed.lapsed().sink("lapsed", topic="lapsed")
    return topology


def put(name: str, condition: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "condition": condition, **more}


def outcome(driver: TopologyDriver) -> list[tuple[str, str, int]]:
    driver.finish()
    return [(row["user"], row["rule"], row["rule_version"]) for row in driver.output("out")]


def test_a_change_counts_from_its_own_time_on() -> None:
    driver = TopologyDriver(declared(initial=[BIG]))
    driver.pipe("rules", put("big", "n > 1", version=2), time=at(10))
    driver.pipe("rules", {"name": "big", "op": "remove"}, time=at(20))
    driver.pipe("clicks", [click(str(s), s, 3) for s in (9, 10, 19, 20)] + [click("6", 9, 6)])
    assert outcome(driver) == [("10", "big", 2), ("19", "big", 2), ("6", "big", 1)]


def test_a_change_counts_from_the_instant_that_it_states_but_not_from_before_it_was_published() -> None:
    driver = TopologyDriver(declared())
    driver.pipe("rules", put("soon", "n = 1", effective_from=at(20)), time=at(10))
    driver.pipe("rules", put("past", "n = 2", effective_from=at(5)), time=at(10))
    driver.pipe("clicks", [click(f"{n}-{s}", s, n) for s in (5, 10, 19, 20) for n in (1, 2)])
    assert [user for user, _, _ in outcome(driver)] == ["2-10", "2-19", "1-20", "2-20"]


def test_it_does_not_matter_which_came_first() -> None:
    driver = TopologyDriver(declared())
    driver.pipe("clicks", [click("a", 9, 3), click("b", 11, 3), click("c", 12, 3)])
    assert driver.output("out") == driver.output("rest") == []  # the rules may still change
    driver.pipe("rules", put("low", "n > 1"), time=at(10))
    driver.pipe("rules", put("low", "n > 100"), time=at(12))
    assert outcome(driver) == [("b", "low", 1)]


def test_a_silent_control_topic_holds_nothing_up() -> None:
    driver = TopologyDriver(declared(initial=[BIG]))
    driver.pipe("clicks", [click("a", 9, 9)])
    driver.advance("2s")
    driver.pipe("clicks", [click("b", 10, 9)])
    assert [row["user"] for row in driver.output("out")] == ["a"]
    driver.advance("60s")
    assert [row["user"] for row in driver.output("out")] == ["b"]


def test_on_arrival_a_record_meets_the_rules_that_are_known() -> None:
    driver = TopologyDriver(declared(consistency="arrival"))
    driver.pipe("clicks", click("a", 11, 3))
    assert [row["user"] for row in driver.output("rest")] == ["a"]
    driver.pipe("rules", put("low", "n > 1"), time=at(10))
    driver.pipe("clicks", [click("b", 12, 3), click("before", 9, 3)])
    assert [row["user"] for row in driver.output("out")] == ["b"]


def test_of_two_changes_from_one_instant_the_higher_version_counts() -> None:
    driver = TopologyDriver(declared())
    for version in (2, 3, 1):
        driver.pipe("rules", put("v", "n = 1", version=version), time=at(10))
    driver.pipe("clicks", click("a", 11, 1))
    assert outcome(driver) == [("a", "v", 3)]


BAD = [
    (put("x", "n >"), "rule 'x': condition, line 1, column 4: "),
    (put("x", "m > 1"), "rule 'x': condition: expected a field, got 'm'."),
    (put("x", "n > 'a'"), "rule 'x': condition: expected "),
    (put("x", "n + 1"), "rule 'x': condition: expected a condition of type bool, got int?"),
    (put("x", "__import__('os')"), "rule 'x': condition, line 1"),
    (put("x", ""), "rule 'x': condition: expected a rule, got none."),
    ({"name": "x"}, "rule 'x': condition: expected a rule, got none."),
    (put("", "n > 1"), "expected the name of a rule, got none."),
    (put("x", "n > 1", op="drop"), "rule 'x': op: expected 'put' or 'remove', got 'drop'."),
    (put("x", "n > 1", version=-1), "rule 'x': version: expected 0 to "),
    (put("x", "n > 1", priority=1 << 70), "rule 'x': priority: expected "),
    (put("x", "(" * 150 + "n > 1" + ")" * 150), "rule 'x': condition, line 1, column "),
    (put("x", " and ".join(["not (n > 1"] * 90) + ")" * 90), ""),
]


@pytest.mark.parametrize(("change", "reason"), BAD)
def test_a_bad_change_is_reported_once_and_the_rules_stay(change: dict[str, Any], reason: str) -> None:
    driver = TopologyDriver(declared(), partitions=3)
    driver.pipe("rules", put("x", "n > 5"), time=at(1), key="x")
    driver.pipe("rules", change, time=at(2), key="x")
    driver.pipe("clicks", [click("a", 3, 6), click("b", 4, 4)], partition=0)
    assert outcome(driver) == [("a", "x", 1)]
    if reason:
        (row,) = driver.output("rejected")
        assert row["reason"].startswith(reason)
        assert row["name"] == change["name"]
        (letter,) = driver.dead_letters()
        assert (letter.step, letter.topic) == ("route.check", "rules")
        assert row["reason"] in letter.message


def test_a_change_that_is_no_change_is_a_dead_letter_of_the_control_topic() -> None:
    driver = TopologyDriver(declared(initial=[BIG]))
    driver.pipe("rules", [b"{", {"name": "x", "condition": 5}], time=at(1))
    driver.pipe("clicks", click("a", 3, 6))
    assert outcome(driver) == [("a", "big", 1)]
    assert [letter.step for letter in driver.dead_letters()] == ["rules", "rules"]


def test_a_rule_that_fails_on_a_record_makes_a_dead_letter_of_that_record_alone() -> None:
    driver = TopologyDriver(declared())
    driver.pipe("rules", put("number", "cast(text as int) > 5"), time=at(1))
    driver.pipe("clicks", [click("a", 3, text="7"), click("b", 4, text="x"), click("c", 5, text="8")])
    assert [user for user, _, _ in outcome(driver)] == ["a", "c"]
    (letter,) = driver.dead_letters()
    assert letter.step == "route"


def test_every_task_has_the_same_rules_also_after_a_restart() -> None:
    driver = TopologyDriver(declared(), partitions=4)
    driver.pipe("rules", put("big", "n > 5"), time=at(1), partition=2)
    driver.checkpoint()
    driver.restart()
    for partition in range(4):
        driver.pipe("clicks", click(str(partition), 3, 6), partition=partition)
    driver.finish()
    assert sorted(row["user"] for row in driver.output("out")) == ["0", "1", "2", "3"]
    stores = driver.backend.store("t/route")
    assert len(list(stores.scan())) == 4


def test_records_that_wait_outlive_a_restart() -> None:
    driver = TopologyDriver(declared())
    driver.pipe("clicks", [click("a", 9, 3), click("b", 11, 3)])
    driver.checkpoint()
    assert len(list(driver.backend.store("t/route.held/pending").scan())) == 2
    driver.restart()
    driver.pipe("rules", put("low", "n > 1"), time=at(10))
    assert outcome(driver) == [("b", "low", 1)]
    driver.checkpoint()
    assert list(driver.backend.store("t/route.held/pending").scan()) == []


def test_a_late_record_meets_the_rules_of_its_time_as_long_as_they_are_remembered() -> None:
    driver = TopologyDriver(declared(history="60s"))
    driver.pipe("rules", [put("v", "n = 1", version=1)], time=at(0))
    driver.pipe("rules", [put("v", "n = 1", version=2)], time=at(100))
    driver.pipe("rules", [{"name": "v", "op": "remove"}], time=at(200))
    driver.pipe("clicks", [click("new", 150, 1), click("late", 99, 1), click("too late", 1, 1)])
    driver.pipe("rules", [put("w", "n = 2")], time=at(1000))
    driver.pipe("clicks", [click("end", 1000, 2)])
    driver.checkpoint()
    # only what a record may still meet is kept: v is gone with its history
    assert len(list(driver.backend.store("t/route").scan())) == 1
    assert outcome(driver) == [("new", "v", 2), ("late", "v", 1), ("too late", "v", 1), ("end", "w", 1)]


def test_records_that_waited_are_in_time_for_the_steps_behind() -> None:
    topology = Topology("t")
    control = topology.source("rules", topic="rules", schema=RuleChange)
    routed = clicks(topology, out_of_orderness="5s").route("route", control, initial=[BIG])
    counted = routed.group_by("by", col.rule).window(tumbling("10s")).aggregate("counted", n=agg.count())
    counted.on_close().sink("out", topic="out")
    counted.late().sink("late", topic="late")
    for batch in (1, 100):
        driver = TopologyDriver(topology, batch=batch)
        driver.pipe("clicks", [click(str(s), s, 9) for s in (1, 12, 9, 30, 26, 41, 5, 60)])
        driver.pipe("rules", put("none", "n = 0"), time=at(100))
        driver.finish()
        assert [row["n"] for row in driver.output("out")] == [2, 1, 1, 1, 1, 1]
        assert [row["user"] for row in driver.output("late")] == ["5"]


def test_records_keep_their_key_and_their_time() -> None:
    topology = Topology("t")
    source = clicks(topology, key=col.user)
    routed = source.route("route", "rules", initial=[BIG]).map("more", key=meta.key, time=meta.time)
    routed.sink("out", topic="out")
    grouped = source.group_by("by", col.n, col.text).stream().route("again", "more-rules", initial=[BIG])
    grouped.sink("by-n", topic="by-n")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 9.5, 9)])
    driver.finish()
    (record,) = driver.records("out")
    assert (record.key, record.json()["key"], record.json()["time"]) == (b"a", "a", at(9.5))
    (record,) = driver.records("by-n")
    assert record.key == b'[9,"0"]'


class Wider(Click):
    colour: str | None = None


class Narrower(BaseModel):
    user: str
    at: str


def test_rules_outlive_a_change_of_the_records_and_those_that_no_longer_fit_are_told() -> None:
    old = TopologyDriver(declared())
    old.pipe("rules", [put("red", "n > 1"), put("user", "user = 'a'", priority=500)], time=at(1))
    old.pipe("clicks", [click("a", 3, 6)])
    old.checkpoint()
    for schema, found, lapsed in ((Wider, [("a", "red"), ("a", "red")], []), (Narrower, [("a", "user")] * 2, ["red"])):
        driver = TopologyDriver(declared(schema))
        assert diff(describe(old.plan).to_json(), driver.plan).compatible
        for name in old.backend.names():
            if name != "plans":
                store = driver.backend.store(name)
                put_all(driver, name, list(old.backend.store(name).scan()))
                assert list(store.scan()) == list(old.backend.store(name).scan())
        driver.restart()
        driver.pipe("clicks", [click("x", 1, 0), click("a", 4, 6)])
        driver.finish()
        assert [(row["user"], row["rule"]) for row in driver.output("out")] == found
        assert [row["rule"] for row in driver.output("lapsed")] == lapsed


def put_all(driver: TopologyDriver, name: str, entries: list[tuple[bytes, bytes]]) -> None:
    from headrace.state.protocol import Batch

    batch = Batch()
    for key, value in entries:
        batch.put(name, key, value)
    driver.backend.write(batch)


def test_initial_rules_may_change_without_losing_those_in_state() -> None:
    changed = [BIG.model_copy(update={"condition": "n > 6"}), Rule(name="new", condition="n = 0")]
    saved = describe(compile_plan(declared(initial=[BIG]))).to_json()
    assert diff(saved, compile_plan(declared(initial=changed))).compatible
    assert not diff(saved, compile_plan(declared(initial=[BIG], mode="all"))).compatible


def test_time_that_passes_within_a_batch_for_another_step_leaves_no_record_behind() -> None:
    topology = Topology("t")
    control = topology.source("rules", topic="rules", schema=RuleChange)
    source = clicks(topology, key=col.user)
    source.group_by("by-user", col.user).window(tumbling("10s")).aggregate("direct", n=agg.count()).on_close().sink(
        "direct-out", topic="direct"
    )
    routed = source.route("route", control, initial=[BIG])
    counted = routed.group_by("by-rule", col.rule).window(tumbling("1s")).aggregate("counted", n=agg.count())
    counted.on_close().sink("counts", topic="counts")
    driver = TopologyDriver(topology)
    driver.pipe("rules", put("none", "n = 0"), time=at(36.2))
    driver.pipe("clicks", [click("a", s, 9) for s in (36.0, 36.3)])
    driver.pipe("rules", put("none", "n = 1"), time=at(38))
    # at 60 the watermark comes to 38, at which the window of the other step does not end
    driver.pipe("clicks", [click("a", s, 9) for s in (36.5, 60)])
    driver.finish()
    rows = [(row["window_start"], row["n"]) for row in driver.output("counts")]
    assert rows == [(moment(36), 3), (moment(60), 1)]
