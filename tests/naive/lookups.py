"""Lookups and joins of tables over the whole input, the plain way: independent of the engine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """A record of a table: ``value`` None removes the row."""

    key: str
    at: int
    value: int | None


@dataclass(frozen=True)
class Asked:
    """A record of a stream."""

    key: str
    at: int
    n: int


def latest(events: Iterable[Change | Asked], *, left: bool) -> list[tuple[str, int, int | None]]:
    """Return (key, n, value) for the records in order: each finds what was set last before it."""
    rows: dict[str, int] = {}
    found: list[tuple[str, int, int | None]] = []
    for event in events:
        if isinstance(event, Change):
            rows.pop(event.key, None)
            if event.value is not None:
                rows[event.key] = event.value
        elif left or event.key in rows:
            found.append((event.key, event.n, rows.get(event.key)))
    return found


def as_of(events: list[Change | Asked], *, left: bool) -> list[tuple[str, int, int | None]]:
    """Return (key, n, value) in the order of time: each finds the change at or before it with the highest time."""
    changes = [event for event in events if isinstance(event, Change)]
    found: list[tuple[str, int, int | None]] = []
    for asked in sorted((event for event in events if isinstance(event, Asked)), key=lambda event: event.at):
        value = None
        past = [change for change in changes if change.key == asked.key and change.at <= asked.at]
        if past:
            newest = max(change.at for change in past)
            value = next(change for change in reversed(past) if change.at == newest).value
        if left or value is not None:
            found.append((asked.key, asked.n, value))
    return found


def in_time(events: list[Change | Asked], lag: int, grace: int) -> tuple[list[Change | Asked], list[Change | Asked]]:
    """Return the events that are in time for the watermark of their own input, and those that are late."""
    highest: dict[type, int] = {}
    good: list[Change | Asked] = []
    late: list[Change | Asked] = []
    for event in events:
        kind = type(event)
        allowed = grace if kind is Asked else 0
        (late if event.at + allowed < highest.get(kind, -(10**9)) - lag else good).append(event)
        highest[kind] = max(highest.get(kind, event.at), event.at)
    return good, late


def tables(changes: Iterable[Change]) -> dict[str, int]:
    """Return the rows that are left in the end."""
    rows: dict[str, int] = {}
    for change in changes:
        rows.pop(change.key, None)
        if change.value is not None:
            rows[change.key] = change.value
    return rows


def joined(one: dict[str, Any], other: dict[str, Any], how: str) -> list[tuple[str, Any, Any]]:
    """Return (key, left, right) of two tables, in the order of the keys."""
    keys = {
        "inner": one.keys() & other.keys(),
        "left": one.keys(),
        "right": other.keys(),
        "outer": one.keys() | other.keys(),
    }[how]
    return [(key, one.get(key), other.get(key)) for key in sorted(keys)]
