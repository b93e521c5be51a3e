"""Run the command line as a user does: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

FLEET = """
from datetime import datetime
from pydantic import BaseModel, Field
from headrace import Topology, agg, col, tumbling
from headrace.event import Event

class Order(BaseModel):
    id: str
    country: str
    amount: int = Field(ge=0)
    at: datetime

class Shipped(Event, type="shop.shipped", version=1):
    order: str

topology = Topology("shop")
orders = topology.source("orders", topic="orders", schema=Order, time=col.at)
orders.filter("big", col.amount >= 100).sink("big-out", topic="big-orders")
per_minute = (
    orders.group_by("by-country", col.country)
    .window(tumbling("1m"))
    .aggregate("revenue", orders=agg.count(), total=agg.sum(col.amount))
)
per_minute.on_close().sink("report", topic="revenue-per-minute")
"""

ORDERS = """\
{"id": "1", "country": "DE", "amount": 100, "at": "2024-05-01T12:00:00Z"}
{"id": "2", "country": "FR", "amount": 7, "at": "2024-05-01T12:00:10Z"}
{"id": "3", "country": "DE", "amount": 250, "at": "2024-05-01T12:00:59Z"}
{"id": "4", "country": "DE", "amount": 1, "at": "2024-05-01T12:01:00Z"}
"""


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "headrace.cli.main", *args]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200"}


def headrace(*args: str, cwd: Path, stdin: str = "") -> Done:
    done = subprocess.run(
        command(*args), cwd=cwd, env=environment(), input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[str]
    url: str

    def stop(self, number: int) -> Done:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return Done(self.process.returncode, out, err)


@contextmanager
def running(*args: str, cwd: Path) -> Iterator[Running]:
    """Run a worker that takes events over HTTP on a free port."""
    process = subprocess.Popen(
        command("run", *args, "--http", "127.0.0.1:0"),
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stderr is not None
            first = process.stderr.readline()
            assert first.startswith("listening on http://"), first + process.stderr.read()
            yield Running(process, first.split()[-1])
        finally:
            process.kill()
