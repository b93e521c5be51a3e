"""Run a job on every driver and compare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.parity.compare import Promise, faults
from tests.parity.job import Job, Results
from tests.parity.on_driver import run_on_driver
from tests.parity.on_embedded import run_embedded
from tests.parity.on_kafka import run_on_kafka

Run = Callable[[], list[Results]]


def drivers(job: Job, directory: Path, bootstrap: str) -> dict[str, Run]:
    """Return what runs the job, by name; the first is what the others are compared with."""
    return {
        "test driver": lambda: run_on_driver(job),
        "test driver, one record at a time": lambda: run_on_driver(job, batch=1),
        "embedded worker": lambda: run_embedded(job, directory),
        "Kafka": lambda: run_on_kafka(job, directory, bootstrap),
    }


def check(job: Job, promise: Promise, directory: Path, bootstrap: str) -> None:
    """Fail unless all drivers come to the same results at the end of every phase."""
    first, *others = drivers(job, directory, bootstrap).items()
    expected = first[1]()
    assert any(results.tables or any(results.outputs.values()) for results in expected), "a job without results"
    found = []
    for name, run in others:
        for number, (got, wanted) in enumerate(zip(run(), expected, strict=True)):
            found += [f"{name}, phase {number}: {fault}" for fault in faults(got, wanted, promise)]
    assert not found, "\n".join(found)
