"""What one generated function can hold: the steps of an agent between two states become one loop in Python.

Python bounds how deep calls, indentation and loops nest. A topology that goes beyond is
refused here, with a way out, not by a SyntaxError about code that nobody wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from headrace.plan.resolution import Resolution
from headrace.topology.nodes import Explode, Filter, Merge, Node, Source, inputs
from headrace.topology.operator import Operator, Port

MAX_STEPS = 200
"""Generating one step takes 3 nested calls at most, of the 1,000 that Python allows; the rest is for the caller."""

MAX_BLOCKS = 14
"""CPython takes 20 nested loops and try blocks: 3 are around every record, 3 are left for an aggregate."""

MAX_LEVELS = 80
"""CPython takes 100 levels of indentation; as above, and the branches within a step."""


@dataclass(frozen=True, slots=True)
class _Place:
    """How deep in its function a step is generated. ``tail``: nothing follows it in the loop's body."""

    steps: int = 0
    blocks: int = 0
    levels: int = 0
    tail: bool = True

    def within(self, blocks: int, levels: int, *, tail: bool) -> _Place:
        return replace(self, blocks=self.blocks + blocks, levels=self.levels + levels, tail=tail)


_START = _Place()


def check_limits(nodes: tuple[Node, ...], exchanges: set[str], known: Resolution) -> None:
    """Note a fault at the first step of every way that is too long or too deep."""
    last = {port: node.id for node in nodes for port in inputs(node)}
    places: dict[Port, _Place] = {}
    for node in nodes:
        before = _before(node, places)
        after = _after(node, before, last)
        _check(known, node, before, after)
        places[Port(node.id)] = _START if node.id in exchanges else after
        if isinstance(node, Operator):  # what it emits on its other ports is generated as functions of their own
            places.update(dict.fromkeys((Port(node.id, p) for p in node.inline), after.within(2, 2, tail=False)))


def _before(node: Node, places: Mapping[Port, _Place]) -> _Place:
    found = [places.get(port, _START) for port in inputs(node)]
    if isinstance(node, Merge):  # ways that meet are joined where they parted, so not deeper than there
        return _Place(max(place.steps for place in found))
    return found[0] if found else _START


def _after(node: Node, before: _Place, last: Mapping[Port, str]) -> _Place:
    if isinstance(node, Source):
        return _START
    place = replace(before, steps=before.steps + 1)
    if not isinstance(node, Merge) and last[inputs(node)[0]] != node.id:
        place = place.within(1, 1, tail=False)  # a fault in it must not take the steps behind it along
    match node:
        case Filter() if not place.tail:
            return place.within(0, 1, tail=False)
        case Explode():
            return place.within(2, 2, tail=True)
        case _:
            return place


def _check(known: Resolution, node: Node, before: _Place, after: _Place) -> None:
    if before.steps <= MAX_STEPS < after.steps:
        remedy = (
            "Join neighbours: one map() computes many columns, one filter() takes conditions joined by &."
            " Or put a topic in between: sink() here, source() in another topology."
        )
        expected = f"at most {MAX_STEPS} steps in a row without a repartition, a table or an aggregate"
        known.fault(node.id, "input", expected, "one more", remedy)
    if before.blocks <= MAX_BLOCKS < after.blocks or before.levels <= MAX_LEVELS < after.levels:
        remedy = (
            "Where several steps read one stream, declare the one that leads on after the others."
            " Or put a topic in between: sink() here, source() in another topology."
        )
        expected = f"steps that nest less: at most {MAX_BLOCKS // 2} explodes, or {MAX_BLOCKS} forks, in a row"
        known.fault(node.id, "input", expected, "one more", remedy)
