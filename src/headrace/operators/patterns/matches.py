"""What a run has taken, as the columns of its row read it."""

from __future__ import annotations

from headrace.operators.patterns.automaton import Event
from headrace.operators.patterns.runs import Node


class Taken:
    """The events of a match, or of a run that has ended otherwise, by the steps that took them."""

    __slots__ = ("_by_step", "end_ms", "node", "start_ms")

    def __init__(self, node: Node) -> None:
        """Begin at the last event."""
        self.node, self.start_ms, self.end_ms = node, node.start_ms, node.event[0]
        self._by_step: dict[int | None, list[Event]] | None = None

    def events(self, step: int | None) -> list[Event]:
        """Return the events of a step, by its number, or of all steps."""
        if self._by_step is None:
            self._by_step = {None: []}
            for node in self.node.chain():
                self._by_step[None].append(node.event)
                self._by_step.setdefault(node.step, []).append(node.event)
        return self._by_step.get(step, [])

    def last(self, step: int) -> Event | None:
        """Return the last event of a step."""
        node: Node | None = self.node
        while node is not None and node.step != step:
            node = node.before
        return None if node is None else node.event
