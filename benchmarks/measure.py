"""Measuring in turns: A B A B ..., best of each, so that a slow moment of the machine hits both."""

from __future__ import annotations

import gc
import subprocess
import time
from collections.abc import Callable
from pathlib import Path


def seconds(run: Callable[[], object]) -> float:
    """Return the processor time of one call, garbage collected before it."""
    gc.collect()
    begin = time.process_time()
    run()
    return time.process_time() - begin


def in_turns(first: Callable[[], object], second: Callable[[], object], *, rounds: int = 3) -> tuple[float, float]:
    """Return the best time of each."""
    pairs = [(seconds(first), seconds(second)) for _ in range(rounds)]
    return min(a for a, _ in pairs), min(b for _, b in pairs)


def show(name: str, ratio: float, target: str, detail: str) -> None:
    """Print one line of the table."""
    print(f"{name:<58} {ratio:>7.2f}  target {target:<12} {detail}", flush=True)


def peak_mb(process: subprocess.Popen[bytes]) -> float:
    """Return the peak resident memory of a process so far, in megabytes; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0) / 1024
