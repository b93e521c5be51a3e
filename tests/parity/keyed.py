"""Cases of tables, aggregates and windows."""

from __future__ import annotations

from headrace import Topology, agg, col, hopping, session, tumbling
from headrace.topology.grouped import Grouped
from headrace.topology.windows import Window
from tests.operators.support import Click, click, clicks
from tests.parity.cases import SESSIONS, UPDATES, Case, mixture
from tests.parity.compare import Promise

UPDATES_AND_LATE = Promise(newest=("update",), bags=("late",))
SESSIONS_AND_LATE = Promise(growing=("update",), bags=("late",))
IN_ORDER = {
    "count": agg.count(),
    "sum": agg.sum(col.n),
    "mean": agg.mean(col.rate),
    "first": agg.first(col.n),
    "last": agg.last(col.at),
    "list": agg.collect_list(col.n, limit=5),
    "price": agg.sum(col.price),
}
IN_ANY_ORDER = {
    "count": agg.count(),
    "sum": agg.sum(col.n),
    "low": agg.min(col.at),
    "high": agg.max(col.n),
    "price": agg.sum(col.price),
}


def tables() -> Topology:
    topology = Topology("tables")
    known = clicks(topology).filter("known", col.user.is_not_null())
    latest = known.group_by("by", col.user).table("latest", delete=col.n == 0)
    latest.on_update().sink("u", topic="update")
    return topology


def _same_key(topology: Topology, **options: object) -> Grouped:
    return clicks(topology, **options).group_by("by", col.user)


def _other_key(topology: Topology, **options: object) -> Grouped:
    return clicks(topology, **options).group_by("by", rest=col.n % 3)


def _aggregate(grouped: Grouped, window: Window | None, *, in_order: bool) -> None:
    keyed = grouped if window is None else grouped.window(window)
    made = keyed.aggregate("made", **(IN_ORDER if in_order else IN_ANY_ORDER))
    made.on_update().sink("u", topic="update")
    if window is not None:
        made.on_close().sink("c", topic="close")
        made.late().select("l", col.user, col.n, col.at).sink("lo", topic="late")


def of_all_time() -> Topology:
    topology = Topology("all-time")
    _aggregate(_same_key(topology), None, in_order=True)
    return topology


def of_all_time_by_another_key() -> Topology:
    topology = Topology("all-time-again")
    _aggregate(_other_key(topology), None, in_order=False)
    return topology


def windowed(window: Window, *, in_order: bool = True, **options: object) -> Topology:
    topology = Topology("windowed")
    grouped = (_same_key if in_order else _other_key)(topology, **options)
    _aggregate(grouped, window, in_order=in_order)
    return topology


def early() -> Topology:
    topology = Topology("early")
    counts = clicks(topology).group_by("by", col.user).window(tumbling("1m")).aggregate("counts", n=agg.count())
    counts.every("20s").sink("e", topic="every")
    counts.on_close().sink("c", topic="close")
    return topology


def by_declared_key() -> Topology:
    """The topic is partitioned by the key: no repartition."""
    topology = Topology("declared")
    grouped = clicks(topology, key=col.user, out_of_orderness="5s").group_by("by", col.user)
    grouped.window(tumbling("20s")).aggregate("made", **IN_ORDER).on_close().sink("c", topic="close")
    grouped.aggregate("whole", **IN_ORDER).on_update().sink("u", topic="update")
    return topology


def of_two_sources() -> Topology:
    topology = Topology("merged")
    left = topology.source("left", topic="left", schema=Click, time=col.at, out_of_orderness="10s")
    right = topology.source("right", topic="right", schema=Click, time=col.at, out_of_orderness="3s")
    made = left.merge("both", right).group_by("by", col.user).window(tumbling("15s", grace="2s"))
    made.aggregate("made", **IN_ANY_ORDER).on_close().sink("c", topic="close")
    made.aggregate("again", **IN_ANY_ORDER).late().select("l", col.user, col.n, col.at).sink("lo", topic="late")
    return topology


def apart() -> Topology:
    """One source is far ahead of the other in event time: what is in time at its own source is in time."""
    topology = Topology("apart")
    left = topology.source("left", topic="left", schema=Click, time=col.at)
    right = topology.source("right", topic="right", schema=Click, time=col.at)
    counts = left.merge("both", right).group_by("by", col.user).window(tumbling("10s"))
    made = counts.aggregate("made", n=agg.count())
    made.on_close().sink("c", topic="close")
    made.late().select("l", col.user, col.at).sink("lo", topic="late")
    return topology


def visits_of_two_sources() -> Topology:
    topology = Topology("visits")
    left = topology.source("left", topic="left", schema=Click, time=col.at, out_of_orderness="20s")
    right = topology.source("right", topic="right", schema=Click, time=col.at, out_of_orderness="10s")
    visits = left.merge("both", right).group_by("by", col.user).window(session("4s"))
    visits.aggregate("visits", **IN_ANY_ORDER).on_close().sink("v", topic="visits")
    return topology


def chain() -> list[Topology]:
    first, second = Topology("first"), Topology("second")
    counts = clicks(first).group_by("by", col.user).window(tumbling("10s")).aggregate("counts", n=agg.count())
    counts.on_close().select("s", col.user, col.n, at=col.window_start).sink("b", topic="between")
    again = second.source("rows", topic="between", schema=Click, time=col.at, out_of_orderness="1h")
    sizes = again.group_by("size", size=col.n).window(tumbling("30s"))
    sizes.aggregate("sizes", windows=agg.count(), users=agg.max(col.user)).on_close().sink("s", topic="sizes")
    again.group_by("user", col.user).table("newest").on_update().sink("u", topic="update")
    return [first, second]


def firsts() -> Topology:
    topology = Topology("firsts")
    first = clicks(topology, out_of_orderness="2s").group_by("by", col.user).distinct("first", within="9s", grace="1s")
    first.sink("f", topic="first")
    first.late().select("l", col.user, col.at).sink("lo", topic="late")
    return topology


def to_all() -> Topology:
    topology = Topology("to-all")
    clicks(topology).broadcast("all").filter("some", col.n > 3).sink("a", topic="all")
    return topology


def until_silence() -> Topology:
    topology = Topology("silence")
    counts = clicks(topology, idle_timeout="3s").group_by("by", col.user).window(tumbling("1s"))
    counts.aggregate("counts", n=agg.count()).on_close().sink("c", topic="close")
    return topology


def of_windows() -> Topology:
    topology = Topology("of-windows")
    first = clicks(topology, out_of_orderness="5s").group_by("by", col.user).window(tumbling("10s"))
    counts = first.aggregate("counts", n=agg.count(), total=agg.sum(col.n))
    again = counts.on_close().group_by("again", size=col.n).window(hopping("1m", "20s"))
    again.aggregate("sizes", users=agg.count(), total=agg.sum(col.total)).on_close().sink("s", topic="sizes")
    counts.on_close().filter("busy", col.n > 1).sink("c", topic="busy")
    return topology


# Which records a session meets depends on how far the other partitions are, once records are later than declared:
# either they are not, or there is one partition.
CASES = {
    "tables": Case(tables, promise=UPDATES),
    "aggregates of all time": Case(of_all_time, promise=UPDATES),
    "aggregates of all time by another key": Case(of_all_time_by_another_key, promise=UPDATES),
    "tumbling": Case(lambda: windowed(tumbling("10s", grace="2s")), promise=UPDATES),
    "tumbling by another key": Case(
        lambda: windowed(tumbling("10s", grace="1s"), in_order=False), promise=UPDATES_AND_LATE
    ),
    "tumbling out of order": Case(
        lambda: windowed(tumbling("10s"), in_order=False, out_of_orderness="4s"), promise=UPDATES_AND_LATE
    ),
    "hopping": Case(lambda: windowed(hopping("20s", "5s", grace="1s"), out_of_orderness="2s"), promise=UPDATES),
    "session": Case(lambda: windowed(session("5s", grace="1s")), promise=SESSIONS, partitions=1),
    "session out of order": Case(lambda: windowed(session("5s"), out_of_orderness="9s"), promise=SESSIONS),
    "session by another key": Case(
        lambda: windowed(session("2s"), in_order=False, out_of_orderness="9s"), promise=SESSIONS_AND_LATE
    ),
    "kept windows": Case(lambda: windowed(tumbling("10s", retention="30s")), promise=UPDATES),
    "kept sessions": Case(lambda: windowed(session("5s", retention="30s"), out_of_orderness="9s"), promise=SESSIONS),
    "early": Case(early, partitions=1),
    "first of each key": Case(firsts, promise=Promise(bags=("late",))),
    "broadcast": Case(to_all, promise=Promise(bags=("all",))),
    "declared key": Case(by_declared_key, promise=UPDATES, inputs={"clicks": mixture(1, broken=False)}),
    "two sources in windows": Case(
        of_two_sources, promise=Promise(bags=("late",)), inputs={"left": mixture(4), "right": mixture(5, 200)}
    ),
    "two sources far apart": Case(
        apart, inputs={"left": [click("a", 100)], "right": [click("a", 1), click("a", 2)]}, partitions=1
    ),
    "two sources in sessions": Case(visits_of_two_sources, inputs={"left": mixture(4), "right": mixture(5, 200)}),
    "windows of windows": Case(of_windows),
    "a chain of two topologies": Case(chain, promise=UPDATES, between=("between",)),
    "no keys in windows": Case(lambda: windowed(tumbling("10s"), in_order=False), key=None, promise=UPDATES_AND_LATE),
}

# The last windows close by the clock, although nothing follows.
SILENCE = Case(until_silence, inputs={"clicks": mixture(6, 60, jitter_s=0.0)}, silence_s=8.0)
