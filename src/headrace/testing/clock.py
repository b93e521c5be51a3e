"""A clock that moves only when it is told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from headrace.errors import ConfigError
from headrace.topology.duration import duration_ms

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def epoch_ms(moment: str | datetime, parameter: str = "time") -> int:
    """Return a moment in epoch milliseconds. Text is ISO 8601; without an offset it is UTC.

    >>> epoch_ms("2024-01-01T00:00:00Z")
    1704067200000

    Raises:
        ConfigError: it is no moment; the message names the parameter.
    """
    try:
        value = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    except ValueError as error:
        msg = f"{parameter}: expected a time such as '2024-01-31T12:00:00Z' or a datetime, got {moment!r}"
        raise ConfigError(msg) from error
    aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return (aware - _EPOCH) // _MS


class ManualClock:
    """Processing time, moved by hand. Calling it returns epoch milliseconds.

    >>> clock = ManualClock("2024-01-01T00:00:00Z")
    >>> clock.advance("90s")
    >>> str(clock.now)
    '2024-01-01 00:01:30+00:00'
    """

    __slots__ = ("_now_ms",)

    def __init__(self, start: str | datetime) -> None:
        """Begin at ``start``."""
        self._now_ms = epoch_ms(start, "start")

    def __call__(self) -> int:
        """Return the present in epoch milliseconds."""
        return self._now_ms

    @property
    def now(self) -> datetime:
        """The present as an aware UTC datetime."""
        return _EPOCH + self._now_ms * _MS

    def advance(self, duration: str | timedelta) -> None:
        """Move forward. Time never goes back: a negative duration is refused."""
        self._now_ms += duration_ms(duration, "duration")
