"""Durations: ``timedelta`` or text at the edge, integer milliseconds inside."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def duration_ms(value: str | timedelta, parameter: str) -> int:
    """Return a duration in milliseconds.

    Text is a sum of parts such as ``"90s"``, ``"1h30m"``, ``"250ms"``.

    Raises:
        ValueError: the text is no duration, or the duration is negative.
    """
    if isinstance(value, timedelta):
        total = value / timedelta(milliseconds=1)
    else:
        parts = _PART.findall(value)
        if not parts or "".join(n + u for n, u in parts) != value:
            msg = f"{parameter}: expected a duration such as '90s', '1h30m' or a timedelta, got {value!r}"
            raise ValueError(msg)
        total = sum(float(n) * _UNITS_MS[u] for n, u in parts)
    if total < 0 or total != int(total):
        msg = f"{parameter}: expected a duration of whole milliseconds, not negative, got {value!r}"
        raise ValueError(msg)
    return int(total)
