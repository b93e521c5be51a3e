from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace import Topology, col
from headrace.testing import TopologyDriver
from tests.operators.support import click, clicks, moment, only

WITHIN_S, LAG_S, GRACE_S = 10, 4, 2


def declared(lag_s: int = 0, grace_s: int = 0) -> Topology:
    topology = Topology("t")
    source = clicks(topology, out_of_orderness=f"{lag_s}s")
    first = source.group_by("by", col.user).distinct("first", within=f"{WITHIN_S}s", grace=f"{grace_s}s")
    first.sink("out", topic="out")
    first.late().sink("late-out", topic="late")
    return topology


def test_a_record_passes_if_none_of_its_key_did_a_short_time_ago() -> None:
    driver = TopologyDriver(declared())
    driver.pipe("clicks", [click("a", 0), click("a", 9.999), click("b", 9.999), click("a", 10), click("a", 19)])
    assert only(driver.output("out"), "user", "at") == [
        ("a", moment(0)), ("b", moment(9.999)), ("a", moment(10))
    ]  # fmt: skip


def test_what_comes_too_late_to_tell_is_a_stream_of_its_own() -> None:
    driver = TopologyDriver(declared())
    driver.pipe("clicks", [click("a", 100), click("a", 99)])
    assert only(driver.output("late"), "at") == [moment(99)]
    assert driver.stats.late == 1


def test_keys_are_forgotten_when_nothing_can_be_near_to_them() -> None:
    driver = TopologyDriver(declared())
    driver.pipe("clicks", [click(str(n), n) for n in range(200)])
    driver.restart()
    driver.pipe("clicks", [click("200", 200), click("201", 201)])
    driver.checkpoint()
    stores = [driver.backend.store(f"t/first{suffix}") for suffix in ("", "/expiry")]
    assert [len(list(store.scan(b"", b"\xff"))) for store in stores] == [11, 11]


def naive(events: list[tuple[str, int]]) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Return what passes and what is late, by looking at all that passed before."""
    passed: list[tuple[str, int]] = []
    late, highest = [], -(10**9)
    for key, at in events:
        if at + GRACE_S < highest - LAG_S:
            late.append((key, at))
        elif not any(known == key and abs(at - then) < WITHIN_S for known, then in passed):
            passed.append((key, at))
        highest = max(highest, at)
    return passed, late


events = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 120)), max_size=60)
jumps = st.lists(st.sampled_from(["go on", "restart", "evict"]), max_size=6)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events, st.integers(1, 20), jumps)
def test_distinct_against_a_naive_one(found: list[tuple[str, int]], batch: int, jumps: list[str]) -> None:
    ordered = sorted(found, key=lambda event: event[1] + (event[1] * 7919) % 9)  # out of order, but not wildly
    driver = TopologyDriver(declared(LAG_S, GRACE_S), batch=batch, cache_bytes=1)
    size = len(ordered) // (len(jumps) + 1) + 1
    for place, begin in enumerate(range(0, len(ordered), size)):
        driver.pipe("clicks", [click(key, at) for key, at in ordered[begin : begin + size]])
        if place < len(jumps) and jumps[place] == "restart":
            driver.restart()
    passed, late = naive(ordered)
    assert only(driver.output("out"), "user", "at") == [(key, moment(at)) for key, at in passed]
    assert only(driver.output("late"), "user", "at") == [(key, moment(at)) for key, at in late]


def test_a_broadcast_reaches_every_task() -> None:
    topology = Topology("t")
    clicks(topology).broadcast("all").handle("seen", take)
    seen.clear()
    driver = TopologyDriver(topology, partitions=3)
    driver.pipe("clicks", [click("a", 0), click(None, 1)], partition=1)
    driver.finish()
    assert sorted(seen) == [moment(0)] * 3 + [moment(1)] * 3


seen: list[str] = []


async def take(row: dict[str, object]) -> None:
    seen.append(row["at"].isoformat().replace("+00:00", "Z"))  # type: ignore[attr-defined]
