"""What units a worker has, the restores that are under way, and what is counted of both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from headrace.kafka.model import Partition, Position
from headrace.kafka.opening import Opened, UnitId
from headrace.kafka.unit import State, Unit
from headrace.runtime.task import shrink

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0


@dataclass(slots=True)
class FleetCounters:
    """What has happened since the worker started."""

    commits: int = 0
    commit_failures: int = 0
    reopened: int = 0
    fenced_workers: int = 0
    dropped_batches: int = 0


class Holding:
    """The units by id and by partition, and what is committed of each partition. No method waits but the last."""

    def __init__(self) -> None:
        """Begin with no units."""
        self.units: dict[UnitId, Unit] = {}
        self.by_partition: dict[Partition, Unit] = {}
        self.committed: dict[Partition, Position] = {}
        self._restores: dict[UnitId, asyncio.Task[None]] = {}

    @property
    def running(self) -> list[Unit]:
        """The units that take records."""
        return [unit for unit in self.units.values() if unit.state is State.RUNNING]

    def begin(self, opened: Opened, restore: Coroutine[Any, Any, None]) -> None:
        """Take a unit in, and have it restored in the background."""
        unit = opened.unit
        unit_id = (unit.component.name, unit.partition)
        unit.become(State.RESTORING)
        self.units[unit_id] = unit
        self.by_partition |= dict.fromkeys(unit.partitions, unit)
        self.committed |= opened.positions
        self._restores[unit_id] = asyncio.create_task(restore, name=f"restore {unit.component.name}/{unit.partition}")

    def restored(self, unit: Unit) -> bool:
        """Let a unit run; False: it was closed meanwhile."""
        unit_id = (unit.component.name, unit.partition)
        if self.units.get(unit_id) is not unit:
            return False
        del self._restores[unit_id]
        unit.become(State.RUNNING)
        return True

    def suspend(self) -> None:
        """Let all running units wait for the end of a rebalance, and close those that are not there yet."""
        for unit_id, unit in list(self.units.items()):
            if unit.state is State.RUNNING:
                unit.become(State.SUSPENDED)
            else:
                self.close(unit_id)

    def close(self, unit_id: UnitId) -> None:
        """Close a unit."""
        unit = self.units.pop(unit_id)
        restore = self._restores.pop(unit_id, None)
        if restore is not None:
            restore.cancel()
        for partition in unit.partitions:
            self.by_partition.pop(partition, None)
            self.committed.pop(partition, None)
        unit.become(State.CLOSED)

    def close_all(self) -> None:
        """Close all units."""
        for unit_id in list(self.units):
            self.close(unit_id)

    @property
    def state_bytes(self) -> int:
        """About how many bytes of states are in memory."""
        return sum(unit.state_bytes for unit in self.units.values())

    @property
    def output_bytes(self) -> int:
        """About how many bytes wait for the next commit, and for their turn."""
        return sum(unit.output_bytes for unit in self.units.values())

    def evict(self, cache_bytes: int) -> None:
        """Forget clean states of running units, if there are too many."""
        shrink([task for unit in self.running for task in unit.tasks.values()], cache_bytes)

    async def stop_restoring(self) -> None:
        """End all restores."""
        restores = list(self._restores.values())
        for restore in restores:
            restore.cancel()
        await asyncio.gather(*restores, return_exceptions=True)


class Backoff:
    """When to try again: soon at first, then less and less often."""

    def __init__(self) -> None:
        """Begin without a pause."""
        self._until, self._pause_s = 0.0, _FIRST_PAUSE_S

    @property
    def over(self) -> bool:
        """Whether the pause is over."""
        return time.monotonic() >= self._until

    def wait(self, seconds: float | None = None) -> None:
        """Begin a pause: of so many seconds, or longer than the last one."""
        self._until = time.monotonic() + (self._pause_s if seconds is None else seconds)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)

    def reset(self) -> None:
        """Begin with a short pause the next time."""
        self._pause_s = _FIRST_PAUSE_S
