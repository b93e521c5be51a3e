from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from headrace import Topology, agg, apply, begin, col, matched, meta, skip, tumbling
from headrace.testing import CrashPoint, TopologyDriver
from headrace.topology.patterns import Pattern

START = datetime(2024, 1, 1, tzinfo=UTC)


class Tick(BaseModel):
    user: str
    at: datetime
    kind: str
    price: Decimal = Decimal(0)
    n: int | None = None


def tick(user: str, seconds: float, kind: str, **fields: Any) -> dict[str, Any]:
    return {"user": user, "at": (START + timedelta(seconds=seconds)).isoformat(), "kind": kind, **fields}


def moment(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def declared(pattern: Pattern, *, source: dict[str, Any] | None = None, **options: Any) -> Topology:
    topology = Topology("t")
    ticks = topology.source("ticks", topic="ticks", schema=Tick, time=col.at, **(source or {}))
    found = ticks.group_by("by", col.user).detect("found", pattern, **options)
    found.sink("out", topic="out")
    found.timed_out().sink("timed-out", topic="timed-out")
    found.overflow().sink("overflow", topic="overflow")
    if options.get("order") != "arrival":
        found.late().sink("late", topic="late")
    return topology


A, B, C = (col.kind == kind for kind in "abc")
ab = begin("a", A).followed_by("b", B).within("10s")


def test_a_match_is_a_row_of_its_key_and_times_by_default() -> None:
    driver = TopologyDriver(declared(ab))
    driver.pipe("ticks", [tick("x", 0, "a"), tick("y", 1, "b"), tick("x", 2, "b"), tick("x", 3, "c")])
    (row,) = driver.records("out")
    assert row.json() == {"user": "x", "started": moment(0), "ended": moment(2)}
    assert (row.key, row.time) == (b"x", START + timedelta(seconds=2))


def test_a_match_emits_what_is_computed_over_its_events() -> None:
    pattern = begin("a", A).one_or_more().greedy().followed_by("b", B).within("1m").after_match(skip.past_last())
    emit = {
        "first": matched.first("a").price,
        "last": matched.last("a").price,
        "n": matched.count("a"),
        "sum": matched.sum("a", col.n),
        "least": matched.min("a", col.price),
        "most": matched.max("a", col.price * 2),
        "rise": matched.last("b").price - matched.first("a").price,
        "start": matched.start,
        "end": matched.end,
        "kinds": matched.all(),
        "who": col.user,
        "many": matched.count("a") > 1,
    }
    driver = TopologyDriver(declared(pattern, emit=emit))
    events = [tick("x", 0, "a", price="1.50", n=1), tick("x", 1, "a", price="0.5"), tick("x", 2, "b", price="9")]
    driver.pipe("ticks", [*events, tick("x", 3, "c")])
    (row,) = driver.output("out")
    assert row.pop("kinds")[1] == {"user": "x", "at": moment(1), "kind": "a", "price": "0.5", "n": None}
    assert row == {
        "user": "x", "first": "1.50", "last": "0.5", "n": 2, "sum": 1, "least": "0.5", "most": "3.00", "rise": "7.50",
        "start": moment(0), "end": moment(2), "who": "x", "many": True,
    }  # fmt: skip


def test_over_nothing_counts_and_sums_are_zero_and_all_else_is_null() -> None:
    pattern = begin("a", A).followed_by("c", C).optional().followed_by("b", B).within("1m")
    emit = {"n": matched.count("c"), "sum": matched.sum("c", col.price), "p": matched.last("c").price}
    emit |= {"least": matched.min("c", col.price), "all": matched.all("c")}
    driver = TopologyDriver(declared(pattern, emit=emit))
    driver.pipe("ticks", [tick("x", 0, "a"), tick("x", 1, "b"), tick("x", 2, "d")])
    assert driver.output("out") == [{"user": "x", "n": 0, "sum": "0", "p": None, "least": None, "all": []}]


def test_conditions_may_look_at_what_was_taken() -> None:
    lower = (col.kind == "b") & (col.price < matched.last("a").price) & (matched.count("b") == 0)
    driver = TopologyDriver(declared(begin("a", A).followed_by("b", lower).within("1m")))
    driver.pipe("ticks", [tick("x", 0, "a", price="5"), tick("x", 1, "b", price="5"), tick("x", 2, "b", price="4.9")])
    driver.finish()
    assert [row["ended"] for row in driver.output("out")] == [moment(2)]


def test_events_are_matched_in_the_order_of_their_times_and_late_ones_leave() -> None:
    driver = TopologyDriver(declared(ab, source={"out_of_orderness": "5s"}))
    driver.pipe("ticks", [tick("x", 12, "b"), tick("x", 10, "a"), tick("x", 20, "c"), tick("x", 14, "a")])
    assert [row["started"] for row in driver.output("out")] == [moment(10)]
    assert [row["at"] for row in driver.output("late")] == [moment(14)]
    assert driver.stats.late == 1


def test_in_the_order_of_arrival_events_are_matched_at_once() -> None:
    driver = TopologyDriver(declared(begin("a", A).followed_by("b", B).within("10s"), order="arrival"))
    driver.pipe("ticks", [tick("x", 5, "a"), tick("x", 3, "b")])
    assert [(row["started"], row["ended"]) for row in driver.output("out")] == [(moment(5), moment(3))]


def test_in_the_order_of_arrival_batches_make_no_difference() -> None:
    events = [tick("x", 0, "a"), tick("y", 100, "a"), tick("x", 5, "b"), tick("x", 6, "a"), tick("x", 106, "b")]
    found = []
    for batch in (1, 2, 5):
        driver = TopologyDriver(declared(ab, order="arrival"), batch=batch)
        driver.pipe("ticks", events)
        found.append((driver.output("out"), [row["started"] for row in driver.output("timed-out")]))
    assert found[0] == found[1] == found[2] == ([], [moment(0), moment(6)])


silence = begin("beat", A).not_followed_by("again", A).within("5m")


def test_silence_is_found_by_the_watermark_of_other_keys() -> None:
    driver = TopologyDriver(declared(silence))
    driver.pipe("ticks", [tick("x", 0, "a"), tick("x", 100, "a"), tick("y", 400, "a"), tick("y", 401, "a")])
    (row,) = driver.records("out")
    assert (row.json()["user"], row.json()["started"], row.time) == ("x", moment(100), START + timedelta(seconds=400))


def test_silence_is_found_when_nothing_comes_at_all() -> None:
    driver = TopologyDriver(declared(silence, source={"idle_timeout": "30s"}))
    driver.pipe("ticks", tick("x", 0, "a"))
    driver.advance("5m")
    assert driver.output("out") == []
    driver.advance("31s")
    assert [row["started"] for row in driver.output("out")] == [moment(0)]


def test_silence_is_found_after_a_restart() -> None:
    driver = TopologyDriver(declared(silence, source={"idle_timeout": "30s"}), cache_bytes=1)
    driver.pipe("ticks", [tick(user, 0, "a") for user in "xyz"])
    driver.checkpoint()
    driver.restart()
    driver.advance("6m")
    assert sorted(row["user"] for row in driver.output("out")) == ["x", "y", "z"]


def test_a_run_that_times_out_is_a_row_with_nulls() -> None:
    emit = {"a": matched.first("a").n, "b": matched.first("b").n}
    driver = TopologyDriver(declared(ab, emit=emit))
    driver.pipe("ticks", [tick("x", 0, "a", n=1), tick("x", 10, "b", n=2), tick("x", 11, "c")])
    assert driver.output("out") == []
    (row,) = driver.records("timed-out")
    assert (row.json(), row.time) == ({"user": "x", "a": 1, "b": None}, START + timedelta(seconds=10))


def test_the_end_of_the_input_ends_windows_and_releases_what_waits() -> None:
    pattern = begin("a", A).followed_by("b", B & (col.n == matched.last("a").n)).within(None)
    driver = TopologyDriver(declared(pattern.after_match(skip.past_last())))
    driver.pipe("ticks", [tick("x", 0, "a", n=1), tick("x", 1, "a", n=2), tick("x", 2, "b", n=2), tick("x", 3, "c")])
    assert driver.output("out") == []
    driver.restart()
    driver.finish()
    assert [row["started"] for row in driver.output("out")] == [moment(1)]


def test_the_oldest_run_overflows_and_is_counted() -> None:
    driver = TopologyDriver(declared(ab, runs=2))
    driver.pipe("ticks", [*(tick("x", at, "a") for at in range(4)), tick("x", 5, "b"), tick("x", 6, "c")])
    assert [row["started"] for row in driver.output("overflow")] == [moment(0), moment(1)]
    assert [row["started"] for row in driver.output("out")] == [moment(2), moment(3)]
    assert driver.stats.overflow == 2


def failing(value: int | None) -> bool:
    return 6 / (value or 0) == 3


def test_an_event_on_which_a_condition_fails_is_a_dead_letter_and_leaves_no_trace() -> None:
    pattern = begin("a", A).next("b", apply(failing, col.n, returns=bool)).within("1m")
    driver = TopologyDriver(declared(pattern))
    driver.pipe("ticks", [tick("x", 0, "a"), tick("x", 1, "b", n=0), tick("x", 2, "b", n=2), tick("x", 3, "c")])
    assert [row["ended"] for row in driver.output("out")] == [moment(2)]
    (letter,) = driver.dead_letters()
    assert (letter.step, letter.error) == ("found", "ZeroDivisionError")


def test_a_match_on_which_the_skip_strategy_fails_is_a_dead_letter() -> None:
    driver = TopologyDriver(declared(begin("a", A).within("1m").after_match(skip.to_first("a", on_miss="error"))))
    driver.pipe("ticks", [tick("x", 0, "a"), tick("x", 1, "c")])
    (letter,) = driver.dead_letters()
    assert letter.step == "found"
    assert letter.message == (
        "skip to first: expected an event of step 'a' behind the first one of the match, got the first event of the"
        " match. Let on_miss be 'ignore', or mend the pattern"
    )


def test_without_a_key_all_events_meet() -> None:
    topology = Topology("t")
    ticks = topology.source("ticks", topic="ticks", schema=Tick, time=col.at)
    ticks.detect("found", ab, emit={"one": matched.first("a").user, "two": matched.first("b").user}).sink("out", "out")
    driver = TopologyDriver(topology, partitions=3)
    driver.pipe("ticks", tick("x", 0, "a"), partition=1)
    driver.pipe("ticks", tick("y", 1, "b"), partition=2)
    driver.finish()
    (row,) = driver.records("out")
    assert (row.json(), row.key) == ({"one": "x", "two": "y"}, None)


def test_a_key_of_several_columns_and_steps_behind_the_matches() -> None:
    topology = Topology("t")
    ticks = topology.source("ticks", topic="ticks", schema=Tick, time=col.at)
    found = ticks.group_by("by", col.user, col.n).detect("found", ab, emit={"price": matched.last("b").price})
    totals = found.group_by("by-user", col.user).window(tumbling("1m")).aggregate("totals", sum=agg.sum(col.price))
    totals.on_close().sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("ticks", [tick("x", 0, "a", n=1), tick("x", 1, "b", n=2, price=1), tick("x", 2, "b", n=1, price=3)])
    driver.pipe("ticks", [tick("x", 3, "a", n=2), tick("x", 4, "b", n=2, price=4), tick("x", 90, "c", n=1)])
    assert [(row["user"], row["sum"]) for row in driver.output("out")] == [("x", "7")]


def test_an_explanation_tells_what_each_event_did() -> None:
    pattern = begin("a", A).next("b", B).within("10s")
    driver = TopologyDriver(declared(pattern, emit={"n": matched.count("a")}))
    driver.pipe("ticks", [tick("x", 0, "a"), tick("x", 1, "b"), tick("x", 2, "a"), tick("x", 3, "c")])
    driver.pipe("ticks", [tick("x", 4, "a"), tick("x", 60, "c"), tick("y", 61, "c")])
    a, b = "a: {'kind': 'a'}", "b: {'kind': 'b'}"
    assert driver.explain("found", "x") == [
        f"{moment(0)} [{a}] began",
        f"{moment(1)} [{a}, {b}] took b",
        f"{moment(1)} [{a}, {b}] is a match",
        f"{moment(2)} [{a}] began",
        f"{moment(3)} [{a}] died: it waited for b, next, and {{'kind': 'c'}} came",
        f"{moment(4)} [{a}] began",
        f"{moment(14)} [{a}] timed out",
    ]
    assert driver.held("found", "x") == []


def test_meta_time_is_that_of_the_event_at_hand() -> None:
    pattern = begin("a", A).followed_by("b", meta.time == START + timedelta(seconds=2)).within("10s")
    driver = TopologyDriver(declared(pattern))
    driver.pipe("ticks", [tick("x", 0, "a"), tick("x", 1, "c"), tick("x", 2, "c"), tick("x", 3, "c")])
    assert [row["ended"] for row in driver.output("out")] == [moment(2)]


def test_a_pattern_serves_several_topologies_and_steps() -> None:
    for order in ("event_time", "arrival"):
        driver = TopologyDriver(declared(ab, order=order))
        driver.pipe("ticks", [tick("x", 0, "a"), tick("x", 1, "b"), tick("x", 2, "c")])
        assert len(driver.output("out")) == 1


def entries(driver: TopologyDriver, suffix: str = "") -> int:
    return len(list(driver.backend.store(f"t/found{suffix}").scan(b"", b"\xff")))


def test_a_key_without_runs_leaves_nothing_in_the_store() -> None:
    driver = TopologyDriver(declared(ab), cache_bytes=1)
    driver.pipe("ticks", [tick(str(n), n / 100, "a") for n in range(300)])
    driver.checkpoint()
    assert (entries(driver, "/live"), entries(driver, "/expiry")) == (299, 299)
    driver.pipe("ticks", [tick("0", 5, "b"), tick("0", 6, "c"), tick("0", 60, "c")])
    driver.checkpoint()
    assert [entries(driver, suffix) for suffix in ("", "/live", "/expiry")] == [0, 0, 0]
    assert len(driver.output("timed-out")) == 299


def test_of_a_key_with_many_events_a_checkpoint_writes_what_is_new() -> None:
    pattern = begin("a", A).followed_by("b", B).within("1h")
    driver = TopologyDriver(declared(pattern), cache_bytes=1)
    for second in range(0, 500, 100):
        driver.pipe("ticks", [tick("x", second + n, "a") for n in range(100)])
        driver.checkpoint()
    assert (entries(driver), entries(driver, "/live")) == (499, 1)
    driver.crash(CrashPoint.TORN_WRITE)
    driver.pipe("ticks", [tick("x", 600, "b"), tick("x", 601, "c")])
    assert len(driver.output("out")) == 500
    driver.checkpoint()
    assert [entries(driver, suffix) for suffix in ("", "/live", "/expiry")] == [0, 0, 0]


def test_events_that_wait_are_written_once_and_go_when_they_are_past() -> None:
    driver = TopologyDriver(declared(ab, source={"out_of_orderness": "1m"}))
    for second in range(3):
        driver.pipe("ticks", [tick("x", second * 3 + 1, "b"), tick("x", second * 3, "a")])
        driver.checkpoint()
        assert entries(driver, "/pending") == second + 1
    driver.crash(CrashPoint.BEFORE_WRITE)
    driver.pipe("ticks", tick("x", 300, "c"))
    assert len(driver.output("out")) == 3
    assert entries(driver, "/pending") == 1


def test_of_a_key_that_fell_empty_on_a_failing_event_nothing_is_left() -> None:
    first = A & (matched.count("b") == 0) & apply(failing, col.n, returns=bool)
    pattern = begin("a", first).followed_by("b", B).within("10s")
    driver = TopologyDriver(declared(pattern), cache_bytes=1)
    driver.pipe("ticks", [tick("x", 0, "a", n=2), tick("x", 20, "a", n=0), tick("x", 21, "c")])
    driver.checkpoint()
    assert len(driver.dead_letters()) == 1
    assert [entries(driver, suffix) for suffix in ("", "/live", "/expiry")] == [0, 0, 0]
