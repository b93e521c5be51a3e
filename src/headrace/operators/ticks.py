"""When early results are due: at every multiple of an interval that the watermark passes."""

from __future__ import annotations

from headrace.operators.logic import NEVER_MS
from headrace.time.instants import START_OF_TIME_MS


class Ticks:
    """The intervals of one step and when each is due next."""

    __slots__ = ("due", "intervals")

    def __init__(self, intervals: tuple[int, ...]) -> None:
        """Begin with nothing due."""
        self.intervals = intervals
        self.due = dict.fromkeys(intervals, NEVER_MS)

    def begin(self, watermark_ms: int) -> None:
        """Plan from a watermark on: there is something to emit again."""
        for interval in self.intervals:
            self.due[interval] = (max(watermark_ms, START_OF_TIME_MS) // interval + 1) * interval

    @property
    def next_ms(self) -> int:
        """When the first interval is due."""
        return min(self.due.values(), default=NEVER_MS)

    def take(self, at_ms: int, watermark_ms: int) -> list[int]:
        """Return the intervals due by ``at_ms`` and plan them anew behind the watermark."""
        taken = [interval for interval in self.intervals if self.due[interval] <= at_ms]
        for interval in taken:
            self.due[interval] = (watermark_ms // interval + 1) * interval
        return taken
