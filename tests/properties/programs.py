"""Random topologies, as data that prints: hypothesis draws a program, ``declare`` makes it a topology."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import strategies as st
from pydantic import BaseModel

from headrace import Topology, agg, apply, col, count_window, hopping, session, sliding, tumbling, when
from headrace.testing import CrashPoint
from headrace.topology.grouped import Grouped
from headrace.topology.stream import Stream
from tests.operators.support import START


class Reading(BaseModel):
    user: str | None = None
    at: datetime
    n: int | None = None
    m: int
    tags: list[int] | None = None
    x: float | None = None
    d: Decimal | None = None


def touchy(n: int | None, m: int) -> int:
    """Fail on some records, as functions of users do."""
    if m == 7:
        msg = "seven"
        raise ValueError(msg)
    return m if n is None else n - m


def moody(state: int, value: int) -> int:
    """Fail on some values, as functions of users do."""
    if value == 6:
        msg = "six"
        raise ValueError(msg)
    return state + value


CALLS: list[dict[str, Any]] = []


async def note(row: dict[str, Any]) -> None:
    """Take a row; fail on some, for good."""
    CALLS.append(row)
    if row["m"] == 8:
        msg = "eight"
        raise ValueError(msg)


def tags_of(n: int | None) -> list[int]:
    return [] if n is None else list(range(n % 4))


def larger(a: int, b: int) -> int:
    return max(a, b)


def counted(state: int, value: int) -> int:
    return state + value % 3


def plus(a: int, b: int) -> int:
    return a + b


def negative(state: int) -> int:
    return -state


CONDITIONS = {
    "m > 3": col.m > 3,
    "n < m": col.n < col.m,
    "user is a": col.user == "a",
    "n null or even": col.n.is_null() | (col.n % 2 == 0),
    "not (n > 5)": ~(col.n > 5),
    "m in": col.m.is_in([1, 2, 3, 5, 8]),
    "ratio": (col.m / col.n) > 1,
    "rule": "(m >= 2 and not user == 'b') or n is null",
}
NUMBERS = {
    "n+m": col.n + col.m,
    "m*2-n": col.m * 2 - col.n.fill_null(0),
    "m//n": col.m // col.n,
    "case": when(col.n > 4).then(col.m).otherwise(col.n),
    "touchy": apply(touchy, col.n, col.m, returns=int),
}
TOPIC = when(col.m > 4).then("high").when(col.m == 2).then("no/topic").otherwise(col.user)
AGGREGATES = {
    "count": agg.count(),
    "count_n": agg.count(col.n),
    "sum": agg.sum(col.n),
    "min": agg.min(col.m),
    "max": agg.max(col.n),
    "mean": agg.mean(col.n),
    "variance": agg.variance(col.n),
    "stddev": agg.stddev(col.m),
    "first": agg.first(col.m),
    "last": agg.last(col.n),
    "arg_min": agg.arg_min(col.n, col.m),
    "arg_max": agg.arg_max(col.m, col.n),
    "list": agg.collect_list(col.m, limit=5),
    "set": agg.collect_set(col.n, limit=3),
    "distinct": agg.count_distinct(col.n),
    "distinct_x": agg.count_distinct(col.x),
    "distinct_d": agg.count_distinct(col.d),
    "quantiles": agg.quantiles(col.n, [0, 0.25, 0.5, 1]),
    "quantiles_x": agg.quantiles(col.x, [0.5, 0.9]),
    "top_k": agg.top_k(col.m, 100),
    "top": agg.top(3, by=col.m, of=col.m),
    "top_d": agg.top(2, by=col.d, of=col.d),
    "reduce": agg.reduce(larger, col.n, returns=int),
    "sum_x": agg.sum(col.x),
    "min_x": agg.min(col.x),
    "max_x": agg.max(col.x),
    "mean_x": agg.mean(col.x),
    "stddev_x": agg.stddev(col.x),
    "last_x": agg.last(col.x),
    "set_x": agg.collect_set(col.x),
    "sum_d": agg.sum(col.d),
    "min_d": agg.min(col.d),
    "max_d": agg.max(col.d),
    "mean_d": agg.mean(col.d),
    "variance_d": agg.variance(col.d),
    "first_d": agg.first(col.d),
    "arg_max_d": agg.arg_max(col.x, col.d),
    "set_d": agg.collect_set(col.d, limit=4),
    "moody": agg.custom(col.m, init=int, add=moody, merge=plus, result=negative, returns=int),
    "custom": agg.custom(col.m, init=int, add=counted, merge=plus, result=negative, returns=int),
}
COMMUTATIVE = ("count", "count_n", "sum", "min", "max", "mean", "reduce")
KEYS = {
    "user": lambda s: s.group_by("by", col.user),
    "parity": lambda s: s.group_by("by", parity=col.m % 2),
    "both": lambda s: s.group_by("by", col.user, third=col.m % 3),
    # of zeros of both signs, and of NaN: infinity times zero
    "zero": lambda s: s.group_by("by", zero=col.x * 0.0),
    "price": lambda s: s.group_by("by", price=col.d),
}


@dataclass(frozen=True)
class Program:
    """A stateless chain, then one keyed step with all its outputs."""

    steps: tuple[tuple[str, str], ...] = ()
    key: str = "user"
    window: tuple[Any, ...] | None = None
    aggregates: tuple[str, ...] = ("count",)
    table: bool = False
    chained: bool = False
    early: bool = False
    two_sources: bool = False
    broadcast: bool = False
    within: tuple[int, int] | None = None
    """Keep the first record of each key: within so many seconds, grace."""
    out_of_orderness_s: int = 0


def declare(program: Program) -> Topology:
    """Make the topology of a program."""
    topology = Topology("random")
    lag = timedelta(seconds=program.out_of_orderness_s)
    stream = topology.source("in", topic="in", schema=Reading, time=col.at, out_of_orderness=lag)
    if program.two_sources:
        other = topology.source("other", topic="other", schema=Reading, time=col.at, out_of_orderness=lag)
        stream = stream.merge("all", other)
    for number, (kind, what) in enumerate(program.steps):
        stream = _step(stream, f"{kind}-{number}", kind, what)
    shape = stream.select("shape", col.user, col.n, col.m, col.at, col.x, col.d)
    shape.sink("plain-out", topic="plain")
    shape.sink("chosen-out", topic=TOPIC)
    shape.handle("note", note, attempts=1)
    if program.broadcast:
        shape.broadcast("all").filter("some", col.m > 3).sink("all-out", topic="all")
    grouped = KEYS[program.key](stream)
    if program.within is not None:
        within, grace = (timedelta(seconds=seconds) for seconds in program.within)
        first = grouped.distinct("first", within=within, grace=grace)
        first.select("first-shape", col.user, col.n, col.m, col.at).sink("first-out", topic="first")
        first.late().select("late-shape", col.n, col.m, col.at).sink("late-out", topic="late")
        return topology
    if program.table:
        latest = grouped.table("table", delete=col.m == 0)
        latest.on_update().sink("update-out", topic="update")
        return topology
    _aggregate(grouped, program)
    return topology


def _step(stream: Stream, id: str, kind: str, what: str) -> Stream:
    match kind:
        case "filter":
            return stream.filter(id, CONDITIONS[what])
        case "map":
            return stream.map(id, n=NUMBERS[what])
        case "explode":
            return stream.explode(id, col.tags, name="tag").map(f"{id}-m", m=col.tag)
        case "flat_map":
            exploded = stream.flat_map(id, tags_of, col.n, returns=list[int], name="tag")
            return exploded.map(f"{id}-m", m=col.tag)
        case _:
            one, rest = stream.branch(id, one=CONDITIONS[what], rest=True).values()
            return one.map(f"{id}-one", n=col.m).merge(f"{id}-merged", rest)


def _aggregate(grouped: Grouped, program: Program) -> None:
    window = window_of(program.window)
    keyed = grouped if window is None else grouped.window(window)
    table = keyed.aggregate("table", **{name: AGGREGATES[name] for name in program.aggregates})
    table.on_update().sink("update-out", topic="update")
    if program.early:
        table.every("15s").sink("every-out", topic="every")
    if window is None:
        return
    table.on_close().sink("close-out", topic="close")
    if program.window is not None and program.window[0] != "counted":
        table.late().select("late-shape", col.n, col.m, col.at).sink("late-out", topic="late")
    if program.chained:
        second = table.on_close().group_by("again", whole=col.window_end.is_not_null()).window(tumbling("1m"))
        second.aggregate("second", rows=agg.count()).on_close().sink("second-out", topic="second")


def window_of(drawn: tuple[Any, ...] | None) -> Any:
    """Return the window that the drawn numbers (of seconds) describe."""
    if drawn is None:
        return None
    kind, size, advance, grace = drawn
    if kind == "counted":
        return count_window(size, every=advance)
    if kind == "sliding":
        return sliding(timedelta(seconds=size), grace=timedelta(seconds=grace))
    if kind == "session":
        return session(timedelta(seconds=size), grace=timedelta(seconds=grace))
    return hopping(timedelta(seconds=size), timedelta(seconds=advance), grace=timedelta(seconds=grace))


def value_of(second: float, columns: dict[str, Any]) -> bytes:
    """Return one record as JSON."""
    return msgspec.json.encode({"at": (START + timedelta(seconds=second)).isoformat(), **columns})


def at_of(value: bytes) -> str:
    """Return the time of a record as text; of a broken one an early one."""
    try:
        return str(msgspec.json.decode(value)["at"])
    except (msgspec.DecodeError, KeyError, UnicodeDecodeError):
        return ""


steps = st.lists(
    st.one_of(
        st.tuples(st.just("filter"), st.sampled_from(sorted(CONDITIONS))),
        st.tuples(st.just("map"), st.sampled_from(sorted(NUMBERS))),
        st.tuples(st.just("branch"), st.sampled_from(sorted(CONDITIONS))),
        st.tuples(st.sampled_from(["explode", "flat_map"]), st.just("")),
    ),
    max_size=4,
).map(tuple)
graces = st.sampled_from([0, 5, 20])
tumblings = st.tuples(st.just("tumbling"), st.sampled_from([10, 30]), st.none(), graces).map(
    lambda w: (w[0], w[1], w[1], w[3])
)
hoppings = st.tuples(st.just("hopping"), st.sampled_from([10, 25, 30]), st.sampled_from([3, 5, 10]), graces)
sessions = st.tuples(st.just("session"), st.sampled_from([2, 5, 10]), st.none(), graces)
slidings = st.tuples(st.just("sliding"), st.sampled_from([0.5, 2, 5, 20]), st.none(), graces)
counteds = st.sampled_from([(1, 1), (2, 2), (4, 2), (3, 1), (5, 2), (6, 4)]).map(
    lambda numbers: ("counted", *numbers, 0)
)
aggregates = st.lists(st.sampled_from(sorted(AGGREGATES)), min_size=1, max_size=5, unique=True).map(tuple)
lags = st.sampled_from([0, 5, 30])
withins = st.tuples(st.sampled_from([1, 5, 20]), graces)
keys = st.sampled_from(sorted(KEYS))
# a coarse grid beside the fine one: watermarks and gaps often fall exactly on a bound
seconds = st.one_of(
    st.integers(0, 24).map(lambda fives: fives * 5.0), st.integers(0, 240).map(lambda half_seconds: half_seconds / 2)
)
values = st.builds(
    value_of,
    seconds,
    st.fixed_dictionaries(
        {
            "user": st.sampled_from(["a", "b", "c", "a", "b", None]),
            "n": st.none() | st.integers(-3, 9),
            "m": st.integers(0, 9),
            "tags": st.none() | st.lists(st.integers(0, 9), max_size=3),
            "x": st.sampled_from([None, 0.0, -0.0, 0.1, 2.5, -7.25, 1e16, -1e16, 1e300, "Infinity", "-Infinity"]),
            "d": st.sampled_from([None, "0", "-0.0", "0.10", "1.50", "1.5", "-3", "12345678901234567890.5"]),
        }
    ),
)
broken = st.sampled_from([b"", b"{", b'{"user": "a"}', b'{"user": 1, "at": "2024-01-01T00:00:00Z", "m": 1}', b"\xff"])
record = st.one_of(*[values] * 9, broken)
records = st.lists(record, min_size=1, max_size=8) | st.lists(record, min_size=20, max_size=40)
orderly = records.map(lambda found: sorted(found, key=at_of))
"""In the order of their times: then sessions do not depend on how far the other partitions are."""
actions = st.lists(st.sampled_from(["none", "none", "checkpoint", "restart", *CrashPoint]), min_size=1, max_size=8)
batches = st.sampled_from([1, 2, 5, None])
