"""Instants: aware UTC datetimes at the edge, epoch milliseconds inside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from headrace.errors import DataError

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


def out_of_bounds(time_ms: int) -> DataError:
    """Return the error for an event time that cannot be right."""
    try:
        got = from_ms(time_ms).isoformat() if abs(time_ms) < MAX_TIME_MS else f"{time_ms} ms"
    except OverflowError:
        got = f"{time_ms} ms"
    expected = "an event time from 1970 to 2200"
    return DataError(f"event time: expected {expected}, got {got}", field="event time", expected=expected, got=got)
