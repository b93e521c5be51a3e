"""Instants: aware UTC datetimes at the edge, epoch milliseconds inside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

MIN_TIME_MS = 0
MAX_TIME_MS = 7_258_118_400_000  # 2200-01-01: a later event time is a broken clock, and would close every window
END_OF_TIME_MS = 1 << 62  # the watermark of an input that has ended
START_OF_TIME_MS = -(1 << 62)  # the watermark of an input that has shown nothing yet

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def to_ms(value: datetime) -> int:
    """Return epoch milliseconds, rounded down."""
    return round(value.timestamp() * 1e6) // 1000


def from_ms(value_ms: int) -> datetime:
    """Return an aware UTC datetime.

    Windows of events near the bounds may reach beyond them: the result is cut to what datetime can hold.
    """
    return _EPOCH + min(max(value_ms, -MAX_TIME_MS), 2 * MAX_TIME_MS) * _MS
