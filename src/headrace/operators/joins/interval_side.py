"""The records of one side of an interval join, as long as a partner may come.

Records lie in buckets of event time, and in a bucket by key, in order of arrival: what is over is removed as one
range. A bucket is at most half as wide as the interval, so that an interval meets few of them and most of what it
meets is in it. The records of a key and bucket are stored in chunks: one more record rewrites the last chunk only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from headrace.operators.codec import StateCodec
from headrace.operators.joins.memory import Lost
from headrace.operators.view import StateView, instant, read_instant
from headrace.state.keys import prefix_end
from headrace.state.protocol import Batch
from headrace.time.instants import START_OF_TIME_MS

Record = list[Any]
"""Event time in ms, then the columns. Those that were not stored yet are tuples: they cost less."""

CHUNK = 64  # records: about 4 KB, which a hot key rewrites at every cut
_MANY = b"\xc0"  # begins a chunk of several records; no record begins with a nil
_list = msgspec.msgpack.Decoder(list[bytes]).decode
_pack = msgspec.msgpack.encode


class Bucket:
    """The records of one stretch of time. ``new``: by key, the place of the first record that is not stored yet.

    ``read`` is what was read from the store since and not changed. ``lost`` are the keys that may have records in the
    store and not in memory; None: there are none.
    """

    __slots__ = ("lost", "new", "prefix", "read", "records")

    def __init__(self, prefix: bytes, lost: Lost | None) -> None:
        """Begin with nothing in memory."""
        self.prefix, self.lost = prefix, lost
        self.records: dict[Any, list[Record]] = {}
        self.read: dict[Any, list[Record]] = {}
        self.new: dict[Any, int] = {}

    def keep(self, key: Any, record: Record) -> list[Record]:
        """Add a record; return those of its key."""
        found = self.records.get(key)
        if found is None:
            found = self.records[key] = self.read.pop(key, [])
        self.new.setdefault(key, len(found))
        found.append(record)
        return found

    def forget(self, most: int) -> int:
        """Forget up to that many keys that are stored; return how many that were."""
        gone = len(self.read)
        self.read.clear()  # they are among the lost ones already
        if gone >= most:
            return gone
        clean = list(islice((key for key in self.records if key not in self.new), most - gone))
        stored = [key for key in clean if self.records[key]]
        if stored:
            self.lost = self.lost or Lost(2 * len(self.records))
            self.lost.update(stored)
        for key in clean:
            del self.records[key]
        return gone + len(clean)


class Side:
    """One side: its buckets. ``reach_ms``: how long after its time a record may find a partner."""

    def __init__(self, view: StateView, tag: bytes, types: tuple[Any, ...], reach_ms: int, width_ms: int) -> None:
        """Begin with nothing in memory."""
        self._view, self._prefix = view, view.prefix + tag
        self._codec, self._keys = StateCodec(types), view.keys()
        self.reach_ms, self.width_ms = reach_ms, width_ms
        self.buckets: dict[int, Bucket] = {}
        self.highest_ms = START_OF_TIME_MS
        """No record is later."""
        self.complete = True
        """Whether no key has records that are only in the store."""
        self._removed_to: int | None = None

    def restore(self, watermark_ms: int) -> None:
        """Find the buckets in the store that are not over."""
        prefix, end = self._prefix, prefix_end(self._prefix)
        at = prefix + instant(max(self._over(watermark_ms), START_OF_TIME_MS))
        while (found := next(self._view.store.scan(at, end), None)) is not None:
            start = read_instant(found[0], len(prefix))
            self.open(start, Lost.all_keys())
            self.highest_ms, self.complete = start + self.width_ms - 1, False
            at = prefix + instant(start + 1)

    def open(self, start: int, lost: Lost | None = None) -> Bucket:
        """Return a new bucket."""
        bucket = self.buckets[start] = Bucket(self._prefix + instant(start), lost)
        return bucket

    def _over(self, watermark_ms: int) -> int:
        """Return where the first bucket begins in which a record may still find a partner."""
        first = watermark_ms - self.reach_ms
        return first - first % self.width_ms

    def read(self, wanted: Iterable[tuple[Bucket, Any]]) -> None:
        """Bring keys into memory; those that are not in the store get an empty list."""
        encode = self._keys.encode
        raws = {bucket.prefix + encode(key): (bucket, key) for bucket, key in wanted}
        # Neighbours lie in one block: read in order they cost a fifth of what they do one by one.
        ordered = sorted(raws)
        for raw, data in zip(ordered, self._view.store.get_many(ordered), strict=True):
            bucket, key = raws[raw]
            bucket.read[key] = [] if data is None else list(self._chunks(raw, data))

    def _chunks(self, raw: bytes, data: bytes | None) -> Iterator[Record]:
        number, decode = 0, self._codec.decode
        while data is not None:
            found = [decode(item) for item in (_list(data[1:]) if data[:1] == _MANY else [data])]
            yield from found
            number += 1
            data = self._view.store.get(_chunk(raw, number)) if len(found) == CHUNK else None

    def cut(self, batch: Batch, watermark_ms: int) -> None:
        """Remove what is over, then write what is new."""
        self._expire(batch, watermark_ms)
        name, encode, pack = self._view.name, self._keys.encode, self._codec.encode
        live_ms = watermark_ms - self.reach_ms
        keys: list[bytes] = []
        values: list[bytes] = []
        for bucket in self.buckets.values():
            records, prefix = bucket.records, bucket.prefix
            for key, first in bucket.new.items():
                found = records[key]
                if len(found) == 1:
                    if found[0][0] < live_ms:
                        del records[key]  # was over before it was ever written: most of an in-order stream
                        continue
                    keys.append(prefix + encode(key))
                    values.append(pack(found[0]))
                elif all(record[0] < live_ms for record in found):
                    del records[key]
                else:
                    raw = prefix + encode(key)
                    for number in range(first // CHUNK, (len(found) - 1) // CHUNK + 1):
                        chunk = found[number * CHUNK : (number + 1) * CHUNK]
                        keys.append(_chunk(raw, number))
                        values.append(_MANY + _pack([pack(record) for record in chunk]))
            bucket.new.clear()
        if keys:
            batch.put_all(name, keys, values)

    def _expire(self, batch: Batch, watermark_ms: int) -> None:
        over = self._over(watermark_ms)
        begun = watermark_ms > START_OF_TIME_MS
        if not begun or (self._removed_to is not None and over <= self._removed_to):
            return
        for start in [start for start in self.buckets if start < over]:
            del self.buckets[start]
        self.complete = all(bucket.lost is None for bucket in self.buckets.values())
        batch.delete_range(self._view.name, self._prefix, self._prefix + instant(over))
        self._removed_to = over

    def size(self) -> int:
        """Return the number of lists of records in memory."""
        return sum(len(bucket.records) + len(bucket.read) for bucket in self.buckets.values())

    def evict(self, surplus: int) -> int:
        """Forget up to that many lists that are stored, oldest bucket first; return how many that were."""
        gone = 0
        for start in sorted(self.buckets):
            if gone >= surplus:
                break
            gone += self.buckets[start].forget(surplus - gone)
        self.complete = all(bucket.lost is None for bucket in self.buckets.values())
        return gone


def _chunk(raw: bytes, number: int) -> bytes:
    """Return the key of a chunk: no key's bytes are the beginning of another's."""
    return raw + number.to_bytes(4, "big") if number else raw
