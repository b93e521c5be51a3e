"""A day of event time at a hundred times its speed: memory and disk of a worker level off.

``HEADRACE_SOAK_DAY_S`` says for how long, in seconds of the clock; ``make soak`` takes the whole day.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import pytest

from tests.kafka.fleet_harness import SOAK, FleetUnderProof, Worker

SPEED, RATE = 100, 2_000
SECONDS = float(os.environ.get("HEADRACE_SOAK_DAY_S", str(24 * 3600 / SPEED)))
_SAMPLE_S = 5

pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.timeout(SECONDS + 600),
    pytest.mark.skipif(not SOAK, reason="a part of `make soak`"),
]


def test_memory_and_disk_level_off_over_a_day(bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partitions = 4
    monkeypatch.setenv("HEADRACE_SOAK_STEP_MS", str(SPEED * 1000 * partitions // RATE))
    with FleetUnderProof(bootstrap, tmp_path, partitions=partitions) as fleet:
        worker = fleet.worker("only").start()
        fleet.begin(RATE)
        samples: list[tuple[float, float]] = []
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(_SAMPLE_S)
            samples.append((resident_mb(worker), disk_mb(worker)))
        step = max(1, len(samples) // 24)
        for place, (memory, disk) in list(enumerate(samples, 1))[step - 1 :: step]:
            hours = place * _SAMPLE_S * SPEED / 3600
            print(f"{hours:5.1f} h of event time: {memory:6.1f} MB resident, {disk:6.1f} MB on disk")
        for name, values in (("memory", [s[0] for s in samples]), ("disk", [s[1] for s in samples])):
            half, last = values[len(values) // 4 : len(values) // 2], values[3 * len(values) // 4 :]
            assert statistics.mean(last) < 1.25 * max(half) + 16, f"{name} grows: {values}"
        fleet.measured("a day", 5)
        fleet.end()


def resident_mb(worker: Worker) -> float:
    """Return the memory of a worker's process."""
    assert worker.process is not None
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def disk_mb(worker: Worker) -> float:
    """Return the size of a worker's state directory, whose files come and go."""
    total = 0
    for file in worker.state.glob("*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total / 1_000_000
