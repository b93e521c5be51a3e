"""A small topology of its own, and its results recomputed from the input in plain Python.

Run as a program it is the worker that the tests kill: ``fleet_under_test.py DATA INPUT REPORT FAILURES``.
"""

import json
import random
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from headrace import Topology, agg, col, tumbling
from headrace.config import WorkerSettings
from headrace.runtime.signals import stop_on_signals
from headrace.runtime.worker import Worker

START_MS = 1_700_000_000_000
MINUTE_MS = 60_000


class Attempt(BaseModel):
    user: str
    at: datetime
    outcome: str
    number: int


def make_topology() -> Topology:
    topology = Topology("attempts")
    attempts = topology.source("attempts", topic="attempts", schema=Attempt, time=col.at, out_of_orderness="2s")
    attempts.filter("failed", col.outcome == "failed").sink("failures", topic="failures")
    counts = (
        attempts.group_by("by-user", col.user)
        .window(tumbling("1m"))
        .aggregate("per-minute", n=agg.count(), highest=agg.max(col.number))
    )
    counts.on_close().sink("report", topic="report")
    return topology


topology = make_topology()


def write_input(path: Path, count: int, *, seed: int = 7) -> None:
    pick = random.Random(seed)
    with path.open("w") as file:
        for number in range(count):
            at_ms = START_MS + number * 40 + pick.randrange(-900, 900)
            record = {
                "user": f"u{pick.randrange(50)}",
                "at": datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(),
                "at_ms": at_ms,
                "outcome": pick.choice(["failed", "succeeded"]),
                "number": number,
            }
            file.write(json.dumps(record) + "\n")


def expected_report(path: Path) -> Counter[tuple[str, int, int]]:
    groups: dict[tuple[str, int], list[int]] = {}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        groups.setdefault((record["user"], record["at_ms"] // MINUTE_MS), []).append(record["number"])
    return Counter((user, len(numbers), max(numbers)) for (user, _), numbers in groups.items())


def expected_failures(path: Path) -> list[int]:
    records = map(json.loads, path.read_text().splitlines())
    return [record["number"] for record in records if record["outcome"] == "failed"]


def report(lines: Iterable[str]) -> Counter[tuple[str, int, int]]:
    rows = map(json.loads, lines)
    return Counter((row["user"], row["n"], row["highest"]) for row in rows)


def main(data: str, source: str, report_path: str, failures_path: str) -> None:
    # Small steps, so that a kill meets a run in its middle.
    settings = WorkerSettings.of(data_dir=data, read_bytes=4096, checkpoint_interval="5ms", cache_bytes=200_000)
    outputs = {"report": report_path, "failures": failures_path}
    with Worker([topology], settings, inputs={"attempts": [source]}, outputs=outputs) as worker:
        print("up", flush=True)
        with stop_on_signals(worker):
            print(json.dumps(worker.run().to_json()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
