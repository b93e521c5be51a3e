"""Aggregates in aligned windows, and over all time: a write-back cache per window over the store.

A state is in one of three dicts of its window. ``hot``: changed since the last cut or early
emission; generated code updates it in place. ``dirty``: changed since the last cut, but emitted
early. ``cold``: as in the store. ``complete`` windows have nothing in the store that is not in
memory, so a key that is not here is new, and no read is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Any

import msgspec

from headrace.operators.agent import OperatorSpec
from headrace.operators.footprint import Footprint
from headrace.operators.logic import NEVER_MS, Emit
from headrace.operators.ticks import Ticks
from headrace.operators.view import State, StateView, instant, read_instant
from headrace.state.keys import prefix_end
from headrace.state.protocol import Batch
from headrace.time.instants import MAX_TIME_MS, START_OF_TIME_MS
from headrace.topology.windows import Aligned, Hopping

Keyed = dict[Any, State]


class WindowState:
    """The states of one window."""

    __slots__ = ("_owner", "cold", "complete", "dirty", "hot", "pending", "prefix", "start", "unread")

    def __init__(self, owner: WindowedLogic, start: int, *, complete: bool) -> None:
        """Begin with nothing in memory."""
        self._owner = owner
        self.start = start
        self.prefix = owner.prefix + instant(start)
        self.complete = complete
        self.hot: Keyed = {}
        self.dirty: Keyed = {}
        self.cold: Keyed = {}
        self.pending: dict[int, set[Any]] = {}
        self.unread: list[tuple[Any, ...]] = []

    def miss(self, key: Any) -> State | None:
        """Make the state of a key hot: from memory, from the store, or empty.

        None: it has to be read, and the step's records can wait in ``unread`` until many are read at once.
        """
        state = self.dirty.pop(key, None) if self.dirty else None
        if state is None:
            state = self.cold.pop(key, None)
            if state is None:
                if self.complete:
                    state = self._owner.init()
                elif self._owner.defers:
                    self._owner.behind = True
                    return None
                else:
                    state = self._owner.load(self.prefix, key) or self._owner.init()
        self.hot[key] = state
        return state

    def size(self) -> int:
        """Return the number of states in memory."""
        return len(self.hot) + len(self.dirty) + len(self.cold)

    def settle(self) -> None:
        """Note that everything is in the store now."""
        self.cold.update(self.dirty)
        self.cold.update(self.hot)
        self.dirty.clear()
        self.hot.clear()


class WindowedLogic:
    """Tumbling, hopping and calendar windows, or all time, of one task."""

    def __init__(
        self, spec: OperatorSpec, window: Aligned | None, view: StateView, emit: Emit, opened: Callable[[], None]
    ) -> None:
        """Restore the open windows; ``opened`` is called when ``next_ms`` has become earlier."""
        self._view, self._emit, self._opened = view, emit, opened
        # all time is one window that begins at 0, ends nowhere and never closes
        self._window: Aligned = window if window is not None else Hopping(0, 1, 0, 0)
        self._end = self._window.end_ms
        self._closes = window is not None
        self._codec, self._keys = view.codec(), view.keys()
        self._get, self._get_many = view.store.get, view.store.get_many
        self._encode_key = self._keys.encode
        self.prefix = view.prefix
        node: Any = spec.step.node
        self._ticks = Ticks(node.every_ms)
        self.init, self._add = spec.kit.init, spec.kit.add
        self.defers = self._add is not None
        self.behind = False
        self.windows: dict[int, WindowState] = {}
        self._starts: list[int] = []  # a heap; windows that were closed stay in it until they come up
        self._closing: list[WindowState] = []
        self._watermark = START_OF_TIME_MS
        self._expired_to: int | None = None
        self.next_ms = NEVER_MS
        self.closed_ms = START_OF_TIME_MS
        self.footprint = Footprint()

    def restore(self, watermark_ms: int) -> None:
        """Find the windows that were open at the last checkpoint."""
        self._watermark = watermark_ms
        prefix = self.prefix
        first = self._window.first_ms(watermark_ms - self._window.grace_ms) if self._closes else START_OF_TIME_MS
        at = prefix + instant(max(first, START_OF_TIME_MS))
        end = prefix_end(prefix)
        while (found := next(self._view.store.scan(at, end), None)) is not None:
            start = read_instant(found[0], len(prefix))
            self.windows[start] = WindowState(self, start, complete=False)
            heappush(self._starts, start)
            at = prefix + instant(start + 1)
        self._restore_pending()
        self._plan_next()

    def open(
        self, start: int, watermark_ms: int
    ) -> tuple[Callable[[Any], State | None], Callable[[Any], State | None], Callable[[tuple[Any, ...]], None]]:
        """Return how to find a state of the window that begins at ``start``.

        In the hot states; else; and where a record waits if neither has it yet. ``watermark_ms`` is the watermark of
        the record's input, which may be ahead of the last ``advance``.
        """
        window = self.windows.get(start)
        if window is None:
            first = not self.windows
            if first:
                self._ticks.begin(max(self._watermark, watermark_ms))
            window = self.windows[start] = WindowState(self, start, complete=True)
            heappush(self._starts, start)
            due = self._end(start) + self._window.grace_ms
            if due < self.next_ms or (first and self._ticks.intervals):
                self._plan_next()
                self._opened()
        return window.hot.get, window.miss, window.unread.append

    def catch_up(self) -> None:
        """Read the states that records wait for, in the order of their keys, and add the records."""
        if not self.behind or self._add is None:
            return
        self.behind = False
        add = self._add
        for window in self.windows.values():
            if not window.unread:
                continue
            hot, prefix, encode = window.hot, window.prefix, self._encode_key
            raws = {prefix + encode(row[0]): row[0] for row in window.unread}
            # Neighbours lie in one block: read in order they cost a fifth of what they do one by one.
            ordered = sorted(raws)
            for raw, data in zip(ordered, self._get_many(ordered), strict=True):
                hot[raws[raw]] = self.init() if data is None else self._codec.decode(data)
            for row in window.unread:
                add(hot[row[0]], *row[1:])
            window.unread.clear()

    def load(self, prefix: bytes, key: Any) -> State | None:
        """Read a state of the window with this prefix from the store."""
        found = self._get(prefix + self._encode_key(key))
        return None if found is None else self._codec.decode(found)

    def advance(self, watermark_ms: int) -> None:
        """Close windows and emit early results in the order in which they are due."""
        self.catch_up()
        end, grace = self._end, self._window.grace_ms
        while self.next_ms <= watermark_ms:
            due = self.next_ms
            for interval in self._ticks.take(due, watermark_ms):
                for start in sorted(self.windows):
                    self._emit_early(interval, self.windows[start])
            while self._closes and self._starts and end(self._starts[0]) + grace <= due:
                window = self.windows.pop(heappop(self._starts), None)
                if window is not None:
                    self._close(window)
            self._plan_next()
        self._watermark = max(self._watermark, watermark_ms)

    def _plan_next(self) -> None:
        ends = self._starts and self._closes
        closes = self._end(self._starts[0]) + self._window.grace_ms if ends else NEVER_MS
        early = self._ticks.next_ms if self.windows else NEVER_MS
        self.next_ms = min(closes, early)

    def _close(self, window: WindowState) -> None:
        for interval in self._ticks.intervals:
            self._emit_early(interval, window)
        end = self._end(window.start)
        self.closed_ms = max(self.closed_ms, end + self._window.grace_ms)
        self._emit("close", self._all(window), window.start, end, self._watermark - self._window.grace_ms)
        self._closing.append(window)

    def _all(self, window: WindowState) -> Iterator[tuple[Any, State]]:
        """Yield all states of a window: those in memory, then those only in the store."""
        for states in (window.hot, window.dirty, window.cold):
            yield from states.items()
        if window.complete:
            return
        for raw, data in self._view.scan(window.prefix):
            key = self._keys.decode(raw[len(window.prefix) :])
            if key not in window.hot and key not in window.dirty and key not in window.cold:
                yield key, self._codec.decode(data)

    def _emit_early(self, interval: int, window: WindowState) -> None:
        changed = window.pending.pop(interval, set()) | window.hot.keys()
        if not changed:
            return
        rows = [(key, self._peek(window, key)) for key in sorted(changed, key=self._keys.encode)]
        end = self._end(window.start)
        self._emit(f"every:{interval}", rows, window.start, end, self._watermark - self._window.grace_ms)
        for other in self._ticks.intervals:
            if other != interval:
                window.pending.setdefault(other, set()).update(window.hot)
        window.dirty.update(window.hot)
        window.hot.clear()

    def _peek(self, window: WindowState, key: Any) -> State:
        for states in (window.hot, window.dirty, window.cold):
            if key in states:
                return states[key]
        return self.load(window.prefix, key) or self.init()

    def cut(self, batch: Batch) -> None:
        """Emit one change per changed key, write them all, remove windows past their retention."""
        self.catch_up()
        live = [self.windows[start] for start in sorted(self.windows)]
        begin = len(batch.puts)
        for window in (*self._closing, *live):
            end, wm = self._end(window.start), self._watermark - self._window.grace_ms
            changed = {**window.dirty, **window.hot}
            self._emit("update", changed.items(), window.start, end, wm)
            prefix, put, name = window.prefix, batch.puts.append, self._view.name
            encode, pack = self._encode_key, self._codec.encode
            for key, state in changed.items():
                put((name, prefix + encode(key), pack(state)))
            for interval in self._ticks.intervals:
                window.pending.setdefault(interval, set()).update(window.hot)
            window.settle()
        self._closing.clear()
        self.footprint.learn(batch.puts, begin)
        self._write_pending(batch)
        self._expire(batch)

    def _expire(self, batch: Batch) -> None:
        """Remove the windows whose retention is over, as one range."""
        gone = self._watermark - self._window.grace_ms - self._window.retention_ms
        before = self._window.first_ms(gone - 1)
        # the end of a bounded input is no point in time: what it closed stays readable
        bounded = self._closes and START_OF_TIME_MS < self._watermark <= MAX_TIME_MS
        if not bounded or (self._expired_to is not None and before <= self._expired_to):
            return
        prefix = self._view.prefix
        batch.delete_range(self._view.name, prefix, prefix + instant(before))
        self._expired_to = before + (self._window.advance_ms if isinstance(self._window, Hopping) else 0)

    def _write_pending(self, batch: Batch) -> None:
        """Keep which rows the next early emission owes: it must not depend on when a checkpoint was."""
        if not self._ticks.intervals:
            return
        owed = [
            (start, interval, [self._keys.encode(key) for key in keys])
            for start, window in self.windows.items()
            for interval, keys in window.pending.items()
        ]
        batch.put(
            f"{self._view.name}/pending",
            self._view.prefix,
            msgspec.msgpack.encode((list(self._ticks.due.items()), owed)),
        )

    def _restore_pending(self) -> None:
        if not self._ticks.intervals:
            return
        data = self._view.beside("pending").get(self._view.prefix)
        if data is None:
            return
        due, owed = msgspec.msgpack.decode(data)
        self._ticks.due.update({interval: at for interval, at in due if interval in self._ticks.due})
        for start, interval, keys in owed:
            if start in self.windows:
                self.windows[start].pending[interval] = {self._keys.decode(key) for key in keys}

    def size(self) -> int:
        """Return the number of states in memory."""
        return sum(window.size() for window in self.windows.values())

    def evict(self, keep: int) -> None:
        """Forget clean states, oldest window first."""
        surplus = self.size() - keep
        for start in sorted(self.windows):
            window = self.windows[start]
            while surplus > 0 and window.cold:
                window.complete = False
                drop = min(surplus, len(window.cold))
                if drop == len(window.cold):
                    window.cold.clear()
                else:
                    for key in [key for key, _ in zip(window.cold, range(drop), strict=False)]:
                        del window.cold[key]
                surplus -= drop
