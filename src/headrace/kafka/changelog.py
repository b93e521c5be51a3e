"""State changes as records of a changelog topic, and back.

One topic a step, one partition a task. The key is a byte that tells which of the step's stores is
meant, and the key in that store; the value is the stored value, or null where the key was removed.
Ranges are not written: what they remove is old by event time, and a restored task finds that out anew.

One more key of each partition has the form of the state as its value, so that a worker of another
version of the topology does not take the rest for its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import cast

import msgspec

from headrace.errors import StateError
from headrace.kafka.layout import Changelog
from headrace.kafka.model import Columns, Partition
from headrace.operators.view import store_name
from headrace.plan import Plan
from headrace.plan.describe import describe
from headrace.state.protocol import Batch

STORES = ("", "/live", "/expiry", "/pending")  # places are part of what is stored: only ever add to the end
"""What the names of a step's stores end with."""
_PARTITION_BYTES = 2
FORM = b"\xff"
"""The key of the form: behind all tags."""
_FORM_AGAIN_MS = 6 * 3_600_000
"""Changelogs of windows forget what is old (at least a day): the form is written anew before."""
_PARTS = ("kind", "details", "columns", "key")
"""What of a described step its state depends on, as for ``headrace plan --diff``."""


def forms(plans: Iterable[Plan]) -> dict[str, bytes]:
    """Return the form of every step's state by store name."""
    found = {}
    for plan in plans:
        for step in msgspec.convert(describe(plan).to_json()["steps"], list[dict[str, object]]):
            form = {part: step[part] for part in _PARTS}
            found[store_name(plan.name, str(step["id"]))] = msgspec.json.encode(form, order="sorted")
    return found


@dataclass(slots=True)
class Changes:
    """What goes to one partition of a changelog."""

    keys: list[bytes] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)

    def columns(self, time_ms: int) -> Columns:
        """Return the records, all of one time: when they were written, by which windows' changelogs age."""
        return Columns(self.values, [time_ms] * len(self.values), self.keys)


class Changelogs:
    """The changelog topics of a group."""

    def __init__(self, changelogs: Sequence[Changelog], forms: Mapping[str, bytes], now_ms: Callable[[], int]) -> None:
        """Prepare the places of all stores; ``forms`` by store."""
        self._places = {
            changelog.store + suffix: (changelog.topic, bytes((place,)))
            for changelog in changelogs
            for place, suffix in enumerate(STORES)
        }
        self.by_topic = {changelog.topic: changelog for changelog in changelogs}
        self._forms = {changelog.topic: forms[changelog.store] for changelog in changelogs}
        self._now_ms = now_ms
        self._formed: dict[Partition, int] = {}

    def forget(self) -> None:
        """Write all forms anew: what was collected last may not have been committed."""
        self._formed.clear()

    def collect(self, batch: Batch) -> dict[Partition, Changes]:
        """Return the records of a batch. Stores that have no changelog are this worker's own business."""
        found: dict[Partition, Changes] = {}
        # Most batches are long runs of one store and one partition.
        last: tuple[str, bytes] | None = None
        keys: list[bytes] = []
        values: list[bytes | None] = []
        tag = b""
        for name, key, value in _writes(batch):
            place = (name, key[:_PARTITION_BYTES])
            if place != last:
                known = self._places.get(name)
                if known is None:
                    continue
                last, tag = place, known[1]
                partition = Partition(known[0], int.from_bytes(place[1]))
                changes = found.get(partition)
                if changes is None:
                    changes = found[partition] = self._begin(partition)
                keys, values = changes.keys, changes.values
            keys.append(tag + key)
            values.append(value)
        return found

    def _begin(self, partition: Partition) -> Changes:
        now_ms = self._now_ms()
        if now_ms - self._formed.get(partition, -_FORM_AGAIN_MS) < _FORM_AGAIN_MS:
            return Changes()
        self._formed[partition] = now_ms
        return Changes([FORM], [self._forms[partition.topic]])


def _writes(batch: Batch) -> Iterable[tuple[str, bytes, bytes | None]]:
    for name, key in batch.deletes:
        yield name, key, None
    yield from batch.puts
    for name, keys, values in batch.columns:
        yield from ((name, key, value) for key, value in zip(keys, values, strict=True))


def replay(
    changelog: Changelog, form: bytes, keys: Sequence[bytes | None], values: Sequence[bytes | None], batch: Batch
) -> None:
    """Add the changes of changelog records to a batch; of several of one key the last counts.

    Raises:
        StateError: the records are of another form than ``form``, or no state at all.
    """
    known = [key or b"" for key in keys] if None in keys else cast("Sequence[bytes]", keys)
    tags = {key[:1] for key in known}
    for tag in tags:
        changed, written = known, values
        if len(tags) > 1:
            chosen = [key[:1] == tag for key in known]
            changed, written = list(compress(known, chosen)), list(compress(values, chosen))
        if tag == FORM:
            if written[-1] != form:
                raise StateError(_refusal(changelog, written[-1] or b"{}", form))
        elif tag and tag[0] < len(STORES):
            batch.put_all(changelog.store + STORES[tag[0]], [key[1:] for key in changed], written)
        else:
            raise StateError(_foreign(changelog, changed[0]))


def _foreign(changelog: Changelog, key: bytes) -> str:
    return (
        f"topic {changelog.topic!r} holds a record that no changelog has (key {key!r}): another program, or a "
        f"newer version of Headrace, has written there. Run that version, or use a new group"
    )


def _refusal(changelog: Changelog, found: bytes, form: bytes) -> str:
    topology, _, step = changelog.store.partition("/")
    was, now = (msgspec.json.decode(text, type=dict[str, object]) for text in (found, form))
    changed = [f"{part} was {was.get(part)!r}, is {now[part]!r}" for part in now if was.get(part) != now[part]]
    return (
        f"changelog topic {changelog.topic!r} holds state of another version of step {step!r} of topology "
        f"{topology!r}, which this version cannot use: {'; '.join(changed)}. "
        "Run the old version, rename the step, or use a new group"
    )
