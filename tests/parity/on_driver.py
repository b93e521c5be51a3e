"""A job on the test driver: one for each topology, what one writes piped into those that read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from headrace.testing import TopologyDriver
from headrace.testing.outputs import OutputRecord
from tests.parity.job import Job, Phase, Record, Results, letter, place, reads, row, table, writes

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def run_on_driver(job: Job, *, batch: int | None = None) -> list[Results]:
    """Return the results at the end of each phase."""
    running = _Drivers(job, batch)
    return [running.after(phase) for phase in job.phases]


class _Drivers:
    def __init__(self, job: Job, batch: int | None) -> None:
        self._job = job
        self._drivers = [TopologyDriver(t, partitions=job.partitions, batch=batch) for t in job.topologies]
        self._topics = job.outputs(driver.plan for driver in self._drivers)
        self._so_far = Results({topic: [] for topic in self._topics})

    def after(self, phase: Phase) -> Results:
        for record in phase.records:
            if record.topic in self._so_far.outputs:  # between two topologies: readers of the topic find it there
                self._so_far.outputs[record.topic].append(row(record.key, record.value, record.time_ms))
            self._pipe(record)
        for driver in self._drivers:
            driver.checkpoint()
            self._pass_on(driver)
        if phase.silence_s:
            for driver in self._drivers:
                driver.advance(timedelta(seconds=phase.silence_s))
                self._pass_on(driver)
        return self._results()

    def _pipe(self, record: Record) -> None:
        time = _EPOCH + record.time_ms * _MS
        for driver in self._drivers:
            if reads(driver.plan, record.topic):
                driver.pipe(record.topic, record.value, time=time, key=record.key, partition=record.partition)

    def _pass_on(self, driver: TopologyDriver) -> None:
        for topic in self._topics:
            if not writes(driver.plan, topic):
                continue
            for written in driver.records(topic):
                time_ms = _time_ms(written)
                self._so_far.outputs[topic].append(row(written.key, written.value, time_ms))
                to = place(written.key, self._job.partitions)
                self._pipe(Record(topic, to, written.key, written.value, time_ms or 0))

    def _results(self) -> Results:
        tables: dict[str, list[str]] = {}
        late = 0
        for driver in self._drivers:
            letters = driver.records(driver.plan.dead_letter_topic)
            self._so_far.letters += [letter(one.key, one.value, one.headers) for one in letters]
            name = driver.plan.name
            tables |= {f"{name}/{spec.name}": table(driver.table(spec.name)) for spec in driver.plan.tables}
            late += driver.stats.late
        outputs = {topic: list(rows) for topic, rows in self._so_far.outputs.items()}
        return Results(outputs, tables, list(self._so_far.letters), late)


def _time_ms(record: OutputRecord) -> int | None:
    return None if record.time is None else (record.time - _EPOCH) // _MS
