"""A case: what to declare, what to feed, and what of the outputs has an order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec

from headrace import Topology
from tests.operators.support import START, click
from tests.parity.compare import Promise
from tests.parity.job import Job, Phase, Record, place

START_MS = int(START.timestamp() * 1000)
PARTITIONS = 3
END_S = 1_000_000.0
BROKEN = (b"", b"{", b'{"user": "a"}', b'{"user": 1, "at": "2024-01-01T00:00:00Z"}', b"\xff")
Clicks = Sequence[Mapping[str, Any] | bytes]
IN_ORDER = Promise()
UPDATES = Promise(newest=("update",))
SESSIONS = Promise(growing=("update",))


@dataclass(frozen=True)
class Case:
    """One topology, or several in a chain."""

    declare: Callable[[], Topology | Sequence[Topology]]
    promise: Promise = IN_ORDER
    inputs: Mapping[str, Clicks] = field(default_factory=dict)
    """By topic; ``clicks`` gets a mixture if there is none."""
    key: str | None = "user"
    """The field that records are keyed and partitioned by; None: they are spread in turn, with no key."""
    between: tuple[str, ...] = ()
    """Topics between topologies, which are brought to their end after the inputs are."""
    chosen: tuple[str, ...] = ()
    partitions: int = PARTITIONS
    silence_s: float = 0.0
    """Let the inputs fall silent, instead of ending them."""

    def job(self) -> Job:
        declared = self.declare()
        topologies = [declared] if isinstance(declared, Topology) else declared
        inputs = self.inputs or {"clicks": mixture(1)}
        phases = [Phase(list(records(inputs, self.key, self.partitions)), self.silence_s)]
        if not self.silence_s:
            phases.append(Phase(list(ends(inputs, self.partitions))))
        phases += [Phase(list(ends([topic], self.partitions))) for topic in self.between]
        return Job(topologies, phases, self.partitions, self.chosen)


def mixture(seed: int, count: int = 150, *, jitter_s: float = 8.0, broken: bool = True) -> list[Any]:
    """Return records of a few users whose event times go forward, more or less."""
    random_ = random.Random(seed)
    found: list[Any] = []
    for number in range(count):
        if broken and random_.random() < 0.05:
            found.append(random_.choice(BROKEN))
            continue
        second = max(0.0, number + random_.uniform(-jitter_s, 0))
        found.append(
            click(
                random_.choice(["a", "b", "c", "d", "e", None]),
                round(second * 2) / 2,
                n=random_.choice([None, *range(8)]),
                rate=random_.choice([None, 0.5, -1.25, 3.0]),
                price=random_.choice([None, "1.50", "-3", "0.10"]),
                lines=[{"sku": f"s{i}", "quantity": i} for i in range(random_.randrange(3))],
            )
        )
    return found


def records(inputs: Mapping[str, Clicks], key: str | None, partitions: int) -> Iterable[Record]:
    """Yield the records of all topics, those of one number together."""
    longest = max(map(len, inputs.values()))
    for number in range(longest):
        for topic, clicks in inputs.items():
            if number < len(clicks):
                one = clicks[number]
                value = one if isinstance(one, bytes) else msgspec.json.encode(one)
                given = None if key is None or isinstance(one, bytes) else one[key]
                text = None if given is None else str(given).encode()
                partition = number % partitions if key is None else place(text, partitions)
                yield Record(topic, partition, text, value, START_MS + number)


def ends(topics: Iterable[str], partitions: int) -> Iterable[Record]:
    """Yield a record far ahead for every partition: it closes all windows but its own."""
    end_ms = START_MS + int(timedelta(seconds=END_S) / timedelta(milliseconds=1))
    for topic in topics:
        for partition in range(partitions):
            name = f"end-{partition}"
            value = msgspec.json.encode(click(name, END_S, n=partition, lines=[]))
            yield Record(topic, partition, name.encode(), value, end_ms)
