"""The log lines of a fleet's worker: what it was given, what it restored, what it does; nothing if nothing changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import TYPE_CHECKING

from headrace.cli.console import counted

if TYPE_CHECKING:
    from headrace.kafka.model import Partition
    from headrace.kafka.status import WorkerStatus

Say = Callable[[str], None]

_TOTALS_S = 5.0


class Narrator:
    """Turns one status after another into lines."""

    def __init__(self, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with a worker that has nothing."""
        self._say, self._clock = say, clock
        self._assigned: frozenset[Partition] = frozenset()
        self._running = self._idle_told = False
        self._busy_since = self._looked_at = clock()
        self._restored = 0
        self._told_at, self._told = clock(), (0,) * 6
        self._records = 0
        self._last: WorkerStatus | None = None

    def tell(self, status: WorkerStatus) -> None:
        """Say what has changed."""
        now, self._last = self._clock(), status
        if status.assigned != self._assigned:
            self._assign(status.assigned)
        if status.restoring and self._running:
            self._running, self._busy_since = False, self._looked_at
        if status.assigned and not status.restoring and not self._running:
            self._run(status, now)
        if now - self._told_at >= _TOTALS_S:
            self._totals(status, now)
        self._looked_at = now

    def end(self) -> None:
        """Say what was done in all."""
        if self._last is not None:
            self._say(f"stopped: {_line(self._last)}")

    def _assign(self, assigned: frozenset[Partition]) -> None:
        if self._running or not self._assigned:
            # Since the last look: a short restore begins and ends between two of them.
            self._busy_since = self._looked_at
        self._assigned, self._running, self._idle_told = assigned, False, not assigned
        self._say(f"partitions assigned: {describe(assigned)}" if assigned else "no partitions assigned")

    def _run(self, status: WorkerStatus, now: float) -> None:
        records, self._restored = status.restored - self._restored, status.restored
        if records:
            self._say(f"restored {records:,} records in {now - self._busy_since:.1f} s")
        self._say(f"running: {status.tasks} tasks on {len(status.assigned)} partitions")
        self._running = True

    def _totals(self, status: WorkerStatus, now: float) -> None:
        seconds, self._told_at = now - self._told_at, now
        rate, self._records = (status.records_in - self._records) / seconds, status.records_in
        if not (status.assigned or self._idle_told):
            self._idle_told = True
            self._say("no partitions assigned: waiting for others to leave, or for a rebalance to end")
        if status.restoring and status.to_restore:
            self._say(f"restoring: {status.restored - self._restored:,} records, {status.to_restore:,} left")
        counts = (
            status.records_in,
            status.records_out,
            status.late,
            status.dead_letters,
            status.skipped,
            status.commit_failures,
        )
        if counts != self._told:
            self._told = counts
            self._say(_line(status, rate))


def _line(status: WorkerStatus, rate: float | None = None) -> str:
    parts = [f"{status.records_in:,} in", f"{status.records_out:,} out"]
    parts += [f"{rate:,.0f}/s"] if rate is not None else []
    parts += [f"{status.late:,} late"] if status.late else []
    parts += [counted(status.dead_letters, "dead letter")] if status.dead_letters else []
    parts += [f"{status.skipped:,} skipped"] if status.skipped else []
    parts += [counted(status.commits, "commit")]
    parts += [f"{status.commit_failures:,} taken back"] if status.commit_failures else []
    parts += [f"{status.wiped:,} local states rebuilt"] if status.wiped else []
    return ", ".join(parts)


def describe(partitions: Iterable[Partition]) -> str:
    """Return partitions by topic, with runs of numbers: ``orders 0-3, 5; payments 1``."""
    parts = []
    for topic, found in groupby(sorted(partitions), key=lambda partition: partition[0]):
        numbers = [number for _, number in found]
        runs: list[list[int]] = []
        for number in numbers:
            if runs and runs[-1][-1] == number - 1:
                runs[-1].append(number)
            else:
                runs.append([number])
        texts = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
        parts.append(f"{topic} {', '.join(texts)}")
    return "; ".join(parts)
