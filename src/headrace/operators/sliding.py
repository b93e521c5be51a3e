"""Sliding windows: one that ends with each event of its key, and reaches back from there.

An event is added to the state of its own moment. When the watermark has passed that, the state is folded behind
those before it, and the fold over what is in reach is the window's row.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from headrace.operators.agent import OperatorSpec
from headrace.operators.chains import Chain, Chains
from headrace.operators.folds import Broken
from headrace.operators.footprint import Footprint
from headrace.operators.logic import NEVER_MS, Emit
from headrace.operators.newest import Newest
from headrace.operators.view import State, StateView, instant, read_instant
from headrace.state.keys import prefix_end
from headrace.state.protocol import Batch
from headrace.time.instants import MAX_TIME_MS, START_OF_TIME_MS
from headrace.topology.windows import Sliding

END = 0  # the operator's own slot: the event time at which the window ends


class SlidingLogic:
    """Sliding windows of one task. States are numbered by their event time."""

    def __init__(
        self, spec: OperatorSpec, window: Sliding, view: StateView, emit: Emit, opened: Callable[[], None]
    ) -> None:
        """Begin with nothing in memory; ``opened`` is called when ``next_ms`` has become earlier."""
        self._window, self._view, self._emit, self._opened = window, view, emit, opened
        self._keys = view.keys()
        self._init: Callable[[], State] = spec.kit.init
        self._chains = Chains(view, spec.kit.merge, _nothing)
        node: Any = spec.step.node
        self._newest = Newest(view, emit, node.every_ms)
        self._wait = window.grace_ms + 1  # an event at the watermark is in time
        self._due: list[tuple[int, bytes, Any]] = []
        self._watermark = self._expired_to = START_OF_TIME_MS
        self.next_ms = NEVER_MS
        self.closed_ms = START_OF_TIME_MS
        self.footprint = Footprint()

    def restore(self, watermark_ms: int) -> None:
        """Find which windows are open."""
        self._watermark = watermark_ms
        prefix = self._view.prefix
        for entry, _ in self._view.beside("pending").scan(prefix + b"\0", prefix_end(prefix)):
            raw = entry[len(prefix) + 8 :]
            heappush(self._due, (read_instant(entry, len(prefix)), raw, self._keys.decode(raw)))
        self._newest.restore()
        self._plan_next()

    def catch_up(self) -> None:
        """Do nothing: records are added as they come."""

    def touch(self, key: Any, time_ms: int, watermark_ms: int) -> State | None:
        """Return the state of an event's moment, made if needed; None if the event is late."""
        if time_ms + self._wait <= watermark_ms:
            return None
        chain = self._chains.find(key)
        state = chain.open.get(time_ms)
        if state is not None:
            chain.changed[time_ms] = state
            return state
        state = self._init()
        state[END] = time_ms
        self._chains.add(chain, time_ms, state)
        heappush(self._due, (time_ms, chain.raw, key))
        if time_ms + self._wait < self.next_ms:
            self.next_ms = time_ms + self._wait
            self._opened()
        return state

    def state(self, key: Any, time_ms: int, watermark_ms: int) -> State | None:
        """Return what ``touch`` would, without a trace."""
        if time_ms + self._wait <= watermark_ms:
            return None
        return self._chains.look(key).open.get(time_ms) or self._init()

    def _plan_next(self) -> None:
        self.next_ms = self._newest.next_ms
        if self._due and self._due[0][0] + self._wait < self.next_ms:
            self.next_ms = self._due[0][0] + self._wait

    def advance(self, watermark_ms: int) -> None:
        """Close the windows of all moments that have passed, and emit early rows, as they are due.

        Rows of one call are emitted together: their watermark is that before it.
        """
        rows: list[tuple[Any, Any]] = []
        while self.next_ms <= watermark_ms:
            due = self.next_ms
            if self._newest.next_ms <= due:
                rows = self._emit_closed(rows)
                self._newest.emit_early(due, self._watermark - self._window.grace_ms)
            while self._due and self._due[0][0] + self._wait <= due:
                time_ms, _, key = heappop(self._due)
                rows.append((key, self._close(key, time_ms)))
            self._plan_next()
        self._emit_closed(rows)
        self._watermark = max(self._watermark, watermark_ms)

    def _emit_closed(self, rows: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        if rows:
            self._emit("close", rows, 0, 0, self._watermark - self._window.grace_ms)
        return []

    def _close(self, key: Any, time_ms: int) -> State | Broken:
        """Fold the state of a moment; return the window that ends there."""
        chain, begin = self._chains.find(key), time_ms - self._window.size_ms
        while (oldest := chain.folds.oldest) is not None and oldest < begin:
            self._chains.drop(chain)
        self._chains.fold(chain, time_ms)
        self.closed_ms = max(self.closed_ms, time_ms + self._wait)
        found = chain.folds.fold()
        if isinstance(found, Broken):
            return Broken(found.error, (time_ms,))
        row = list(found)
        row[END] = time_ms
        self._newest.closed(key, row, time_ms + self._wait)
        return row

    def cut(self, batch: Batch) -> None:
        """Emit the newest closed window of each key; write what has changed; remove keys without use."""
        self._newest.emit_updates(self._watermark - self._window.grace_ms)
        self._expire(batch)
        for chain in self._chains.hot.values():
            self._index(batch, chain)
        begin = len(batch.puts)
        self._chains.cut(batch)
        self.footprint.learn(batch.puts, begin)
        self._newest.cut(batch)

    def _index(self, batch: Batch, chain: Chain) -> None:
        """Note by time which windows of a key are open, and when nothing of it can be of use any more."""
        prefix, name = self._view.prefix, self._view.name
        if chain.indexed or chain.open:
            for time_ms in chain.indexed - chain.open.keys():
                batch.delete(f"{name}/pending", prefix + instant(time_ms) + chain.raw)
            for time_ms in chain.open.keys() - chain.indexed:
                batch.put(f"{name}/pending", prefix + instant(time_ms) + chain.raw, b"")
            chain.indexed = set(chain.open)
        if chain.expires is None and chain.newest is not None:
            chain.expires = chain.newest + self._window.kept_ms()
            batch.put(f"{name}/expiry", prefix + instant(chain.expires) + chain.raw, b"")

    def _expire(self, batch: Batch) -> None:
        # the end of a bounded input is no point in time: what it closed stays readable
        if not START_OF_TIME_MS < self._watermark <= MAX_TIME_MS:
            return
        prefix, name = self._view.prefix, self._view.name
        begin, end = prefix + instant(self._expired_to), prefix + instant(self._watermark)
        for entry, _ in self._view.beside("expiry").scan(begin, end):
            batch.delete(f"{name}/expiry", entry)
            self._forget(batch, self._keys.decode(entry[len(end) :]))
        self._expired_to = self._watermark

    def _forget(self, batch: Batch, key: Any) -> None:
        """Remove a key unless it has had events since."""
        chain = self._chains.look(key)
        newest = chain.newest
        if newest is not None and newest + self._window.kept_ms() >= self._watermark:
            self._chains.find(key).expires = None  # so it is noted anew
            return
        for time_ms in chain.indexed:
            batch.delete(f"{self._view.name}/pending", self._view.prefix + instant(time_ms) + chain.raw)
        self._chains.forget(batch, chain)
        self._newest.forget(batch, key, chain.raw)

    def size(self) -> int:
        """Return the number of states in memory."""
        return self._chains.size()

    def evict(self, keep: int) -> None:
        """Forget clean keys, those that came in first."""
        self._chains.evict(keep)


def _nothing(_a: State, _b: State) -> None:
    """Join no slots: the window's end is set when it is made."""
