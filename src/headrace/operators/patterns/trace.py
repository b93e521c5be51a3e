"""What happened to the runs of each key, told in lines: for tests and for those who write patterns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from headrace.operators.patterns.automaton import Event, Place
from headrace.operators.patterns.runs import Node, Runs
from headrace.time.instants import from_ms

_Moves = list[tuple[Place, list[Node]]]


@dataclass(slots=True)
class Trace:
    """Lines by key. ``steps`` are the names of the steps, ``show`` returns an event as text."""

    steps: tuple[str, ...]
    show: Callable[[Event], str]
    lines: dict[Any, list[str]] = field(default_factory=dict)

    def _note(self, key: Any, time_ms: int, text: str) -> None:
        at = from_ms(time_ms).isoformat().replace("+00:00", "Z")
        self.lines.setdefault(key, []).append(f"{at} {text}")

    def _run(self, node: Node) -> str:
        return "[" + ", ".join(f"{self.steps[found.step]}: {self.show(found.event)}" for found in node.chain()) + "]"

    def event(self, runs: Runs, event: Event, kept: _Moves, moved: _Moves, done: list[Node]) -> None:
        """Tell what an event did."""
        alive = {id(node) for _, nodes in kept for node in nodes}
        made = {id(node): node for _, nodes in moved for node in nodes} | {id(node): node for node in done}
        parents = {id(node.before) for node in made.values()}
        for node in made.values():
            if node.event is event and node.before is None:
                self._note(runs.key, event[0], f"{self._run(node)} began")
            elif node.event is event:
                self._note(runs.key, event[0], f"{self._run(node)} took {self.steps[node.step]}")
        for node in done:
            self._note(runs.key, event[0], f"{self._run(node)} is a match")
        for place, nodes in runs.places.items():
            for node in nodes:
                if id(node) not in alive and id(node) not in parents and id(node) not in made:
                    self._note(runs.key, event[0], f"{self._run(node)} died: {self._why(place, node, event)}")

    def _why(self, place: Place, node: Node, event: Event) -> str:
        shown, forces = self.show(event), place.forces
        if any(kill.test(event, node.folds) for kill in (*forces.kills, *forces.next_kills)):
            return f"{shown} must not come"
        name = self.steps[place.step]
        if any(guard.where is None or guard.where.test(event, node.folds) for guard in forces.guards):
            return f"{shown} belongs to the greedy loop before {name}"
        if place.until is not None and place.until.test(event, node.folds):
            return f"{shown} ends the wait for {name}"
        return f"it waited for {name}, {place.mode.value.value.replace('_', ' ')}, and {shown} came"

    def time(self, runs: Runs, place: Place, over: list[Node], at_ms: int) -> None:
        """Tell that windows have passed."""
        for node in over:
            what = "is a match: its window has passed" if place.ends_by_time else "timed out"
            if place.emitted:
                what = "died: its window has passed"
            self._note(runs.key, at_ms, f"{self._run(node)} {what}")

    def discarded(self, runs: Runs, nodes: list[Node]) -> None:
        """Tell that the skip strategy of a match has discarded runs."""
        for node in nodes:
            self._note(runs.key, node.event[0], f"{self._run(node)} died: a match skipped it")

    def overflow(self, runs: Runs, node: Node) -> None:
        """Tell that a key had too many runs."""
        self._note(runs.key, node.event[0], f"{self._run(node)} was given up: the key has too many runs")
