"""What a task needs of a stateful step at run time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from headrace.operators.footprint import Footprint
from headrace.state.protocol import Batch

NEVER_MS = 1 << 63  # later than the end of time

FAILED = "failed"
"""No port that can be read: an item (key, (event time, error, columns)) that is emitted on it is a dead letter."""

Emit = Callable[[str, Iterable[tuple[Any, Any]], int, int, int], None]
"""Emit rows on a port: (port, (key, state) pairs, window start, window end, watermark of the output)."""


class Logic(Protocol):
    """A stateful step of one task: synchronous, without I/O but reads of its own committed state.

    ``next_ms`` is the watermark at which ``advance`` has something to do. ``closed_ms`` is the
    highest watermark at which it has closed something. ``footprint`` knows how big its states are.
    """

    next_ms: int
    closed_ms: int
    footprint: Footprint

    def restore(self, watermark_ms: int) -> None:
        """Take up the state of the last checkpoint, whose watermark this is."""

    def catch_up(self) -> None:
        """Do with the records of the batch what is left to do; called at the end of each."""

    def advance(self, watermark_ms: int) -> None:
        """Move event time on: close windows, emit what is due."""

    def cut(self, batch: Batch) -> None:
        """Emit the changes since the last cut, and add all changed state to the batch."""

    def size(self) -> int:
        """Return the number of states in memory."""

    def evict(self, keep: int) -> None:
        """Forget clean states until at most ``keep`` are left."""
