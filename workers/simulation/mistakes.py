"""The mistakes that real streams have: late, duplicate, out-of-order and malformed records.

The mistakes lie in how messages travel and what becomes of their bytes, so they are made here,
for all topics alike, after the messages themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from random import Random

import msgspec

from workers.simulation.world import Message, Timed

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Mistakes:
    """Which share of the records suffers each mistake."""

    out_of_order: float = 0.03
    late: float = 0.003
    duplicate: float = 0.01
    malformed: float = 0.001


@dataclass(slots=True)
class Tally:
    """What was written to one topic. ``unreadable`` and ``invalid`` records are the malformed ones.

    ``unreadable``: no reader of the topic can use the record. ``invalid``: one field, which only
    readers of that field can notice, breaks its constraint.
    """

    records: int = 0
    duplicates: int = 0
    late: int = 0
    unreadable: int = 0
    invalid: int = 0

    def to_json(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Weak:
    """Where records of a topic break: a text field and a time that every reader needs, and ``spoil``.

    ``spoil`` makes one constrained field invalid.
    """

    text: tuple[str, ...]
    time: tuple[str, ...]
    spoil: Callable[[Message], None]


def disturb(rng: Random, events: Iterable[Timed], weak: Weak, mistakes: Mistakes) -> tuple[list[bytes], Tally]:
    """Return the events as lines, in the order in which they arrive, and what was done to them."""
    tally = Tally()
    arrivals: list[tuple[int, int, bytes]] = []
    for ms, message in events:
        arrives = ms + rng.randrange(1000)
        chance = rng.random()
        if chance < mistakes.late:
            arrives += rng.randrange(10 * 60_000, 60 * 60_000)
            tally.late += 1
        elif chance < mistakes.late + mistakes.out_of_order:
            arrives += rng.randrange(25_000)
        line = _encode(message)
        if rng.random() < mistakes.malformed:
            line = _malformed(rng, message, weak, tally)
        elif rng.random() < mistakes.duplicate:
            arrivals.append((arrives + rng.randrange(60_000), len(arrivals), line))
            tally.duplicates += 1
        arrivals.append((arrives, len(arrivals), line))
    arrivals.sort()
    tally.records = len(arrivals)
    return [line for _, _, line in arrivals], tally


def _malformed(rng: Random, message: Message, weak: Weak, tally: Tally) -> bytes:
    kind = rng.randrange(5)
    if kind == 0:
        weak.spoil(message)
        tally.invalid += 1
        return _encode(message)
    tally.unreadable += 1
    if kind == 1:
        line = _encode(message)
        return line[: len(line) // 2]
    if kind == 2:  # noqa: PLR2004 - numbers of the kinds
        _put(message, weak.text, "\u0000bad")
        return _encode(message).replace(b"\\u0000bad", b"\xff\xfe")
    _put(message, *((weak.text, 17) if kind == 3 else (weak.time, "yesterday")))  # noqa: PLR2004
    return _encode(message)


def _put(message: Message, path: tuple[str, ...], value: object) -> None:
    place = message
    for name in path[:-1]:
        inner = place[name]
        if not isinstance(inner, dict):
            raise TypeError(name)
        place = inner
    place[path[-1]] = value
