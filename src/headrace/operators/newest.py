"""The newest row of each key, of windows that are as many as there are records.

It is what their table holds, what an update is, and what an early emission gives.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.operators.logic import NEVER_MS, Emit
from headrace.operators.view import State, StateView
from headrace.state.protocol import Batch


class Newest:
    """Rows that have closed since the last cut, and since the last turn of each interval.

    ``next_ms`` is when the first interval is due.
    """

    def __init__(self, view: StateView, emit: Emit, intervals: tuple[int, ...]) -> None:
        """Begin with no row."""
        self._view, self._emit = view, emit
        self._codec, self._keys = view.codec(), view.keys()
        self._due = dict.fromkeys(intervals, NEVER_MS)
        self.next_ms = NEVER_MS
        self._owed: dict[int, dict[Any, State]] = {interval: {} for interval in intervals}
        self._rows: dict[Any, State] = {}

    def closed(self, key: Any, row: State, at_ms: int) -> None:
        """Take a row that closed at watermark ``at_ms``."""
        self._rows[key] = row
        for interval, owed in self._owed.items():
            if not owed:
                self._due[interval] = (at_ms // interval + 1) * interval
                self.next_ms = min(self._due.values())
            owed[key] = row

    def emit_early(self, due_ms: int, watermark_ms: int) -> None:
        """Emit what the intervals that are due by ``due_ms`` owe; rows of the last turn may be that far behind."""
        for interval, owed in self._owed.items():
            if self._due[interval] <= due_ms:
                rows = [(key, owed[key]) for key in sorted(owed, key=self._keys.encode)]
                self._due[interval] = NEVER_MS
                owed.clear()
                self._emit(f"every:{interval}", rows, 0, 0, watermark_ms - interval)
        self.next_ms = min(self._due.values(), default=NEVER_MS)

    def emit_updates(self, watermark_ms: int) -> None:
        """Emit what has closed since the last cut."""
        self._emit("update", self._rows.items(), 0, 0, watermark_ms)

    def forget(self, batch: Batch, key: Any, raw: bytes) -> None:
        """Remove the row of a key from the table."""
        self._rows.pop(key, None)
        batch.delete(self._view.name, self._view.prefix + raw)

    def cut(self, batch: Batch) -> None:
        """Write the rows, and what is owed: it must not depend on when a checkpoint was."""
        prefix, encode, pack = self._view.prefix, self._keys.encode, self._codec.encode
        for key, row in self._rows.items():
            batch.put(self._view.name, prefix + encode(key), pack(row))
        self._rows.clear()
        if self._owed:
            owed = [
                (interval, self._due[interval], [(encode(key), pack(row)) for key, row in rows.items()])
                for interval, rows in self._owed.items()
            ]
            batch.put(f"{self._view.name}/pending", prefix, msgspec.msgpack.encode(owed))

    def restore(self) -> None:
        """Take up what is owed."""
        data = self._view.beside("pending").get(self._view.prefix) if self._owed else None
        for interval, due, rows in () if data is None else msgspec.msgpack.decode(data):
            if interval in self._owed:
                self._due[interval] = due
                self._owed[interval] = {self._keys.decode(key): self._codec.decode(row) for key, row in rows}
        self.next_ms = min(self._due.values(), default=NEVER_MS)
