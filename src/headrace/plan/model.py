"""The physical plan: what runs where. Immutable values, made by :func:`compile_plan`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.event.dtypes import DType
from headrace.plan.projection import Path
from headrace.topology.nodes import Aggregate, GroupBy, Node, Sink, Source, inputs
from headrace.topology.operator import Operator, Port
from headrace.topology.windows import Session

KeyColumns = tuple[tuple[str, DType], ...]


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step with its types resolved.

    ``columns`` are the columns of its output (for a table or an aggregate: of its rows);
    ``input`` those of what it reads; ``key`` the columns that key its output.
    ``exchange``: a group_by behind which records move to the task that owns the key.
    """

    node: Node
    agent: str
    columns: DType
    input: DType
    key: KeyColumns
    exchange: bool = False

    @property
    def id(self) -> str:
        """The step's id."""
        return self.node.id


@dataclass(frozen=True, slots=True)
class Agent:
    """A maximal part of a plan that runs without a repartition.

    ``heads`` are the steps through which records enter: sources, or group_by steps of
    upstream agents. ``steps`` are in topological order.
    """

    id: str
    heads: tuple[str, ...]
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A topic that the plan reads, and through which step."""

    id: str
    topic: str
    node: Source


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table that can be queried: its key columns and its row type."""

    name: str
    key: KeyColumns
    windowed: bool
    session: bool
    row: DType


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled topology. ``columns`` and ``keys`` of every port; ``required``: the paths that are read of it."""

    name: str
    steps: tuple[PlannedStep, ...]
    agents: tuple[Agent, ...]
    required: Mapping[Port, frozenset[Path]]
    columns: Mapping[Port, DType]
    keys: Mapping[Port, KeyColumns]
    fingerprint: str
    _by_id: Mapping[str, PlannedStep] = field(init=False, repr=False, compare=False)
    _by_input: Mapping[Port, tuple[PlannedStep, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the steps: generating code asks for them once per step."""
        readers: dict[Port, list[PlannedStep]] = {}
        for step in self.steps:
            for port in dict.fromkeys(inputs(step.node)):
                readers.setdefault(port, []).append(step)
        object.__setattr__(self, "_by_id", {step.id: step for step in self.steps})
        object.__setattr__(self, "_by_input", {port: tuple(steps) for port, steps in readers.items()})

    def step(self, step_id: str) -> PlannedStep:
        """Return a step by its id."""
        return self._by_id[step_id]

    def consumers(self, port: Port) -> tuple[PlannedStep, ...]:
        """Return the steps that read a port, in order of declaration."""
        return self._by_input.get(port, ())

    @property
    def sources(self) -> tuple[SourceSpec, ...]:
        """The sources, in order of declaration."""
        return tuple(SourceSpec(s.id, s.node.topic, s.node) for s in self.steps if isinstance(s.node, Source))

    @property
    def sink_topics(self) -> tuple[str, ...]:
        """The topics with fixed names that the plan writes, sorted."""
        topics = {s.node.topic for s in self.steps if isinstance(s.node, Sink)}
        return tuple(sorted(t for t in topics if isinstance(t, str)))

    @property
    def dead_letter_topic(self) -> str:
        """The topic that takes the plan's dead letters."""
        return f"{self.name}.dead-letters"

    @property
    def tables(self) -> tuple[TableSpec, ...]:
        """The tables, in order of declaration."""
        return tuple(_table(s) for s in self.steps if isinstance(s.node, Operator) and s.node.queryable)


def _table(step: PlannedStep) -> TableSpec:
    window = step.node.window if isinstance(step.node, Aggregate) else None
    return TableSpec(step.id, step.key, window is not None, isinstance(window, Session), step.columns)


def is_stateful(step: PlannedStep) -> bool:
    """Tell whether a step keeps a store."""
    return isinstance(step.node, Operator) and step.node.stores


def grouping(plan: Plan, step: PlannedStep) -> GroupBy:
    """Return the group_by in front of a keyed step."""
    node = plan.step(inputs(step.node)[0].step).node
    if not isinstance(node, GroupBy):
        msg = f"{step.id}: not behind a group_by"
        raise TypeError(msg)
    return node
