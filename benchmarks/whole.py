"""Whole processes: ``headrace run`` from file to file against plain closures and Bytewax; memory; start-up."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from benchmarks.events import write_orders
from benchmarks.measure import peak_mb, show

EVENTS = 2_000_000
ROOT = Path(__file__).parent.parent
PYTHON = sys.executable


def wall(*command: str) -> tuple[float, float]:
    """Run a command; return seconds and peak resident megabytes of the process.

    Not what ``wait4`` tells of memory: that of a child begins with what its parent had when it was forked.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, peak_mb(process))
        time.sleep(0.005)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - begin, peak


def headrace(target: str, topic_in: Path, folder: Path) -> tuple[float, float]:
    """Run a topology of this folder over a file into a file, in a fresh data directory."""
    data = folder / f"data-{time.monotonic_ns()}"
    options = ["--input", f"orders={topic_in}", "--output", f"out={data}.out", "--data-dir", str(data), "--no-http"]
    return wall(PYTHON, "-m", "headrace.cli.main", "run", f"benchmarks.topologies:{target}", *options)


def files(folder: Path) -> None:
    """Filter and select, 2,000,000 events, file to file."""
    source = folder / "orders.ndjson"
    write_orders(source, EVENTS, 1_000)
    peers = {"plain closures": "benchmarks.plain_peer"}
    if find_spec("bytewax") is not None:
        peers["Bytewax"] = "benchmarks.bytewax_peer"
    mine = min(headrace("projection", source, folder)[0] for _ in range(2))
    rates = {}
    for name, module in peers.items():
        times = [wall(PYTHON, "-m", module, str(source), str(folder / "peer.out"))[0] for _ in range(2)]
        rates[name] = EVENTS / min(times)
    best = max(rates, key=lambda name: rates[name])
    detail = f"{EVENTS / mine / 1e3:.0f} K/s; " + ", ".join(f"{n} {r / 1e3:.0f} K/s" for n, r in rates.items())
    show(f"headrace run, file to file / {best}", EVENTS / mine / rates[best], ">= 4", detail)


def memory(folder: Path) -> None:
    """Peak resident memory of a worker with 1,000,000 keys and a state cache of 64 MB.

    With all of them in one window, that window emits 1,000,000 rows at once when it closes.
    """
    source = folder / "many.ndjson"
    write_orders(source, 1_000_000, 1_000_000)
    for target, name, bound in (("minutes", "1m windows", "< 400"), ("days", "one window", "none")):
        took, peak = headrace(target, source, folder)
        show(f"peak resident MB, 1,000,000 keys, {name}", peak, bound, f"{1000 / took:.0f} K/s")


def startup() -> None:
    """Import and help against an empty interpreter."""
    for name, target, command in (
        ("import headrace", "<= 0.25 s", ["-c", "import headrace"]),
        ("headrace --help", "<= 0.50 s", ["-m", "headrace.cli.main", "--help"]),
    ):
        extra = [wall(PYTHON, *command)[0] - wall(PYTHON, "-c", "pass")[0] for _ in range(7)]
        show(f"{name}, seconds over python -c pass", statistics.median(extra), target, "median of 7")


def main() -> None:
    """Run all of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files(folder)
        memory(folder)
    startup()


if __name__ == "__main__":
    main()
