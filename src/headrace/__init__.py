"""Headrace: stream processing for Python.

Declare topologies of filter, transform, window, aggregate and table steps over topics; run
them on one machine; query their tables while they run.
"""

from headrace.errors import ConfigError, DataError, HeadraceError, StateError, TopologyError
from headrace.topology.aggregates import agg
from headrace.topology.expr import apply, col, meta, when
from headrace.topology.functions import fn
from headrace.topology.joins import left, right
from headrace.topology.matching import matched
from headrace.topology.nodes import OnError
from headrace.topology.parameters import ParameterChange
from headrace.topology.patterns import Pattern, begin, skip
from headrace.topology.recognize import recognize
from headrace.topology.rulesets import Rule, RuleChange, RuleSet
from headrace.topology.topology import Topology
from headrace.topology.windows import calendar, count_window, hopping, session, sliding, tumbling

__all__ = [
    "ConfigError",
    "DataError",
    "HeadraceError",
    "OnError",
    "ParameterChange",
    "Pattern",
    "Rule",
    "RuleChange",
    "RuleSet",
    "StateError",
    "Topology",
    "TopologyError",
    "agg",
    "apply",
    "begin",
    "calendar",
    "col",
    "count_window",
    "fn",
    "hopping",
    "left",
    "matched",
    "meta",
    "recognize",
    "right",
    "session",
    "skip",
    "sliding",
    "tumbling",
    "when",
]
