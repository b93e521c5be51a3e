"""Versions of the rows of a table: which one was the latest at a time, as long as anybody can ask."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from headrace.operators.footprint import Footprint
from headrace.operators.view import KeyForm, StateCodec, StateView, instant, read_instant
from headrace.state.protocol import Batch
from headrace.time.instants import MAX_TIME_MS, START_OF_TIME_MS

Row = tuple[Any, ...] | list[Any] | None
"""The columns of a row; None where it was removed."""

Version = tuple[int, Row]
"""The time from which on a row was the latest, in milliseconds."""

_SAMPLE = 16
_INSTANT = 8
_REMOVED = b""


class Versions:
    """Versions by key, each of them an entry of its own in the store: key and time.

    ``_hot`` ones came since the last cut; ``_known`` has all of a key that has been looked up. A version can be removed
    once the watermark has passed the next one by ``kept_ms``, which ``/expiry`` tells.
    """

    def __init__(
        self, view: StateView, keys: KeyForm, types: tuple[Any, ...], kept_ms: int, footprint: Footprint
    ) -> None:
        """Begin with nothing in memory."""
        self._view, self._keys, self._codec, self._kept_ms = view, keys, StateCodec(types), kept_ms
        self._footprint = footprint
        self._hot: dict[Any, list[Version]] = {}
        self._known: dict[Any, list[Version]] = {}
        self._count = 0
        self._expired_to = START_OF_TIME_MS

    def put(self, key: Any, time_ms: int, row: Row) -> None:
        """Note the row of a key from a time on. Of two of one time the later one to come counts."""
        self._hot.setdefault(key, []).append((time_ms, row))
        self._count += 1
        known = self._known.get(key)
        if known is not None:
            self._count += _insert(known, (time_ms, row))

    def at(self, key: Any, time_ms: int) -> Row:
        """Return the latest version at or before a time."""
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._load(key)
        place = bisect_right(known, time_ms, key=_time)
        return known[place - 1][1] if place else None

    def _load(self, key: Any) -> list[Version]:
        begin = self._view.prefix + self._keys.encode(key)
        found: list[Version] = []
        for raw, data in self._view.store.scan(begin + instant(START_OF_TIME_MS), begin + instant(MAX_TIME_MS + 1)):
            found.append((read_instant(raw, len(begin)), self._codec.decode(data) if data else None))
        for version in self._hot.get(key, ()):
            _insert(found, version)
        self._count += len(found)
        return found

    def cut(self, batch: Batch, watermark_ms: int) -> None:
        """Write new versions; remove those that nobody can ask for any more."""
        bounded = START_OF_TIME_MS < watermark_ms <= MAX_TIME_MS
        # What an earlier cut wrote into the same batch is not in the store yet: it would be overlooked for good.
        if bounded and not any(name == self._view.name for name, _, _ in batch.columns):
            self._expire(batch, watermark_ms)
        prefix, encode, pack = self._view.prefix, self._keys.encode, self._codec.encode
        keys, values, expiry = [], [], []
        for key, versions in self._hot.items():
            raw = encode(key)
            for time_ms, row in versions:
                keys.append(prefix + raw + instant(time_ms))
                values.append(_REMOVED if row is None else pack(list(row)))
                over_ms = max(time_ms + self._kept_ms, watermark_ms if bounded else START_OF_TIME_MS)
                expiry.append(prefix + instant(over_ms) + instant(time_ms) + raw)
            self._count -= len(versions)
        self._hot.clear()
        if keys:
            batch.put_all(self._view.name, keys, values)
            batch.put_all(f"{self._view.name}/expiry", expiry, [b""] * len(expiry))
            sampled = zip(keys[::_SAMPLE], values[::_SAMPLE], strict=True)
            self._footprint.learn([("", key, value) for key, value in sampled], 0)

    def _expire(self, batch: Batch, watermark_ms: int) -> None:
        prefix = self._view.prefix
        begin, end = prefix + instant(self._expired_to), prefix + instant(watermark_ms)
        over, gone = [], []
        for raw, _ in self._view.beside("expiry").scan(begin, end):
            over.append(raw)
            key = raw[len(end) + _INSTANT :]
            gone += self._superseded(key, read_instant(raw, len(end)))
        if over:
            batch.put_all(f"{self._view.name}/expiry", over, [None] * len(over))
            batch.put_all(self._view.name, gone, [None] * len(gone))
        self._expired_to = watermark_ms

    def _superseded(self, key: bytes, time_ms: int) -> list[bytes]:
        """Return the entries of all versions before one that everybody finds now; itself, if it is a removal."""
        begin = self._view.prefix + key
        found = []
        for raw, data in self._view.store.scan(begin + instant(START_OF_TIME_MS), begin + instant(time_ms + 1)):
            if data == _REMOVED or read_instant(raw, len(begin)) < time_ms:
                found.append(raw)
        value = self._keys.decode(key)
        hot = self._hot.get(value)
        if hot is not None:
            self._hot[value] = [version for version in hot if version[0] >= time_ms]
            self._count -= len(hot) - len(self._hot[value])
        known = self._known.get(value)
        if known is not None:
            place = max(bisect_right(known, time_ms, key=_time) - 1, 0)
            del known[:place]
            self._count -= place
        return found

    def size(self) -> int:
        """Return the number of versions in memory."""
        return self._count + len(self._known)

    def evict(self, keep: int) -> None:
        """Forget keys, those that came in first: what has been cut is in the store."""
        for key in list(self._known):
            if self.size() <= keep:
                break
            self._count -= len(self._known.pop(key))


def _insert(versions: list[Version], version: Version) -> int:
    """Put a version in its place by time; return how many more there are."""
    place = bisect_right(versions, version[0], key=_time)
    if place and versions[place - 1][0] == version[0]:
        versions[place - 1] = version
        return 0
    versions.insert(place, version)
    return 1


def _time(version: Version) -> int:
    return version[0]


__all__ = ["Row", "Version", "Versions"]
