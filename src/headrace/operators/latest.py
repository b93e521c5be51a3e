"""State without windows: aggregates over all time, and tables of the latest row per key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace.operators.agent import OperatorSpec
from headrace.operators.logic import NEVER_MS, Emit
from headrace.operators.view import State, StateView
from headrace.state.protocol import Batch
from headrace.time.instants import START_OF_TIME_MS


class AllTimeLogic:
    """Aggregates over all time: one state per key, never closed.

    ``hot`` states have changed since the last cut; ``cold`` ones are as in the store.
    """

    def __init__(self, spec: OperatorSpec, view: StateView, emit: Emit) -> None:
        """Begin with nothing in memory."""
        self._view, self._emit, self._init = view, emit, spec.init
        self._codec, self._keys = view.codec(), view.keys()
        self.hot: dict[Any, State] = {}
        self.cold: dict[Any, State] = {}
        self.get = self.hot.get
        self.next_ms = NEVER_MS
        self._watermark = START_OF_TIME_MS
        self._empty = next(iter(view.scan(view.prefix)), None) is None

    def restore(self, watermark_ms: int) -> None:
        """Take the watermark of the last checkpoint."""
        self._watermark = watermark_ms

    def miss(self, key: Any) -> State:
        """Make the state of a key hot: from memory, from the store, or empty."""
        state = self.cold.pop(key, None)
        if state is None and not self._empty:
            found = self._view.store.get(self._view.prefix + self._keys.encode(key))
            state = None if found is None else self._codec.decode(found)
        if state is None:
            state = self._init()
        self.hot[key] = state
        return state

    def advance(self, watermark_ms: int) -> None:
        """Note the watermark."""
        self._watermark = max(self._watermark, watermark_ms)

    def cut(self, batch: Batch) -> None:
        """Emit and write every changed state."""
        self._emit("update", self.hot.items(), 0, 0, self._watermark)
        put, name, encode, prefix = batch.puts.append, self._view.name, self._keys.encode, self._view.prefix
        for key, state in self.hot.items():
            put((name, prefix + encode(key), self._codec.encode(state)))
        self.cold.update(self.hot)
        self.hot.clear()

    def size(self) -> int:
        """Return the number of states in memory."""
        return len(self.hot) + len(self.cold)

    def evict(self, keep: int) -> None:
        """Forget clean states, those that came in first."""
        for key in list(_first(self.cold, self.size() - keep)):
            self._empty = False
            del self.cold[key]


class TableLogic:
    """The latest row per key: written, never read back by the stream itself. None marks a removed key."""

    def __init__(self, view: StateView, emit: Emit) -> None:
        """Begin with nothing in memory."""
        self._view, self._emit = view, emit
        self._codec, self._keys = view.codec(), view.keys()
        self.hot: dict[Any, State | None] = {}
        self.next_ms = NEVER_MS
        self._watermark = START_OF_TIME_MS

    def restore(self, watermark_ms: int) -> None:
        """Take the watermark of the last checkpoint."""
        self._watermark = watermark_ms

    def advance(self, watermark_ms: int) -> None:
        """Note the watermark."""
        self._watermark = max(self._watermark, watermark_ms)

    def cut(self, batch: Batch) -> None:
        """Emit the changed rows; write them, and remove the keys that are gone."""
        self._emit("update", [(k, st) for k, st in self.hot.items() if st is not None], 0, 0, self._watermark)
        name, prefix = self._view.name, self._view.prefix
        for key, state in self.hot.items():
            raw = prefix + self._keys.encode(key)
            if state is None:
                batch.delete(name, raw)
            else:
                batch.put(name, raw, self._codec.encode(state))
        self.hot.clear()

    def size(self) -> int:
        """Return the number of rows in memory."""
        return len(self.hot)

    def evict(self, keep: int) -> None:
        """Keep all: what is in memory is not yet written."""


def _first(states: dict[Any, State], count: int) -> Iterator[Any]:
    return (key for key, _ in zip(states, range(max(count, 0)), strict=False))
