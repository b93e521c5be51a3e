"""A job on the embedded worker: its topics in the log, records at their places, until all of them are committed."""

from __future__ import annotations

import threading
import time
from itertools import groupby
from pathlib import Path

from headrace.config import WorkerSettings
from headrace.runtime.log import LogBatch
from headrace.runtime.records import Headers, Records
from headrace.runtime.worker import Worker
from tests.parity.job import Job, Phase, Results, letter, row, table

_LONGEST_S = 60


class _Spread(Worker):
    """Gives every topic all partitions, as topics on Kafka have them, whatever the sources say about keys."""

    def _partitions(self, topic: str) -> int:
        return self.settings.partitions


def run_embedded(job: Job, directory: Path) -> list[Results]:
    """Return the results at the end of each phase."""
    settings = WorkerSettings.of(
        data_dir=directory / "data", partitions=job.partitions, checkpoint_interval="20ms", fsync=False
    )
    with _Spread(job.topologies, settings) as worker:
        running = threading.Thread(target=worker.run)
        running.start()
        try:
            return [_after(worker, running, phase, job) for phase in job.phases]
        finally:
            worker.stop()
            running.join(_LONGEST_S)


def _after(worker: Worker, running: threading.Thread, phase: Phase, job: Job) -> Results:
    for (topic, partition), group in groupby(phase.records, lambda record: (record.topic, record.partition)):
        some = list(group)
        columns = [r.value for r in some], [r.key for r in some], [r.time_ms for r in some]
        worker.log.append(topic, partition, Records(*columns))
        worker._wake.set()
    time.sleep(phase.silence_s)
    deadline = time.monotonic() + _LONGEST_S
    while not _settled(worker):
        assert running.is_alive(), "the worker has ended"
        assert time.monotonic() < deadline, "the worker does not come to the end of its input"
        time.sleep(0.005)
    return _results(worker, job)


def _settled(worker: Worker) -> bool:
    return all(
        feeder.committed == worker.log.end(feeder.topic, feeder.partition or 0) and not pipeline.engine.pending
        for pipeline in worker._pipelines.values()
        for feeder in pipeline.feeders
    )


def _results(worker: Worker, job: Job) -> Results:
    results = Results()
    for topic in job.outputs(worker.plans):
        results.outputs[topic] = [row(*one[:3]) for batch in _batches(worker, topic) for one in _rows(batch)]
    for plan in worker.plans:
        for batch in _batches(worker, plan.dead_letter_topic):
            results.letters += [letter(key, value, headers) for key, value, _, headers in _rows(batch)]
        engine = worker.engines[plan.name]
        results.tables |= {f"{plan.name}/{name}": table(reader.scan()) for name, reader in engine.tables.items()}
    results.late = worker.status().late
    return results


def _batches(worker: Worker, topic: str) -> list[LogBatch]:
    partitions = worker.log.partitions(topic) or 0
    return [worker.log.read(topic, n, 0, max_records=1_000_000) for n in range(partitions)]


def _rows(batch: LogBatch) -> list[tuple[bytes | None, bytes, int, Headers]]:
    headers = batch.headers or [()] * len(batch.values)
    return list(zip(batch.keys, batch.values, batch.times, headers, strict=True))
