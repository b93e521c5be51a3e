"""More keys than the state cache holds: states leave memory at checkpoints and come back from the store."""

import pytest

from headrace import Topology, agg, col, hopping, session, tumbling
from headrace.testing import CrashPoint, TopologyDriver
from tests.operators.support import click, clicks, only

KEYS = 2500
WINDOWS = {"all-time": None, "tumbling": tumbling("1h"), "hopping": hopping("1h", "30m"), "session": session("1h")}


@pytest.mark.parametrize("action", ["none", "restart", *CrashPoint], ids=str)
@pytest.mark.parametrize("window", list(WINDOWS.values()), ids=list(WINDOWS))
def test_states_that_left_memory_are_found_again(window, action) -> None:
    topology = Topology("t")
    grouped = clicks(topology).group_by("by", col.user)
    table = (grouped.window(window) if window else grouped).aggregate("counts", n=agg.count(), total=agg.sum(col.n))
    if window:
        table.on_close().sink("out", topic="closed")
    driver = TopologyDriver(topology, cache_bytes=1, batch=700, partitions=2)
    for turn in range(3):
        driver.pipe("clicks", [click(f"user-{i}", 3600 + turn, n=turn) for i in range(KEYS)])
        if action == "restart":
            driver.checkpoint()
            driver.restart()
        elif action != "none":
            driver.crash(action)
    rows = driver.table("counts")
    assert len({row["user"] for row in rows}) == KEYS
    assert {(row["n"], row["total"]) for row in rows} == {(3, 3)}
    if window:
        driver.finish()
        closed = driver.output("closed")
        assert len(closed) == len(rows)
        assert set(only(closed, "n", "total")) == {(3, 3)}
