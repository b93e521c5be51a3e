"""How far local state is in the changelogs, and whether it can be relied on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headrace.kafka.changelog import STORES
from headrace.kafka.layout import Changelog
from headrace.kafka.model import Partition
from headrace.state.keys import prefix_end
from headrace.state.protocol import Backend, Batch

POSITIONS = "changelogs"
"""The store of how far each changelog partition is in this directory."""
LONGEST_IDLE_MS = 12 * 3_600_000
"""Half of delete.retention.ms: what was removed later than that ago is still marked as removed in the changelog."""


class LocalPositions:
    """Reads and writes the position of each changelog partition, beside the state that it stands for.

    It is written once for all, and once more in each store: RocksDB opens a directory that has lost a part of its
    book-keeping with what is left of each store, and then the stores do not tell the same position. Beside it is the
    id of the changelog topic: of one that was deleted and made anew the same offsets mean something else.
    """

    def __init__(self, backend: Backend, now_ms: Callable[[], int]) -> None:
        """``backend`` holds what is committed; ``now_ms`` tells the time."""
        self._backend, self._now_ms = backend, now_ms
        self._ids: dict[str, str] = {}

    def know(self, ids: Mapping[str, str]) -> None:
        """Note the ids that changelog topics have now."""
        self._ids |= ids

    def get(self, partition: Partition) -> int | None:
        """Return the next offset of a changelog partition that local state lacks; None: there is no local state."""
        found = self._backend.store(POSITIONS).get(_key(partition))
        return None if found is None else int(found.split(b" ")[0])

    def put(self, batch: Batch, changelog: Changelog, partition: int, offset: int) -> None:
        """Write how far local state of a step's task is, and when it was."""
        known = self._backend.names()
        places = [place for place, suffix in enumerate(STORES) if changelog.store + suffix in known]
        mark = b"%d %d" % (offset, self._now_ms())
        listed = b"".join(b"%d" % place for place in places)
        topic = self._ids.get(changelog.topic, "").encode()
        batch.put(POSITIONS, _key(Partition(changelog.topic, partition)), b" ".join((mark, listed, topic)))
        for place in places:
            batch.put(changelog.store + STORES[place], _mark_key(partition), mark)

    def begin(self, batch: Batch, changelog: Changelog, partition: int, offset: int) -> None:
        """Remove the local state of a step's task: the changelog is read from ``offset`` on."""
        prefix = partition.to_bytes(2)
        for suffix in STORES:
            batch.delete_range(changelog.store + suffix, prefix, prefix_end(prefix) or b"\xff" * 3)
        self.put(batch, changelog, partition, offset)

    def flaw(self, changelog: Changelog, partition: int, first: int, end: int) -> str:
        """Return why local state is of no use beside a changelog of these offsets; empty: it is of use."""
        found = self._backend.store(POSITIONS).get(_key(Partition(changelog.topic, partition))) or b"0"
        offset, *rest = found.split(b" ")
        if not first <= int(offset) <= end:
            return f"its position is {int(offset)}, the changelog has {first} to {end}"
        written, listed, topic = rest if len(rest) == 3 else (b"0", b"", b"")  # noqa: PLR2004
        if topic and topic != self._ids.get(changelog.topic, topic.decode()).encode():
            return "the changelog is another topic than the one that it was made of: it was deleted and made anew"
        mark = offset + b" " + written
        for place in listed:
            store = self._backend.store(changelog.store + STORES[place - ord("0")])
            if store.get(_mark_key(partition)) != mark:
                return "files of it are lost"
        if int(offset) < end and self._now_ms() - int(written) > LONGEST_IDLE_MS:
            return "it is so old that the changelog may have forgotten what was removed meanwhile"
        return ""


def _key(partition: Partition) -> bytes:
    return f"{partition.topic}/{partition.partition}".encode()


def _mark_key(partition: int) -> bytes:
    """Return a key behind those of all partitions that there can be: none is as high as 65,535."""
    return b"\xff\xff" + partition.to_bytes(2)
