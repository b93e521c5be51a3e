"""When the worker's loop does what."""

from __future__ import annotations

import time

ADVANCE_S = 0.1
PROGRESS_S = 0.5
RETENTION_S = 10.0
# Nobody waits for the results of a bounded run from one checkpoint to the next: they may take
# a tenth of the time, and come once a second at least.
_STRETCH = 9.0
_STRETCHED_S = 1.0


def wall_clock_ms() -> int:
    """Return the time of day in epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Schedule:
    """What is due, by the monotonic clock. Each ``..._due`` says yes once per period.

    ``stretch``: checkpoints that take long come less often.
    """

    def __init__(self, checkpoint_s: float, *, stretch: bool) -> None:
        """Begin now; ``checkpoint_s`` is the time from the end of a checkpoint to the next."""
        now = time.monotonic()
        self._interval = checkpoint_s
        self._stretch = stretch
        self._checkpoint_at = now + checkpoint_s
        self._advance_at = now
        self._progress_at = now + PROGRESS_S
        self._retention_at = now

    def checkpoint_due(self, *, full: bool) -> bool:
        """Tell whether it is time for a checkpoint, or the memory asks for one."""
        return full or time.monotonic() >= self._checkpoint_at

    def checkpointed(self, began: float) -> None:
        """Take note of a checkpoint that began at this monotonic time."""
        now = time.monotonic()
        wait = self._interval
        if self._stretch:
            wait = max(wait, min(_STRETCH * (now - began), _STRETCHED_S))
        self._checkpoint_at = now + wait

    def advance_due(self) -> bool:
        """Tell whether the engines should look at the clock."""
        now = time.monotonic()
        if now < self._advance_at:
            return False
        self._advance_at = now + ADVANCE_S
        return True

    def progress_due(self) -> bool:
        """Tell whether progress should be shown."""
        now = time.monotonic()
        if now < self._progress_at:
            return False
        self._progress_at = now + PROGRESS_S
        return True

    def retention_due(self) -> bool:
        """Tell whether the log should be trimmed."""
        now = time.monotonic()
        if now < self._retention_at:
            return False
        self._retention_at = now + RETENTION_S
        return True

    def idle_s(self, *, pending: bool) -> float:
        """Return how long the loop may sleep when it has nothing to do."""
        if not pending:
            return ADVANCE_S
        return min(max(self._checkpoint_at - time.monotonic(), 0.0), ADVANCE_S)
