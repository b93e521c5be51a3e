"""``make demo``: the whole fleet on a simulated day, in one process, with no broker.

It writes the day to a temporary directory, runs every kind of worker's topologies over it, puts
questions to their tables and shows that every record is accounted for. On a terminal it then
answers questions of yours; elsewhere it ends.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from headrace.config import WorkerSettings
from headrace.runtime.summary import Summary
from headrace.runtime.worker import Worker
from workers import access, shop, warehouse
from workers.demo_display import Display
from workers.demo_queries import Reader, accounts, alerts, answers, top_tenants, wrong_records
from workers.simulation import Day, simulate

TOPOLOGIES = [*access.topologies, *shop.topologies, *warehouse.topologies]
EVENTS = 100_000
SEED = 7
MOST_ROWS = 20


def main(*, events: int = EVENTS, seed: int = SEED) -> bool:
    """Run the demo; return whether every record was accounted for."""
    with tempfile.TemporaryDirectory(prefix="headrace-demo-") as name:
        return _demo(Path(name), events, seed)


def _demo(directory: Path, events: int, seed: int) -> bool:
    tables: dict[str, Reader] = {}
    display = Display(lambda: top_tenants(tables), lambda: alerts(tables))
    display.say(f"A simulated day of a shop platform with 100 tenants: about {events:,} events, seed {seed}.")
    day = simulate(directory / "day", events=events, seed=seed)
    for topic, tally in day.tallies.items():
        mistakes = f"{tally.duplicates} duplicate, {tally.late} late, {tally.unreadable + tally.invalid} malformed"
        display.say(f"  {topic:<20} {tally.records:>8,} records: {mistakes}")
    with _worker(directory, day) as worker:
        tables |= {table: reader for engine in worker.engines.values() for table, reader in engine.tables.items()}
        display.say(f"Running {len(worker.plans)} topologies with {len(tables)} tables.")
        display.watch(_to_read(worker, day))
        with display.running():
            summary = worker.run(on_progress=display.progress)
            display.progress(summary)
        for answer in answers(tables):
            display.rows(answer.question, answer.rows)
        complete = _account(display, worker, summary, day)
        if display.interactive and sys.stdin.isatty():
            _ask(display, tables)
    return complete


def _worker(directory: Path, day: Day) -> Worker:
    settings = WorkerSettings(data_dir=directory / "data", partitions=2)
    inputs = {topic: [str(path)] for topic, path in day.files.items()}
    return Worker(TOPOLOGIES, settings, inputs=inputs)


def _to_read(worker: Worker, day: Day) -> dict[str, int]:
    """Return how many records each topology reads, of those that read nothing but the day itself."""
    topics = {plan.name: [source.topic for source in plan.sources] for plan in worker.plans}
    return {
        name: sum(day.tallies[topic].records for topic in read)
        for name, read in topics.items()
        if all(topic in day.tallies for topic in read)
    }


def _account(display: Display, worker: Worker, summary: Summary, day: Day) -> bool:
    plans = {plan.name: plan for plan in worker.plans}
    display.rows("What is wrong with the dead letters? (one of each topic)", wrong_records(plans, worker.log))
    rows = accounts(plans, summary, day.tallies)
    display.rows("Is every record accounted for?", rows)
    complete = all(row["accounted for"] for row in rows)
    verdict = "every record is accounted for" if complete else "RECORDS ARE MISSING"
    display.say(
        f"\n{summary.records_in:,} records in {summary.elapsed_s:.1f} s ({summary.rate:,.0f}/s), "
        f"{summary.records_out:,} written, {summary.dead_letters:,} dead letters: {verdict}."
    )
    return complete


def _ask(display: Display, tables: Mapping[str, Reader]) -> None:
    display.say(f"\nTables: {', '.join(sorted(tables))}. Type a table and the beginning of a key; nothing to leave.")
    while words := _words():
        table, *key = words
        if table not in tables:
            display.say(f"There is no table {table!r}.")
            continue
        rows: list[dict[str, Any]] = list(islice(tables[table].scan(prefix=tuple(key) or None), MOST_ROWS))
        display.rows(" ".join(words), rows)


def _words() -> list[str]:
    try:
        return input("table> ").split()
    except (EOFError, KeyboardInterrupt):
        return []


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
