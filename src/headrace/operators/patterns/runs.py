"""The runs of one key.

They share what they have taken: each event that a run takes is a node that points to the one before it, so runs that
split have their beginning in common.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from headrace.operators.logic import NEVER_MS
from headrace.operators.patterns.automaton import Event, Folds, Place


class Node:
    """An event that a run has taken, and the one before it.

    ``position`` counts the events of the key; ``first`` and ``start_ms`` are position and time of the first one of the
    run. ``folds`` is what conditions ask of the events up to here. ``number`` is its name in the store; 0: it has none.
    """

    __slots__ = ("before", "event", "first", "folds", "number", "position", "start_ms", "step")

    def __init__(  # noqa: PLR0913, PLR0917 - made for every event taken: keywords would cost as much again
        self, before: Node | None, step: int, event: Event, folds: Folds, position: int, first: int, start_ms: int
    ) -> None:
        """Take an event."""
        self.before, self.step, self.event, self.folds = before, step, event, folds
        self.position, self.first, self.start_ms = position, first, start_ms
        self.number = 0

    def chain(self) -> list[Node]:
        """Return the nodes up to this one, first to last."""
        found: list[Node] = []
        node: Node | None = self
        while node is not None:
            found.append(node)
            node = node.before
        found.reverse()
        return found


@dataclass(slots=True)
class Complete:
    """A match that waits to be released. ``turn`` counts the instants at which matches of the key were completed."""

    node: Node
    turn: int

    def rank(self) -> tuple[int, int, list[int]]:
        """Return what decides which match is released first (rule 12)."""
        return self.node.first, self.turn, [node.position for node in self.node.chain()]


@dataclass(slots=True, eq=False)
class Runs:
    """The runs of one key, by the places where they wait, each with its last node.

    ``total``: there are no more runs than this. ``ordered``: in each place they lie in the order in which they began.
    ``due_ms``: no window of a run ends before; ``timed_ms``: for when an alarm is set; ``stored_due_ms``: when the
    store's list of alarms has the key. ``changed`` since the last cut; ``stored``: as of that cut. ``number``: the last
    one given to a node; ``spilled``: the numbers of those that lie in entries of their own.
    """

    key: Any
    places: dict[Place, list[Node]] = field(default_factory=dict)
    waiting: list[Complete] = field(default_factory=list)
    position: int = 0
    total: int = 0
    turn: int = 0
    due_ms: int = NEVER_MS
    timed_ms: int = NEVER_MS
    ordered: bool = True
    changed: bool = False
    stored: bool = False
    stored_due_ms: int = NEVER_MS
    number: int = 0
    spilled: set[int] | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing has to be kept."""
        return not self.places and not self.waiting

    def heads(self) -> Iterator[Node]:
        """Yield the last nodes of all runs."""
        for nodes in self.places.values():
            yield from nodes

    def oldest(self) -> int | None:
        """Return the position at which the oldest run began."""
        if self.ordered:
            return min((nodes[0].first for nodes in self.places.values()), default=None)
        return min((node.first for node in self.heads()), default=None)

    def put(self, place: Place, nodes: list[Node]) -> None:
        """Add runs at a place. The list becomes its own."""
        there = self.places.get(place)
        if there is None:
            self.places[place] = nodes
            return
        if there[-1].first > nodes[0].first or there[-1].start_ms > nodes[0].start_ms:
            self.ordered = False
        there.extend(nodes)
