"""Async functions are called with the same rows everywhere, at least once each, and fail alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace import Topology, agg, col, tumbling
from tests.operators.support import clicks
from tests.parity.cases import Case
from tests.parity.compare import Promise, faults
from tests.parity.job import text
from tests.parity.running import drivers

CALLS: set[str] = set()


async def note(row: dict[str, Any]) -> None:
    CALLS.add(text(row))
    if row["n"] == 3:
        msg = "three"
        raise ValueError(msg)


def handling() -> Topology:
    topology = Topology("handling")
    source = clicks(topology)
    source.select("s", col.user, col.n, col.at).handle("each", note, attempts=1)
    counts = source.group_by("by", col.user).window(tumbling("10s")).aggregate("counts", n=agg.count())
    counts.on_close().handle("closed", note, attempts=2, backoff="1ms")
    return topology


def test_handlers_are_called_with_the_same_rows(tmp_path: Path, bootstrap: str) -> None:
    made = {}
    for name, run in drivers(Case(handling).job(), tmp_path, bootstrap).items():
        CALLS.clear()
        made[name] = run()[-1], frozenset(CALLS)
    (expected, calls), *others = made.values()
    assert calls
    for results, called in others:
        assert called == calls
        assert faults(results, expected, Promise()) == []
