"""From plans to topics and groups of tasks: what a fleet reads, writes and keeps, before any broker is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from headrace.errors import ConfigError
from headrace.kafka.names import changelog_topic, repartition_topic
from headrace.operators.view import store_name
from headrace.plan import Plan
from headrace.plan.model import Agent, PlannedStep, is_stateful
from headrace.topology.nodes import Merge, Node, Sink, Source
from headrace.topology.operator import Operator

_LONGEST_NAME = 249


@dataclass(frozen=True, slots=True)
class Reading:
    """One way into an agent: ``head`` is the source or group_by step through which the topic's records enter."""

    topic: str
    plan: Plan
    agent: Agent
    head: PlannedStep

    @property
    def exchange(self) -> bool:
        """Whether the topic is a repartition topic."""
        return self.head.exchange


@dataclass(frozen=True, slots=True)
class Component:
    """Agents that share input topics. Their tasks of one partition live on one worker, and are opened together."""

    name: str
    readings: tuple[Reading, ...]

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that are read, sorted."""
        return tuple(sorted({reading.topic for reading in self.readings}))

    @property
    def agents(self) -> tuple[tuple[Plan, Agent], ...]:
        """The agents, each once, upstream ones first."""
        found = {(reading.plan.name, reading.agent.id): (reading.plan, reading.agent) for reading in self.readings}
        return tuple(found.values())

    @property
    def aligned(self) -> bool:
        """Whether state relies on it that the topics have keys in the same partitions."""
        return any(
            len({r.topic for r in self.readings if r.agent is agent}) > 1
            and any(is_stateful(plan.step(step)) for step in agent.steps)
            for plan, agent in self.agents
        )

    @property
    def ordered(self) -> bool:
        """Whether results may depend on the order in which records of different topics are read."""
        return any(
            len({r.topic for r in self.readings if r.agent is agent}) > 1
            and not all(_takes_any_order(plan.step(step).node) for step in agent.steps)
            for plan, agent in self.agents
        )


def _takes_any_order(node: Node) -> bool:
    return not isinstance(node, Merge) and (not isinstance(node, Operator) or node.any_order)


@dataclass(frozen=True, slots=True)
class Changelog:
    """The changelog of one step. ``kept_ms``: how long rows stay of use after they were written; None: for ever."""

    topic: str
    store: str
    component: str
    kept_ms: int | None


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything of one group of workers."""

    group: str
    plans: tuple[Plan, ...]
    components: tuple[Component, ...]
    changelogs: tuple[Changelog, ...]
    repartitions: dict[str, tuple[Plan, PlannedStep]] = field(hash=False)

    @property
    def sources(self) -> tuple[str, ...]:
        """The topics of sources, sorted: others make them."""
        return tuple(sorted({spec.topic for plan in self.plans for spec in plan.sources}))

    @property
    def outputs(self) -> tuple[str, ...]:
        """The topics with fixed names that are written, sorted; dead letters among them."""
        return tuple(sorted({t for plan in self.plans for t in (*plan.sink_topics, plan.dead_letter_topic)}))

    def beside_repartitions(self, plan: Plan) -> set[str]:
        """Return the topics of sources that a task of the plan reads beside a repartition topic: their keys meet."""
        found: set[str] = set()
        for component in self.components:
            for agent in {r.agent.id for r in component.readings if r.plan is plan and r.exchange}:
                mine = [r for r in component.readings if r.plan is plan and r.agent.id == agent]
                found |= {reading.topic for reading in mine if not reading.exchange}
        return found

    @property
    def written(self) -> tuple[str, ...]:
        """All topics with fixed names that are written."""
        return (*self.outputs, *self.repartitions, *(changelog.topic for changelog in self.changelogs))

    @property
    def chosen(self) -> bool:
        """Whether some sinks write to topics that the records choose."""
        nodes = (step.node for plan in self.plans for step in plan.steps)
        return any(isinstance(node, Sink) and not isinstance(node.topic, str) for node in nodes)

    def component_of(self, plan: Plan, agent: str) -> Component:
        """Return the component of an agent."""
        return next(c for c in self.components if any(p is plan and a.id == agent for p, a in c.agents))


def lay_out(group: str, plans: Sequence[Plan]) -> Layout:
    """Return the layout of a group that runs these plans.

    Raises:
        ConfigError: two plans have one name, or two steps would share a topic, or a topic's name is too long.
    """
    names = [plan.name for plan in plans]
    for name in names:
        if names.count(name) > 1:
            msg = f"two topologies are named {name!r}: their state would be one. Rename one of them"
            raise ConfigError(msg)
    readings = [reading for plan in plans for reading in _readings(group, plan)]
    components = _components(readings)
    repartitions = {r.topic: (r.plan, r.head) for r in readings if r.exchange}
    by_agent = {(plan.name, agent.id): c.name for c in components for plan, agent in c.agents}
    changelogs = tuple(
        Changelog(
            changelog_topic(group, plan.name, step.id),
            store_name(plan.name, step.id),
            by_agent[plan.name, step.agent],
            step.node.kept_ms(),
        )
        for plan in plans
        for step in plan.steps
        if isinstance(step.node, Operator) and step.node.stores
    )
    layout = Layout(group, tuple(plans), components, changelogs, repartitions)
    own = [*(r.topic for r in readings if r.exchange), *(c.topic for c in changelogs)]
    _check_names(layout, own)
    return layout


def _readings(group: str, plan: Plan) -> Iterable[Reading]:
    for agent in plan.agents:
        for head in agent.heads:
            step = plan.step(head)
            topic = step.node.topic if isinstance(step.node, Source) else repartition_topic(group, plan.name, head)
            yield Reading(topic, plan, agent, step)


def _components(readings: list[Reading]) -> tuple[Component, ...]:
    """Join readings that share a topic or an agent."""
    groups: list[list[Reading]] = []
    for reading in readings:
        mine = [group for group in groups if any(_together(reading, other) for other in group)]
        joined = [other for group in mine for other in group] + [reading]
        groups = [group for group in groups if group not in mine] + [joined]
    made = [sorted(group, key=readings.index) for group in groups]
    made.sort(key=lambda group: readings.index(group[0]))
    return tuple(Component(f"{group[0].plan.name}.{group[0].agent.id}", tuple(group)) for group in made)


def _together(a: Reading, b: Reading) -> bool:
    return a.topic == b.topic or (a.plan is b.plan and a.agent is b.agent)


def _check_names(layout: Layout, own: list[str]) -> None:
    for topic in own:
        if len(topic) > _LONGEST_NAME:
            msg = f"topic name of {len(topic)} characters, Kafka takes {_LONGEST_NAME}: {topic}. Shorten an id"
            raise ConfigError(msg)
        if own.count(topic) > 1 or topic in {*layout.sources, *layout.outputs}:
            msg = f"topic {topic!r} would be used for two things: rename a topology or a step"
            raise ConfigError(msg)
