"""What a worker is doing, as one value: for its log lines, and for whoever else wants to know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headrace.kafka.fleet import Fleet
from headrace.kafka.model import Partition
from headrace.kafka.unit import State, Unit


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker at one moment. Counts are since it started."""

    running: frozenset[Partition] = frozenset()
    restoring: frozenset[Partition] = frozenset()
    """Input partitions whose state is being restored."""
    tasks: int = 0
    restored: int = 0
    """Changelog records that were replayed."""
    to_restore: int = 0
    """Changelog records that are still to be replayed, gaps counted too."""
    wiped: int = 0
    records_in: int = 0
    records_out: int = 0
    late: int = 0
    dead_letters: int = 0
    skipped: int = 0
    commits: int = 0
    commit_failures: int = 0
    reopened: int = 0
    fenced_workers: int = 0

    @property
    def assigned(self) -> frozenset[Partition]:
        """All partitions that this worker has."""
        return self.running | self.restoring


class Observer:
    """Adds up what units count: they begin anew when they are opened anew, and go when they are closed.

    Look often: a unit that was opened and closed between two looks is missing from the sums.
    """

    def __init__(self) -> None:
        self._units: dict[int, Unit] = {}
        self._gone = _Counts()

    def look(self, fleet: Fleet) -> WorkerStatus:
        """Return the status now."""
        units = {id(unit): unit for unit in fleet.units.values()}
        for key, unit in self._units.items():
            if key not in units:
                self._gone += _counts(unit)
        self._units = units
        total = sum((_counts(unit) for unit in units.values()), self._gone)
        counters, restorer = fleet.counters, fleet.restorer
        return WorkerStatus(
            running=_partitions(units.values(), State.RUNNING, State.SUSPENDED),
            restoring=_partitions(units.values(), State.CREATED, State.RESTORING),
            tasks=sum(len(unit.tasks) for unit in units.values()),
            restored=restorer.restored,
            to_restore=sum(max(0, one.end - one.position) for one in restorer.progress.values()),
            wiped=restorer.wiped,
            records_in=total.records_in,
            records_out=sum(collector.records_out for collector in fleet.collectors.values()),
            late=total.late,
            dead_letters=total.dead_letters,
            skipped=total.skipped,
            commits=counters.commits,
            commit_failures=counters.commit_failures,
            reopened=counters.reopened,
            fenced_workers=counters.fenced_workers,
        )


@dataclass(frozen=True, slots=True)
class _Counts:
    records_in: int = 0
    late: int = 0
    dead_letters: int = 0
    skipped: int = 0

    def __add__(self, other: _Counts) -> _Counts:
        return _Counts(
            self.records_in + other.records_in,
            self.late + other.late,
            self.dead_letters + other.dead_letters,
            self.skipped + other.skipped,
        )


def _counts(unit: Unit) -> _Counts:
    # What comes by repartition topics are bundles of records that were counted where they came in.
    passed_on = all(reading.exchange for reading in unit.component.readings)
    counters = [task.counters for task in unit.tasks.values()]
    return _Counts(
        0 if passed_on else unit.records_in,
        sum(sum(one.late.values()) for one in counters),
        sum(one.dead_letters for one in counters),
        sum(one.skipped for one in counters),
    )


def _partitions(units: Iterable[Unit], *states: State) -> frozenset[Partition]:
    return frozenset(partition for unit in units if unit.state in states for partition in unit.partitions)
