"""Windows: how events of a key are grouped in event time, or by their number. All windows are [start, end).

A window of time closes when the watermark passes ``end + grace``. Its final row stays readable in
the table for ``retention`` after that. Of sliding windows and of those by number the table has one row
per key, the newest: they are as many as there are events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import gcd

from headrace.topology.calendars import Calendar
from headrace.topology.duration import DurationError, duration_ms

DEFAULT_RETENTION = "1d"


@dataclass(frozen=True, slots=True)
class Hopping:
    """Windows of ``size_ms`` that begin every ``advance_ms``; tumbling if the two are equal.

    ``errors`` are its durations that are none: faults of the step that uses the window.
    """

    size_ms: int
    advance_ms: int
    grace_ms: int
    retention_ms: int
    errors: tuple[DurationError, ...] = field(default=(), repr=False)

    def details(self) -> str:
        """Return what decides its rows, as text."""
        even = self.size_ms == self.advance_ms
        form = f"tumbling {self.size_ms} ms" if even else f"hopping {self.size_ms} ms every {self.advance_ms} ms"
        return f"{form}, grace {self.grace_ms} ms"

    def kept_ms(self) -> int:
        """Return how long a row is of use after it was written."""
        return self.size_ms + self.grace_ms + self.retention_ms

    def end_ms(self, start_ms: int) -> int:
        """Return the end of the window that begins at ``start_ms``."""
        return start_ms + self.size_ms

    def first_ms(self, moment_ms: int) -> int:
        """Return the first start of a window that ends behind a moment, be there a window or not."""
        return moment_ms - self.size_ms + 1


@dataclass(frozen=True, slots=True)
class Session:
    """Windows that grow while events of the key are at most ``gap_ms`` apart, and merge."""

    gap_ms: int
    grace_ms: int
    retention_ms: int
    errors: tuple[DurationError, ...] = field(default=(), repr=False)

    def details(self) -> str:
        """Return what decides its rows, as text."""
        return f"session gap {self.gap_ms} ms, grace {self.grace_ms} ms"

    def kept_ms(self) -> int:
        """Return how long a row is of use after it was written."""
        return self.gap_ms + self.grace_ms + self.retention_ms


@dataclass(frozen=True, slots=True)
class Sliding:
    """A window [t - ``size_ms``, t] for each moment t at which the key has an event."""

    size_ms: int
    grace_ms: int
    retention_ms: int
    errors: tuple[DurationError, ...] = field(default=(), repr=False)

    def details(self) -> str:
        """Return what decides its rows, as text."""
        return f"sliding {self.size_ms} ms, grace {self.grace_ms} ms"

    def kept_ms(self) -> int:
        """Return how long a row is of use after it was written."""
        return max(self.size_ms, self.retention_ms) + self.grace_ms + 2

    def span(self, own: Sequence[int]) -> tuple[int, int]:
        """Return start and end of a window by its state's own slots."""
        return own[0] - self.size_ms, own[0] + 1


@dataclass(frozen=True, slots=True)
class Counted:
    """The last ``size`` events of a key, after every ``every`` of them; tumbling if the two are equal."""

    size: int
    every: int

    def details(self) -> str:
        """Return what decides its rows, as text."""
        return f"last {self.size} of every {self.every}"

    @property
    def pane(self) -> int:
        """How many events are aggregated at once: windows begin and end between panes."""
        return gcd(self.size, self.every)

    def kept_ms(self) -> None:
        """Return nothing: the next event of a key may come at any time."""

    def span(self, own: Sequence[int]) -> tuple[int, int]:
        """Return start and end of a window by its state's own slots."""
        return own[0], own[1] + 1


Aligned = Hopping | Calendar
"""Windows that are the same for all keys."""

Window = Aligned | Session | Sliding | Counted


def tumbling(
    size: str | timedelta, *, grace: str | timedelta = "0s", retention: str | timedelta = DEFAULT_RETENTION
) -> Hopping:
    """Return fixed, gapless windows aligned to the epoch.

    >>> from headrace import tumbling
    >>> tumbling("1m", grace="10s").size_ms
    60000
    """
    read = _Durations()
    size_ms = read("size", size)
    return Hopping(size_ms, size_ms, read("grace", grace), read("retention", retention), tuple(read.errors))


def hopping(
    size: str | timedelta,
    advance: str | timedelta,
    *,
    grace: str | timedelta = "0s",
    retention: str | timedelta = DEFAULT_RETENTION,
) -> Hopping:
    """Return windows of ``size`` that begin every ``advance``, aligned to the epoch; they overlap.

    >>> from headrace import hopping
    >>> hopping("1h", "15m").advance_ms
    900000
    """
    read = _Durations()
    size_ms, advance_ms = read("size", size), read("advance", advance)
    return Hopping(size_ms, advance_ms, read("grace", grace), read("retention", retention), tuple(read.errors))


def session(
    gap: str | timedelta, *, grace: str | timedelta = "0s", retention: str | timedelta = DEFAULT_RETENTION
) -> Session:
    """Return windows of activity: two events of a key share one if they are at most ``gap`` apart.

    The window is [first event, last event + gap).

    >>> from headrace import session
    >>> session("30m").gap_ms
    1800000
    """
    read = _Durations()
    return Session(read("gap", gap), read("grace", grace), read("retention", retention), tuple(read.errors))


def sliding(
    size: str | timedelta, *, grace: str | timedelta = "0s", retention: str | timedelta = DEFAULT_RETENTION
) -> Sliding:
    """Return windows that end with each event: of an event at time t, [t - size, t], both ends included.

    Events of one key and time share a window. It is closed when the watermark passes t + grace, so that an event
    that comes out of order, but in time, is in all windows that hold its time. Its values are taken in order of event
    time, then of arrival. ``window_start`` is t - size, ``window_end`` t and one millisecond: as all windows, it is
    [start, end). Work and memory grow with the events of a key within ``size``; each costs a few merges.

    ``on_close()`` gives every window. The table, ``on_update()`` and ``every()`` have the newest closed one of a key.

    >>> from headrace import sliding
    >>> sliding("10m").size_ms
    600000
    """
    read = _Durations()
    return Sliding(read("size", size), read("grace", grace), read("retention", retention), tuple(read.errors))


def count_window(size: int, *, every: int | None = None) -> Counted:
    """Return windows of ``size`` events of a key in order of arrival: one after the other, none is late.

    With ``every`` a window ends with every so many events, and holds the last ``size`` of them; the first ones hold
    fewer. ``window_start`` is the lowest event time in it, ``window_end`` the highest and one millisecond. Events
    behind the last window make no row, not even at the end of the input.

    ``on_close()`` gives every window. The table, ``on_update()`` and ``every()`` have the newest of a key.

    >>> from headrace import count_window
    >>> count_window(100, every=10)
    Counted(size=100, every=10)
    """
    return Counted(size, size if every is None else every)


def calendar(
    unit: str,
    *,
    tz: str = "UTC",
    week_starts: str = "monday",
    grace: str | timedelta = "0s",
    retention: str | timedelta = DEFAULT_RETENTION,
) -> Calendar:
    """Return windows of an "hour", "day", "week", "month", "quarter" or "year" in a time zone of the IANA database.

    They follow the zone's clock: a day of daylight saving has 23 or 25 hours.

    >>> from headrace import calendar
    >>> march = calendar("month", tz="Europe/Berlin").span(1_710_000_000_000)
    >>> (march[1] - march[0]) / 3_600_000  # hours
    743.0
    """
    read = _Durations()
    graces = read("grace", grace), read("retention", retention)
    return Calendar(str(unit), str(tz), str(week_starts), *graces, tuple(read.errors))


class _Durations:
    """Reads durations; one that is none is kept as an error, for a window knows no step to blame yet."""

    def __init__(self) -> None:
        self.errors: list[DurationError] = []

    def __call__(self, parameter: str, value: object) -> int:
        try:
            return duration_ms(value, parameter)
        except DurationError as error:
            self.errors.append(error)
            return 1
