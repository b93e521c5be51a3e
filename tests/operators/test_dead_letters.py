import pytest
from pydantic import BaseModel

from headrace import DataError, OnError, Topology, agg, apply, col, tumbling
from headrace.testing import CrashPoint, TopologyDriver
from tests.operators.support import Click, click, clicks, only


def explode_on_three(n: int | None) -> int | None:
    if n == 3:
        msg = "three is not allowed"
        raise ValueError(msg)
    return n


def driver_of(declare, **options) -> TopologyDriver:
    topology = Topology("t")
    declare(clicks(topology, **options)).sink("out", topic="out")
    return TopologyDriver(topology)


BAD = {
    "truncated JSON": b'{"user": "a", "at": "2024-01-01T00:00:0',
    "wrong type": b'{"user": "a", "at": "2024-01-01T00:00:00Z", "n": "many"}',
    "invalid UTF-8": b'{"user": "\xff\xfe", "at": "2024-01-01T00:00:00Z"}',
    "no object": b"[1, 2]",
    "empty": b"",
    "year 1": b'{"user": "a", "at": "0001-01-01T00:00:00Z", "n": 1}',
    "year 9999": b'{"user": "a", "at": "9999-12-31T23:59:59Z", "n": 1}',
    "no time": b'{"user": "a", "n": 1}',
}


@pytest.mark.parametrize("bad", list(BAD.values()), ids=list(BAD))
def test_a_bad_record_is_a_dead_letter_and_the_rest_goes_on(bad) -> None:
    driver = driver_of(lambda s: s.select("s", col.user, col.n))
    driver.pipe("clicks", [click("a", 0, n=1), bad, click("b", 1, n=2)])
    assert driver.output("out") == [{"user": "a", "n": 1}, {"user": "b", "n": 2}]
    (letter,) = driver.dead_letters()
    assert (letter.step, letter.topic, letter.partition, letter.offset) == ("clicks", "clicks", 0, 1)
    assert letter.value == bad
    assert letter.message
    assert driver.stats.dead_letters == 1


def test_the_message_names_field_expected_and_got() -> None:
    driver = driver_of(lambda s: s.select("s", col.user, col.n))
    driver.pipe("clicks", BAD["wrong type"])
    (letter,) = driver.dead_letters()
    assert "n" in letter.message
    assert "int" in letter.message
    assert "many" in letter.message


def test_a_time_from_far_off_does_not_move_the_watermark() -> None:
    topology = Topology("t")
    windows = clicks(topology).group_by("by", col.user).window(tumbling("1m"))
    windows.aggregate("counts", n=agg.count()).on_close().sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 0), BAD["year 9999"], click("a", 30)])
    assert driver.output("out") == []
    driver.finish()
    assert only(driver.output("out"), "n") == [2]


def test_a_failing_step_is_named() -> None:
    driver = driver_of(lambda s: s.filter("all", col.user.is_not_null()).map("ratio", r=10 / col.n).select("s", col.r))
    driver.pipe("clicks", [click("a", 0, n=5), click("a", 1, n=0), click("a", 2, n=2)])
    assert only(driver.output("out"), "r") == [2.0, 5.0]
    (letter,) = driver.dead_letters()
    assert (letter.step, letter.offset, letter.error) == ("ratio", 1, "ZeroDivisionError")


def test_a_failing_function_is_a_dead_letter_of_its_step() -> None:
    driver = driver_of(lambda s: s.select("call", x=apply(explode_on_three, col.n, returns=int)))
    driver.pipe("clicks", [click("a", i, n=i) for i in range(5)])
    assert only(driver.output("out"), "x") == [0, 1, 2, 4]
    (letter,) = driver.dead_letters()
    assert (letter.step, letter.offset) == ("call", 3)
    assert "three is not allowed" in letter.message


def test_a_null_key_is_a_dead_letter() -> None:
    topology = Topology("t")
    clicks(topology).group_by("by", col.user, col.n).aggregate("counts", total=agg.count())
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 0, n=1), click(None, 1, n=1), click("b", 2, n=None)])
    assert only(driver.table("counts"), "user", "n", "total") == [("a", 1, 1)]
    assert [(d.step, d.offset, "key is null" in d.message) for d in driver.dead_letters()] == [
        ("by", 1, True), ("by", 2, True)
    ]  # fmt: skip


def test_a_failure_in_one_branch_leaves_the_others_alone() -> None:
    topology = Topology("t")
    source = clicks(topology)
    source.select("before", col.n).sink("out-before", topic="before")
    source.select("ratio", r=10 // col.n).sink("out-ratio", topic="ratio")
    source.select("after", col.n).sink("out-after", topic="after")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 0, n=0), click("a", 1, n=5)])
    assert only(driver.output("ratio"), "r") == [2]
    assert only(driver.output("before"), "n") == [0, 5]
    assert only(driver.output("after"), "n") == [0, 5]
    assert [letter.step for letter in driver.dead_letters()] == ["ratio"]


def test_skip_counts_and_drops() -> None:
    driver = driver_of(lambda s: s.select("s", col.user), on_error=OnError.SKIP)
    driver.pipe("clicks", [b"nonsense", click("a", 0)])
    assert driver.output("out") == [{"user": "a"}]
    assert driver.dead_letters() == []
    assert driver.stats.skipped == 1


def test_fail_raises() -> None:
    driver = driver_of(lambda s: s.select("s", col.user), on_error=OnError.FAIL)
    with pytest.raises(DataError, match="clicks"):
        driver.pipe("clicks", b"nonsense")


@pytest.mark.parametrize("point", list(CrashPoint))
def test_dead_letters_are_exactly_once(point) -> None:
    driver = driver_of(lambda s: s.select("s", col.user))
    for i in range(4):
        driver.pipe("clicks", [b"bad %d" % i, click("a", i)])
        driver.crash(point)
    driver.checkpoint()
    assert [d.value for d in driver.dead_letters()] == [b"bad %d" % i for i in range(4)]


def test_each_source_has_its_own_policy() -> None:
    topology = Topology("t")
    for name, policy in [("kept", OnError.DEAD_LETTER), ("skipped", OnError.SKIP), ("strict", OnError.FAIL)]:
        stream = topology.source(name, topic=name, schema=Click, time=col.at, on_error=policy)
        stream.map(f"ratio-{name}", r=1 / col.n).group_by(f"by-{name}", col.user).aggregate(
            f"best-{name}", r=agg.max(col.r)
        )
    driver = TopologyDriver(topology)
    driver.pipe("skipped", [click("a", 0, n=0), click("a", 1, n=2)])
    assert (driver.stats.skipped, driver.dead_letters()) == (1, [])
    driver.pipe("kept", click("a", 0, n=0))
    assert [letter.topic for letter in driver.dead_letters()] == ["kept"]
    with pytest.raises(DataError, match="step 'ratio-strict': ZeroDivisionError"):
        driver.pipe("strict", click("a", 0, n=0))


def test_an_element_that_fails_does_not_take_the_rest_of_its_record_with_it() -> None:
    driver = driver_of(
        lambda s: (
            s.flat_map("all", lambda n: [n, 0, n + 1], col.n.fill_null(0), returns=list[int], name="i")
            .map("ratio", r=12 // col.i)
            .select("s", col.r)
        )
    )
    driver.pipe("clicks", [click("a", 0, n=2)])
    assert only(driver.output("out"), "r") == [6, 4]
    assert [letter.step for letter in driver.dead_letters()] == ["ratio"]


def test_columns_may_have_any_name_behind_a_repartition() -> None:
    class Odd(BaseModel):
        step: int
        key: int
        error: int
        time_ms: int

    topology = Topology("t")
    odd = topology.source("odd", topic="odd", schema=Odd)
    odd.group_by("by", col.step).aggregate("ratio", r=agg.max(col.key // (col.error - col.time_ms)))
    driver = TopologyDriver(topology)
    driver.pipe("odd", {"step": 1, "key": 2, "error": 3, "time_ms": 3})
    (letter,) = driver.dead_letters()
    assert letter.error == "ZeroDivisionError"
    assert b'"columns":{"error":3,"key":2,"time_ms":3}' in letter.value
