"""Tables: the latest row per key."""

from __future__ import annotations

from typing import Any

from headrace.operators.footprint import Footprint
from headrace.operators.logic import NEVER_MS, Emit
from headrace.operators.view import State, StateView
from headrace.state.protocol import Batch
from headrace.time.instants import START_OF_TIME_MS


class TableLogic:
    """The latest row per key: written, never read back by the stream itself. None marks a removed key."""

    def __init__(self, view: StateView, emit: Emit) -> None:
        """Begin with nothing in memory."""
        self._view, self._emit = view, emit
        self._codec, self._keys = view.codec(), view.keys()
        self.hot: dict[Any, State | None] = {}
        self.next_ms = NEVER_MS
        self.closed_ms = START_OF_TIME_MS
        self.footprint = Footprint()
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
        name, prefix, begin = self._view.name, self._view.prefix, len(batch.puts)
        for key, state in self.hot.items():
            raw = prefix + self._keys.encode(key)
            if state is None:
                batch.delete(name, raw)
            else:
                batch.put(name, raw, self._codec.encode(state))
        self.footprint.learn(batch.puts, begin)
        self.hot.clear()

    def size(self) -> int:
        """Return the number of rows in memory."""
        return len(self.hot)

    def evict(self, keep: int) -> None:
        """Keep all: what is in memory is not yet written."""
