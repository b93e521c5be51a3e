"""Durations: ``timedelta`` or text at the edge, integer milliseconds inside."""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction

MAX_MS = 9_999 * 366 * 86_400_000
"""No two times are further apart: they lie within years 1 to 9999."""

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")
_MAX_TEXT = 100  # characters: sums that long are no durations that anybody meant
Duration = str | timedelta
"""A duration as it may be given: text with a unit, or a timedelta."""

_FORM = "a duration such as '90s', '1h30m' or a timedelta"


class DurationError(ValueError):
    """A value is no duration."""

    def __init__(self, parameter: str, expected: str, got: str) -> None:
        """Keep the parts beside the message: a declaration makes a fault of them."""
        super().__init__(f"{parameter}: expected {expected}, got {got}")
        self.parameter = parameter
        self.expected = expected
        self.got = got


def duration_ms(value: object, parameter: str) -> int:
    """Return a duration in milliseconds.

    Text is a sum of parts such as ``"90s"``, ``"1h30m"``, ``"250ms"``.

    Raises:
        DurationError: the value is no duration, is negative, longer than the calendar, or no whole milliseconds.
    """
    total: Fraction | int
    if isinstance(value, timedelta):
        total = Fraction(value // timedelta(microseconds=1), 1_000)
    elif isinstance(value, str):
        parts = _PART.findall(value[:_MAX_TEXT])
        if not parts or "".join(n + u for n, u in parts) != value:
            raise DurationError(parameter, _FORM, repr(value))
        # Exact, as "1.001s" is in text: as a float it is no whole number of milliseconds.
        total = sum((Fraction(n) if "." in n else int(n)) * _UNITS_MS[u] for n, u in parts)
    else:
        raise DurationError(parameter, _FORM, repr(value))
    if total < 0 or total.denominator != 1:
        raise DurationError(parameter, "a duration of whole milliseconds, not negative", repr(value))
    if total > MAX_MS:
        raise DurationError(parameter, "a duration of less than 9999 years", repr(value))
    return int(total)
