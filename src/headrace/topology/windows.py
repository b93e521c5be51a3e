"""Windows: how events of a key are grouped in event time. All windows are [start, end).

A window closes when the watermark passes ``end + grace``. Its final row stays readable in
the table for ``retention`` after that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from headrace.topology.duration import duration_ms

DEFAULT_RETENTION = "1h"


@dataclass(frozen=True, slots=True)
class Hopping:
    """Windows of ``size_ms`` that begin every ``advance_ms``; tumbling if the two are equal."""

    size_ms: int
    advance_ms: int
    grace_ms: int
    retention_ms: int


@dataclass(frozen=True, slots=True)
class Session:
    """Windows that grow while events of the key are at most ``gap_ms`` apart, and merge."""

    gap_ms: int
    grace_ms: int
    retention_ms: int


Window = Hopping | Session


def tumbling(
    size: str | timedelta, *, grace: str | timedelta = "0s", retention: str | timedelta = DEFAULT_RETENTION
) -> Window:
    """Return fixed, gapless windows aligned to the epoch.

    >>> from headrace import tumbling
    >>> tumbling("1m", grace="10s").size_ms
    60000
    """
    return hopping(size, size, grace=grace, retention=retention)


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
    return Hopping(
        duration_ms(size, "size"),
        duration_ms(advance, "advance"),
        duration_ms(grace, "grace"),
        duration_ms(retention, "retention"),
    )


def session(
    gap: str | timedelta, *, grace: str | timedelta = "0s", retention: str | timedelta = DEFAULT_RETENTION
) -> Session:
    """Return windows of activity: two events of a key share one if they are at most ``gap`` apart.

    The window is [first event, last event + gap).

    >>> from headrace import session
    >>> session("30m").gap_ms
    1800000
    """
    return Session(duration_ms(gap, "gap"), duration_ms(grace, "grace"), duration_ms(retention, "retention"))
