"""The logic of a step that keeps nothing."""

from __future__ import annotations

from headrace.operators.footprint import Footprint
from headrace.operators.logic import NEVER_MS
from headrace.state.protocol import Batch
from headrace.time.instants import START_OF_TIME_MS


class Stateless:
    """The logic of a step that keeps nothing."""

    def __init__(self) -> None:
        """Have nothing to do, ever."""
        self.next_ms = NEVER_MS
        self.closed_ms = START_OF_TIME_MS
        self.footprint = Footprint()

    def restore(self, watermark_ms: int) -> None:
        """Do nothing."""

    def catch_up(self) -> None:
        """Do nothing."""

    def advance(self, watermark_ms: int) -> None:
        """Do nothing."""

    def cut(self, batch: Batch) -> None:
        """Do nothing."""

    def size(self) -> int:
        """Return that nothing is kept."""
        return 0

    def evict(self, keep: int) -> None:
        """Do nothing."""
