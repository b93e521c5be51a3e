from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from headrace import Topology, TopologyError, agg, apply, col, left, meta, right, tumbling
from headrace.plan import compile_plan
from headrace.testing import CrashPoint, TopologyDriver
from tests.naive.lookups import Asked, Change, as_of, in_time, latest
from tests.operators.support import only

GRACE_S, LAG_S = 3, 4


class User(BaseModel):
    user: str
    at: int
    value: int | None = None


class Payment(BaseModel):
    user: str
    at: int
    n: int


def payments_of(topology: Topology, lag_s: int = 0) -> Any:
    return topology.source("payments", topic="payments", schema=Payment, time=col.at, out_of_orderness=f"{lag_s}s")


def users_of(topology: Topology, lag_s: int = 0) -> Any:
    return topology.source("users", topic="users", schema=User, time=col.at, out_of_orderness=f"{lag_s}s")


def declared(how: str = "inner", lag_s: int = 0, **options: Any) -> Topology:
    topology = Topology("t")
    users = users_of(topology, lag_s).group_by("users-by", col.user).table("users-now", delete=col.value.is_null())
    payments = payments_of(topology, lag_s).group_by("by", col.user)
    chosen = {"n": left.n, "value": right.value}
    found = payments.lookup("with-user", users, how=how, select=chosen, **options)
    found.sink("out", topic="out")
    if options.get("as_of") == "event_time":
        found.late().sink("late-out", topic="late")
        found.late_table().sink("late-users-out", topic="late-users")
    return topology


def everywhere(how: str = "inner", lag_s: int = 0, **options: Any) -> Topology:
    topology = Topology("t")
    users = users_of(topology, lag_s).global_table("all-users", col.user, delete=col.value.is_null())
    chosen = {"user": left.user, "n": left.n, "value": right.value}
    found = payments_of(topology, lag_s).lookup("with-user", users, on=col.user, how=how, select=chosen, **options)
    found.sink("out", topic="out")
    return topology


def user(key: str, at: int, value: int | None) -> dict[str, Any]:
    return {"user": key, "at": at * 1000, "value": value}


def payment(key: str, at: int, n: int) -> dict[str, Any]:
    return {"user": key, "at": at * 1000, "n": n}


def pipe(driver: TopologyDriver, event: Change | Asked, partition: int | None = None) -> None:
    if isinstance(event, Change):
        driver.pipe("users", user(event.key, event.at, event.value), partition=partition)
    else:
        driver.pipe("payments", payment(event.key, event.at, event.n), partition=partition)


changes = st.builds(Change, st.sampled_from("abc"), st.integers(0, 40), st.none() | st.integers(0, 9))
asked = st.builds(Asked, st.sampled_from("abcd"), st.integers(0, 40), st.integers(0, 1000))
events = st.lists(changes | asked, max_size=50)
jumps = st.lists(st.sampled_from(["go on", "restart", "checkpoint", *CrashPoint]), max_size=8)
batches = st.integers(1, 20)
quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def run(driver: TopologyDriver, found: list[Change | Asked], jumps: list[Any], partitions: int = 1) -> None:
    size = len(found) // (len(jumps) + 1) + 1
    for place, begin in enumerate(range(0, len(found), size)):
        for number, event in enumerate(found[begin : begin + size]):
            pipe(driver, event, (begin + number) % partitions)
        jump = jumps[place] if place < len(jumps) else "go on"
        if jump == "restart":
            driver.restart()
        elif jump == "checkpoint":
            driver.checkpoint()
        elif isinstance(jump, CrashPoint):
            driver.crash(jump)


@quick
@given(events, batches, jumps, st.booleans(), st.sampled_from([1, 64 << 20]))
def test_the_latest_row_against_a_naive_lookup(found, batch, jumps, optional, cache_bytes) -> None:
    driver = TopologyDriver(declared("left" if optional else "inner"), batch=batch, cache_bytes=cache_bytes)
    run(driver, found, jumps)
    assert only(driver.output("out"), "user", "n", "value") == latest(found, left=optional)


@quick
@given(events, jumps, st.booleans(), st.integers(1, 3))
def test_a_global_table_against_a_naive_lookup(found, jumps, optional, partitions) -> None:
    driver = TopologyDriver(everywhere("left" if optional else "inner"), partitions=partitions, cache_bytes=1)
    run(driver, found, jumps, partitions)
    out = only(driver.output("out"), "user", "n", "value")
    if partitions == 1:
        assert out == latest(found, left=optional)
    assert Counter(out) == Counter(latest(found, left=optional))


@quick
@given(events, batches, jumps, st.booleans(), st.sampled_from([1, 64 << 20]))
def test_as_of_event_time_against_a_naive_lookup(found, batch, jumps, optional, cache_bytes) -> None:
    options = {"as_of": "event_time", "how": "left" if optional else "inner"}
    driver = TopologyDriver(declared(lag_s=LAG_S, **options), batch=batch, cache_bytes=cache_bytes)
    run(driver, found, jumps)
    driver.finish()
    good, late = in_time(found, LAG_S, 0)
    assert only(driver.output("out"), "user", "n", "value") == as_of(good, left=optional)
    assert only(driver.output("late"), "n") == [event.n for event in late if isinstance(event, Asked)]
    assert only(driver.output("late-users"), "user") == [event.key for event in late if isinstance(event, Change)]


@quick
@given(events, jumps, st.sampled_from([1, 64 << 20]))
def test_records_behind_the_watermark_find_versions_that_are_kept(found, jumps, cache_bytes) -> None:
    options = {"as_of": "event_time", "versions": f"{GRACE_S}s"}
    driver = TopologyDriver(declared(lag_s=LAG_S, **options), cache_bytes=cache_bytes)
    run(driver, found, jumps)
    driver.finish()
    good, late = in_time(found, LAG_S, GRACE_S)
    assert Counter(only(driver.output("out"), "user", "n", "value")) == Counter(as_of(good, left=False))
    assert only(driver.output("late"), "n") == [event.n for event in late if isinstance(event, Asked)]


@quick
@given(events, jumps, st.integers(2, 3), st.booleans())
def test_as_of_over_partitions_that_are_out_of_order(found, jumps, partitions, whole) -> None:
    build = everywhere if whole else declared
    driver = TopologyDriver(build("left", lag_s=50, as_of="event_time"), partitions=partitions, cache_bytes=1)
    run(driver, found, jumps, partitions)
    driver.finish()
    assert Counter(only(driver.output("out"), "user", "n", "value")) == Counter(as_of(found, left=True))


@quick
@given(events, st.randoms())
def test_as_of_does_not_depend_on_which_input_is_read_first(found, random) -> None:
    ordered = sorted(found, key=lambda event: event.at)
    sides = [[e for e in ordered if isinstance(e, kind)] for kind in (Change, Asked)]
    driver = TopologyDriver(declared("left", as_of="event_time"))
    while any(sides):
        pipe(driver, random.choice([side for side in sides if side]).pop(0))
    driver.finish()
    assert only(driver.output("out"), "user", "n", "value") == as_of(ordered, left=True)


def test_versions_are_forgotten_when_nobody_can_ask_for_them() -> None:
    driver = TopologyDriver(declared(as_of="event_time"))
    for second in range(0, 300, 3):
        driver.pipe("users", [user("a", second, second), user("b", second, None)])
        driver.pipe("payments", [payment("a", second + 1, second), payment("b", second + 1, second)])
        driver.checkpoint()
    stores = [driver.backend.store(f"t/with-user{suffix}") for suffix in ("", "/expiry", "/pending")]
    assert [len(list(store.scan(b"", b"\xff"))) for store in stores] == [3, 2, 3]
    assert only(driver.output("out"), "value") == list(range(0, 297, 3))


def test_all_columns_are_returned_and_those_of_both_sides_told_apart() -> None:
    topology = Topology("t")
    users = users_of(topology).group_by("users-by", col.user).table("users-now")
    found = payments_of(topology).group_by("by", col.user).lookup("l", users, how="left", suffix="_of_user")
    found.sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("users", user("a", 1, 7))
    driver.pipe("payments", [payment("a", 2, 0), payment("b", 3, 1)])
    assert driver.output("out") == [
        {"user": "a", "at": 2000, "n": 0, "at_of_user": 1000, "value": 7},
        {"user": "b", "at": 3000, "n": 1, "at_of_user": None, "value": None},
    ]


def test_an_aggregate_is_a_table_as_well_and_is_up_to_date_with_every_record() -> None:
    topology = Topology("t")
    by_user = payments_of(topology).group_by("by", col.user)
    spent = by_user.aggregate("spent", total=agg.sum(col.n), payments=agg.count())
    by_user.lookup("l", spent, select=[left.n, right.total, right.payments]).sink("out", topic="out")
    driver = TopologyDriver(topology, cache_bytes=1)
    for number in range(4):
        driver.pipe("payments", [payment("a", number, number), payment("b", number, 10)])
    expected = [("a", 0, 0, 1), ("b", 10, 10, 1), ("a", 1, 1, 2), ("b", 10, 20, 2), ("a", 2, 3, 3), ("b", 10, 30, 3)]
    assert only(driver.output("out"), "user", "n", "total", "payments")[:6] == expected


@quick
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5), st.booleans()), max_size=40), batches, jumps)
def test_an_aggregate_of_another_stream_against_running_sums(found, batch, jumps) -> None:
    topology = Topology("t")
    sums = users_of(topology).group_by("users-by", col.user).aggregate("sums", total=agg.sum(col.value))
    payments = payments_of(topology).group_by("by", col.user)
    payments.lookup("l", sums, how="left", select=[left.n, right.total]).sink("out", topic="out")
    driver = TopologyDriver(topology, batch=batch, cache_bytes=1)
    run(driver, [Change(k, 1, v) if table else Asked(k, 1, v) for k, v, table in found], jumps)
    sums_now: dict[str, int] = {}
    expected = []
    for key, value, table in found:
        if table:
            sums_now[key] = sums_now.get(key, 0) + value
        else:
            expected.append((key, value, sums_now.get(key)))
    assert only(driver.output("out"), "user", "n", "total") == expected


@pytest.mark.parametrize("when", ["latest", "event_time"])
def test_a_record_finds_the_row_that_it_has_set_itself(when: str) -> None:
    topology = Topology("t")
    by_user = payments_of(topology).group_by("by", col.user)
    by_user.lookup("l", by_user.table("own"), as_of=when, select={"n": left.n, "own": right.n}).sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("payments", [payment("a", 1, 1), payment("a", 2, 2)])
    driver.finish()
    assert only(driver.output("out"), "n", "own") == [(1, 1), (2, 2)]


def test_a_lookup_leads_on_to_windows_with_nothing_late() -> None:
    topology = Topology("t")
    users = users_of(topology, 5).group_by("users-by", col.user).table("users-now")
    found = payments_of(topology, 5).group_by("by", col.user).lookup("l", users, as_of="event_time", suffix="_u")
    counts = found.group_by("by-value", col.value).window(tumbling("10s")).aggregate("counts", n=agg.count())
    counts.on_close().sink("out", topic="out")
    driver = TopologyDriver(topology, partitions=2)
    for at in range(0, 60, 2):
        driver.pipe("users", user("a", at, at // 20), partition=at // 2 % 2)
        driver.pipe("payments", payment("a", at + 1, at), partition=1 - at // 2 % 2)
    driver.finish()
    assert driver.stats.late == 0
    assert sum(only(driver.output("out"), "n")) == 30


def test_what_fails_on_a_pair_is_a_dead_letter_and_nothing_else() -> None:
    topology = Topology("t")
    users = users_of(topology).group_by("users-by", col.user).table("users-now")
    payments = payments_of(topology).group_by("by", col.user)
    ratio = apply(lambda n, value: n // value, left.n, right.value, returns=int)
    for when in ("latest", "event_time"):
        payments.lookup(when, users, as_of=when, select={"ratio": ratio}).sink(f"{when}-out", topic=when)
    driver = TopologyDriver(topology)
    driver.pipe("users", [user("a", 0, 0), user("b", 0, 2)])
    driver.pipe("payments", [payment("a", 1, 8), payment("b", 1, 8)])
    driver.finish()
    assert driver.output("latest") == driver.output("event_time") == [{"user": "b", "ratio": 4}]
    assert sorted(letter.step for letter in driver.dead_letters()) == ["event_time", "latest"]


def test_null_finds_nothing_in_a_global_table() -> None:
    topology = Topology("t")
    users = users_of(topology).global_table("all-users", col.value, name=col.user)
    asked = topology.source("asked", topic="asked", schema=User, time=col.at)
    found = asked.lookup("l", users, on=[col.value, col.user], how="left", select={"at": right.at, "key": meta.key})
    found.sink("out", topic="out")
    driver = TopologyDriver(topology, partitions=2)
    driver.pipe("users", [user("a", 1, 5)])
    driver.pipe("asked", [user("a", 2, 5), user("a", 2, None), user("b", 2, 5)], key="k")
    assert driver.output("out") == [{"at": 1000, "key": "k"}, {"at": None, "key": "k"}, {"at": None, "key": "k"}]


def test_a_lookup_as_of_keeps_the_key_that_a_record_came_with() -> None:
    driver = TopologyDriver(everywhere(as_of="event_time"))
    driver.pipe("users", user("a", 1, 5))
    driver.pipe("payments", payment("a", 2, 0), key="own")
    driver.finish()
    assert [record.key for record in driver.records("out")] == [b"own"]


def faults(topology: Topology) -> list[str]:
    with pytest.raises(TopologyError) as raised:
        compile_plan(topology)
    return [str(fault) for fault in raised.value.faults]


def test_what_cannot_be_looked_up_is_refused() -> None:
    topology = Topology("t")
    by_user = payments_of(topology).group_by("by", col.user)
    users = users_of(topology).group_by("users-by", value=col.value.fill_null(0)).table("users-now")
    windowed = by_user.window(tumbling("1m")).aggregate("windowed", n=agg.count())
    spent = by_user.aggregate("spent", n=agg.count())
    by_user.lookup("types", users, select=[left.n]).sink("1", topic="1")
    by_user.lookup("windows", windowed).sink("2", topic="2")
    by_user.lookup("past", spent, as_of="event_time").sink("3", topic="3")
    by_user.lookup("both", by_user.table("own")).sink("4", topic="4")
    by_user.lookup("outer", by_user.table("own-2"), how="outer", versions="1d", suffix="_own").sink("5", topic="5")
    by_user.stream().lookup("partitioned", spent, on=col.user).sink("6", topic="6")
    by_user.lookup("joined", spent.join("join", by_user.table("own-3"), suffix="_own")).sink("7", topic="7")
    assert faults(topology) == [
        "step 'windows', table: expected a table without windows, got an aggregate with one."
        " Leave window() out; or keep its rows: on_close().group_by(...).table(...).",
        "step 'past', as_of: expected a table of records, for the event time, got 'spent', of whose past nothing is"
        " known. Look the latest row up; or group in windows, and keep the closed rows in a table().",
        "step 'partitioned', table: expected a global table of this topology, got 'spent', of which every task has a"
        " part. Make one with global_table(), or group_by() first.",
        "step 'joined', table: expected no join of tables, got 'join', whose rows are made when a checkpoint is: what"
        " is found would depend on that. Look one table up after the other.",
        "step 'types', key: expected a key of the types of the table's: (int), got (str)."
        " Convert one of them: col.value.cast(str).",
        "step 'both', select: expected columns that the two sides do not share, got 'at', 'n'."
        " Say which to return: select={'at': left.at, 'right_at': right.at, ...}; or give suffix='_right'.",
        "step 'outer', how: expected 'inner' or 'left', got 'outer'. A lookup returns records of its stream only.",
        "step 'outer', versions: expected as_of='event_time' beside it, got the latest row."
        " Leave it out, or say as_of='event_time'.",
    ]


def test_a_topology_that_would_wait_for_itself_is_refused() -> None:
    topology = Topology("t")
    source = payments_of(topology)
    everything = source.global_table("all", col.user)
    source.lookup("l", everything, on=col.user, suffix="_all").sink("out", topic="out")
    (fault,) = faults(topology)
    assert fault == (
        "step 'all.broadcast', output: expected records that do not come back to the task that they were sent from,"
        " got a step behind it that also reads what lies before it, in the same task. Read the topic once more, with a"
        " second source(), and begin one of the two ways there."
    )
