"""What a run shows while it goes on and at its end: on stderr, live on a terminal, else plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headrace.cli.console import counted, note

if TYPE_CHECKING:
    from headrace.runtime.summary import Summary

Show = Callable[["Summary"], None]

_PLAIN_SECONDS = 5.0


@contextmanager
def progress(*, live: bool, clock: Callable[[], float] = time.monotonic) -> Iterator[Show]:
    """Yield a function that shows a summary; ``live`` if stderr is a terminal of which nobody else writes."""
    rate = _Rate()
    if not live:
        yield _plain(rate, clock)
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for rich

    with Console(stderr=True, highlight=False).status("starting") as status:
        yield lambda summary: status.update(_line(summary, rate.of(summary)))


def is_live(*, stdout_taken: bool) -> bool:
    """Tell whether stderr can show a live line: rows on the same terminal would tear it."""
    return sys.stderr.isatty() and not (stdout_taken and sys.stdout.isatty())


def report(summary: Summary) -> None:
    """Tell how a run ended, and what became of records that were not processed."""
    note(f"{'stopped' if summary.stopped else 'done'}: {_line(summary, summary.rate)}")
    for topology in summary.topologies:
        if topology.dead_letters:
            noun = "record is" if topology.dead_letters == 1 else "records are"
            topic = f"{topology.name}.dead-letters"
            note(f"{topology.dead_letters:,} {noun} in {topic}: headrace topics tail {topic} shows why")


def _plain(rate: _Rate, clock: Callable[[], float]) -> Show:
    last, told = clock(), (0, 0, 0, 0)

    def show(summary: Summary) -> None:
        nonlocal last, told
        # The watermark of an idle worker follows the clock: that alone is no news.
        counts = (summary.records_in, summary.records_out, summary.late, summary.dead_letters)
        now = clock()
        if now - last < _PLAIN_SECONDS:
            return
        last, per_second = now, rate.of(summary)
        if counts != told:
            told = counts
            note(_line(summary, per_second))

    return show


class _Rate:
    """Records per second since the last look."""

    def __init__(self) -> None:
        self._records, self._elapsed_s = 0, 0.0

    def of(self, summary: Summary) -> float:
        records, elapsed = summary.records_in - self._records, summary.elapsed_s - self._elapsed_s
        self._records, self._elapsed_s = summary.records_in, summary.elapsed_s
        return records / elapsed if elapsed > 0 else 0.0


def _line(summary: Summary, rate: float) -> str:
    parts = [
        f"{summary.records_in:,} in",
        f"{summary.records_out:,} out",
        f"{rate:,.0f}/s",
        f"{summary.elapsed_s:.1f} s",
    ]
    # At the end of bounded input everything is closed and there is no watermark any more.
    parts += [f"watermark {summary.watermark:%Y-%m-%d %H:%M:%S}Z"] if summary.watermark is not None else []
    parts += [f"{summary.late:,} late"] if summary.late else []
    parts += [counted(summary.dead_letters, "dead letter")] if summary.dead_letters else []
    return ", ".join(parts)
