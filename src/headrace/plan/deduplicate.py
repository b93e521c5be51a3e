"""The ports of a deduplication: records pass as they came in."""

from __future__ import annotations

from headrace.plan.resolution import Resolution
from headrace.topology.deduplicate import Deduplicate
from headrace.topology.operator import Port


def resolve_deduplicate(known: Resolution, node: Deduplicate) -> None:
    """Set its ports."""
    found = known.columns[node.input], known.keys[node.input], known.keyed[node.input]
    for port in ("out", "late"):
        known.set(Port(node.id, port), *found, direct=node.input in known.direct)
