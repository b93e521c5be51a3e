"""Give a topology's topics names of their own: runs share a broker."""

from __future__ import annotations

import copy
from dataclasses import replace

from headrace import Topology, fn
from headrace.topology.nodes import Node, Sink, Source


def renamed(topology: Topology, prefix: str) -> Topology:
    """Return the same topology, with ``prefix`` before its name and those of all its topics."""
    made = Topology(prefix + topology.name)
    declaration = copy.copy(topology._declaration)
    declaration.name = made.name
    declaration._nodes = {id: _renamed(node, prefix) for id, node in declaration._nodes.items()}
    made._declaration = declaration
    return made


def _renamed(node: Node, prefix: str) -> Node:
    match node:
        case Source(topic=str(topic)) | Sink(topic=str(topic)):
            return replace(node, topic=prefix + topic)
        case Sink():
            return replace(node, topic=fn.concat(prefix, node.topic))
        case _:
            return node
