"""Windows: how events of a key are grouped in event time. All windows are [start, end).

A window closes when the watermark passes ``end + grace``. Its final row stays readable in
the table for ``retention`` after that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

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


Window = Hopping | Session


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
