"""What a table shows of closed windows depends on event time alone, not on when old rows were removed."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from headrace import Topology, agg, col, hopping, session, tumbling
from headrace.state.memory import MemoryStore
from headrace.testing import TopologyDriver
from headrace.topology.windows import Hopping, Window
from tests.operators.support import click, clicks, moment, only

WINDOWS = {
    "tumbling": tumbling("1m", grace="10s", retention="5m"),
    "hopping": hopping("2m", "1m", retention="5m"),
    "session": session("20s", grace="10s", retention="5m"),
}


def counting(window) -> Topology:
    topology = Topology("t")
    clicks(topology).group_by("by", col.user).window(window).aggregate("counts", n=agg.count())
    return topology


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("ending", ["open", "finished"])
def test_rows_past_their_retention_are_gone_wherever_checkpoints_were(window, ending) -> None:
    records = [click(f"u{n % 3}", 30 * n) for n in range(60)]
    shown = []
    for size in (1, 7, 60):
        driver = TopologyDriver(counting(window))
        for at in range(0, 60, size):
            driver.pipe("clicks", records[at : at + size])
            driver.checkpoint()
        if ending == "finished":
            driver.finish()
        shown.append(driver.table("counts"))
        driver.restart()
        assert driver.table("counts") == shown[-1]
    assert shown[0] == shown[1] == shown[2]
    assert 0 < len(shown[0]) < 60


def test_a_row_is_kept_for_its_retention_after_the_window_closed() -> None:
    driver = TopologyDriver(counting(tumbling("1m", grace="10s", retention="5m")))
    driver.pipe("clicks", click("a", 0))
    driver.pipe("clicks", click("b", 60 + 10 + 300 - 1))
    assert only(driver.table("counts"), "user") == ["a", "b"]
    driver.pipe("clicks", click("b", 60 + 10 + 300))
    assert only(driver.table("counts"), "user") == ["b"]
    assert only(driver.table("counts"), "window_start") != [moment(0)]


def test_what_is_past_its_retention_is_removed_from_the_store() -> None:
    driver = TopologyDriver(counting(tumbling("1m", retention="5m")))
    for n in range(100):
        driver.pipe("clicks", click("a", 60 * n))
        driver.checkpoint()
    assert sum(1 for _ in driver.backend.store("t/counts").scan()) < 10


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_windows_are_closed_and_removed_without_a_look_at_those_that_are_kept(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, seen = MemoryStore.scan, 0

    def counting_scan(self: MemoryStore, *bounds: bytes) -> Iterator[tuple[bytes, bytes]]:
        nonlocal seen
        for found in scan(self, *bounds):
            seen += 1
            yield found

    monkeypatch.setattr(MemoryStore, "scan", counting_scan)
    minutes, users = 90, 10
    driver = TopologyDriver(counting(replace(window, retention_ms=3_600_000)))
    for minute in range(minutes):
        driver.pipe("clicks", [click(f"u{n}", 60 * minute) for n in range(users)])
        driver.checkpoint()
    scanned = seen
    kept = len(driver.table("counts"))
    made = minutes * users * (2 if isinstance(window, Hopping) else 1)
    assert 0 < kept < made, "some were removed"
    assert seen > scanned, "what reads the table is seen"
    assert scanned < 3 * made, "each once to close it and once to remove it; all that are kept at each: 60 times that"
