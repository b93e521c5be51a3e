"""Nexmark q0 to q8: ``headrace run`` from a file into a file, whole processes, beside Flink's published figures.

The rate is of all events of the file, also for queries that read few of them, as Flink counts; per core: events by the
processor time of the whole process, all its threads, start-up included. Flink's figures are "Throughput/Cores" of
https://github.com/nexmark/nexmark (Flink 1.13, 100,000,000 events, 8 workers on other machines, a generator in place
of a file): a rough comparison.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import show
from topologies.nexmark.generator import events
from topologies.nexmark.source import TOPIC

EVENTS = 1_000_000
ROOT = Path(__file__).parent.parent
FLINK = {"q0": 155, "q1": 158, "q2": 175, "q3": 152, "q4": 34, "q5": 22, "q7": 12, "q8": 146}
QUERIES = tuple(f"q{number}" for number in range(9))


def run(query: str, source: Path, folder: Path) -> tuple[float, float]:
    """Run a query over the file in a process of its own; return seconds by the clock and of processor time."""
    options = [f"--input={TOPIC}={source}", f"--output=nexmark.{query}={folder / query}.out", "--no-http"]
    target = [f"topologies.nexmark.{query}", "--data-dir", str(folder / query)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "headrace.cli.main", "run", *target, *options],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    took = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def machine() -> str:
    """Return what this runs on, in a line."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")]
    model = names[0] if names else platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}"


def main() -> None:
    """Run all queries."""
    print(f"Nexmark, {EVENTS:,} events, on {machine()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "events.ndjson"
        with source.open("wb") as file:
            file.writelines(line + b"\n" for line in events(EVENTS))
        for query in QUERIES:
            took, cpu = run(query, source, folder)
            rate, flink = EVENTS / cpu / 1e3, FLINK.get(query)
            target = "none" if flink is None else f">= {flink}"
            show(f"{query}, K events/s per core", rate, target, f"{EVENTS / took / 1e3:.0f} K/s by the clock")


if __name__ == "__main__":
    main()
