"""What generated code calls for the functions and casts that are more than one Python operator.

Every function takes values that are not null, is pure, and raises ``ValueError`` for a
value outside its domain; the record then goes to a dead letter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from headrace.topology.duration import duration_ms

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
Number = TypeVar("Number", int, float, Decimal)


def compile_pattern(pattern: object) -> re.Pattern[str]:
    """Return the compiled regular expression.

    Raises:
        ValueError: the pattern is no regular expression.
    """
    try:
        return re.compile(str(pattern))
    except (re.error, OverflowError, RecursionError) as error:
        msg = f"not a regular expression: {error}"
        raise ValueError(msg) from error


def step_ms(text: object) -> int:
    """Return a duration such as ``"1h"`` in milliseconds; it must be positive."""
    found = duration_ms(text if isinstance(text, timedelta) else str(text), "step")
    if found == 0:
        msg = "expected a positive duration, got 0"
        raise ValueError(msg)
    return found


def substring(text: str, start: int, length: int | None = None) -> str:
    """Return ``length`` characters from ``start`` (from 0; negative counts from the end), or the rest."""
    if length is None:
        return text[start:]
    if length < 0:
        msg = f"substring: expected a length of 0 or more, got {length}"
        raise ValueError(msg)
    return text[start:][:length]


def concat(*parts: str) -> str:
    """Return the parts joined."""
    return "".join(parts)


def round_to(value: Number, digits: int = 0) -> Number:
    """Round half to even, keeping the type."""
    return round(value, digits)


def truncate(time: datetime, step: int) -> datetime:
    """Return the latest multiple of ``step`` milliseconds since 1970 at or before ``time``."""
    return EPOCH + timedelta(milliseconds=epoch_ms(time) // step * step)


def epoch_ms(time: datetime) -> int:
    """Return whole milliseconds since 1970 (rounded down)."""
    return (time - EPOCH) // MILLISECOND


def from_epoch_ms(value: int) -> datetime:
    """Return the time that many milliseconds after 1970."""
    try:
        return EPOCH + timedelta(milliseconds=value)
    except OverflowError as error:
        msg = f"{value} ms since 1970 is outside the years 1 to 9999"
        raise ValueError(msg) from error


def element(items: Sequence[object], index: int) -> object:
    """Return the element at ``index`` (from 0; negative counts from the end), or None if there is none."""
    return items[index] if -len(items) <= index < len(items) else None


def get(values: Mapping[str, object], key: str) -> object:
    """Return the value of ``key``, or None if there is none."""
    return values.get(key)


def int_from_text(text: str) -> int:
    """Return a decimal integer; spaces around it are allowed."""
    return int(_plain(text, "an integer"))


def int_from_number(value: float | Decimal) -> int:
    """Return the number without its fraction (towards zero)."""
    try:
        return int(value)
    except OverflowError as error:
        msg = f"expected a finite number, got {value}"
        raise ValueError(msg) from error


def float_from_number(value: int | Decimal) -> float:
    """Return the nearest float."""
    try:
        return float(value)
    except OverflowError as error:
        msg = "the number is too large for a float"
        raise ValueError(msg) from error


def float_from_text(text: str) -> float:
    """Return the float that the text denotes."""
    return float(_plain(text, "a number"))


def decimal_from_text(text: str) -> Decimal:
    """Return the Decimal that the text denotes."""
    try:
        return Decimal(_plain(text, "a number"))
    except InvalidOperation as error:
        msg = f"expected a number, got {text!r}"
        raise ValueError(msg) from error


def decimal_from_float(value: float) -> Decimal:
    """Return the shortest Decimal that reads back as this float: 0.1 becomes Decimal('0.1')."""
    return Decimal(repr(value))


def bool_from_text(text: str) -> bool:
    """Return true for ``true``, false for ``false``, in any case."""
    found = {"true": True, "false": False}.get(text.strip().lower())
    if found is None:
        msg = f"expected 'true' or 'false', got {text!r}"
        raise ValueError(msg)
    return found


def text_from_bool(value: object) -> str:
    """Return ``true`` or ``false``."""
    return "true" if value else "false"


def text_from_time(time: datetime) -> str:
    """Return the time in ISO 8601, UTC, with ``Z``."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def time_from_text(text: str) -> datetime:
    """Return the UTC time of ISO 8601 text; it must have an offset or ``Z``."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        msg = f"expected a time with an offset, such as '2024-01-01T00:00:00Z', got {text!r}"
        raise ValueError(msg)
    try:
        return found.astimezone(UTC)
    except OverflowError as error:
        msg = f"{text!r} is outside the years 1 to 9999 in UTC"
        raise ValueError(msg) from error


def time_from_date(day: date) -> datetime:
    """Return midnight UTC of the day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def duration_from_text(text: str) -> timedelta:
    """Return a duration such as ``1h30m``."""
    return timedelta(milliseconds=duration_ms(text, "duration"))


def duration_from_ms(value: int) -> timedelta:
    """Return a duration of that many milliseconds."""
    try:
        return timedelta(milliseconds=value)
    except OverflowError as error:
        msg = f"{value} ms is too long for a duration"
        raise ValueError(msg) from error


def duration_to_ms(value: timedelta) -> int:
    """Return whole milliseconds (rounded down)."""
    return value // MILLISECOND


def _plain(text: str, expected: str) -> str:
    # Python's own parsers read "1_000" as 1000; in data that is a fault of the producer.
    if "_" in text:
        msg = f"expected {expected}, got {text!r}"
        raise ValueError(msg)
    return text
