"""Which topics a fleet needs, which of them are there, and what is wrong with those."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from headrace.errors import ConfigError
from headrace.kafka.layout import Changelog, Component, Layout
from headrace.kafka.limits import USUAL_BYTES
from headrace.kafka.settings import FleetSettings
from headrace.kafka.topics_admin import TopicAdmin, TopicInfo, TopicSpec
from headrace.plan import Plan

_log = logging.getLogger("headrace.topics")
_POLL_S = 0.5
_DAY_MS = 86_400_000
_FOR_EVER = -1
_HEADERS_BYTES = 1 << 16
"""What a record of ours may have beside the bytes of one that came in: the headers of a dead letter, a key."""
_COMPACT_SEGMENT_MS = 6 * 3_600_000  # compaction leaves the open segment alone

Configs = Mapping[str, Mapping[str, str]]
"""The settings of topics, by name."""


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """One topic of a fleet. ``role``: input, between (topologies), repartition, changelog, output or dead letters."""

    role: str
    spec: TopicSpec
    exists: int | None
    """How many partitions it has; None: it is not there."""
    fault: str = ""
    """What is wrong with it, and what to do; empty: nothing."""

    @property
    def missing(self) -> bool:
        """Whether it must be created; inputs are others' to create."""
        return self.exists is None and self.role != "input"


def plan_topics(
    layout: Layout, settings: FleetSettings, known: Mapping[str, TopicInfo], configs: Configs | None = None
) -> list[TopicPlan]:
    """Return all topics of the fleet, with the partition counts that they have or should get, and their faults.

    Args:
        layout: what the fleet runs.
        settings: how it makes topics.
        known: the topics that there are.
        configs: the settings of those; what is not among them is not checked.
    """
    counts = {topic: info.partitions for topic, info in known.items()}
    plans = _sources(layout, settings, counts)
    counts |= {plan.spec.name: plan.spec.partitions for plan in plans if plan.missing}
    for topic, (plan, _) in layout.repartitions.items():
        plans.append(_repartition(layout, settings, counts, topic, plan))
    counts |= {plan.spec.name: plan.spec.partitions for plan in plans if plan.missing}
    plans = [_aligned(layout, counts, plan) for plan in plans]
    plans += [_changelog(layout, settings, counts, changelog) for changelog in layout.changelogs]
    plans += _outputs(layout, settings, counts)
    known_configs = configs or {}
    limits = (known_configs.get(topic, {}).get("max.message.bytes", "0") for topic in layout.sources)
    largest = max(map(int, limits), default=0)
    return [_large(_configured(plan, known_configs.get(plan.spec.name, {})), largest) for plan in plans]


def refuse_faults(plans: Iterable[TopicPlan]) -> None:
    """Raise what is wrong with topics.

    Raises:
        ConfigError: lists every fault, with the topics and their partition counts.
    """
    faults = list(dict.fromkeys(plan.fault for plan in plans if plan.fault))
    if faults:
        raise ConfigError(faults[0] if len(faults) == 1 else "\n".join(["topics cannot be used:", *faults]))


def _sources(layout: Layout, settings: FleetSettings, counts: Mapping[str, int]) -> list[TopicPlan]:
    """Return the topics of sources: those that others fill, and those between topologies of the fleet."""
    written = {topic for plan in layout.plans for topic in (*plan.sink_topics, plan.dead_letter_topic)}
    widest = _widest(counts, layout.sources, settings.partitions or 1)
    plans = []
    for topic in layout.sources:
        exists = counts.get(topic)
        if topic in written:
            plans.append(TopicPlan("between", TopicSpec(topic, exists or widest, settings.replication), exists))
        else:
            fault = f"input topic {topic!r} does not exist: create it, or check the topology's topic name"
            plans.append(TopicPlan("input", TopicSpec(topic, exists or 0), exists, "" if exists else fault))
    return plans


def _widest(counts: Mapping[str, int], topics: Iterable[str], otherwise: int) -> int:
    return max((counts[topic] for topic in topics if topic in counts), default=otherwise)


def _repartition(
    layout: Layout, settings: FleetSettings, counts: Mapping[str, int], topic: str, plan: Plan
) -> TopicPlan:
    there = {counts[name] for name, (owner, _) in layout.repartitions.items() if owner is plan and name in counts}
    beside = {counts[name]: name for name in sorted(layout.beside_repartitions(plan)) if name in counts}
    like = f"{beside[min(beside)]!r} has, whose keys meet with its own" if beside else "the topology's others have"
    wanted = min(beside or there, default=0) or settings.partitions or _widest(
        counts, (s.topic for s in plan.sources), 1
    )  # fmt: skip
    exists = counts.get(topic)
    fault = ""
    if exists not in {None, wanted}:
        fault = (
            f"repartition topic {topic!r} has {exists} partitions, expected {wanted}, as {like}. "
            "Stop the fleet, delete it when its records are read, and start again"
        )
    return TopicPlan("repartition", TopicSpec(topic, wanted, settings.replication, _transient()), exists, fault)


def _aligned(layout: Layout, counts: Mapping[str, int], plan: TopicPlan) -> TopicPlan:
    """Return the plan of a topic that tasks read, with a fault if others that they read are of another size."""
    topic = plan.spec.name
    for component in layout.components:
        if plan.fault or topic not in component.topics or not component.aligned:
            continue
        found = {name: counts[name] for name in component.topics if name in counts}
        if topic in found and len(set(found.values())) > 1:
            listed = ", ".join(f"{name} has {count}" for name, count in sorted(found.items()))
            fault = (
                f"the inputs of {component.name} must have the same number of partitions, as their keys meet: "
                f"{listed}. Leave key= out of the source of one: then it is repartitioned. Or make topics of one size"
            )
            return replace(plan, fault=fault)
    return plan


def _changelog(layout: Layout, settings: FleetSettings, counts: Mapping[str, int], changelog: Changelog) -> TopicPlan:
    component: Component = next(c for c in layout.components if c.name == changelog.component)
    wanted = _widest(counts, component.topics, 1)
    exists = counts.get(changelog.topic)
    fault = ""
    if exists not in {None, wanted}:
        fault = (
            f"changelog topic {changelog.topic!r} has {exists} partitions, expected {wanted}: "
            f"as many as {', '.join(component.topics)}. State cannot be spread anew: give the input its old number "
            "of partitions, or use a new group"
        )
    spec = TopicSpec(changelog.topic, wanted, settings.replication, _kept(changelog.kept_ms))
    return TopicPlan("changelog", spec, exists, fault)


def _outputs(layout: Layout, settings: FleetSettings, counts: Mapping[str, int]) -> list[TopicPlan]:
    letters = {plan.dead_letter_topic for plan in layout.plans}
    wanted = _widest(counts, layout.sources, 1)
    return [
        TopicPlan(
            "dead letters" if topic in letters else "output",
            TopicSpec(topic, counts.get(topic, 1 if topic in letters else wanted), settings.replication),
            counts.get(topic),
        )
        for topic in layout.outputs
        if topic not in layout.sources
    ]


def _configured(plan: TopicPlan, configs: Mapping[str, str]) -> TopicPlan:
    """Return the plan, with a fault if the topic is there with settings under which records or state would be lost."""
    if plan.fault or not configs or plan.role not in {"changelog", "repartition"}:
        return plan
    name, wanted = plan.spec.name, plan.spec.configs
    for setting, lost in _losses(plan, configs):
        remedy = f"Set it: kafka-configs --alter --topic {name} --add-config {setting}=[{wanted[setting]}]"
        has = f"has {setting}={configs[setting]}, expected {wanted[setting]}"
        return replace(plan, fault=f"{plan.role} topic {name!r} {has}: {lost}. {remedy}")
    return plan


def _losses(plan: TopicPlan, configs: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the settings that are wrong, with what would be lost. Those that cannot be read are not checked."""
    wanted, policy = plan.spec.configs, configs.get("cleanup.policy", "")
    if plan.role == "repartition":
        if "compact" in policy:
            yield "cleanup.policy", "records of one key would be lost"
    elif policy and "compact" not in policy:
        yield "cleanup.policy", "states that do not change would be lost, and the topic would grow without end before"
    elif "delete" in policy and "delete" not in wanted["cleanup.policy"]:
        yield "cleanup.policy", "states that do not change would be lost"
    kept_ms = int(configs.get("retention.ms", _FOR_EVER))
    if "delete" not in policy or kept_ms == _FOR_EVER or "retention.ms" not in wanted:
        return
    if kept_ms < int(wanted["retention.ms"]):
        lost = "records that a worker was too long away to read" if plan.role == "repartition" else "states of windows"
        yield "retention.ms", f"{lost} would be lost"
    stamps = "message.timestamp.type"
    if stamps in wanted and configs.get(stamps, wanted[stamps]) != wanted[stamps]:
        yield stamps, "records age by the clock of the worker that writes: if it is behind, they would be lost"


def _large(plan: TopicPlan, largest: int) -> TopicPlan:
    """Return the plan of a topic whose records are made of those of sources: it takes records as large as theirs."""
    if plan.role in {"input", "between", "output"} or largest <= USUAL_BYTES:
        return plan
    configs = {**plan.spec.configs, "max.message.bytes": str(largest + _HEADERS_BYTES)}
    return replace(plan, spec=replace(plan.spec, configs=configs))


def _transient() -> dict[str, str]:
    """Settings of a repartition topic: what is read is of no use; event time says nothing about age."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(7 * _DAY_MS),
        "message.timestamp.type": "LogAppendTime",
    }


def _kept(kept_ms: int | None) -> dict[str, str]:
    """Settings of a changelog: compacted; that of windows also loses what is long past its retention."""
    configs = {"cleanup.policy": "compact", "segment.ms": str(_COMPACT_SEGMENT_MS), "min.cleanable.dirty.ratio": "0.3"}
    if kept_ms is not None:
        # Rows age by the clock, windows by event time, which may lag behind it: a day more than is needed.
        configs |= {"cleanup.policy": "compact,delete", "retention.ms": str(kept_ms + _DAY_MS)}
    return configs


async def look(admin: TopicAdmin, layout: Layout, settings: FleetSettings) -> list[TopicPlan]:
    """Return the plan of all topics, as the brokers have them now.

    Raises:
        BrokerError: they do not answer, or refuse.
    """
    known = await admin.topics()
    own = [name for name in (*layout.repartitions, *(c.topic for c in layout.changelogs)) if name in known]
    configs = await admin.configs(own)
    sources = await admin.limits([name for name in layout.sources if name in known])
    configs |= {name: {"max.message.bytes": str(size)} for name, size in sources.items()}
    return plan_topics(layout, settings, known, configs)


async def create_missing(admin: TopicAdmin, plans: Sequence[TopicPlan]) -> list[str]:
    """Create what must be created; return the names of what is new.

    Raises:
        ConfigError: a topic that is there, or an input that is not, cannot be used; nothing is created then.
        BrokerError: the brokers refuse.
    """
    refuse_faults(plans)
    return await admin.create([plan.spec for plan in plans if plan.missing])


async def prepare_topics(admin: TopicAdmin, layout: Layout, settings: FleetSettings) -> dict[str, int]:
    """Wait for input topics, create what is missing, and return how many partitions each topic has.

    Raises:
        ConfigError: an input topic did not appear in time, or a topic cannot be used.
    """
    longest = settings.topic_timeout.total_seconds()
    deadline = time.monotonic() + longest
    told = False
    while True:
        plans = await look(admin, layout, settings)
        missing = [plan.spec.name for plan in plans if plan.role == "input" and plan.exists is None]
        if not missing:
            break
        if time.monotonic() > deadline:
            msg = (
                f"input topics {', '.join(missing)} do not exist on {settings.brokers} "
                f"(waited {longest:g} s). Create them, or check the topologies' topic names"
            )
            raise ConfigError(msg)
        if not told:
            told = True
            _log.info("waiting up to %g s for input topics that do not exist yet: %s", longest, ", ".join(missing))
        await asyncio.sleep(_POLL_S)
    created = await create_missing(admin, plans)
    if created:
        _log.info("created topics: %s", ", ".join(created))
    known = await admin.topics()
    return {topic: info.partitions for topic, info in known.items()}


async def make_topics(
    admin: TopicAdmin, layout: Layout, settings: FleetSettings, names: Collection[str]
) -> dict[str, int]:
    """Create output topics that a sink has chosen and that are not there; return the partition count of each.

    Raises:
        BrokerError: the broker refuses one.
    """
    known = await admin.topics()
    wanted = max((known[topic].partitions for topic in layout.sources if topic in known), default=1)
    await admin.create([TopicSpec(name, wanted, settings.replication) for name in names if name not in known])
    known = await admin.topics()
    return {name: known[name].partitions for name in names}
