"""Headrace: stream processing for Python.

Declare topologies of filter, transform, window, aggregate and table steps over topics; run
them on one machine; query their tables while they run.
"""

from headrace.errors import ConfigError, DataError, HeadraceError, StateError, TopologyError
from headrace.topology.aggregates import agg
from headrace.topology.expr import apply, col, meta, when
from headrace.topology.functions import fn
from headrace.topology.nodes import OnError
from headrace.topology.topology import Topology
from headrace.topology.windows import hopping, session, tumbling

__all__ = [
    "ConfigError",
    "DataError",
    "HeadraceError",
    "OnError",
    "StateError",
    "Topology",
    "TopologyError",
    "agg",
    "apply",
    "col",
    "fn",
    "hopping",
    "meta",
    "session",
    "tumbling",
    "when",
]
