from datetime import UTC, datetime
from decimal import Decimal

import pytest

from headrace import ConfigError, StateError, Topology, TopologyError, agg, col
from headrace.state.memory import MemoryBackend
from headrace.state.protocol import Batch
from headrace.testing import CrashPoint, FaultyBackend, ManualClock, SimulatedCrash, TopologyDriver
from tests.operators.support import Click, click, clicks, only


def counting(**options) -> TopologyDriver:
    topology = Topology("t")
    source = clicks(topology, key=col.user)
    source.group_by("by", col.user).aggregate("counts", n=agg.count())
    source.select("s", col.user, col.n).sink("out", topic="out", key=col.user)
    return TopologyDriver(topology, **options)


def batch_of(*, puts=(), deletes=(), ranges=()) -> Batch:
    batch = Batch()
    for key, value in puts:
        batch.put("s", key, value)
    for key in deletes:
        batch.delete("s", key)
    for start, end in ranges:
        batch.delete_range("s", start, end)
    return batch


def test_values_may_be_dicts_models_or_bytes() -> None:
    driver = counting()
    model = Click(user="b", at=datetime(2024, 1, 1, tzinfo=UTC), price=Decimal("1.10"))
    driver.pipe("clicks", [click("a", 0), model, b'{"user": "c", "at": "2024-01-01T00:00:02Z"}'])
    driver.pipe("clicks", model)
    assert only(driver.output("out"), "user") == ["a", "b", "c", "b"]
    assert driver.dead_letters() == []


def test_output_is_drained_and_only_what_is_committed() -> None:
    driver = counting()
    driver.pipe("clicks", click("a", 0))
    assert driver.output("out", checkpoint=False) == []
    assert len(driver.output("out")) == 1
    assert driver.output("out") == []
    assert driver.dead_letters() == []


def test_a_restart_loses_what_was_not_checkpointed_and_reads_it_again() -> None:
    driver = counting()
    driver.pipe("clicks", [click("a", 0), click("a", 1)])
    driver.checkpoint()
    driver.pipe("clicks", click("a", 2))
    driver.restart()
    assert driver.table("counts", checkpoint=False) == [{"user": "a", "n": 2}]
    assert driver.table("counts") == [{"user": "a", "n": 3}]
    assert len(driver.output("out")) == 3


@pytest.mark.parametrize("point", list(CrashPoint))
def test_a_crash_at_any_point_loses_and_doubles_nothing(point) -> None:
    driver = counting(batch=2, partitions=2)
    for turn in range(5):
        driver.pipe("clicks", [click(user, turn, n=turn) for user in "abc"])
        driver.crash(point)
    assert driver.table("counts") == [{"user": user, "n": 5} for user in "abc"]
    assert sorted(only(driver.output("out"), "user", "n")) == [(u, n) for u in "abc" for n in range(5)]


@pytest.mark.parametrize("point", list(CrashPoint))
def test_what_a_crash_leaves_is_all_or_nothing(point) -> None:
    driver = counting()
    driver.pipe("clicks", [click("a", 0), click("b", 1)])
    driver.crash(point)
    written = driver.table("counts", checkpoint=False)
    assert len(written) == (2 if point is CrashPoint.AFTER_WRITE else 0)


def test_a_write_that_fails_loses_nothing() -> None:
    driver = counting()
    driver.pipe("clicks", click("a", 0))
    driver.backend.fail_next_write("No space left on device")
    with pytest.raises(StateError, match="No space left"):
        driver.checkpoint()
    driver.restart()
    assert driver.table("counts") == [{"user": "a", "n": 1}]
    assert only(driver.output("out"), "user") == ["a"]


def test_records_of_a_key_column_share_a_partition() -> None:
    driver = counting(partitions=4)
    driver.pipe("clicks", [click(f"user-{i % 5}", i) for i in range(50)])
    assert driver.table("counts") == [{"user": f"user-{i}", "n": 10} for i in range(5)]


def test_output_records_have_key_and_time() -> None:
    driver = counting()
    driver.pipe("clicks", click("a", 5))
    (record,) = driver.records("out")
    assert record.key is not None
    assert b"a" in record.key
    assert record.time == datetime(2024, 1, 1, 0, 0, 5, tzinfo=UTC)


def test_an_unknown_topic_is_refused() -> None:
    with pytest.raises(ConfigError, match="no source that reads topic 'klicks'; it reads clicks"):
        counting().pipe("klicks", click("a", 0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.table("typo"), "topology 't' has no table 'typo'; there are: counts"),
        (
            lambda d: d.output("typo"),
            "topology 't' has no sink that writes topic 'typo'; there are: out, t.dead-letters",
        ),
        (
            lambda d: d.records("typo"),
            "topology 't' has no sink that writes topic 'typo'; there are: out, t.dead-letters",
        ),
        (
            lambda d: d.pipe("clicks", click("a", 0), partition=1),
            "topic 'clicks' has partitions 0 to 0, got partition=1; see partitions=",
        ),
        (
            lambda d: d.pipe("clicks", click("a", 0), time="noon"),
            "time: expected a time such as '2024-01-31T12:00:00Z' or a datetime, got 'noon'",
        ),
        (
            lambda _: counting(start="x"),
            "start: expected a time such as '2024-01-31T12:00:00Z' or a datetime, got 'x'",
        ),
    ],
)
def test_what_is_misspelt_is_refused_with_what_there_is(call, message) -> None:
    with pytest.raises(ConfigError) as caught:
        call(counting())
    assert str(caught.value) == message


def test_a_sink_that_chooses_its_topic_may_write_any() -> None:
    topology = Topology("t")
    clicks(topology).select("s", col.user, col.n).sink("out", topic=col.user)
    assert TopologyDriver(topology).output("anybody") == []


def test_nothing_can_be_piped_after_the_end() -> None:
    driver = counting()
    driver.finish()
    with pytest.raises(ConfigError, match=r"ended by finish\(\)"):
        driver.pipe("clicks", click("a", 0))


def test_the_end_survives_a_crash() -> None:
    driver = counting()
    driver.pipe("clicks", click("a", 0))
    driver.finish()
    driver.crash(CrashPoint.BEFORE_WRITE)
    driver.finish()
    assert len(driver.output("out")) == 1


def test_a_wrong_declaration_is_refused_with_all_faults() -> None:
    topology = Topology("t")
    clicks(topology).filter("f", col.nn > 1).select("s", x=col.user + 1).sink("out", topic="out")
    with pytest.raises(TopologyError) as caught:
        TopologyDriver(topology)
    assert [fault.step for fault in caught.value.faults] == ["f", "s"]


def test_arguments_that_are_none_are_refused() -> None:
    for make, message in (
        (lambda: TopologyDriver("x"), "topology: expected a Topology, got 'x'"),
        (lambda: TopologyDriver(Topology("t"), batch=0), "batch: expected 1 or more, or None .* got 0"),
        (lambda: counting().crash("x"), "point: expected one of CrashPoint.BEFORE_WRITE, .* got 'x'"),
    ):
        with pytest.raises(ConfigError, match=message):
            make()


def test_the_clock_moves_only_forward_and_by_hand() -> None:
    clock = ManualClock("2024-01-01T00:00:00Z")
    before = clock()
    clock.advance("1m30s")
    assert clock() - before == 90_000
    with pytest.raises(ValueError, match="not negative"):
        clock.advance(clock.now - clock.now.replace(year=2025))


@pytest.mark.parametrize("point", list(CrashPoint))
def test_faulty_backend_writes_all_or_nothing(point) -> None:
    inner = MemoryBackend()
    backend = FaultyBackend(inner)
    before = {b"a": b"1", b"b": b"2", b"c": b"3", b"d": b"4"}
    backend.write(batch_of(puts=before.items()))
    backend.crash_at(point)
    change = batch_of(puts=[(b"a", b"9"), (b"e", b"9")], deletes=[b"b"], ranges=[(b"c", b"e")])
    with pytest.raises(SimulatedCrash):
        backend.write(change)
    with pytest.raises(StateError, match="dead"):
        backend.write(batch_of())
    backend.reopen()
    after = {b"a": b"9", b"e": b"9"} if point is CrashPoint.AFTER_WRITE else before
    assert dict(backend.store("s").scan()) == after
    backend.write(batch_of(puts=[(b"z", b"0")]))
    assert backend.store("s").get(b"z") == b"0"
