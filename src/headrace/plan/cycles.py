"""Agents that would wait for themselves: what one sends behind a repartition must not come back to it."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.plan.resolution import Resolution
from headrace.topology.nodes import Node, inputs


def check_cycles(nodes: tuple[Node, ...], exchanges: set[str], agent_of: Mapping[str, str], known: Resolution) -> None:
    """Note a fault at the first repartition of every circle: its watermark would wait for itself for ever.

    It comes about where a step with several inputs brings together what lies before and what lies behind a
    repartition of one source.
    """
    behind: dict[str, set[str]] = {}
    crossings: list[tuple[str, str, str]] = []
    for node in nodes:
        for port in inputs(node):
            if port.step in exchanges:
                crossings.append((port.step, agent_of[port.step], agent_of[node.id]))
                behind.setdefault(agent_of[port.step], set()).add(agent_of[node.id])
    told: set[str] = set()
    for step, sender, receiver in crossings:
        if step not in told and _reaches(receiver, sender, behind):
            told.add(step)
            expected = "records that do not come back to the task that they were sent from"
            got = "a step behind it that also reads what lies before it, in the same task"
            remedy = "Read the topic once more, with a second source(), and begin one of the two ways there."
            known.fault(step, "output", expected, got, remedy)


def _reaches(begin: str, end: str, behind: Mapping[str, set[str]]) -> bool:
    waiting, seen = [begin], {begin}
    while waiting:
        at = waiting.pop()
        if at == end:
            return True
        new = behind.get(at, set()) - seen
        seen |= new
        waiting += new
    return False
