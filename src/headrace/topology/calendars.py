"""Calendar windows: hours, days, weeks, months, quarters and years of a time zone, across its changes of the clock.

A window lasts from one boundary to the next. Boundaries are found once per block of time, and looked up from there.

* A day begins at the first moment of its date: at midnight; if the clock is put forward over midnight, when it is.
  It has 23 or 25 hours where the clock changes by one. Weeks, months, quarters and years begin with their first day.
* An hour begins at each full hour of the zone's clock, and where the clock is changed: the hour that comes twice is
  two windows, and a change by half an hour makes windows of half an hour.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from headrace.topology.duration import DurationError

UNITS = ("hour", "day", "week", "month", "quarter", "year")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
_LONGEST_MS = {"hour": 2 * _HOUR_MS, "day": 3 * _DAY_MS, "week": 9 * _DAY_MS}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_BLOCK_MS = {"hour": 16 * _DAY_MS, "day": 400 * _DAY_MS}
_MANY_MS = 4_000 * _DAY_MS
_FAR_MS = 150_000 * _DAY_MS  # to 2380: no event is as late
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY, _LAST_DAY = date(1, 1, 3), date(9999, 12, 28)  # every zone has these, and the days beside them


@dataclass(frozen=True, slots=True)
class Calendar:
    """Windows of a unit of the calendar, in a time zone. ``errors`` are faults of the step that uses it."""

    unit: str
    tz: str
    week_starts: str
    grace_ms: int
    retention_ms: int
    errors: tuple[DurationError, ...] = field(default=(), repr=False)

    def details(self) -> str:
        """Return what decides its rows, as text."""
        week = f" from {self.week_starts}" if self.unit == "week" else ""
        return f"calendar {self.unit}{week} in {self.tz}, grace {self.grace_ms} ms"

    def kept_ms(self) -> int:
        """Return how long a row is of use after it was written, at most."""
        longest = _LONGEST_MS.get(self.unit, 32 * _MONTHS.get(self.unit, 1) * _DAY_MS)
        return longest + self.grace_ms + self.retention_ms

    def span(self, time_ms: int) -> tuple[int, int]:
        """Return start and end of the window that holds a moment."""
        block_ms = _BLOCK_MS.get(self.unit, _MANY_MS)
        bounds = _bounds(self, time_ms // block_ms * block_ms, block_ms)
        place = bisect_right(bounds, time_ms)
        return bounds[place - 1], bounds[place]

    def end_ms(self, start_ms: int) -> int:
        """Return the end of the window that begins at ``start_ms``."""
        return self.span(start_ms)[1]

    def first_ms(self, moment_ms: int) -> int:
        """Return the start of the first window that ends behind a moment."""
        return self.span(min(max(moment_ms, -_FAR_MS), _FAR_MS))[0]


def find_zone(name: object) -> ZoneInfo | None:
    """Return a time zone by its name in the IANA database; None if there is none."""
    if not isinstance(name, str):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of the database, a name that leads out of it
        return None


@lru_cache(maxsize=256)
def _bounds(window: Calendar, begin_ms: int, block_ms: int) -> list[int]:
    """Return the boundaries of a block: from the last at or before its beginning to the first at or behind its end."""
    zone = ZoneInfo(window.tz)
    walk = _hours(zone, begin_ms) if window.unit == "hour" else _days(window, zone, begin_ms)
    bounds: list[int] = []
    for bound in walk:
        if bound <= begin_ms:
            bounds = [bound]
        elif bound > bounds[-1]:  # a date that a zone leaves out has no window
            bounds.append(bound)
        if bound >= begin_ms + block_ms:
            break
    return bounds


def _days(window: Calendar, zone: ZoneInfo, begin_ms: int) -> Iterator[int]:
    """Yield the first moments of the windows, beginning with one before ``begin_ms``."""
    day = min(max(_at(zone, begin_ms).date() - timedelta(days=2), _FIRST_DAY), _LAST_DAY)
    if window.unit == "week":
        day -= timedelta(days=(day.weekday() - WEEKDAYS.index(window.week_starts)) % 7)
    months = _MONTHS.get(window.unit)
    if months is not None:
        day = day.replace(month=(day.month - 1) // months * months + 1, day=1)
    step = timedelta(days=7 if window.unit == "week" else 1)
    while True:
        yield _midnight_ms(zone, day)
        if months is None:
            day += step
        else:
            place = day.year * 12 + day.month - 1 + months
            day = date(place // 12, place % 12 + 1, 1)


def _hours(zone: ZoneInfo, begin_ms: int) -> Iterator[int]:
    """Yield the full hours of the clock and the moments at which it is changed."""
    at = _at(zone, begin_ms - 3 * _HOUR_MS).replace(minute=0, second=0, microsecond=0, fold=0).timestamp()
    second = int(at)
    while True:
        yield second * 1000
        local = _at(zone, second * 1000)
        following = second + 3600 - local.minute * 60 - local.second
        if _at(zone, following * 1000).utcoffset() != local.utcoffset():
            following = _change(zone, second, following)
        second = following


def _at(zone: ZoneInfo, moment_ms: int) -> datetime:
    return (_EPOCH + timedelta(milliseconds=moment_ms)).astimezone(zone)


def _midnight_ms(zone: ZoneInfo, day: date) -> int:
    """Return the first moment of a date."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    second = int(midnight.timestamp())
    if _at(zone, second * 1000).replace(tzinfo=None) != midnight.replace(tzinfo=None):
        # the clock is put forward over midnight: by the offset behind the change it would be before it
        second = _change(zone, int(midnight.replace(fold=1).timestamp()) - 1, second)
    return second * 1000


def _change(zone: ZoneInfo, before: int, after: int) -> int:
    """Return the second in (before, after] at which the offset that holds at ``before`` ends."""
    offset = _at(zone, before * 1000).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if _at(zone, middle * 1000).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
