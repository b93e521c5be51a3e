"""Routing by rules that are data. Live rules are in test_routes_live.py."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from headrace import Rule, RuleSet, Topology, TopologyError, col
from headrace.plan import compile_plan
from headrace.plan.model import is_stateful
from headrace.testing import TopologyDriver
from headrace.topology.outcomes import Routed


class Order(BaseModel):
    id: str
    amount: int
    country: str | None = None


BIG = Rule(name="big", condition="amount > 100", target="review", tags=("size", "manual"))
HUGE = Rule(name="huge", condition="amount > 1000", target="block", priority=1, version=7)
ABROAD = Rule(name="abroad", condition="country != 'DE'", target="review", priority=50)


def declared(rules: object, **options: Any) -> tuple[Topology, Routed]:
    topology = Topology("shop")
    routed = topology.source("orders", topic="orders", schema=Order).route("by-rule", rules, **options)  # type: ignore[arg-type]
    routed.sink("out", topic="out")
    routed.unmatched().sink("rest", topic="rest")
    return topology, routed


ORDERS = [
    {"id": "1", "amount": 5, "country": "DE"},
    {"id": "2", "amount": 500, "country": "DE"},
    {"id": "3", "amount": 5000, "country": "FR"},
    {"id": "4", "amount": 7},
]


def routed(rules: object, **options: Any) -> tuple[list[tuple[str, str]], list[str]]:
    driver = TopologyDriver(declared(rules, **options)[0])
    driver.pipe("orders", ORDERS)
    return [(row["id"], row["rule"]) for row in driver.output("out")], [row["id"] for row in driver.output("rest")]


def test_the_first_rule_that_matches_by_priority_decides() -> None:
    assert routed(RuleSet([BIG, HUGE, ABROAD])) == ([("2", "big"), ("3", "huge")], ["1", "4"])


def test_with_all_a_record_goes_on_once_for_every_rule_that_matches() -> None:
    found = [("2", "big"), ("3", "huge"), ("3", "abroad"), ("3", "big")]
    assert routed([BIG, HUGE, ABROAD], mode="all") == (found, ["1", "4"])
    assert routed([BIG], mode="all") == ([("2", "big"), ("3", "big")], ["1", "4"])


def test_rules_of_one_priority_are_tried_by_name() -> None:
    rules = [Rule(name=name, condition="amount > 100") for name in ("b", "c", "a")]
    assert routed(rules)[0] == [("2", "a"), ("3", "a")]


def test_a_rule_that_is_not_enabled_matches_nothing() -> None:
    off = HUGE.model_copy(update={"enabled": False})
    assert routed([BIG, off])[0] == [("2", "big"), ("3", "big")]
    assert routed([off]) == ([], ["1", "2", "3", "4"])
    assert routed([off], mode="all") == ([], ["1", "2", "3", "4"])


def test_a_match_says_what_the_rule_says() -> None:
    driver = TopologyDriver(declared([BIG, HUGE])[0])
    driver.pipe("orders", ORDERS[1:3])
    big, huge = driver.output("out")
    assert big == ORDERS[1] | {"rule": "big", "rule_version": 1, "target": "review", "tags": ["size", "manual"]}
    assert huge == ORDERS[2] | {"rule": "huge", "rule_version": 7, "target": "block", "tags": []}


def test_records_go_to_the_topics_that_their_rules_name() -> None:
    topology = Topology("shop")
    orders = topology.source("orders", topic="orders", schema=Order, key=col.id)
    orders.route("by-rule", [BIG, HUGE, Rule(name="none", condition="amount = 7")]).to_targets("to")
    driver = TopologyDriver(topology)
    driver.pipe("orders", ORDERS)
    assert [(record.key, record.json()["id"]) for record in driver.records("review")] == [(b"2", "2")]
    assert [row["id"] for row in driver.output("block")] == ["3"]
    (letter,) = driver.dead_letters()
    assert (letter.step, "got null" in letter.message) == ("to", True)


def test_a_column_of_the_same_name_is_replaced_behind_the_rules_that_read_it() -> None:
    class Aimed(BaseModel):
        id: str
        target: str

    topology = Topology("shop")
    source = topology.source("aimed", topic="aimed", schema=Aimed)
    source.route("by-rule", [Rule(name="me", condition="target = 'me'", target="you")]).sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("aimed", [{"id": "1", "target": "me"}, {"id": "2", "target": "you"}])
    assert [(row["id"], row["target"]) for row in driver.output("out")] == [("1", "you")]


def test_fixed_rules_keep_no_state() -> None:
    for mode in ("first", "all"):
        plan = compile_plan(declared([BIG, HUGE], mode=mode)[0])
        assert not any(is_stateful(step) for step in plan.steps)


def test_many_rules_compile() -> None:
    rules = [Rule(name=f"{n:04}", condition=f"amount = {n}") for n in range(500)]
    assert routed([*rules, BIG])[0] == [("1", "0005"), ("2", "big"), ("3", "big"), ("4", "0007")]


def faults(rules: object, **options: Any) -> list[str]:
    with pytest.raises(TopologyError) as caught:
        compile_plan(declared(rules, **options)[0])
    return [str(fault) for fault in caught.value.faults]


def test_all_that_is_wrong_with_rules_is_told_at_once() -> None:
    wrong = [Rule(name="text", condition="amount >"), Rule(name="column", condition="amont > 1")]
    found = faults([*wrong, Rule(name="type", condition="amount > 'x'")])
    assert "step 'by-rule', rule 'text': expected a rule, got 'amount >'; line 1, column 9: " in "\n".join(found)
    assert "step 'by-rule.rule', rule: expected a field, got 'amont'. Did you mean 'amount'?" in found
    assert any(fault.startswith("step 'by-rule.rule', rule: expected operands that '>' takes") for fault in found)


@pytest.mark.parametrize(
    ("rules", "options", "told"),
    [
        (5, {}, "step 'by-rule', rules: expected a RuleSet, got 5."),
        (["amount > 1"], {}, "step 'by-rule', rules: expected a RuleSet, got ['amount > 1']."),
        ([BIG, BIG], {}, "occur twice: big"),
        ([BIG], {"mode": "any"}, "step 'by-rule', mode: expected 'first' or 'all', got 'any'."),
        ([BIG], {"initial": [BIG]}, "step 'by-rule', initial: expected no initial rules"),
        ("no topic!", {}, "step 'by-rule', topic: expected letters"),
        ("control", {"initial": 5}, "step 'by-rule', initial: expected a RuleSet, got 5."),
        ("control", {"consistency": "no"}, "consistency: expected 'event_time' or 'arrival', got 'no'"),
        ("control", {"initial": [Rule(name="x", condition="amont > 1")]}, "rule 'x': expected a field, got 'amont'"),
        ("control", {"initial": [Rule(name="x", condition="amount")]}, "expected a condition of type bool"),
    ],
)
def test_a_wrong_argument_is_a_fault(rules: object, options: dict[str, Any], told: str) -> None:
    assert told in "\n".join(faults(rules, **options))


def test_only_live_rules_are_rejected_or_lapse() -> None:
    topology, stream = declared([BIG])
    stream.rejected().sink("no", topic="no")
    stream.lapsed().sink("never", topic="never")
    with pytest.raises(TopologyError) as caught:
        compile_plan(topology)
    assert [fault.parameter for fault in caught.value.faults] == ["rejected", "lapsed"]


def test_a_control_stream_is_one_of_the_same_topology_with_the_columns_of_a_change() -> None:
    class Other(BaseModel):
        name: int
        enabled: str

    other = Topology("other").source("rules", topic="rules", schema=Other)
    assert "expected a stream of topology 'shop', got one of 'other'" in faults(other)[0]
    topology = Topology("shop")
    orders = topology.source("orders", topic="orders", schema=Order)
    control = topology.source("rules", topic="rules", schema=Other)
    orders.route("by-rule", control).sink("out", topic="out")
    with pytest.raises(TopologyError) as caught:
        compile_plan(topology)
    assert [(fault.parameter, fault.expected, fault.got) for fault in caught.value.faults] == [
        ("control stream, name", "str", "int"), ("control stream, enabled", "bool?", "str")
    ]  # fmt: skip
