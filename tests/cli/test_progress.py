"""What a run shows of itself: plain lines, and a live one on a terminal."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from headrace.cli.progress import progress, report
from headrace.runtime.summary import Summary, TopologySummary
from tests.cli.commands import ORDERS, command, environment

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def summary(records: int, elapsed_s: float, *, watermark: datetime | None = NOON, letters: int = 0) -> Summary:
    return Summary((TopologySummary("shop", records, 0, letters, 0, 0, watermark),), elapsed_s)


def test_plain_lines_come_every_five_seconds_with_rate_and_watermark(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with progress(live=False, clock=clock) as show:
        for second in range(1, 12):
            clock.now_s = float(second)
            show(summary(100 * second, float(second)))

    assert capsys.readouterr().err.splitlines() == [
        "500 in, 0 out, 100/s, 5.0 s, watermark 2024-05-01 12:00:00Z",
        "1,000 in, 0 out, 100/s, 10.0 s, watermark 2024-05-01 12:00:00Z",
    ]


def test_an_idle_worker_says_nothing_though_its_watermark_moves(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with progress(live=False, clock=clock) as show:
        for second in range(5, 60, 5):
            clock.now_s = float(second)
            show(summary(7, float(second), watermark=NOON.replace(second=second)))
        clock.now_s = 60.0
        show(summary(12, 60.0))

    assert capsys.readouterr().err.splitlines() == [
        "7 in, 0 out, 1/s, 5.0 s, watermark 2024-05-01 12:00:05Z",
        "12 in, 0 out, 1/s, 60.0 s, watermark 2024-05-01 12:00:00Z",  # 5 in 5 s: the idle time does not count
    ]


def test_the_report_names_the_topic_of_the_dead_letters(capsys: pytest.CaptureFixture[str]) -> None:
    report(summary(3, 1.0, watermark=None, letters=1))

    assert capsys.readouterr().err.splitlines() == [
        "done: 3 in, 0 out, 3/s, 1.0 s, 1 dead letter",
        "1 record is in shop.dead-letters: headrace topics tail shop.dead-letters shows why",
    ]


def test_on_a_terminal_one_line_is_kept_up_to_date(fleet: Path) -> None:
    terminal, stderr = os.openpty()
    args = command("run", "shop.py", "--http", "127.0.0.1:0")
    process = subprocess.Popen(args, cwd=fleet, env=environment() | {"TERM": "xterm"}, stderr=stderr)
    os.close(stderr)
    seen = b""
    try:
        while b"Ctrl-C ends" not in seen:
            seen += os.read(terminal, 4096)
        url = next(line for line in seen.decode().splitlines() if line.startswith("listening on ")).split()[-1]
        httpx.post(
            f"{url}/topics/orders",
            content=ORDERS,
            headers={"content-type": "application/x-ndjson"},
            trust_env=False,
        )
        while b"4 in, " not in seen or b"watermark 2024-05-01 12:01:00Z" not in seen:
            seen += os.read(terminal, 4096)
    finally:
        process.kill()
        process.wait()
        os.close(terminal)

    live = seen.partition(b"Ctrl-C ends")[2]
    assert b"\x1b[" in live
