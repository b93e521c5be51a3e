"""Final values: what a column of a decoded record holds, whichever path decoded it.

Both the fast path and pydantic end here, so that a value never depends on the path.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from enum import Enum
from pathlib import PurePath
from uuid import UUID

from pydantic import AnyUrl, BaseModel, RootModel, SecretBytes, SecretStr
from pydantic_core import MultiHostUrl, Url

__all__ = ["clock", "dig", "parse_time", "plain", "to_utc"]

_OFFSET_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)
_TAKES_24_HOURS = sys.version_info >= (3, 13)  # fromisoformat does, pydantic does not
_SECONDS_LENGTH = len("2024-01-01T00:00:00Z")
_NANOS_LENGTH = len("2024-01-01T00:00:00.123456789Z")  # digits after the sixth are cut, as pydantic does


def to_utc(value: datetime) -> datetime:
    """Return the instant as an aware UTC datetime; a naive one is taken as UTC.

    Raises:
        ValueError: the instant lies outside of years 1 to 9999 once it is in UTC.
    """
    if value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        msg = "a time within years 1 to 9999 in UTC"
        raise ValueError(msg) from None


def parse_time(text: str) -> datetime:
    """Parse the common ISO forms, and only those; every other form is pydantic's to judge.

    ``fromisoformat`` alone takes week dates, a comma and basic forms, which pydantic refuses;
    the characters at every third place tell them apart at the price of one slice.

    Raises:
        ValueError: the text is of another form, or no time.
    """
    marks = text[4:20:3]
    if (
        (marks == "--T::." and text[-1] == "Z" and _SECONDS_LENGTH + 1 < len(text) <= _NANOS_LENGTH)
        or (marks == "--T::Z" and len(text) == _SECONDS_LENGTH)
    ) and not (_TAKES_24_HOURS and text[11:13] == "24"):
        return datetime.fromisoformat(text)
    if _OFFSET_TIME.fullmatch(text) and text[11:13] < "24":
        return to_utc(datetime.fromisoformat(text))
    msg = "not one of the common forms"
    raise ValueError(msg)


def clock(value: object) -> object:
    """Return an event time, if windows around it can be computed: not at the ends of the calendar.

    Raises:
        ValueError: the time lies in year 1 or 9999, where window bounds leave the calendar.
    """
    if isinstance(value, datetime) and not MINYEAR < value.year < MAXYEAR:
        msg = f"an event time within years {MINYEAR + 1} to {MAXYEAR - 1}"
        raise ValueError(msg)
    return value


def plain(value: object) -> object:
    """Return the final value of what pydantic made: dicts and lists of plain Python values.

    Sets become sorted lists: their own order changes from process to process.
    """
    match value:
        case None | bool():
            return value
        case Enum():
            return plain(value.value)
        case RootModel():
            return plain(value.root)
        case BaseModel():
            names = type(value).model_fields
            return {name: plain(getattr(value, name)) for name in names}
        case Mapping():
            return {_key(key): plain(item) for key, item in value.items()}
        case set() | frozenset():
            return sorted(map(plain, value), key=_order)
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return _scalar(value)


def _scalar(value: object) -> object:
    match value:
        case datetime():
            return to_utc(value)
        case SecretStr() | SecretBytes():
            return value.get_secret_value()
        case UUID() | Url() | MultiHostUrl() | AnyUrl() | PurePath():
            return str(value)
        case str() if type(value) is not str:
            return str.__str__(value)
        case _:
            return value


def _key(key: object) -> str:
    final = plain(key)
    return final if isinstance(final, str) else str(final)


def _order(value: object) -> tuple[str, object]:
    number = isinstance(value, int | float)
    if number or isinstance(value, str):
        return ("number" if number else "str", value)
    return (type(value).__name__, repr(value))


def dig(value: object, *path: str) -> object:
    """Return what lies at ``path`` in nested dicts, or None where a step is missing."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value
