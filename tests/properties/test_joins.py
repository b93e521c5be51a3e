"""Interval joins against a naive one over the whole input: under random batches, restarts, evictions and crashes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime as datetime_type
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from headrace import Topology, col, left, meta, right
from headrace.testing import CrashPoint, TopologyDriver
from tests.naive.joins import Event, join
from tests.operators.support import START, moment


class Item(BaseModel):
    key: str
    n: int
    at: str


@dataclass(frozen=True)
class Shape:
    """A join to try."""

    how: str
    lower_s: int
    upper_s: int
    grace_s: int
    lag_s: int
    partitions: int
    keyed: bool


def declared(shape: Shape) -> Topology:
    topology = Topology("t")
    options: dict[str, Any] = {"out_of_orderness": f"{shape.lag_s}s"}
    if shape.keyed:
        options["key"] = col.key
    time = col.at.cast(datetime_type)
    sides = [topology.source(name, topic=name, schema=Item, time=time, **options) for name in ("one", "two")]
    one, two = (side.group_by(f"{name}-by", col.key) for side, name in zip(sides, ("one", "two"), strict=True))
    joined = one.join(
        "joined",
        two,
        within=(f"{shape.lower_s}s".replace("--", "-"), f"{shape.upper_s}s"),
        how=shape.how,  # type: ignore[arg-type]
        grace=f"{shape.grace_s}s",
        select={"l": left.n, "r": right.n},
    )
    joined.map("timed", t=meta.time).sink("out", topic="out")
    for side in ("left", "right"):
        joined.late(side).sink(f"late-{side}", topic=f"late-{side}")  # type: ignore[arg-type]
    return topology


shapes = st.tuples(
    st.sampled_from(["inner", "left", "right", "outer"]),
    st.integers(-12, 8),
    st.integers(0, 12),
    st.integers(0, 4),
    st.integers(0, 6),
    st.integers(1, 3),
    st.booleans(),
).map(lambda found: Shape(found[0], found[1], found[1] + found[2], *found[3:]))
arrivals = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from("abc"), st.integers(0, 9), st.integers(-7, 7)), max_size=60
)
jumps = st.lists(st.sampled_from(["go on", "checkpoint", "restart", *CrashPoint]), max_size=8)


def events_of(found: list[tuple[int, str, int, int]]) -> tuple[list[Event], list[Event], list[tuple[int, Event]]]:
    """Return the events of both inputs and in order of arrival: event time goes up, with records out of order."""
    now, order = 20, []
    for number, (side, key, step, jitter) in enumerate(found):
        now += step
        order.append((side, (key, max(now + jitter, 0), number)))
    return [e for s, e in order if s == 0], [e for s, e in order if s == 1], order


def record(event: Event) -> dict[str, Any]:
    key, at, number = event
    return {"key": key, "n": number, "at": moment(at)}


def pipe(driver: TopologyDriver, shape: Shape, order: list[tuple[int, Event]], *, mixed: bool) -> None:
    """Pipe in record by record as they come, or all of one side and then all of the other."""
    pieces = [[found] for found in order] if mixed else [[f for f in order if f[0] == side] for side in (0, 1)]
    for piece in pieces:
        if piece:
            values = [record(event) for _, event in piece]
            driver.pipe(("one", "two")[piece[0][0]], values, partition=0 if not shape.keyed else None)


def run(shape: Shape, order: list[tuple[int, Event]], batch: int, jumps: list[Any], cache_bytes: int) -> TopologyDriver:
    driver = TopologyDriver(declared(shape), batch=batch, partitions=shape.partitions, cache_bytes=cache_bytes)
    size = len(order) // (len(jumps) + 1) + 1
    for place, begin in enumerate(range(0, len(order), size)):
        pipe(driver, shape, order[begin : begin + size], mixed=batch % 2 == 0)
        match jumps[place] if place < len(jumps) else "go on":
            case "checkpoint":
                driver.checkpoint()
            case "restart":
                driver.restart()
            case CrashPoint() as point:
                driver.crash(point)
    driver.finish()
    return driver


def check(shape: Shape, order: list[tuple[int, Event]], driver: TopologyDriver, *, lates: bool) -> None:
    one, two = ([event for side, event in order if side == number] for number in (0, 1))
    expected = join(
        one, two, bounds_s=(shape.lower_s, shape.upper_s), how=shape.how, lag_s=shape.lag_s, grace_s=shape.grace_s
    )
    rows = Counter((row["key"], row["l"], row["r"], _seconds(row["t"])) for row in driver.output("out"))
    assert rows == expected.rows
    if lates:
        for side, numbers in zip(("left", "right"), expected.late, strict=True):
            assert [row["n"] for row in driver.output(f"late-{side}")] == numbers
    assert driver.dead_letters() == []


def _seconds(text: str) -> int:
    return round((datetime_type.fromisoformat(text) - START).total_seconds())


fast = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@fast
@given(shapes, arrivals, st.integers(1, 9), jumps, st.sampled_from([1, 3000, 64 << 20]))
def test_joins_of_one_partition(
    shape: Shape, found: list[tuple[int, str, int, int]], batch: int, jumps: list[Any], cache_bytes: int
) -> None:
    _, _, order = events_of(found)
    one = Shape(**{**shape.__dict__, "partitions": 1})
    check(one, order, run(one, order, batch, jumps, cache_bytes), lates=True)


@fast
@given(shapes, arrivals, st.integers(1, 9), jumps)
def test_joins_behind_a_repartition(
    shape: Shape, found: list[tuple[int, str, int, int]], batch: int, jumps: list[Any]
) -> None:
    """Records of one input all come through one partition, so that what is late is known; keys are spread."""
    _, _, order = events_of(found)
    spread = Shape(**{**shape.__dict__, "partitions": 3, "keyed": False})
    check(spread, order, run(spread, order, batch, jumps, 1), lates=False)


@fast
@given(shapes, arrivals, st.integers(1, 9), jumps)
def test_joins_of_topics_with_several_partitions(
    shape: Shape, found: list[tuple[int, str, int, int]], batch: int, jumps: list[Any]
) -> None:
    """In order, so that nothing is late in any partition."""
    _, _, order = events_of([(side, key, step, 0) for side, key, step, _ in found])
    keyed = Shape(**{**shape.__dict__, "partitions": 2, "keyed": True})
    check(keyed, order, run(keyed, order, batch, jumps, 1), lates=True)
