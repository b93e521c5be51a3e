"""Which rules are in force when. What follows from a set of changes does not depend on the order in which they came."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from headrace.time.instants import END_OF_TIME_MS, START_OF_TIME_MS


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """A rule put in force or removed, from ``start_ms`` on.

    Of two changes of one rule the later one counts; of two from one instant that of the higher version, then the one
    that was published later. ``data`` decides between any that are still equal.
    """

    start_ms: int
    version: int
    time_ms: int
    data: bytes
    name: str
    removes: bool = field(compare=False)


class Timeline:
    """Changes by rule, and the instants between which nothing changes."""

    __slots__ = ("_changes", "_lasting", "_starts")

    def __init__(self, lasting: frozenset[str] = frozenset()) -> None:
        """Begin without changes. Removals of ``lasting`` rules are not forgotten: those are there again at a start."""
        self._lasting = lasting
        self._changes: dict[str, list[Change]] = {}
        self._starts: list[int] = []

    def __len__(self) -> int:
        """Return the number of changes."""
        return sum(map(len, self._changes.values()))

    def add(self, change: Change) -> bool:
        """Add a change; return whether it is new."""
        known = self._changes.setdefault(change.name, [])
        if change in known:
            return False
        insort(known, change)
        place = bisect_right(self._starts, change.start_ms)
        if not place or self._starts[place - 1] != change.start_ms:
            self._starts.insert(place, change.start_ms)
        return True

    def span(self, at_ms: int) -> tuple[int, int]:
        """Return the [begin, end) around an instant in which nothing changes."""
        place = bisect_right(self._starts, at_ms)
        begin = self._starts[place - 1] if place else START_OF_TIME_MS
        return begin, self._starts[place] if place < len(self._starts) else END_OF_TIME_MS

    def at(self, at_ms: int) -> Iterator[Change]:
        """Yield for every rule the change that counts at an instant."""
        for changes in self._changes.values():
            place = bisect_right(changes, at_ms, key=_start)
            if place:
                yield changes[place - 1]

    def superseded_ms(self) -> int:
        """Return when the first change was superseded; the end of time if none was."""
        second = (changes[1].start_ms for changes in self._changes.values() if len(changes) > 1)
        alone = (changes[0].start_ms for changes in self._changes.values() if self._idle(changes[0]))
        return min((*second, *alone), default=END_OF_TIME_MS)

    def forget(self, until_ms: int) -> list[Change]:
        """Remove and return what counts at no instant from ``until_ms`` on; a removal counts only against a rule."""
        gone: list[Change] = []
        for name, changes in list(self._changes.items()):
            place = max(bisect_right(changes, until_ms, key=_start) - 1, 0)
            if self._idle(changes[place]) and changes[place].start_ms <= until_ms:
                place += 1
            gone += changes[:place]
            del changes[:place]
            if not changes:
                del self._changes[name]
        if gone:
            self._starts = sorted({change.start_ms for changes in self._changes.values() for change in changes})
        return gone

    def _idle(self, change: Change) -> bool:
        return change.removes and change.name not in self._lasting


def _start(change: Change) -> int:
    return change.start_ms
