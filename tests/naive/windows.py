"""Windows by their definitions, over whole numbers of milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headrace.topology.windows import Hopping, Session


def assign(window: Hopping, time_ms: int) -> list[tuple[int, int]]:
    """Return every window [start, end) that holds the moment, earliest first."""
    last = time_ms // window.advance_ms * window.advance_ms
    starts = []
    while last > time_ms - window.size_ms:
        starts.append(last)
        last -= window.advance_ms
    return [(start, start + window.size_ms) for start in reversed(starts)]


@dataclass
class Group:
    """The records of one key and window. ``end`` None: for all time."""

    key: tuple[Any, ...]
    start: int | None = None
    end: int | None = None
    rows: list[tuple[int, int, tuple[Any, ...]]] = field(default_factory=list)  # (arrival, event time, arguments)

    @property
    def ident(self) -> tuple[Any, ...]:
        """What names this group."""
        return (self.key, self.start, self.end)


def touching(window: Session, live: list[Group], key: tuple[Any, ...], time_ms: int) -> list[Group]:
    """Return the sessions of the key that a record at this moment belongs to or joins."""
    return [
        group
        for group in live
        if group.key == key and group.start - time_ms <= window.gap_ms and time_ms <= group.end
    ]  # fmt: skip


def joined(window: Session, groups: list[Group], key: tuple[Any, ...], time_ms: int) -> Group:
    """Return the one session that these sessions and a record at this moment make."""
    start = min([time_ms, *(g.start for g in groups)])
    end = max([time_ms + window.gap_ms, *(g.end for g in groups)])
    rows = sorted((row for g in groups for row in g.rows), key=lambda row: row[0])
    return Group(key, start, end, rows)
