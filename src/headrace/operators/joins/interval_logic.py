"""An interval join in one task.

Generated code puts records into ``rows`` of a side as they come in; they are worked through together, so that what
must be read is read together. A record meets those of the other side that came before it, so every pair is met once.

A record that is not late has an event time of at least the watermark minus the grace. So once the watermark has passed
``time + reach``, no partner of a record can come in time any more: then it is forgotten and, if it has no partner and
its side is optional, returned alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headrace.operators.footprint import Footprint
from headrace.operators.joins.interval_side import Bucket, Record, Side
from headrace.operators.joins.unmatched import Unmatched
from headrace.operators.logic import NEVER_MS, Emit
from headrace.operators.view import StateView
from headrace.state.protocol import Batch
from headrace.time.instants import END_OF_TIME_MS, MAX_TIME_MS, START_OF_TIME_MS
from headrace.topology.joins import LEFT, RIGHT, IntervalJoin

Row = tuple[Any, tuple[int, Record, Record]]
"""Key; event time, left record, right record. A side that has no record is a tuple of Nones."""

_LEAST_MS, _MOST = 1000, 256  # width of a bucket, number of buckets


@dataclass(frozen=True, slots=True)
class JoinKit:
    """The Python types of what is kept of a record, by side; its event time first."""

    left: tuple[Any, ...]
    right: tuple[Any, ...]


class Half:
    """One side of a join and what it is joined with. ``lower_ms``, ``upper_ms``: where partners lie, seen from it."""

    def __init__(self, side: Side, unmatched: Unmatched | None, bounds: tuple[int, int], width: int) -> None:
        """Begin without rows; ``width``: the length of a record."""
        self.side, self.unmatched = side, unmatched
        self.lower_ms, self.upper_ms = bounds
        self.rows: list[tuple[Any, Record]] = []
        self.nothing: Record = [None] * width
        self.other: Half = self

    def due_ms(self, time_ms: int) -> int:
        """Return the watermark at which no partner of a record can come any more."""
        return time_ms + self.side.reach_ms + 1


def _half(node: IntervalJoin, name: str, view: StateView, types: tuple[Any, ...]) -> Half:
    span = node.upper_ms - node.lower_ms
    width = max(span // 2, (node.kept_ms() + span) // _MOST, _LEAST_MS)
    tag, bounds = b"l", (node.lower_ms, node.upper_ms)
    if name == RIGHT:
        tag, bounds = b"r", (-node.upper_ms, -node.lower_ms)
    side = Side(view, tag, types, node.reach_ms(name), width)
    unmatched = Unmatched(view, tag, types) if node.how.keeps(name) else None
    return Half(side, unmatched, bounds, len(types))


def _find_lost(half: Half, own: list[tuple[Bucket, Any]], other: list[tuple[Bucket, Any]]) -> None:
    """Find what must be read for the rows of one side: their own keys, and those that they are about to meet."""
    mine = {start: (b, b.lost.filters) for start, b in half.side.buckets.items() if b.lost is not None}
    theirs = [(start, b, b.lost.filters) for start, b in half.other.side.buckets.items() if b.lost is not None]
    if not mine and not theirs:
        return
    width, lower_ms, upper_ms, highest_ms = half.side.width_ms, half.lower_ms, half.upper_ms, half.other.side.highest_ms
    for key, record in half.rows:
        time_ms: int = record[0]
        spot = hash((key,))
        place, bit = spot >> 3, spot & 7
        found = mine.get(time_ms - time_ms % width)
        if found is not None:
            bucket, filters = found
            if key not in bucket.records and key not in bucket.read:
                for bits, mask in filters:
                    if bits[place & mask] >> bit & 1:
                        own.append((bucket, key))
                        break
        low = time_ms + lower_ms
        if low > highest_ms:
            continue
        first, last = low - low % width, time_ms + upper_ms
        for start, bucket, filters in theirs:
            if first <= start <= last and key not in bucket.records and key not in bucket.read:
                for bits, mask in filters:
                    if bits[place & mask] >> bit & 1:
                        other.append((bucket, key))
                        break


class IntervalJoinLogic:
    """Both sides of a join in one task."""

    def __init__(
        self, node: IntervalJoin, kit: JoinKit, view: StateView, emit: Emit, opened: Callable[[], None]
    ) -> None:
        """Begin with nothing in memory; ``opened`` is called when ``next_ms`` has become earlier."""
        self._emit, self._opened, self._name = emit, opened, view.name
        self.left = _half(node, LEFT, view, kit.left)
        self.right = _half(node, RIGHT, view, kit.right)
        self.left.other, self.right.other = self.right, self.left
        self._halves = (self.left, self.right)
        self._behind_ms = node.behind_ms
        self._watermark = self._seen_ms = START_OF_TIME_MS
        self.next_ms = NEVER_MS
        self.closed_ms = START_OF_TIME_MS
        self.footprint = Footprint()

    def restore(self, watermark_ms: int) -> None:
        """Find what is still of use in the store."""
        self._watermark = self._seen_ms = watermark_ms
        for half in self._halves:
            half.side.restore(watermark_ms)
            if half.unmatched is not None:
                half.unmatched.restore(watermark_ms - half.side.reach_ms)
        self._plan_next()

    def plan(self, due_ms: int) -> None:
        """Note that something may be due then; generated code calls this where it is before ``next_ms``."""
        self.next_ms = due_ms
        self._opened()

    def _plan_next(self) -> None:
        waiting = [half.due_ms(half.unmatched.first_ms) for half in self._halves if half.unmatched is not None]
        first = min(waiting, default=NEVER_MS)
        self.next_ms = first if first < END_OF_TIME_MS // 2 else NEVER_MS

    def catch_up(self) -> None:
        """Join the records that came in since."""
        left, right = self._halves
        if not left.rows and not right.rows:
            return
        if not (left.side.complete and right.side.complete):
            self._read()
        joined: list[Row] = []
        self._join(left, joined, first=True)
        self._join(right, joined, first=False)
        if joined:
            self._emit("out", joined, 0, 0, self._watermark - self._behind_ms)

    def _read(self) -> None:
        """Read what the records are about to meet."""
        wanted: dict[Half, list[tuple[Bucket, Any]]] = {half: [] for half in self._halves}
        for half in self._halves:
            _find_lost(half, wanted[half], wanted[half.other])
        for half, found in wanted.items():
            if found:
                half.side.read(found)

    def _join(self, half: Half, joined: list[Row], *, first: bool) -> None:
        """Take the rows of one side up: find their partners, and keep them."""
        side, other, unmatched, waiting = half.side, half.other.side, half.unmatched, half.other.unmatched
        width, lower_ms, upper_ms, others = side.width_ms, half.lower_ms, half.upper_ms, other.buckets
        keep, kept_from, highest_ms = None, 0, side.highest_ms
        for key, record in half.rows:
            time_ms: int = record[0]
            low, high = time_ms + lower_ms, time_ms + upper_ms
            alone = True
            if low <= other.highest_ms:
                for start in range(low - low % width, high + 1, width):
                    bucket = others.get(start)
                    if bucket is None:
                        continue
                    for partner in bucket.records.get(key) or bucket.read.get(key) or ():
                        at: int = partner[0]
                        if low <= at <= high:
                            pair = (record, partner) if first else (partner, record)
                            joined.append((key, (max(time_ms, at), *pair)))
                            alone = False
                            if waiting is not None:
                                waiting.match(at, key)
            if keep is None or not kept_from <= time_ms < kept_from + width:
                kept_from = time_ms - time_ms % width
                keep = (side.buckets.get(kept_from) or side.open(kept_from)).keep
            same_key = keep(key, record)
            if time_ms > highest_ms:  # noqa: PLR1730 - max() is a call
                highest_ms = time_ms
            if alone and unmatched is not None:
                unmatched.add(key, record, same_key)
        side.highest_ms = highest_ms
        half.rows.clear()

    def advance(self, watermark_ms: int) -> None:
        """Return the records whose window has closed without a partner."""
        self.catch_up()
        alone: list[tuple[int, Row]] = []
        for half in self._halves:
            if half.unmatched is None:
                continue
            until_ms = min(watermark_ms - half.due_ms(0), END_OF_TIME_MS - 1)
            for key, record in half.unmatched.take(until_ms):
                nothing = half.other.nothing
                pair = (record, nothing) if half is self.left else (nothing, record)
                alone.append((half.due_ms(record[0]), (key, (record[0], *pair))))
        if alone:
            alone.sort(key=lambda item: item[0])
            self.closed_ms = max(self.closed_ms, alone[-1][0])
            self._emit("out", [row for _, row in alone], 0, 0, self._watermark - self._behind_ms)
        if watermark_ms > self._watermark:
            self._watermark = watermark_ms
            if watermark_ms <= MAX_TIME_MS:  # the end of a bounded input is no point in time: more may be read later
                self._seen_ms = watermark_ms
        self._plan_next()

    def cut(self, batch: Batch) -> None:
        """Write what has changed; remove what is over."""
        self.catch_up()
        begin = len(batch.columns)
        for half in self._halves:
            half.side.cut(batch, self._seen_ms)
            if half.unmatched is not None:
                half.unmatched.cut(batch)
        for name, keys, values in batch.columns[begin:]:
            if name == self._name:
                puts = [(name, key, value) for key, value in zip(keys, values, strict=True) if value is not None]
                self.footprint.learn(puts, 0)

    def size(self) -> int:
        """Return the number of states in memory."""
        waiting = sum(half.unmatched.size() for half in self._halves if half.unmatched is not None)
        return waiting + sum(half.side.size() for half in self._halves)

    def evict(self, keep: int) -> None:
        """Forget what is stored: records of the oldest time, unmatched ones of the latest."""
        surplus = self.size() - keep
        for half in self._halves:
            if surplus > 0:
                surplus -= half.side.evict(surplus)
        for half in self._halves:
            if surplus > 0 and half.unmatched is not None:
                before = half.unmatched.size()
                half.unmatched.evict(surplus)
                surplus -= before - half.unmatched.size()
