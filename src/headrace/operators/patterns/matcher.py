"""One event and the runs of its key: which go on, which end, which match is released.

Nothing of a key's runs changes before all conditions have been tested: an event on which one fails leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.errors import DataError
from headrace.operators.logic import NEVER_MS
from headrace.operators.patterns.automaton import DIE, END, STAY, TAKE, Automaton, Event, Folds, Place
from headrace.operators.patterns.runs import Complete, Node, Runs
from headrace.operators.patterns.trace import Trace
from headrace.topology.patterns import Skip, To

Moves = list[tuple[Place, list[Node]]]
Fold = Callable[[Event, Folds], Folds]


@dataclass(slots=True)
class Match:
    """A list of taken events that leaves the step, at the event time at which that became known."""

    key: Any
    node: Node
    time_ms: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A match on which the skip strategy failed."""

    match: Match
    error: DataError


@dataclass(slots=True)
class Found:
    """What came out since it was last taken."""

    out: list[Match] = field(default_factory=list)
    timed_out: list[Match] = field(default_factory=list)
    overflow: list[Match] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rules:
    """What there is beside the automaton. ``folds``: by step, how an event it takes changes what conditions ask."""

    within_ms: int | None
    skip: Skip
    skip_step: int
    most: int
    nothing: Folds
    folds: Mapping[int, Fold]


class Matcher:
    """The rules of one pattern, applied to the runs of any key."""

    def __init__(self, automaton: Automaton, rules: Rules) -> None:
        """Begin with nothing found."""
        self.automaton, self._rules = automaton, rules
        self._folds, self._within_ms = rules.folds, rules.within_ms
        first = automaton.first
        # then whether a run begins is known when the event comes
        self._sure = first[0] if len(first) == 1 and first[0].plain and first[0].alone else None
        self.found = Found()
        self.trace: Trace | None = None

    def event(self, runs: Runs, event: Event, now_ms: int, begins: object) -> bool:
        """Let the runs of a key meet an event; return whether anything has changed.

        ``begins``: whether a run may begin with it; where that is not known yet, true.
        """
        kept: Moves = []
        moved: Moves = []
        done: list[Node] = []
        same = True
        for place, nodes in runs.places.items():
            if not place.alone:
                same = self._meet_each(place, nodes, event, kept, moved, done, runs.position) and same
                continue
            rest = place
            if place.plain:
                what = place.fitting if place.test(event, ()) else place.others
            else:
                what, rest = _judge(place, event, ())
            if what & TAKE:
                self._take(place, nodes, event, moved, done, runs.position)
            if what & STAY:
                kept.append((rest, nodes))
                same = same and rest is place
            else:
                same = False
        if begins and self._begin(event, moved, done, runs.position) and self._within_ms is not None:
            runs.due_ms = min(runs.due_ms, event[0] + self._within_ms)
        if same and not moved and not done:
            return False
        if self.trace is not None:
            self.trace.event(runs, event, kept, moved, done)
        self._settle(runs, kept, moved)
        if done or runs.waiting:
            self._complete(runs, done, now_ms)
        if moved and runs.total > self._rules.most:
            self._bound(runs, now_ms)
        return True

    def _settle(self, runs: Runs, kept: Moves, moved: Moves) -> None:
        """Put runs where they are after an event."""
        runs.position += 1
        places: dict[Place, list[Node]] = {}
        runs.places = places
        for place, nodes in kept:
            if place in places:
                runs.put(place, nodes)
            else:
                places[place] = nodes
        for place, nodes in moved:
            if place in places:
                runs.put(place, nodes)
            else:
                places[place] = nodes
            runs.total += len(nodes)
            if place.step_ms is not None:  # the window of the whole pattern is known since the run began
                runs.due_ms = min(runs.due_ms, self._deadline(place, nodes[-1]))

    def _meet_each(  # noqa: PLR0913, PLR0917 - the parts of one event's doing
        self, place: Place, nodes: list[Node], event: Event, kept: Moves, moved: Moves, done: list[Node], position: int
    ) -> bool:
        """Ask each run, where what it has taken decides; return whether all stay where they are."""
        takers: list[Node] = []
        stayers: dict[Place, list[Node]] = {}
        for node in nodes:
            what, rest = _judge(place, event, node.folds)
            if what & TAKE:
                takers.append(node)
            if what & STAY:
                stayers.setdefault(rest, []).append(node)
        if takers:
            self._take(place, takers, event, moved, done, position)
        elif len(stayers.get(place, ())) == len(nodes):
            kept.append((place, nodes))
            return True
        kept += stayers.items()
        return False

    def _take(  # noqa: PLR0913, PLR0917
        self, place: Place, nodes: list[Node], event: Event, moved: Moves, done: list[Node], position: int
    ) -> None:
        step = place.step
        if step == END:  # what must not come as the very next event has not come
            done += nodes
            return
        fold = self._folds.get(step)
        if fold is None:
            made = [Node(n, step, event, n.folds, position, n.first, n.start_ms) for n in nodes]
        else:
            made = [Node(n, step, event, fold(event, n.folds), position, n.first, n.start_ms) for n in nodes]
        self._arrive(place, made, moved, done)

    def _arrive(self, place: Place, made: list[Node], moved: Moves, done: list[Node]) -> None:
        outcome = place.outcome or self.automaton.outcome(place)
        if outcome.ends:
            done += made
        for there in outcome.places[1:]:
            moved.append((there, made[:]))  # each place has a list of its own
        if outcome.places:
            moved.append((outcome.places[0], made))

    def _begin(self, event: Event, moved: Moves, done: list[Node], position: int) -> bool:
        """Begin runs; return whether any has begun."""
        nothing, begun = self._rules.nothing, False
        for place in self.automaton.first:
            if self._sure is not None or _judge(place, event, nothing)[0] & TAKE:
                fold = self._folds.get(place.step)
                folds = nothing if fold is None else fold(event, nothing)
                self._arrive(place, [Node(None, place.step, event, folds, position, position, event[0])], moved, done)
                begun = True
        return begun

    def _due(self, runs: Runs, place: Place, node: Node) -> None:
        runs.due_ms = min(runs.due_ms, self._deadline(place, node))

    def _deadline(self, place: Place, node: Node) -> int:
        within_ms, step_ms = self._within_ms, place.step_ms
        due_ms: int = NEVER_MS if within_ms is None else node.start_ms + within_ms
        return due_ms if step_ms is None else min(due_ms, node.event[0] + step_ms)

    def plan(self, runs: Runs) -> None:
        """Find out when the next window of a key ends."""
        due = (self._deadline(place, node) for place, nodes in runs.places.items() for node in nodes)
        runs.due_ms = min(due, default=NEVER_MS)

    def pass_time(self, runs: Runs, now_ms: int) -> None:
        """Let time pass: windows that are over end the runs in them, earlier ones first (rules 10, 11)."""
        while runs.due_ms <= now_ms:
            at_ms, runs.due_ms = runs.due_ms, NEVER_MS
            done: list[Node] = []
            timed_out: dict[int, Node] = {}
            places, runs.places = runs.places, {}
            for place, nodes in places.items():
                over = self._over(runs, place, nodes, at_ms)
                if place.ends_by_time:
                    done += over
                elif not place.emitted:  # what has left as a match does not time out as well
                    timed_out.update((id(node), node) for node in over)
                if nodes:
                    runs.places[place] = nodes
                if over and self.trace is not None:
                    self.trace.time(runs, place, over, at_ms)
            self.found.timed_out += (Match(runs.key, node, at_ms) for node in timed_out.values())
            if done or runs.waiting:
                self._complete(runs, done, at_ms)

    def _over(self, runs: Runs, place: Place, nodes: list[Node], at_ms: int) -> list[Node]:
        """Take the runs out whose window is over; note when that of the next one is."""
        end = 0
        if runs.ordered and place.step_ms is None:
            while end < len(nodes) and self._deadline(place, nodes[end]) <= at_ms:
                end += 1
            over = nodes[:end]
            del nodes[:end]
        else:
            over = [node for node in nodes if self._deadline(place, node) <= at_ms]
            nodes[:] = [node for node in nodes if self._deadline(place, node) > at_ms]
        if nodes:
            if runs.ordered and place.step_ms is None:
                self._due(runs, place, nodes[0])
            else:
                runs.due_ms = min(runs.due_ms, *(self._deadline(place, node) for node in nodes))
        return over

    def end(self, runs: Runs, now_ms: int) -> None:
        """Release what waits behind runs that nothing can continue any more."""
        while runs.waiting:
            self._release(runs, min(runs.waiting, key=Complete.rank), now_ms)

    def _complete(self, runs: Runs, done: list[Node], at_ms: int) -> None:
        if self._rules.skip.to is To.NONE:
            self.found.out += (Match(runs.key, node, at_ms) for node in done)
            return
        if done:
            runs.turn += 1
            runs.waiting += (Complete(node, runs.turn) for node in done)
        while runs.waiting:
            best = min(runs.waiting, key=Complete.rank)
            oldest = runs.oldest()
            if oldest is not None and oldest < best.node.first:
                return
            self._release(runs, best, at_ms)

    def _release(self, runs: Runs, complete: Complete, at_ms: int) -> None:
        """Emit a match and discard what its skip strategy says (rule 12)."""
        node, to = complete.node, self._rules.skip.to
        match = Match(runs.key, node, at_ms)
        runs.waiting.remove(complete)
        limit: int | None = node.first
        if to is To.PAST_LAST:
            limit = node.position
        elif to is not To.NEXT:
            limit = self._target(node)
            if (limit is None or limit == node.first) and self._rules.skip.on_miss == "error":
                self.found.failed.append(Failure(match, self._miss(took=limit is not None)))
                return
            limit = None if limit is None else limit - 1
        self.found.out.append(match)
        if limit is not None:
            self._discard(runs, limit, exactly=to is To.NEXT)

    def _target(self, node: Node) -> int | None:
        positions = [found.position for found in node.chain() if found.step == self._rules.skip_step]
        if not positions:
            return None
        return positions[0] if self._rules.skip.to is To.FIRST else positions[-1]

    def _miss(self, *, took: bool) -> DataError:
        skip = self._rules.skip
        got = "the first event of the match" if took else "no event"
        expected = f"an event of step {skip.step!r} behind the first one of the match"
        what = f"skip {skip.to.value.replace('_', ' ')}"
        msg = f"{what}: expected {expected}, got {got}. Let on_miss be 'ignore', or mend the pattern"
        return DataError(msg, field=str(skip.step), expected=expected, got=got)

    def _discard(self, runs: Runs, limit: int, *, exactly: bool) -> None:
        """Discard runs and matches that began up to a position, or exactly there."""

        def stays(node: Node) -> bool:
            return node.first != limit if exactly else node.first > limit

        places = {}
        for place, nodes in runs.places.items():
            kept = [node for node in nodes if stays(node)]
            if kept:
                places[place] = kept
            if self.trace is not None and len(kept) < len(nodes):
                self.trace.discarded(runs, [node for node in nodes if not stays(node)])
        runs.places = places
        runs.waiting = [complete for complete in runs.waiting if stays(complete.node)]

    def _surplus(self, runs: Runs) -> int:
        runs.total = sum(map(len, runs.places.values()))
        return runs.total - self._rules.most

    def _bound(self, runs: Runs, now_ms: int) -> None:
        """Give up the oldest runs if the key has too many."""
        surplus = self._surplus(runs)
        while surplus > 0:
            first = runs.oldest()
            place, oldest = next((p, n) for p, nodes in runs.places.items() for n in nodes if n.first == first)
            runs.places[place].remove(oldest)
            if not runs.places[place]:
                del runs.places[place]
            self.found.overflow.append(Match(runs.key, oldest, now_ms))
            if self.trace is not None:
                self.trace.overflow(runs, oldest)
            surplus -= 1
            if runs.waiting:
                self._complete(runs, [], now_ms)
                surplus = self._surplus(runs)


def _judge(place: Place, event: Event, folds: Folds) -> tuple[int, Place]:
    """Return what an event does to a run, and where the run waits on if it does."""
    forces, rest = place.forces, place.rest
    for kill in (*forces.kills, *forces.next_kills):
        if kill.test(event, folds):
            return DIE, rest
    for guard in forces.guards:
        if guard.until is not None and guard.until.test(event, folds):
            rest = place.lifted
        elif guard.where is None or guard.where.test(event, folds):
            return DIE, rest
    if place.step == END:
        return (STAY if place.ends_by_time else TAKE), rest
    stopped = place.until is not None and place.until.test(event, folds)
    if stopped and place.begun:
        return DIE, rest
    what = place.fitting if place.test(event, folds) else place.others
    if stopped and what & TAKE:  # it fits, and is not taken: who waits for the first one only gives up (rule 7)
        return (what & STAY), rest
    return what, rest


__all__ = ["Failure", "Fold", "Found", "Match", "Matcher", "Moves", "Rules"]
