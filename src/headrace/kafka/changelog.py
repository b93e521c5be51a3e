"""State changes as records of a changelog topic, and back.

One topic a step, one partition a task. The key is a byte that tells which of the step's stores is
meant, and the key in that store; the value is the stored value, or null where the key was removed.
Ranges are not written: what they remove is old by event time, and a restored task finds that out anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from headrace.errors import InternalError
from headrace.kafka.model import Columns, Partition
from headrace.state.protocol import Batch

_SUFFIXES = ("", "live", "expiry", "pending")  # places are part of what is stored: only ever add to the end
_TAGS = {suffix: bytes((place,)) for place, suffix in enumerate(_SUFFIXES)}
_PARTITION_BYTES = 2


@dataclass(slots=True)
class Changes:
    """What goes to one partition of a changelog."""

    keys: list[bytes] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)

    def columns(self, time_ms: int) -> Columns:
        """Return the records, all of one time: when they were written, by which windows' changelogs age."""
        return Columns(self.values, [time_ms] * len(self.values), self.keys)


class Changelogs:
    """The changelog topics of a group: ``topics`` by store name (``topology/step``)."""

    def __init__(self, topics: dict[str, str]) -> None:
        """Prepare the places of all stores."""
        self._places = {
            f"{store}/{suffix}" if suffix else store: (topic, tag)
            for store, topic in topics.items()
            for suffix, tag in _TAGS.items()
        }

    def collect(self, batch: Batch) -> dict[Partition, Changes]:
        """Return the records of a batch. Stores that have no changelog are this worker's own business."""
        found: dict[Partition, Changes] = {}
        # Most batches are long runs of one store and one partition.
        last: tuple[str, bytes] | None = None
        keys, values, tag = [], [], b""
        for name, key, value in _writes(batch):
            place = (name, key[:_PARTITION_BYTES])
            if place != last:
                known = self._places.get(name)
                if known is None:
                    continue
                last, tag = place, known[1]
                changes = found.setdefault(Partition(known[0], int.from_bytes(place[1])), Changes())
                keys, values = changes.keys, changes.values
            keys.append(tag + key)
            values.append(value)
        return found


def _writes(batch: Batch) -> Iterable[tuple[str, bytes, bytes | None]]:
    for name, key in batch.deletes:
        yield name, key, None
    yield from batch.puts


def replay(store: str, keys: Sequence[bytes | None], values: Sequence[bytes | None], batch: Batch) -> None:
    """Add the changes of changelog records to a batch; of several of one key the last counts.

    Raises:
        InternalError: a record is none of a changelog of this version.
    """
    names = [f"{store}/{suffix}" if suffix else store for suffix in _SUFFIXES]
    latest = dict(zip(keys, values, strict=True))
    for key, value in latest.items():
        if not key or key[0] >= len(names):
            msg = f"changelog of {store}: a key that this version does not know: {key!r}"
            raise InternalError(msg)
        if value is None:
            batch.delete(names[key[0]], key[1:])
        else:
            batch.put(names[key[0]], key[1:], value)
