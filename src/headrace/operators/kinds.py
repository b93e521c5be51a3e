"""The kinds of stateful steps, by their nodes."""

from __future__ import annotations

from headrace.operators.aggregating import AggregateKind
from headrace.operators.deduplicate import DeduplicateKind
from headrace.operators.enriching import EnrichKind
from headrace.operators.joins.interval import IntervalJoinKind
from headrace.operators.kind import Kind
from headrace.operators.latest import TableKind
from headrace.operators.lookups.latest import LookupKind
from headrace.operators.lookups.references import MatchesKind, ReferenceJoinKind, ReferencesKind
from headrace.operators.lookups.tables import GlobalTableKind, TableJoinKind
from headrace.operators.lookups.temporal import TemporalKind
from headrace.operators.patterns.kind import DetectKind
from headrace.operators.routes import CheckKind, HoldKind, ParametersKind, RouteKind, parameter_checker, rule_checker
from headrace.plan.model import PlannedStep
from headrace.topology.deduplicate import Deduplicate
from headrace.topology.detect import Detect
from headrace.topology.enrich import Enrich
from headrace.topology.joins import IntervalJoin
from headrace.topology.lookups import GlobalTable, Lookup, TableJoin, TemporalLookup
from headrace.topology.nodes import Aggregate, Table
from headrace.topology.parameters import SETTING, ParameterCheck, Parameters
from headrace.topology.routes import CHANGE, Hold, Route, RuleCheck
from headrace.topology.table_references import Matches, ReferenceJoin, References

KINDS: dict[type, Kind] = {
    Aggregate: AggregateKind(),
    Table: TableKind(),
    Deduplicate: DeduplicateKind(),
    Detect: DetectKind(),
    IntervalJoin: IntervalJoinKind(),
    Enrich: EnrichKind(),
    Lookup: LookupKind(),
    TemporalLookup: TemporalKind(),
    GlobalTable: GlobalTableKind(),
    TableJoin: TableJoinKind(),
    References: ReferencesKind(),
    Matches: MatchesKind(),
    ReferenceJoin: ReferenceJoinKind(),
    RuleCheck: CheckKind(CHANGE, rule_checker),
    Hold: HoldKind(),
    Route: RouteKind(),
    ParameterCheck: CheckKind(SETTING, parameter_checker),
    Parameters: ParametersKind(),
}


def kind_of(step: PlannedStep) -> Kind:
    """Return the kind of a stateful step."""
    return KINDS[type(step.node)]
