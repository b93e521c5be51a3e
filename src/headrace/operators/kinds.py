"""The kinds of stateful steps, by their nodes."""

from __future__ import annotations

from headrace.operators.aggregating import AggregateKind
from headrace.operators.deduplicate import DeduplicateKind
from headrace.operators.kind import Kind
from headrace.operators.latest import TableKind
from headrace.plan.model import PlannedStep
from headrace.topology.deduplicate import Deduplicate
from headrace.topology.nodes import Aggregate, Table

KINDS: dict[type, Kind] = {Aggregate: AggregateKind(), Table: TableKind(), Deduplicate: DeduplicateKind()}


def kind_of(step: PlannedStep) -> Kind:
    """Return the kind of a stateful step."""
    return KINDS[type(step.node)]
