"""How the demo shows itself: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from headrace.runtime.summary import Summary

Row = dict[str, Any]


class Display:
    """Writes to standard output; ``best`` and ``alerts`` give the rows shown beside the counters of a running fleet."""

    def __init__(self, best: Callable[[], Sequence[Row]], alerts: Callable[[], Sequence[Row]]) -> None:
        """Find out what standard output is."""
        self.console = Console(highlight=False, soft_wrap=True)
        self._best, self._alerts = best, alerts
        self._records: dict[str, int] = {}
        self._live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None

    @property
    def interactive(self) -> bool:
        """Whether somebody watches."""
        return self._live is not None

    def say(self, text: str) -> None:
        """Write a line."""
        self.console.print(escape(text))

    def running(self) -> AbstractContextManager[object]:
        """Return a context within which :meth:`progress` may be called."""
        return nullcontext() if self._live is None else self._live

    def progress(self, summary: Summary) -> None:
        """Show the counters of a running fleet."""
        if self._live is not None:
            best, alerts = rows_table("Revenue so far", self._best()), rows_table("Alerts so far", self._alerts())
            self._live.update(Group(_counters(summary), best, alerts), refresh=True)
            return
        reached = _reached(self._complete_up_to(summary), ended=summary.ended)
        self.say(
            f"  {summary.elapsed_s:5.1f} s  {summary.records_in:>9,} records  {summary.rate:>9,.0f}/s"
            f"  the day is complete up to {reached}"
        )

    def watch(self, records: Mapping[str, int]) -> None:
        """Measure progress by these topologies, each of which reads so many records of the day."""
        self._records = dict(records)

    def _complete_up_to(self, summary: Summary) -> datetime | None:
        """Return the time up to which the watched topologies are complete; None: one has not begun.

        It never goes back, as the minimum over those that have begun would whenever one begins.
        """
        behind = [one for one in summary.topologies if one.records_in < self._records.get(one.name, 0)]
        reached = [one.watermark for one in behind if one.watermark is not None]
        return min(reached, default=None) if len(reached) == len(behind) else None

    def rows(self, title: str, rows: Sequence[Row]) -> None:
        """Show rows under a title."""
        if self.interactive:
            self.console.print(rows_table(title, rows))
            return
        self.say(f"\n{title}")
        cells = [{name: cell(value) for name, value in row.items()} for row in rows]
        if not cells:
            self.say("  none")
            return
        widths = {name: max(len(name), *(len(row[name]) for row in cells)) for name in cells[0]}
        for row in ({name: name for name in widths}, *cells):
            self.say("  " + "  ".join(row[name].ljust(width) for name, width in widths.items()).rstrip())


def rows_table(title: str, rows: Sequence[Row]) -> Table:
    """Return rows as a table; all have the columns of the first."""
    table = Table(title=escape(title), title_justify="left")
    for name, value in (rows[0] if rows else {"no rows": ""}).items():
        table.add_column(escape(name), justify="right" if isinstance(value, int | float | Decimal) else "left")
    for row in rows:
        table.add_row(*(escape(cell(value)) for value in row.values()))
    return table


def cell(value: object) -> str:
    """Write a value for people."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "NO"
        case int() | Decimal():
            return f"{value:,}"
        case float():
            return f"{value:,.2f}"
        case list():
            return ", ".join(map(cell, value[:3])) + (", ..." if len(value) > 3 else "")  # noqa: PLR2004
        case datetime():
            return f"{value:%m-%d %H:%M}"
        case _:
            return str(value)


def _counters(summary: Summary) -> Table:
    title = f"{summary.records_in:,} records in {summary.elapsed_s:.1f} s: {summary.rate:,.0f}/s"
    table = Table(title=title, title_justify="left")
    table.add_column("topology")
    for name in ("read", "written", "dead letters", "late", "complete up to"):
        table.add_column(name, justify="right")
    for one in summary.topologies:
        counts = (f"{n:,}" for n in (one.records_in, one.records_out, one.dead_letters, one.late))
        table.add_row(one.name, *counts, _reached(one.watermark, ended=summary.ended))
    return table


def _reached(watermark: datetime | None, *, ended: bool) -> str:
    if ended:
        return "the end"
    return "-" if watermark is None else f"{watermark:%H:%M}"
