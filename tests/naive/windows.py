"""Windows by their definitions, over whole numbers of milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from headrace.topology.calendars import Calendar
from headrace.topology.windows import Hopping, Session

MINUTE = 60_000


def assign(window: Hopping | Calendar, time_ms: int) -> list[tuple[int, int]]:
    """Return every window [start, end) that holds the moment, earliest first."""
    if isinstance(window, Calendar):
        return [dated(window, time_ms)]
    last = time_ms // window.advance_ms * window.advance_ms
    starts = []
    while last > time_ms - window.size_ms:
        starts.append(last)
        last -= window.advance_ms
    return [(start, start + window.size_ms) for start in reversed(starts)]


def dated(window: Calendar, time_ms: int) -> tuple[int, int]:
    """Return the window of a calendar that holds the moment: walk over the minutes and look at the zone's clock.

    A date that has begun does not end before the next one begins, though the clock be put back over midnight.
    """
    zone, now = ZoneInfo(window.tz), time_ms // MINUTE

    def label(minute: int) -> Any:
        local = datetime.fromtimestamp(minute * 60, zone)
        if window.unit == "hour":
            return (local.date(), local.hour, local.utcoffset())
        return max(_period(window, datetime.fromtimestamp((minute - n) * 60, zone).date()) for n in range(0, 180, 30))

    mine, step = label(now), 1 if window.unit == "hour" else 30
    first = last = now // step * step
    while label(first - step) == mine:
        first -= step
    while label(last + step) == mine:
        last += step
    while label(first - 1) == mine:
        first -= 1
    while label(first) != mine:
        first += 1
    while label(last) == mine:
        last += 1
    return first * MINUTE, last * MINUTE


def _period(window: Calendar, day: date) -> tuple[int, ...]:
    names = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    match window.unit:
        case "day":
            return (day.toordinal(),)
        case "week":
            while names[day.weekday()] != window.week_starts:
                day -= timedelta(days=1)
            return (day.toordinal(),)
        case "month":
            return (day.year, day.month)
        case "quarter":
            return (day.year, (day.month - 1) // 3)
        case _:
            return (day.year,)


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
