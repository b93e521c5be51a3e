"""An interval join by its meaning: every left record against every right one, over the whole input."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

Event = tuple[str, int, int]
"""Key, event time in seconds, a number that tells it from others."""
Joined = tuple[str, int | None, int | None, int]
"""Key, number of the left record, number of the right one, event time."""


@dataclass(frozen=True)
class Expected:
    """What a join returns: rows, and the numbers of late records by side."""

    rows: Counter[Joined]
    late: tuple[list[int], list[int]]


def in_time(events: list[Event], lag_s: int, grace_s: int) -> tuple[list[Event], list[int]]:
    """Return the records that are in time, and the numbers of those that are late, of one input."""
    kept, late, highest = [], [], -(10**9)
    for event in events:
        if event[1] + grace_s < highest - lag_s:
            late.append(event[2])
        else:
            kept.append(event)
        highest = max(highest, event[1])
    return kept, late


def join(
    lefts: list[Event], rights: list[Event], *, bounds_s: tuple[int, int], how: str, lag_s: int, grace_s: int
) -> Expected:
    """Join; a side that is optional also gives its records without a partner."""
    left, late_left = in_time(lefts, lag_s, grace_s)
    right, late_right = in_time(rights, lag_s, grace_s)
    lower, upper = bounds_s
    rows: Counter[Joined] = Counter()
    met: set[tuple[str, int]] = set()
    for key, at, number in left:
        for other, then, second in right:
            if key == other and at + lower <= then <= at + upper:
                rows[key, number, second, max(at, then)] += 1
                met |= {("left", number), ("right", second)}
    if how in {"left", "outer"}:
        rows.update((key, number, None, at) for key, at, number in left if ("left", number) not in met)
    if how in {"right", "outer"}:
        rows.update((key, None, number, at) for key, at, number in right if ("right", number) not in met)
    return Expected(rows, (late_left, late_right))
