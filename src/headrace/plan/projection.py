"""Projection pushdown: which columns each port must provide.

A path is required as a whole; a path below a required one is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headrace.event.dtypes import DType
from headrace.topology.expr import Column, Expr
from headrace.topology.nodes import (
    Broadcast,
    Explode,
    Filter,
    GroupBy,
    Handle,
    Merge,
    Node,
    Select,
    Sink,
    Source,
    inputs,
)
from headrace.topology.operator import Operator, Port
from headrace.topology.trees import all_columns, columns

Path = tuple[str, ...]
Needs = dict[Port, set[Path]]


def required_columns(nodes: Sequence[Node], schemas: dict[Port, DType]) -> dict[Port, frozenset[Path]]:
    """Return for every port the paths that the steps behind it read."""
    needs: Needs = {}
    for node in reversed(nodes):
        for port in inputs(node):
            needs.setdefault(port, set()).update(_reads(node, port, needs, schemas))
        if isinstance(node, Source) and node.time is not None:
            needs.setdefault(Port(node.id), set()).update(columns(node.time))
    return {port: minimal(paths) for port, paths in needs.items()}


def minimal(paths: Iterable[Path]) -> frozenset[Path]:
    """Leave out every path that lies below another one."""
    chosen = set(paths)
    return frozenset(p for p in chosen if not any(p[:n] in chosen for n in range(1, len(p))))


def _reads(node: Node, port: Port, needs: Needs, schemas: dict[Port, DType]) -> set[Path]:
    below = needs.get(Port(node.id), set())
    match node:
        case Filter():
            return below | columns(node.condition)
        case Merge():
            return set(below)
        case Select():
            return _through(dict(node.columns), below, keep=node.extend)
        case Explode():
            return {p for p in below if p[0] != node.name} | columns(node.items)
        case GroupBy():
            return _through(dict(node.keys), below, keep=True) | all_columns(e for _, e in node.keys)
        case Broadcast():
            return set(below)
        case Operator():
            return node.reads(port, lambda name: needs.get(Port(node.id, name), set()), schemas[port])
        case Sink():
            return _everything(schemas[port]) | all_columns((node.topic, node.key))
        case Handle():
            return _everything(schemas[port])
        case Source():
            return set()


def _everything(schema: DType) -> set[Path]:
    return {(name,) for name, _ in schema.fields}


def _through(computed: dict[str, Expr], below: set[Path], *, keep: bool) -> set[Path]:
    """Trace the paths required below a step back through its computed columns."""
    found: set[Path] = set()
    for path in below:
        expr = computed.get(path[0])
        if expr is None:
            if keep:
                found.add(path)
        elif isinstance(expr, Column):
            found.add(expr.path + path[1:])
        else:
            found |= columns(expr)
    return found
