"""Whether two runs of one job came to the same results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from tests.parity.job import Results, Row

_WINDOW = ("window_start", "window_end")
_SHOWN, _LONGEST = 3, 400


@dataclass(frozen=True)
class Promise:
    """What of the outputs is the same in every run; of topics that are not named here the order per key is."""

    newest: tuple[str, ...] = ()
    """Topics of changes, at most one per key and checkpoint: the newest counts."""
    bags: tuple[str, ...] = ()
    """Topics in which records of one key come from several tasks, and so in no order."""
    growing: tuple[str, ...] = ()
    """Topics of changes of sessions: which bounds a session had before it grew depends on when was committed; its
    last change is what ``close`` tells."""
    tables: bool = True


def faults(got: Results, expected: Results, promise: Promise) -> list[str]:
    """Return what differs."""
    return list(_faults(got, expected, promise))


def _faults(got: Results, expected: Results, promise: Promise) -> Iterator[str]:
    for topic in sorted(got.outputs.keys() | expected.outputs.keys()):
        mine, theirs = got.outputs.get(topic, []), expected.outputs.get(topic, [])
        if topic in promise.growing:
            theirs = expected.outputs["close"]
            mine = [row for row in _newest(mine) if row in theirs]
        if topic in promise.newest:
            mine, theirs = _newest(mine), _newest(theirs)
        yield from _bags(f"topic {topic}", mine, theirs)
        if topic not in (*promise.bags, *promise.newest, *promise.growing):
            yield from _orders(topic, mine, theirs)
    yield from _bags("dead letters", got.letters, expected.letters)
    for name in sorted(got.tables.keys() | expected.tables.keys()) if promise.tables else ():
        yield from _bags(f"table {name}", got.tables.get(name, []), expected.tables.get(name, []))
    if got.late != expected.late:
        yield f"late: {got.late} records, expected {expected.late}"


def _bags(what: str, got: Sequence[object], expected: Sequence[object]) -> Iterator[str]:
    mine, theirs = Counter(map(repr, got)), Counter(map(repr, expected))
    for word, found in (("too many", mine - theirs), ("missing", theirs - mine)):
        if found:
            yield "\n  ".join([f"{what}: {found.total()} {word}:", *(one[:_LONGEST] for one in list(found)[:_SHOWN])])


def _orders(topic: str, got: Sequence[Row], expected: Sequence[Row]) -> Iterator[str]:
    mine, theirs = _by_key(got), _by_key(expected)
    for key in mine.keys() & theirs.keys():
        if key is not None and mine[key] != theirs[key] and sorted(mine[key]) == sorted(theirs[key]):
            yield f"topic {topic}: another order of key {key!r}:\n  {mine[key]}\nexpected\n  {theirs[key]}"


def _by_key(rows: Sequence[Row]) -> dict[bytes | None, list[tuple[str, int | None]]]:
    found: dict[bytes | None, list[tuple[str, int | None]]] = {}
    for row in rows:
        found.setdefault(row.key, []).append((row.value, row.time_ms))
    return found


def _newest(rows: Sequence[Row]) -> list[Row]:
    found = {}
    for row in rows:
        columns = msgspec.json.decode(row.value)
        found[row.key, *(columns.get(name) for name in _WINDOW)] = row
    return list(found.values())
