"""``headrace topics plan`` and ``create``, and what they find wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from headrace import Topology
from headrace.errors import ConfigError
from headrace.kafka.layout import Layout, lay_out
from headrace.kafka.settings import FleetSettings
from headrace.kafka.topics import TopicPlan, create_missing, look, plan_topics, refuse_faults
from headrace.kafka.topics_admin import TopicAdmin, TopicInfo, TopicSpec
from headrace.plan import compile_plan
from headrace.runtime.loading import load_target
from tests.kafka.fleets import SHOP, Shop, make_shop
from tests.kafka.support import run

SETTINGS = FleetSettings.of(brokers="localhost", group="g", partitions=6)


@pytest.fixture
def shop(tmp_path: Path, bootstrap: str) -> Shop:
    return make_shop(tmp_path, bootstrap)


def test_topics_are_planned_created_and_then_there(shop: Shop) -> None:
    def rows() -> dict[str, tuple[str, str, int]]:
        done = shop.run("topics", "plan", "shop.py", "--json")
        assert done.code == 0, done.err
        return {row["topic"]: (row["role"], row["state"], row["partitions"]) for row in json.loads(done.out)}

    name = shop.name
    expected = {
        f"{name}.orders": ("input", "ok", 4),
        f"{name}.{name}.by-country.repartition": ("repartition", "create", 4),
        f"{name}.{name}.revenue.changelog": ("changelog", "create", 4),
        f"{name}.big": ("output", "create", 4),
        f"{name}.revenue": ("output", "create", 4),
        f"{name}.dead-letters": ("dead letters", "create", 1),
    }
    assert rows() == expected
    assert rows() == expected, "planning creates nothing"

    done = shop.run("topics", "create", "shop.py")
    assert (done.code, done.err) == (0, "created 5 of 6 topics\n")
    assert rows() == {topic: (role, "ok", count) for topic, (role, _, count) in expected.items()}
    assert shop.run("topics", "create", "shop.py").err == "created 0 of 6 topics\n"

    async def configs() -> dict[str, dict[str, str]]:
        async with TopicAdmin(shop.brokers) as admin:
            found: dict[str, dict[str, str]] = await admin.configs(list(expected))
            return found

    made = run(configs())
    changelog, repartition = made[f"{name}.{name}.revenue.changelog"], made[f"{name}.{name}.by-country.repartition"]
    assert changelog["cleanup.policy"] == "compact,delete", "windows end"
    assert changelog["retention.ms"] == str(60_000 + 3_600_000 + 86_400_000 + 86_400_000)
    assert (repartition["cleanup.policy"], repartition["message.timestamp.type"]) == ("delete", "LogAppendTime")


def test_the_table_has_columns_and_wrong_topics_make_exit_code_1(shop: Shop) -> None:
    async def spoil() -> None:
        async with TopicAdmin(shop.brokers) as admin:
            await admin.create([TopicSpec(f"{shop.name}.{shop.name}.revenue.changelog", 4)])

    assert shop.run("topics", "plan", "shop.py").out.splitlines()[0] == (
        "topic\trole\tstate\tpartitions\treplication\tconfigs"
    )
    run(spoil())
    done = shop.run("topics", "plan", "shop.py")
    assert done.code == 1
    fault = (
        f"changelog topic '{shop.name}.{shop.name}.revenue.changelog' has cleanup.policy=delete, expected "
        "compact,delete: states that do not change would be lost, and the topic would grow without end before. Set it: "
    )
    assert f"wrong: {fault}" in done.err
    assert "\twrong\t4\t" in done.out
    done = shop.run("topics", "create", "shop.py")
    assert done.code == 2
    assert fault in done.err


def layout(text: str, tmp_path: Path) -> Layout:
    file = tmp_path / "declared.py"
    file.write_text(text)
    return lay_out("g", [compile_plan(topology) for topology in load_target(str(file))])


MERGED = """
from pydantic import BaseModel
from headrace import Topology, agg, col

class Event(BaseModel):
    id: int

topology = Topology("t")
a = topology.source("a", topic="a", schema=Event, key=col.id)
b = topology.source("b", topic="b", schema=Event, key=col.id)
a.merge("both", b).group_by("by", col.id).aggregate("n", n=agg.count()).on_update().sink("out", topic="c")
d = Topology("d")
d.source("c", topic="c", schema=Event).filter("f", col.id > 0).sink("out", topic="e")
topologies = [topology, d]
"""


def infos(**counts: int) -> dict[str, TopicInfo]:
    return {topic: TopicInfo(topic, count, 1) for topic, count in counts.items()}


def test_inputs_whose_keys_meet_must_be_of_one_size(tmp_path: Path) -> None:
    declared = layout(MERGED, tmp_path)
    assert any(component.aligned for component in declared.components)
    plans = plan_topics(declared, SETTINGS, infos(a=4, b=3))
    with pytest.raises(ConfigError, match=r"must have the same number of partitions, as their keys meet: a has 4, b "):
        refuse_faults(plans)


JOINED = """
from pydantic import BaseModel
from headrace import Topology, col

class Event(BaseModel):
    id: int
    a: int = 0

class Other(BaseModel):
    id: int
    b: int = 0

topology = Topology("t")
a = topology.source("a", topic="a", schema=Event, key=col.id).group_by("by-a", col.id)
b = topology.source("b", topic="b", schema=Other{key}).group_by("by-b", col.id)
a.join("j", b, within="5s").sink("out", topic="c")
"""


def test_a_repartition_topic_has_as_many_partitions_as_the_topic_that_it_is_joined_with(tmp_path: Path) -> None:
    declared = layout(JOINED.replace("{key}", ""), tmp_path)
    (topic,) = declared.repartitions
    plans = {plan.spec.name: plan for plan in plan_topics(declared, SETTINGS, infos(a=4, b=7))}
    assert plans[topic].spec.partitions == 4
    assert not any(plan.fault for plan in plans.values())
    known = infos(a=4, b=7) | {topic: TopicInfo(topic, 7, 1)}
    fault = f"repartition topic '{topic}' has 7 partitions, expected 4, as 'a' has, whose keys meet with its own"
    with pytest.raises(ConfigError, match=re.escape(fault)):
        refuse_faults(plan_topics(declared, SETTINGS, known))


def test_topics_that_are_joined_as_they_are_must_be_of_one_size(tmp_path: Path) -> None:
    plans = plan_topics(layout(JOINED.replace("{key}", ", key=col.id"), tmp_path), SETTINGS, infos(a=4, b=7))
    with pytest.raises(ConfigError, match=r"a has 4, b has 7\. Leave key= out of the source of one"):
        refuse_faults(plans)


def test_a_topic_between_two_topologies_is_created_too(tmp_path: Path) -> None:
    plans = {plan.spec.name: plan for plan in plan_topics(layout(MERGED, tmp_path), SETTINGS, infos(a=4, b=4))}
    assert (plans["c"].role, plans["c"].missing, plans["c"].spec.partitions) == ("between", True, 4)
    assert not any(plan.fault for plan in plans.values())


def test_every_fault_is_listed(tmp_path: Path) -> None:
    plans = plan_topics(layout(MERGED, tmp_path), SETTINGS, infos())
    with pytest.raises(ConfigError) as raised:
        refuse_faults(plans)
    assert str(raised.value).splitlines() == [
        "topics cannot be used:",
        "input topic 'a' does not exist: create it, or check the topology's topic name",
        "input topic 'b' does not exist: create it, or check the topology's topic name",
    ]


REPARTITION, CHANGELOG = "g.shop.by-country.repartition", "g.shop.revenue.changelog"
KEPT_MS = 60_000 + 3_600_000 + 2 * 86_400_000  # the window, its grace, a day of retention, a day more
GOOD = {
    REPARTITION: {
        "cleanup.policy": "delete",
        "retention.ms": "604800000",
        "message.timestamp.type": "LogAppendTime",
    },
    CHANGELOG: {"cleanup.policy": "compact,delete", "retention.ms": str(KEPT_MS)},
}


def planned(tmp_path: Path, configs: dict[str, dict[str, str]]) -> dict[str, TopicPlan]:
    declared = layout(SHOP.format(name="shop"), tmp_path)
    there = infos(**{"shop.orders": 4, REPARTITION: 4, CHANGELOG: 4})
    return {plan.spec.name: plan for plan in plan_topics(declared, SETTINGS, there, configs)}


@pytest.mark.parametrize(
    ("topic", "configs", "fault"),
    [
        (REPARTITION, {}, ""),
        (CHANGELOG, {}, ""),
        (REPARTITION, {"retention.ms": "-1", "message.timestamp.type": "CreateTime"}, ""),
        (REPARTITION, {"retention.ms": "604800001"}, ""),
        (CHANGELOG, {"retention.ms": "-1"}, ""),
        (CHANGELOG, {"cleanup.policy": "compact", "retention.ms": "1000"}, ""),
        (
            CHANGELOG,
            {"retention.ms": "1000"},
            f"changelog topic '{CHANGELOG}' has retention.ms=1000, expected {KEPT_MS}: states of windows would be "
            f"lost. Set it: kafka-configs --alter --topic {CHANGELOG} --add-config retention.ms=[{KEPT_MS}]",
        ),
        (
            REPARTITION,
            {"retention.ms": "1000"},
            f"repartition topic '{REPARTITION}' has retention.ms=1000, expected 604800000: records that a worker was "
            "too long away to read would be lost. "
            f"Set it: kafka-configs --alter --topic {REPARTITION} --add-config retention.ms=[604800000]",
        ),
        (
            REPARTITION,
            {"message.timestamp.type": "CreateTime"},
            f"repartition topic '{REPARTITION}' has message.timestamp.type=CreateTime, expected LogAppendTime: records "
            "age by the clock of the worker that writes: if it is behind, they would be lost. "
            f"Set it: kafka-configs --alter --topic {REPARTITION} --add-config message.timestamp.type=[LogAppendTime]",
        ),
    ],
)
def test_settings_under_which_records_or_states_get_lost_are_faults(
    tmp_path: Path, topic: str, configs: dict[str, str], fault: str
) -> None:
    plans = planned(tmp_path, {**GOOD, topic: GOOD[topic] | configs})
    assert {name: plan.fault for name, plan in plans.items() if plan.fault} == ({topic: fault} if fault else {})


def test_what_is_made_of_large_records_may_be_large(tmp_path: Path) -> None:
    def limits(size: int) -> dict[str, str]:
        plans = planned(tmp_path, {"shop.orders": {"max.message.bytes": str(size)}})
        found = {name: plan.spec.configs.get("max.message.bytes") for name, plan in plans.items()}
        return {name: limit for name, limit in found.items() if limit is not None}

    assert limits(1_048_588) == {}, "as brokers have it"
    large = str((10 << 20) + (1 << 16))
    assert limits(10 << 20) == dict.fromkeys((REPARTITION, CHANGELOG, "shop.dead-letters"), large)


def test_a_changelog_that_forgets_too_early_is_found_on_the_broker(shop: Shop) -> None:
    changelog = f"{shop.name}.{shop.name}.revenue.changelog"

    async def spoil() -> None:
        async with TopicAdmin(shop.brokers) as admin:
            configs = {"cleanup.policy": "compact,delete", "retention.ms": "1000"}
            await admin.create([TopicSpec(changelog, 4, configs=configs)])

    run(spoil())
    done = shop.run("topics", "plan", "shop.py")
    assert done.code == 1
    assert f"wrong: changelog topic '{changelog}' has retention.ms=1000, expected {KEPT_MS}: " in done.err


def test_nothing_is_created_while_something_is_wrong(shop: Shop) -> None:
    declared = lay_out(shop.name, [compile_plan(t) for t in load_target(str(shop.directory / "shop.py"))])
    settings = FleetSettings.of(brokers=shop.brokers, group=shop.name)
    assert isinstance(load_target(str(shop.directory / "shop.py"))[0], Topology)

    async def scenario() -> None:
        async with TopicAdmin(shop.brokers) as admin:
            await admin.create([TopicSpec(f"{shop.name}.{shop.name}.revenue.changelog", 9)])
            before = set(await admin.topics())
            with pytest.raises(ConfigError, match="has 9 partitions, expected 4"):
                await create_missing(admin, await look(admin, declared, settings))
            assert {name for name in await admin.topics() if shop.name in name} <= before

    run(scenario())
